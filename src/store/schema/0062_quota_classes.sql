-- Limits of a class; the class `default` is every project's, until it is given limits of its own.
CREATE TABLE quota_classes (
    class    TEXT NOT NULL,
    resource TEXT NOT NULL,
    maximum  BIGINT NOT NULL CHECK (maximum >= -1),
    PRIMARY KEY (class, resource)
);

-- Limits of a user within a project.
CREATE TABLE user_quotas (
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    user_id    TEXT NOT NULL,
    resource   TEXT NOT NULL,
    maximum    BIGINT NOT NULL CHECK (maximum >= -1),
    PRIMARY KEY (project_id, user_id, resource)
);
