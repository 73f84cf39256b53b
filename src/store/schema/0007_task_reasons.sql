-- Why a task is undone, or was: 1 because somebody wanted it stopped, 0 because a step failed, which `error` then tells.
-- Earlier rows said so with the word "cancelled" in `error`.
ALTER TABLE tasks ADD COLUMN was_cancelled BIGINT NOT NULL DEFAULT 0 CHECK (was_cancelled IN (0, 1));
UPDATE tasks SET was_cancelled = 1, error = NULL WHERE error = 'cancelled';
