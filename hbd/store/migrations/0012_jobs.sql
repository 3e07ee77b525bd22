-- Jobs that call when they are done, and their calls.

CREATE TABLE jobs (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,     -- never used again after a job is deleted
    host_id   INTEGER NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    name      TEXT NOT NULL,
    token     TEXT NOT NULL UNIQUE,                  -- whoever has it may call, and no more
    period    REAL,                                  -- seconds; null: by cron
    grace     REAL NOT NULL,
    cron      TEXT NOT NULL,
    timezone  TEXT NOT NULL,
    paused    INTEGER NOT NULL,
    created   REAL NOT NULL,
    author    TEXT NOT NULL,
    -- what it said so far
    done      REAL,
    begun     REAL,
    run       TEXT NOT NULL DEFAULT '',
    failed    INTEGER NOT NULL DEFAULT 0,
    seconds   REAL,
    exit_code INTEGER,
    heard     REAL,
    told      TEXT NOT NULL DEFAULT 'new',           -- the status that was told last
    UNIQUE (host_id, name)
) STRICT;

CREATE TABLE job_pings (
    id        INTEGER PRIMARY KEY,
    job_id    INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    time      REAL NOT NULL,
    kind      TEXT NOT NULL,                         -- success, start, fail, log
    exit_code INTEGER,
    seconds   REAL,
    address   TEXT NOT NULL,
    body      TEXT NOT NULL
) STRICT;
CREATE INDEX job_pings_job ON job_pings (job_id, id);
