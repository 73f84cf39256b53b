-- What a server has besides its own disk: ephemeral disks and swap, as its flavor and its request had it; JSON. Null: none.
ALTER TABLE servers ADD COLUMN blank_disks TEXT;
