-- The tag that a server's owner knows its own disk by. Null: none.
ALTER TABLE servers ADD COLUMN root_tag TEXT;
