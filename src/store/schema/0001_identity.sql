-- Names are unique and found without regard to case, as upstream's are: name_key is the name in lower case, made by the
-- program, since the engines fold letters differently.

-- A domain is a project that acts as one, as upstream: roles can be granted on it and /v3/projects/{id} shows it.
CREATE TABLE projects (
    id          TEXT NOT NULL PRIMARY KEY,
    domain_id   TEXT REFERENCES projects (id) ON DELETE CASCADE,
    -- No cascade: a project with children can't be deleted, except together with its whole domain.
    parent_id   TEXT REFERENCES projects (id),
    is_domain   BIGINT NOT NULL CHECK (is_domain IN (0, 1)),
    name        TEXT NOT NULL,
    name_key    TEXT NOT NULL,
    description TEXT NOT NULL,
    enabled     BIGINT NOT NULL CHECK (enabled IN (0, 1)),
    options     TEXT NOT NULL,
    -- Attributes upstream has no name for, kept and shown as they came; JSON.
    extra       TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    CHECK ((is_domain = 1) = (domain_id IS NULL))
);
CREATE UNIQUE INDEX projects_name ON projects (domain_id, name_key) WHERE is_domain = 0;
CREATE UNIQUE INDEX domains_name ON projects (name_key) WHERE is_domain = 1;
CREATE INDEX projects_parent ON projects (parent_id);

CREATE TABLE project_tags (
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    tag        TEXT NOT NULL,
    PRIMARY KEY (project_id, tag)
);
CREATE INDEX project_tags_tag ON project_tags (tag);

CREATE TABLE users (
    id                 TEXT NOT NULL PRIMARY KEY,
    domain_id          TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name               TEXT NOT NULL,
    name_key           TEXT NOT NULL,
    enabled            BIGINT NOT NULL CHECK (enabled IN (0, 1)),
    -- No reference: upstream takes the id of a project that isn't there, and ignores it at login.
    default_project_id TEXT,
    description        TEXT,
    email              TEXT,
    options            TEXT NOT NULL,
    extra              TEXT NOT NULL,
    failed_logins      BIGINT NOT NULL,
    last_failed_at     BIGINT,
    last_active_at     BIGINT,
    created_at         BIGINT NOT NULL,
    UNIQUE (domain_id, name_key)
);

-- The newest is the one that logs in; older ones are kept as long as the history rule wants.
CREATE TABLE passwords (
    id           TEXT NOT NULL PRIMARY KEY,
    user_id      TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash         TEXT NOT NULL,
    self_service BIGINT NOT NULL CHECK (self_service IN (0, 1)),
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT
);
CREATE INDEX passwords_user ON passwords (user_id, created_at);

CREATE TABLE groups (
    id          TEXT NOT NULL PRIMARY KEY,
    domain_id   TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    name_key    TEXT NOT NULL,
    description TEXT NOT NULL,
    extra       TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    UNIQUE (domain_id, name_key)
);

CREATE TABLE group_members (
    group_id TEXT NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    user_id  TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, user_id)
);
CREATE INDEX group_members_user ON group_members (user_id);

