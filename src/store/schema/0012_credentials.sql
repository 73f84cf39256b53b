-- Secrets that users keep here (ec2, totp, cert, anything): the blob is sealed with a key that is not in the database.
CREATE TABLE credentials (
    id          TEXT NOT NULL PRIMARY KEY,
    user_id     TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- No reference: upstream takes the id of a project that isn't there.
    project_id  TEXT,
    type        TEXT NOT NULL,
    -- Which key of the ring it is sealed with.
    key_id      TEXT NOT NULL,
    -- Base64.
    sealed      TEXT NOT NULL,
    extra       TEXT NOT NULL,
    -- The last 30 seconds a passcode of which was taken: each is good once.
    totp_window BIGINT NOT NULL,
    created_at  BIGINT NOT NULL
);
CREATE INDEX credentials_user ON credentials (user_id, type);
CREATE INDEX credentials_project ON credentials (project_id);
CREATE INDEX credentials_key ON credentials (key_id);
