-- Uploads that can go on where they stopped: one an image, until it has its bytes, is deleted, or nobody goes on.
CREATE TABLE image_uploads (
    image_id   TEXT NOT NULL PRIMARY KEY REFERENCES images (id) ON DELETE CASCADE,
    -- The part that is being written, or was last: what another writer still saves doesn't count.
    writer     TEXT NOT NULL,
    -- Where the bytes go once they have all come.
    store      TEXT NOT NULL,
    -- How many there will be; none while nobody said.
    size       BIGINT CHECK (size >= 0),
    -- How many are in parts, and on the disk.
    received   BIGINT NOT NULL CHECK (received >= 0),
    expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX image_uploads_expiry ON image_uploads (expires_at);

-- What one request brought: a file in the staging folder, of which so many bytes count.
CREATE TABLE image_upload_parts (
    image_id TEXT NOT NULL REFERENCES image_uploads (image_id) ON DELETE CASCADE,
    start    BIGINT NOT NULL CHECK (start >= 0),
    size     BIGINT NOT NULL CHECK (size > 0),
    file     TEXT NOT NULL UNIQUE,
    PRIMARY KEY (image_id, start)
);
