-- What a service knows of as limited, and how much of it a project may have unless it is said for the project itself.
CREATE TABLE registered_limits (
    id            TEXT NOT NULL PRIMARY KEY,
    service_id    TEXT NOT NULL REFERENCES services (id),
    region_id     TEXT REFERENCES regions (id),
    resource_name TEXT NOT NULL,
    default_limit BIGINT NOT NULL,
    description   TEXT
);
-- NULLs are never equal to one another, so that a registered limit of every region is compared as one without a name.
CREATE UNIQUE INDEX registered_limits_resource
    ON registered_limits (service_id, COALESCE(region_id, ''), resource_name);

-- What one project, or one domain as a project of its own, may have.
CREATE TABLE limits (
    id                  TEXT NOT NULL PRIMARY KEY,
    registered_limit_id TEXT NOT NULL REFERENCES registered_limits (id),
    project_id          TEXT REFERENCES projects (id) ON DELETE CASCADE,
    domain_id           TEXT REFERENCES projects (id) ON DELETE CASCADE,
    resource_limit      BIGINT NOT NULL,
    description         TEXT,
    CHECK ((project_id IS NULL) <> (domain_id IS NULL))
);
CREATE UNIQUE INDEX limits_owner
    ON limits (registered_limit_id, COALESCE(project_id, ''), COALESCE(domain_id, ''));
CREATE INDEX limits_project ON limits (project_id);
CREATE INDEX limits_domain ON limits (domain_id);
