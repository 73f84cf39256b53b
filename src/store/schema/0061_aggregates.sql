-- Hosts that operators take together. The metadata `availability_zone` makes a zone of an aggregate.
CREATE TABLE aggregates (
    id         BIGINT NOT NULL PRIMARY KEY,
    uuid       TEXT NOT NULL UNIQUE,
    name       TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    updated_at BIGINT
);

CREATE TABLE aggregate_metadata (
    aggregate_id BIGINT NOT NULL REFERENCES aggregates (id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    value        TEXT NOT NULL,
    PRIMARY KEY (aggregate_id, name)
);

CREATE TABLE aggregate_hosts (
    aggregate_id BIGINT NOT NULL REFERENCES aggregates (id) ON DELETE CASCADE,
    host_id      TEXT NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    PRIMARY KEY (aggregate_id, host_id)
);
CREATE INDEX aggregate_hosts_host ON aggregate_hosts (host_id);

-- The zone of a host that no aggregate puts into another; `hosts.zone` is the one that holds.
ALTER TABLE hosts ADD COLUMN own_zone TEXT;
UPDATE hosts SET own_zone = zone;

-- Numbers that were given once are not given again.
CREATE TABLE aggregate_numbers (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    last BIGINT NOT NULL
);
INSERT INTO aggregate_numbers (id, last) VALUES (1, 0);
