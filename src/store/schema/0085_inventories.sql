-- What a host has, as against what may be claimed of it (vcpus, memory_mib, disk_gib): how much is kept back and how many
-- times over the rest may be promised is in `inventory`, JSON. Until a host is heard again, it has what may be claimed.
ALTER TABLE hosts ADD COLUMN total_vcpus BIGINT NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN total_memory_mib BIGINT NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN total_disk_gib BIGINT NOT NULL DEFAULT 0;
UPDATE hosts SET total_vcpus = vcpus, total_memory_mib = memory_mib, total_disk_gib = disk_gib;
ALTER TABLE hosts ADD COLUMN inventory TEXT NOT NULL DEFAULT '{}';
ALTER TABLE hosts ADD COLUMN hypervisor_version BIGINT NOT NULL DEFAULT 0;
-- Boots that failed there in a row.
ALTER TABLE hosts ADD COLUMN failed_builds BIGINT NOT NULL DEFAULT 0;

-- A decision adds up every claim, and counts the servers that are being worked on.
CREATE INDEX claims_taken ON claims (host_id, vcpus, memory_mib, disk_gib);
CREATE INDEX servers_busy ON servers (host_id) WHERE task IS NOT NULL AND deleted_at IS NULL;
