CREATE TABLE flavors (
    id           TEXT NOT NULL PRIMARY KEY,
    name         TEXT NOT NULL UNIQUE,
    description  TEXT,
    vcpus        BIGINT NOT NULL CHECK (vcpus > 0),
    ram_mib      BIGINT NOT NULL CHECK (ram_mib > 0),
    disk_gib     BIGINT NOT NULL CHECK (disk_gib >= 0),
    ephemeral_gib BIGINT NOT NULL CHECK (ephemeral_gib >= 0),
    swap_mib     BIGINT NOT NULL CHECK (swap_mib >= 0),
    -- A fraction, kept as the text it is shown as.
    rxtx_factor  TEXT NOT NULL,
    is_public    BIGINT NOT NULL CHECK (is_public IN (0, 1)),
    disabled     BIGINT NOT NULL CHECK (disabled IN (0, 1)),
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT
);

CREATE TABLE flavor_extra_specs (
    flavor_id TEXT NOT NULL REFERENCES flavors (id) ON DELETE CASCADE,
    name      TEXT NOT NULL,
    value     TEXT NOT NULL,
    PRIMARY KEY (flavor_id, name)
);

-- Who may use a flavor that is not public.
CREATE TABLE flavor_projects (
    flavor_id  TEXT NOT NULL REFERENCES flavors (id) ON DELETE CASCADE,
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    PRIMARY KEY (flavor_id, project_id)
);
CREATE INDEX flavor_projects_project ON flavor_projects (project_id);

CREATE TABLE keypairs (
    user_id     TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    type        TEXT NOT NULL CHECK (type IN ('ssh', 'x509')),
    fingerprint TEXT NOT NULL,
    public_key  TEXT NOT NULL,
    -- Nova shows a number as `id`, though nothing takes it.
    number      BIGINT NOT NULL UNIQUE,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (user_id, name)
);

CREATE TABLE hosts (
    id              TEXT NOT NULL PRIMARY KEY,
    name            TEXT NOT NULL UNIQUE,
    zone            TEXT NOT NULL,
    -- What the host said of itself when it was last asked; JSON.
    facts           TEXT NOT NULL,
    -- What may be claimed: the host's own, times the ratio, less what is reserved.
    vcpus           BIGINT NOT NULL CHECK (vcpus >= 0),
    memory_mib      BIGINT NOT NULL CHECK (memory_mib >= 0),
    disk_gib        BIGINT NOT NULL CHECK (disk_gib >= 0),
    enabled         BIGINT NOT NULL CHECK (enabled IN (0, 1)),
    disabled_reason TEXT,
    forced_down     BIGINT NOT NULL CHECK (forced_down IN (0, 1)),
    last_seen_at    BIGINT,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL
);

-- Project and user are not referenced: a server outlives them, and somebody must still be able to delete it.
CREATE TABLE servers (
    id                TEXT NOT NULL PRIMARY KEY,
    project_id        TEXT NOT NULL,
    user_id           TEXT NOT NULL,
    name              TEXT NOT NULL,
    hostname          TEXT NOT NULL,
    description       TEXT,
    -- The life of the server, and the work now done on it (null: none). Nova's status, vm_state and task_state follow.
    state             TEXT NOT NULL,
    task              TEXT,
    -- As the host last said; 'unknown' until it was asked.
    power             TEXT NOT NULL,
    host_id           TEXT REFERENCES hosts (id),
    -- As it was when the server was made or last resized, whatever became of the flavor; JSON.
    flavor            TEXT NOT NULL,
    flavor_id         TEXT NOT NULL,
    image_id          TEXT,
    -- Those properties of the image that Nova knows, as they were when the server was made; JSON.
    image_properties  TEXT NOT NULL,
    -- The image's bytes as a host keeps them (hash, size, format); JSON.
    base              TEXT,
    key_name          TEXT,
    public_key        TEXT,
    metadata          TEXT NOT NULL,
    user_data         TEXT,
    -- Files of the config drive that the client sent; JSON.
    personality       TEXT,
    config_drive      BIGINT NOT NULL CHECK (config_drive IN (0, 1)),
    availability_zone TEXT,
    reservation_id    TEXT NOT NULL,
    launch_index      BIGINT NOT NULL,
    scheduler_hints   TEXT NOT NULL,
    access_ip_v4      TEXT NOT NULL,
    access_ip_v6      TEXT NOT NULL,
    disk_config       TEXT NOT NULL CHECK (disk_config IN ('AUTO', 'MANUAL')),
    -- 'owner' or 'admin'; null: not locked.
    locked_by         TEXT CHECK (locked_by IN ('owner', 'admin')),
    locked_reason     TEXT,
    progress          BIGINT NOT NULL CHECK (progress BETWEEN 0 AND 100),
    -- Why the last work failed: code, message, details, time; JSON.
    fault             TEXT,
    launched_at       BIGINT,
    terminated_at     BIGINT,
    created_at        BIGINT NOT NULL,
    updated_at        BIGINT NOT NULL,
    -- Deleted servers stay a while for changes-since and for operators.
    deleted_at        BIGINT
);
CREATE INDEX servers_listed ON servers (project_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX servers_all ON servers (created_at, id);
CREATE INDEX servers_changed ON servers (project_id, updated_at);
CREATE INDEX servers_host ON servers (host_id) WHERE deleted_at IS NULL;
CREATE INDEX servers_deleted ON servers (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE server_tags (
    server_id TEXT NOT NULL REFERENCES servers (id) ON DELETE CASCADE,
    tag       TEXT NOT NULL,
    PRIMARY KEY (server_id, tag)
);
CREATE INDEX server_tags_tag ON server_tags (tag);

-- What was asked of a server, by whom, in which request.
CREATE TABLE server_actions (
    id         TEXT NOT NULL PRIMARY KEY,
    server_id  TEXT NOT NULL REFERENCES servers (id) ON DELETE CASCADE,
    action     TEXT NOT NULL,
    request_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    -- Null unless it failed.
    message    TEXT,
    started_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX server_actions_server ON server_actions (server_id, started_at, id);
CREATE INDEX server_actions_request ON server_actions (server_id, request_id);

-- The steps that were taken for it.
CREATE TABLE server_events (
    id          TEXT NOT NULL PRIMARY KEY,
    action_id   TEXT NOT NULL REFERENCES server_actions (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    host        TEXT,
    -- Null while it runs.
    result      TEXT,
    details     TEXT,
    started_at  BIGINT NOT NULL,
    finished_at BIGINT
);
CREATE INDEX server_events_action ON server_events (action_id, started_at, id);

-- What a server holds of a host; two rows while it moves. What is free is the host's total less the sum of these, asked
-- in the transaction that adds one.
CREATE TABLE claims (
    server_id  TEXT NOT NULL REFERENCES servers (id) ON DELETE CASCADE,
    host_id    TEXT NOT NULL REFERENCES hosts (id),
    vcpus      BIGINT NOT NULL CHECK (vcpus >= 0),
    memory_mib BIGINT NOT NULL CHECK (memory_mib >= 0),
    disk_gib   BIGINT NOT NULL CHECK (disk_gib >= 0),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (server_id, host_id)
);
CREATE INDEX claims_host ON claims (host_id);

-- Limits an operator set for a project; what isn't here is the default. -1: no limit.
CREATE TABLE quotas (
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    resource   TEXT NOT NULL,
    maximum    BIGINT NOT NULL CHECK (maximum >= -1),
    PRIMARY KEY (project_id, resource)
);
