-- Servers that shall be near each other, or apart.
CREATE TABLE server_groups (
    id           TEXT NOT NULL PRIMARY KEY,
    project_id   TEXT NOT NULL,
    user_id      TEXT NOT NULL,
    name         TEXT NOT NULL,
    policy       TEXT NOT NULL CHECK (policy IN ('affinity', 'anti-affinity', 'soft-affinity', 'soft-anti-affinity')),
    -- Of anti-affinity: how many of the group one host may have; null: one.
    max_per_host BIGINT CHECK (max_per_host > 0),
    created_at   BIGINT NOT NULL
);
CREATE INDEX server_groups_project ON server_groups (project_id, created_at, id);

-- A server is in one group at most, from its creation on.
CREATE TABLE server_group_members (
    server_id TEXT NOT NULL PRIMARY KEY REFERENCES servers (id) ON DELETE CASCADE,
    group_id  TEXT NOT NULL REFERENCES server_groups (id) ON DELETE CASCADE
);
CREATE INDEX server_group_members_group ON server_group_members (group_id);
