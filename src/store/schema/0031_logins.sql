-- Where failures are written that belong to nobody: an unknown name, a locked account, a right password of a disabled one.
-- A write costs time; were there none, the time of an answer would tell these from a wrong password.
CREATE TABLE nobodys_logins (
    slot           BIGINT NOT NULL PRIMARY KEY,
    failed_logins  BIGINT NOT NULL,
    last_failed_at BIGINT
);
INSERT INTO nobodys_logins (slot, failed_logins) VALUES (0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (7, 0);
