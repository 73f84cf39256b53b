-- What the plugins of an import have done to an image's bytes, and those that one of them is making.
CREATE TABLE image_working (
    image_id TEXT NOT NULL PRIMARY KEY REFERENCES images (id) ON DELETE CASCADE,
    -- On their way, in place of the image's own.
    blob_id  TEXT REFERENCES blobs (id),
    -- How many plugins of the list are done with: the image's own bytes are what came of them.
    done     BIGINT NOT NULL
);
