CREATE TABLE networks (
    id             TEXT NOT NULL PRIMARY KEY,
    project_id     TEXT NOT NULL,
    name           TEXT NOT NULL,
    description    TEXT NOT NULL,
    admin_state_up BIGINT NOT NULL CHECK (admin_state_up IN (0, 1)),
    shared         BIGINT NOT NULL CHECK (shared IN (0, 1)),
    is_external    BIGINT NOT NULL CHECK (is_external IN (0, 1)),
    status         TEXT NOT NULL,
    mtu            BIGINT NOT NULL CHECK (mtu > 0),
    -- A JSON list, sorted.
    tags           TEXT NOT NULL,
    revision       BIGINT NOT NULL,
    -- Grows with every change that hosts must carry out.
    epoch          BIGINT NOT NULL,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL
);
CREATE INDEX networks_project ON networks (project_id, created_at, id);
CREATE INDEX networks_shared ON networks (shared) WHERE shared = 1;

CREATE TABLE subnets (
    id               TEXT NOT NULL PRIMARY KEY,
    network_id       TEXT NOT NULL REFERENCES networks (id) ON DELETE CASCADE,
    project_id       TEXT NOT NULL,
    name             TEXT NOT NULL,
    description      TEXT NOT NULL,
    ip_version       BIGINT NOT NULL CHECK (ip_version IN (4, 6)),
    cidr             TEXT NOT NULL,
    gateway_ip       TEXT,
    enable_dhcp      BIGINT NOT NULL CHECK (enable_dhcp IN (0, 1)),
    -- JSON lists.
    allocation_pools TEXT NOT NULL,
    dns_nameservers  TEXT NOT NULL,
    host_routes      TEXT NOT NULL,
    tags             TEXT NOT NULL,
    revision         BIGINT NOT NULL,
    created_at       BIGINT NOT NULL,
    updated_at       BIGINT NOT NULL
);
CREATE INDEX subnets_network ON subnets (network_id);
CREATE INDEX subnets_project ON subnets (project_id, created_at, id);

CREATE TABLE ports (
    id             TEXT NOT NULL PRIMARY KEY,
    -- No cascade: a network with ports can't be deleted.
    network_id     TEXT NOT NULL REFERENCES networks (id),
    project_id     TEXT NOT NULL,
    name           TEXT NOT NULL,
    description    TEXT NOT NULL,
    mac_address    TEXT NOT NULL,
    admin_state_up BIGINT NOT NULL CHECK (admin_state_up IN (0, 1)),
    status         TEXT NOT NULL,
    -- Who uses the port, in the client's own words; empty when nobody does. Proof of nothing: see server_id.
    device_id      TEXT NOT NULL,
    device_owner   TEXT NOT NULL,
    -- The server whose interface this is. No client can write it, so no port of one project joins another's server.
    server_id      TEXT,
    -- Order among the server's interfaces.
    position       BIGINT NOT NULL,
    -- Made for a server and deleted with it, or the client's own.
    made_for_server BIGINT NOT NULL CHECK (made_for_server IN (0, 1)),
    host_id        TEXT REFERENCES hosts (id),
    tags           TEXT NOT NULL,
    revision       BIGINT NOT NULL,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    UNIQUE (network_id, mac_address)
);
CREATE INDEX ports_project ON ports (project_id, created_at, id);
CREATE INDEX ports_device ON ports (device_id) WHERE device_id <> '';
CREATE INDEX ports_server ON ports (server_id) WHERE server_id IS NOT NULL;

-- An address belongs to one port of its subnet at most: the key says so, whoever races for it.
CREATE TABLE allocations (
    subnet_id  TEXT NOT NULL REFERENCES subnets (id),
    -- In its canonical form, so that one address has one text.
    ip_address TEXT NOT NULL,
    port_id    TEXT NOT NULL REFERENCES ports (id) ON DELETE CASCADE,
    PRIMARY KEY (subnet_id, ip_address)
);
CREATE INDEX allocations_port ON allocations (port_id);
CREATE INDEX allocations_address ON allocations (ip_address);
