-- Further copies of an image's bytes: in other stores than the one that images.blob_id is in.
CREATE TABLE image_copies (
    image_id   TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    store      TEXT NOT NULL,
    blob_id    TEXT NOT NULL REFERENCES blobs (id),
    -- 0 while the bytes are on their way.
    is_whole   BIGINT NOT NULL CHECK (is_whole IN (0, 1)),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (image_id, store)
);
CREATE INDEX image_copies_blob ON image_copies (blob_id);
CREATE INDEX blobs_sha512 ON blobs (sha512);
