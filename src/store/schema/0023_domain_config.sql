-- What a domain's configuration says: whitelisted options only, so never a secret.
CREATE TABLE domain_options (
    domain_id    TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    option_group TEXT NOT NULL,
    option_name  TEXT NOT NULL,
    -- JSON.
    value        TEXT NOT NULL,
    PRIMARY KEY (domain_id, option_group, option_name)
);
