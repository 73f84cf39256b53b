-- How often what a host has, what is held of it, its aggregates or its traits have changed: clients of placement go by it.
ALTER TABLE hosts ADD COLUMN generation BIGINT NOT NULL DEFAULT 0;
-- The names of what the host is able to do, with spaces between.
ALTER TABLE hosts ADD COLUMN traits TEXT NOT NULL DEFAULT '';
-- How often what a server holds of hosts has changed.
ALTER TABLE servers ADD COLUMN claim_generation BIGINT NOT NULL DEFAULT 0;
