-- What somebody asks of a move under way: 'abort', 'hasten'; null: nothing.
ALTER TABLE server_moves ADD COLUMN asked TEXT;
-- What the hypervisor counted so far, and what was asked of it at the beginning; JSON, null until it begins.
ALTER TABLE server_moves ADD COLUMN counts TEXT;
ALTER TABLE server_moves ADD COLUMN limits TEXT;
-- Bytes that remained to be moved, over time; JSON.
ALTER TABLE server_moves ADD COLUMN plot TEXT;
-- Why it failed; null unless it did.
ALTER TABLE server_moves ADD COLUMN failure TEXT;

-- Servers that a host has something of though they are no longer there: cleared away when it answers.
CREATE TABLE leftovers (
    server_id  TEXT NOT NULL,
    host_id    TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (server_id, host_id)
);
CREATE INDEX leftovers_host ON leftovers (host_id);
