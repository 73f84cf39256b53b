-- The operator's own network that a flat one is, by the name under which hosts' settings know it.
ALTER TABLE networks ADD COLUMN physical_network TEXT;
CREATE UNIQUE INDEX networks_physical ON networks (physical_network) WHERE physical_network IS NOT NULL;
-- Those that a host is plugged into: a JSON list, sorted.
ALTER TABLE hosts ADD COLUMN physical_networks TEXT NOT NULL DEFAULT '[]';
