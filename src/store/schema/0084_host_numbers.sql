-- The number that a host has before it is known by its UUID. Given once, and not again.
ALTER TABLE hosts ADD COLUMN number BIGINT NOT NULL DEFAULT 0;
UPDATE hosts SET number = (
    SELECT COUNT(*) FROM hosts o
     WHERE o.created_at < hosts.created_at OR (o.created_at = hosts.created_at AND o.id <= hosts.id));
CREATE TABLE host_numbers (
    id   BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    last BIGINT NOT NULL
);
INSERT INTO host_numbers (id, last) SELECT 1, COALESCE(MAX(number), 0) FROM hosts;
