-- Machines that joined the cloud as hosts, and how each is reached and known again.
CREATE TABLE nodes (
    host_id     TEXT NOT NULL PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    -- The UUID by which the machine's hypervisor tells it from all others.
    machine     TEXT NOT NULL UNIQUE,
    address     TEXT NOT NULL,
    -- SHA-256 of the certificate that it was given, hexadecimal.
    certificate TEXT NOT NULL,
    -- Of the program that joined.
    version     TEXT NOT NULL,
    joined_at   BIGINT NOT NULL
);
-- By each of these one machine may join, once. The text itself is kept nowhere.
CREATE TABLE node_tokens (
    digest     TEXT NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL,
    -- The name of the host that used it.
    used_by    TEXT
);
