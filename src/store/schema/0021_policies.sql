-- Documents that nothing here reads: services that keep their rules in identity find them.
CREATE TABLE policies (
    id    TEXT NOT NULL PRIMARY KEY,
    type  TEXT NOT NULL,
    -- JSON: text, as clients of today send it, or whatever was sent.
    blob  TEXT NOT NULL,
    extra TEXT NOT NULL
);

-- Which policy an endpoint, a service, or a service in a region has.
CREATE TABLE policy_associations (
    id          TEXT NOT NULL PRIMARY KEY,
    policy_id   TEXT NOT NULL REFERENCES policies (id) ON DELETE CASCADE,
    endpoint_id TEXT REFERENCES endpoints (id) ON DELETE CASCADE,
    service_id  TEXT REFERENCES services (id) ON DELETE CASCADE,
    region_id   TEXT REFERENCES regions (id) ON DELETE CASCADE,
    CHECK ((endpoint_id IS NULL) <> (service_id IS NULL) AND (region_id IS NULL OR service_id IS NOT NULL))
);
CREATE UNIQUE INDEX policy_associations_place
    ON policy_associations (COALESCE(endpoint_id, ''), COALESCE(service_id, ''), COALESCE(region_id, ''));
CREATE INDEX policy_associations_policy ON policy_associations (policy_id);
