-- What a machine's program speaks, as it said when it last answered, and the certificate that it gets in place of its own:
-- hexadecimal, from when it is made until the machine has it.
ALTER TABLE nodes ADD COLUMN protocol BIGINT NOT NULL DEFAULT 1;
ALTER TABLE nodes ADD COLUMN renewed TEXT;
