-- What many hosts are alike in, kept once: their hypervisor, their CPU, what they are able to do. A decision about a place
-- reads a row a kind, not all that each host said.
CREATE TABLE host_kinds (
    -- Of the other columns, so that whoever hears of a kind first or again means the same row.
    digest   TEXT NOT NULL PRIMARY KEY,
    -- JSON, as hosts said it, without the features of the CPU.
    facts    TEXT NOT NULL,
    -- As flavors' extra specs compare them: ['avx', 'sse'].
    features TEXT NOT NULL,
    -- With spaces between.
    traits   TEXT NOT NULL
);
-- Null: it has said nothing yet. What a host said that is its own stays in `hosts.facts`.
ALTER TABLE hosts ADD COLUMN kind TEXT REFERENCES host_kinds (digest);
-- Until it is heard again, each is a kind of its own.
INSERT INTO host_kinds (digest, facts, features, traits) SELECT id, facts, '', traits FROM hosts;
UPDATE hosts SET kind = id;
ALTER TABLE hosts DROP COLUMN traits;

-- What is claimed of a host in all, and by how many servers. Added up anew with every change of a claim.
ALTER TABLE hosts ADD COLUMN claims BIGINT NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN claimed_vcpus BIGINT NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN claimed_memory_mib BIGINT NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN claimed_disk_gib BIGINT NOT NULL DEFAULT 0;
UPDATE hosts SET
    claims = (SELECT COUNT(*) FROM claims WHERE host_id = hosts.id),
    claimed_vcpus = (SELECT CAST(COALESCE(SUM(c.vcpus), 0) AS BIGINT) FROM claims c WHERE c.host_id = hosts.id),
    claimed_memory_mib = (SELECT CAST(COALESCE(SUM(c.memory_mib), 0) AS BIGINT) FROM claims c WHERE c.host_id = hosts.id),
    claimed_disk_gib = (SELECT CAST(COALESCE(SUM(c.disk_gib), 0) AS BIGINT) FROM claims c WHERE c.host_id = hosts.id);
-- Whose rows claims_taken finds as well.
DROP INDEX claims_host;
