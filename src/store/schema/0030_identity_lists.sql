-- A project that goes is nobody's default project any more: found without looking at every user.
CREATE INDEX users_default_project ON users (default_project_id);
-- A page of a domain is read in the order of ids from where it begins, however much the domain holds.
CREATE INDEX users_domain ON users (domain_id, id);
CREATE INDEX groups_domain ON groups (domain_id, id);
CREATE INDEX projects_domain ON projects (domain_id, id);
-- Names are asked for without a domain too.
CREATE INDEX users_name ON users (name_key);
CREATE INDEX projects_name_everywhere ON projects (name_key);
