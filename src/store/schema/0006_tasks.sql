-- Work that outlives the request that asked for it. The row is made in that request's transaction.
CREATE TABLE tasks (
    id          TEXT NOT NULL PRIMARY KEY,
    kind        TEXT NOT NULL,
    -- The step to take next, with all it needs; JSON. Saved before it is taken.
    step        TEXT NOT NULL,
    -- What the work is about: a server's or an image's id.
    subject_id  TEXT NOT NULL,
    request_id  TEXT,
    -- ready: to be taken forward; undoing: to be backed out; done, failed, cancelled: over.
    state       TEXT NOT NULL CHECK (state IN ('ready', 'undoing', 'done', 'failed', 'cancelled')),
    -- The process that works on it until its lease ends, unless it renews it.
    owner       TEXT,
    lease_until BIGINT,
    -- Of the newest claim, from task_epoch: a process that lost its lease finds another number and stops, and hosts refuse
    -- orders that carry an older one.
    epoch       BIGINT NOT NULL,
    attempts    BIGINT NOT NULL CHECK (attempts >= 0),
    -- Not to be taken before: back-off.
    run_after   BIGINT NOT NULL,
    -- Somebody wants it stopped; read between steps.
    cancel      BIGINT NOT NULL CHECK (cancel IN (0, 1)),
    error       TEXT,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    CHECK ((owner IS NULL) = (lease_until IS NULL))
);
CREATE INDEX tasks_open ON tasks (run_after, id) WHERE state IN ('ready', 'undoing');
CREATE INDEX tasks_subject ON tasks (subject_id, created_at);
CREATE INDEX tasks_over ON tasks (updated_at) WHERE state NOT IN ('ready', 'undoing');

-- One row: the number of the newest claim of any task. Orders to hosts carry it, so that it must never go back.
CREATE TABLE task_epoch (
    id    BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    value BIGINT NOT NULL
);
INSERT INTO task_epoch (id, value) VALUES (1, 0);