CREATE TABLE roles (
    id          TEXT NOT NULL PRIMARY KEY,
    -- Null: a role for every domain.
    domain_id   TEXT REFERENCES projects (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    name_key    TEXT NOT NULL,
    description TEXT,
    options     TEXT NOT NULL,
    extra       TEXT NOT NULL,
    created_at  BIGINT NOT NULL
);
CREATE UNIQUE INDEX roles_name ON roles (name_key) WHERE domain_id IS NULL;
CREATE UNIQUE INDEX roles_domain_name ON roles (domain_id, name_key) WHERE domain_id IS NOT NULL;

CREATE TABLE implied_roles (
    prior_role_id   TEXT NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    implied_role_id TEXT NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    PRIMARY KEY (prior_role_id, implied_role_id),
    CHECK (prior_role_id <> implied_role_id)
);
CREATE INDEX implied_roles_implied ON implied_roles (implied_role_id);

-- Who (a user or a group) holds which role on what (a project, a domain or the system).
CREATE TABLE assignments (
    role_id    TEXT NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    user_id    TEXT REFERENCES users (id) ON DELETE CASCADE,
    group_id   TEXT REFERENCES groups (id) ON DELETE CASCADE,
    project_id TEXT REFERENCES projects (id) ON DELETE CASCADE,
    domain_id  TEXT REFERENCES projects (id) ON DELETE CASCADE,
    is_system  BIGINT NOT NULL CHECK (is_system IN (0, 1)),
    -- Holds below the target and not on it.
    inherited  BIGINT NOT NULL CHECK (inherited IN (0, 1)),
    CHECK ((user_id IS NULL) <> (group_id IS NULL)),
    CHECK (
        (CASE WHEN project_id IS NULL THEN 0 ELSE 1 END) + (CASE WHEN domain_id IS NULL THEN 0 ELSE 1 END) + is_system
        = 1
    ),
    CHECK (is_system = 0 OR inherited = 0)
);
-- NULLs are never equal to one another, so the parts that may be absent are compared as empty text.
CREATE UNIQUE INDEX assignments_once ON assignments (
    role_id, COALESCE(user_id, ''), COALESCE(group_id, ''), COALESCE(project_id, ''), COALESCE(domain_id, ''), inherited
);
CREATE INDEX assignments_user ON assignments (user_id);
CREATE INDEX assignments_group ON assignments (group_id);
CREATE INDEX assignments_project ON assignments (project_id);
CREATE INDEX assignments_domain ON assignments (domain_id);

CREATE TABLE regions (
    id          TEXT NOT NULL PRIMARY KEY,
    parent_id   TEXT REFERENCES regions (id),
    description TEXT NOT NULL,
    extra       TEXT NOT NULL
);
CREATE INDEX regions_parent ON regions (parent_id);

CREATE TABLE services (
    id          TEXT NOT NULL PRIMARY KEY,
    type        TEXT NOT NULL,
    name        TEXT,
    description TEXT,
    enabled     BIGINT NOT NULL CHECK (enabled IN (0, 1)),
    extra       TEXT NOT NULL
);

CREATE TABLE endpoints (
    id         TEXT NOT NULL PRIMARY KEY,
    service_id TEXT NOT NULL REFERENCES services (id) ON DELETE CASCADE,
    region_id  TEXT REFERENCES regions (id),
    interface  TEXT NOT NULL CHECK (interface IN ('public', 'internal', 'admin')),
    url        TEXT NOT NULL,
    enabled    BIGINT NOT NULL CHECK (enabled IN (0, 1)),
    name       TEXT,
    extra      TEXT NOT NULL
);
CREATE INDEX endpoints_service ON endpoints (service_id);
CREATE INDEX endpoints_region ON endpoints (region_id);

-- A token is revoked when every criterion that is not null fits it and it was issued no later than issued_before.
-- No references: a token outlives the user or project it names, and must stay revoked when they are gone.
CREATE TABLE revocations (
    id            TEXT NOT NULL PRIMARY KEY,
    audit_id      TEXT,
    chain_id      TEXT,
    user_id       TEXT,
    project_id    TEXT,
    domain_id     TEXT,
    role_id       TEXT,
    issued_before BIGINT NOT NULL,
    revoked_at    BIGINT NOT NULL,
    -- No token it fits is alive after this: the row may go.
    expires_at    BIGINT NOT NULL
);
CREATE INDEX revocations_revoked_at ON revocations (revoked_at);
CREATE INDEX revocations_expires_at ON revocations (expires_at);

-- Grows with each change of users, projects, roles, assignments or revocations: what was decided at an older epoch is
-- decided again. One row, so that every process sees one order of changes.
CREATE TABLE identity_epoch (
    id    BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    epoch BIGINT NOT NULL
);
INSERT INTO identity_epoch (id, epoch) VALUES (1, 1);

-- A way to log in as a user, on one project, without the password; the secret is kept as an argon2id hash.
CREATE TABLE application_credentials (
    id           TEXT NOT NULL PRIMARY KEY,
    user_id      TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    project_id   TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    description  TEXT,
    secret_hash  TEXT NOT NULL,
    -- JSON: the ids of the roles it was made with.
    role_ids     TEXT NOT NULL,
    unrestricted BIGINT NOT NULL CHECK (unrestricted IN (0, 1)),
    expires_at   BIGINT,
    created_at   BIGINT NOT NULL,
    UNIQUE (user_id, name)
);
CREATE INDEX application_credentials_project ON application_credentials (project_id);
