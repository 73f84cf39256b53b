-- Ids of the certificates that may have signed a server's image; a JSON list. Null: it may be signed by nobody.
ALTER TABLE servers ADD COLUMN trusted_certificates TEXT;
