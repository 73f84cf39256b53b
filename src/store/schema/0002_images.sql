-- The bytes of an image in a store. Several images may share them (a copy, a snapshot's base).
CREATE TABLE blobs (
    id         TEXT NOT NULL PRIMARY KEY,
    store      TEXT NOT NULL,
    -- Where in the store; never derived from the bytes, and never shown to a client.
    location   TEXT NOT NULL,
    size       BIGINT NOT NULL CHECK (size >= 0),
    md5        TEXT NOT NULL,
    sha512     TEXT NOT NULL,
    -- Images and running copies that need the bytes; at 0 they may be deleted.
    refcount   BIGINT NOT NULL CHECK (refcount >= 0),
    created_at BIGINT NOT NULL,
    UNIQUE (store, location)
);
CREATE INDEX blobs_unused ON blobs (created_at) WHERE refcount = 0;

-- Every id an image ever had. Rows stay for ever, so that the id of a deleted image can't be given to other bytes.
CREATE TABLE image_ids (
    id         TEXT NOT NULL PRIMARY KEY,
    deleted_at BIGINT
);

CREATE TABLE images (
    id               TEXT NOT NULL PRIMARY KEY REFERENCES image_ids (id),
    owner            TEXT,
    name             TEXT,
    status           TEXT NOT NULL,
    visibility       TEXT NOT NULL CHECK (visibility IN ('public', 'private', 'shared', 'community')),
    container_format TEXT,
    disk_format      TEXT,
    min_disk         BIGINT NOT NULL CHECK (min_disk >= 0),
    min_ram          BIGINT NOT NULL CHECK (min_ram >= 0),
    protected        BIGINT NOT NULL CHECK (protected IN (0, 1)),
    os_hidden        BIGINT NOT NULL CHECK (os_hidden IN (0, 1)),
    size             BIGINT,
    virtual_size     BIGINT,
    checksum         TEXT,
    os_hash_algo     TEXT,
    os_hash_value    TEXT,
    blob_id          TEXT REFERENCES blobs (id),
    created_at       BIGINT NOT NULL,
    updated_at       BIGINT NOT NULL,
    -- Who sees an active image is promised its bytes.
    CHECK (status NOT IN ('active', 'deactivated') OR (blob_id IS NOT NULL AND size IS NOT NULL))
);
CREATE INDEX images_owner ON images (owner, created_at, id);
CREATE INDEX images_visibility ON images (visibility, created_at, id);
CREATE INDEX images_blob ON images (blob_id);

CREATE TABLE image_properties (
    image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    name     TEXT NOT NULL,
    value    TEXT NOT NULL,
    PRIMARY KEY (image_id, name)
);
CREATE INDEX image_properties_value ON image_properties (name, value);

CREATE TABLE image_tags (
    image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    tag      TEXT NOT NULL,
    PRIMARY KEY (image_id, tag)
);
CREATE INDEX image_tags_tag ON image_tags (tag);

CREATE TABLE image_members (
    image_id   TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    -- No reference: upstream shares with any name, known or not.
    member     TEXT NOT NULL,
    status     TEXT NOT NULL CHECK (status IN ('pending', 'accepted', 'rejected')),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (image_id, member)
);
CREATE INDEX image_members_member ON image_members (member, status);
