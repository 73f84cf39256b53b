-- The cloud itself. Hosts mark what they run for it with this id, so that two clouds never touch each other's machines.
CREATE TABLE cloud (
    id         TEXT NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL
);
