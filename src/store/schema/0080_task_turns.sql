-- The next step takes much of the machine, and waits until fewer of its like are taken.
ALTER TABLE tasks ADD COLUMN awaits_turn BIGINT NOT NULL DEFAULT 0 CHECK (awaits_turn IN (0, 1));
