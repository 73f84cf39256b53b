-- Imports of images as clients ask about them; the work itself is a row of tasks.
CREATE TABLE image_tasks (
    id         TEXT NOT NULL PRIMARY KEY,
    type       TEXT NOT NULL,
    status     TEXT NOT NULL CHECK (status IN ('pending', 'processing', 'success', 'failure')),
    owner      TEXT,
    user_id    TEXT,
    request_id TEXT,
    -- No reference: what was said of an import outlives its image.
    image_id   TEXT,
    input      TEXT NOT NULL,
    result     TEXT NOT NULL,
    message    TEXT NOT NULL,
    -- When it is forgotten; not before it is over.
    expires_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX image_tasks_image ON image_tasks (image_id, created_at);
CREATE INDEX image_tasks_created ON image_tasks (created_at, id);
CREATE INDEX image_tasks_expiry ON image_tasks (expires_at);
