-- Processes that are watched on hosts, and what was seen of them.

CREATE TABLE processes (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again after a process is deleted
    host_id      INTEGER NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    user_id      INTEGER,                            -- who made it, who may be gone by now
    name         TEXT NOT NULL,
    created      REAL NOT NULL,
    enabled      INTEGER NOT NULL,
    on_down      INTEGER NOT NULL,
    on_restart   INTEGER NOT NULL,
    on_cpu       INTEGER NOT NULL,
    on_memory    INTEGER NOT NULL,
    cpu_limit    REAL NOT NULL,                      -- percent
    memory_limit REAL NOT NULL,
    UNIQUE (host_id, name)
) STRICT;

CREATE TABLE process_samples (
    id             INTEGER PRIMARY KEY,
    process_id     INTEGER NOT NULL REFERENCES processes (id) ON DELETE CASCADE,
    time           REAL NOT NULL,
    count          INTEGER NOT NULL,
    cpu_percent    REAL,
    memory_percent REAL,
    oldest_start   REAL,                             -- Unix seconds
    after_boot     REAL,                             -- the same in seconds since the machine booted
    restarts       INTEGER NOT NULL                  -- since the sample before
) STRICT;
CREATE INDEX process_samples_time ON process_samples (process_id, time);
CREATE INDEX process_samples_restarts ON process_samples (process_id, time) WHERE restarts > 0;
