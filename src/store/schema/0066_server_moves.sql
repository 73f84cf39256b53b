-- Resizes, and later other moves of servers: what upstream calls migrations. Kept when they are over.
CREATE TABLE server_moves (
    -- As upstream shows it; never given twice.
    id         BIGINT NOT NULL PRIMARY KEY,
    uuid       TEXT NOT NULL UNIQUE,
    server_id  TEXT NOT NULL REFERENCES servers (id) ON DELETE CASCADE,
    kind       TEXT NOT NULL CHECK (kind IN ('migration', 'resize', 'live-migration', 'evacuation')),
    status     TEXT NOT NULL,
    -- Names of hosts; null until one is chosen.
    source     TEXT,
    target     TEXT,
    project_id TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX server_moves_listed ON server_moves (created_at, id);
CREATE INDEX server_moves_server ON server_moves (server_id, created_at);
