-- What one user lets another do in their place, on one project, with some of their roles. It goes with either of them and
-- with the project; taken back by hand it stays a while as a row with deleted_at, which lets nobody in.
CREATE TABLE trusts (
    id              TEXT NOT NULL PRIMARY KEY,
    trustor_user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    trustee_user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    project_id      TEXT REFERENCES projects (id) ON DELETE CASCADE,
    impersonation   BIGINT NOT NULL CHECK (impersonation IN (0, 1)),
    -- JSON: the ids of the roles.
    role_ids        TEXT NOT NULL,
    expires_at      BIGINT,
    -- Null: no bound.
    remaining_uses  BIGINT CHECK (remaining_uses >= 0),
    extra           TEXT NOT NULL,
    created_at      BIGINT NOT NULL,
    deleted_at      BIGINT
);
CREATE INDEX trusts_trustor ON trusts (trustor_user_id);
CREATE INDEX trusts_trustee ON trusts (trustee_user_id);
CREATE INDEX trusts_project ON trusts (project_id);
CREATE UNIQUE INDEX trusts_once ON trusts (trustor_user_id, trustee_user_id, project_id, impersonation, expires_at)
    WHERE deleted_at IS NULL;
