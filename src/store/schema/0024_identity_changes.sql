-- What tokens that were issued before an epoch may wrongly be taken for, by whoever verifies them without asking.
CREATE TABLE identity_changes (
    -- user, project, domain or role
    kind     TEXT NOT NULL,
    -- Its id; a role's name, which is what tokens say.
    subject  TEXT NOT NULL,
    epoch    BIGINT NOT NULL,
    -- When the feed was first read with the change in it; none: it was not read yet.
    told_at  BIGINT,
    PRIMARY KEY (kind, subject)
);
