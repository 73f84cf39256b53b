-- Metadata definitions: what properties and tags mean, for people who choose among them.
CREATE TABLE metadef_namespaces (
    id           TEXT NOT NULL PRIMARY KEY,
    name         TEXT NOT NULL UNIQUE,
    display_name TEXT,
    description  TEXT,
    visibility   TEXT NOT NULL CHECK (visibility IN ('public', 'private')),
    protected    BIGINT NOT NULL CHECK (protected IN (0, 1)),
    owner        TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL
);
CREATE INDEX metadef_namespaces_created ON metadef_namespaces (created_at, id);

-- Objects, properties and tags of a namespace: each a name with a definition.
CREATE TABLE metadef_items (
    namespace_id TEXT NOT NULL REFERENCES metadef_namespaces (id) ON DELETE CASCADE,
    kind         TEXT NOT NULL CHECK (kind IN ('object', 'property', 'tag')),
    name         TEXT NOT NULL,
    -- What is unique: the name; of tags, without regard to case.
    name_key     TEXT NOT NULL,
    definition   TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL,
    PRIMARY KEY (namespace_id, kind, name_key)
);

CREATE TABLE metadef_resource_types (
    name       TEXT NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL
);

CREATE TABLE metadef_associations (
    namespace_id      TEXT NOT NULL REFERENCES metadef_namespaces (id) ON DELETE CASCADE,
    resource_type     TEXT NOT NULL REFERENCES metadef_resource_types (name),
    prefix            TEXT,
    properties_target TEXT,
    created_at        BIGINT NOT NULL,
    PRIMARY KEY (namespace_id, resource_type)
);
CREATE INDEX metadef_associations_type ON metadef_associations (resource_type);
