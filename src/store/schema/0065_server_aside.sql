-- What a server keeps beside its row's columns while it is resized, rescued, shelved or softly deleted, and of how many
-- layers its disk is; JSON. Null: nothing.
ALTER TABLE servers ADD COLUMN aside TEXT;
-- Those that wait for somebody, or for time to pass.
CREATE INDEX servers_waiting ON servers (state) WHERE state IN ('soft-delete', 'resized') AND deleted_at IS NULL;
