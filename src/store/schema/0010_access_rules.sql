-- What application credentials may be used for; a user's credentials share rules that say the same.
CREATE TABLE access_rules (
    id         TEXT NOT NULL PRIMARY KEY,
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    service    TEXT NOT NULL,
    method     TEXT NOT NULL,
    path       TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (user_id, service, method, path)
);

-- A rule that a credential has is not deleted alone: the program looks, since a user takes both along.
CREATE TABLE application_credential_rules (
    application_credential_id TEXT NOT NULL REFERENCES application_credentials (id) ON DELETE CASCADE,
    access_rule_id            TEXT NOT NULL REFERENCES access_rules (id) ON DELETE CASCADE,
    position                  BIGINT NOT NULL,
    PRIMARY KEY (application_credential_id, access_rule_id)
);
CREATE INDEX application_credential_rules_rule ON application_credential_rules (access_rule_id);
