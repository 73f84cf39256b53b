-- Live moves that are over, by how they ended, since the cloud was made: what /metrics tells.
CREATE TABLE move_totals (
    status       TEXT NOT NULL PRIMARY KEY,
    moves        BIGINT NOT NULL,
    elapsed_ms   BIGINT NOT NULL,
    downtime_ms  BIGINT NOT NULL,
    memory_bytes BIGINT NOT NULL,
    disk_bytes   BIGINT NOT NULL,
    iterations   BIGINT NOT NULL
);
