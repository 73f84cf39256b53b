-- Every question that a request asks of identity is answered from an index, so that its cost does not grow with the
-- tables; src/store/plans.rs keeps it so.

-- The newest password of a user, and when it runs out, without a look at the row.
DROP INDEX passwords_user;
CREATE INDEX passwords_newest ON passwords (user_id, created_at DESC, id, expires_at);

-- Users as they are listed.
CREATE INDEX users_listed ON users (domain_id, name, id);

-- What somebody holds on one thing among the thousands that they hold something on.
DROP INDEX assignments_user;
DROP INDEX assignments_group;
DROP INDEX group_members_user;
CREATE INDEX assignments_user ON assignments (user_id, project_id, domain_id, inherited, role_id);
CREATE INDEX assignments_group ON assignments (group_id, project_id, domain_id, inherited, role_id);
CREATE INDEX group_members_user ON group_members (user_id, group_id);

-- Each logout leaves two rows for an hour; a token is looked up by what it says of itself.
CREATE INDEX revocations_audit ON revocations (audit_id) WHERE audit_id IS NOT NULL;
CREATE INDEX revocations_chain ON revocations (chain_id) WHERE chain_id IS NOT NULL;
CREATE INDEX revocations_user ON revocations (user_id, issued_before) WHERE user_id IS NOT NULL;
CREATE INDEX revocations_project ON revocations (project_id, issued_before) WHERE project_id IS NOT NULL;
CREATE INDEX revocations_domain ON revocations (domain_id, issued_before) WHERE domain_id IS NOT NULL;
