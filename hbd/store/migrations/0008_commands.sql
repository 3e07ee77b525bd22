-- What was asked of agents, and what became of it.

CREATE TABLE commands (
    number       INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order in which they were queued
    id           TEXT NOT NULL UNIQUE,               -- cmd_ and 24 hexadecimal digits
    host_id      INTEGER NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    type         TEXT NOT NULL,
    params       TEXT NOT NULL,                      -- JSON object
    risk         TEXT NOT NULL,                      -- low, medium, high
    status       TEXT NOT NULL,                      -- queued, delivered, running; done, failed, timeout, rejected, expired
    queued_by    TEXT NOT NULL,                      -- name of a user, who may be gone by now
    queued_at    REAL NOT NULL,
    expires_at   REAL NOT NULL,                      -- it is not begun any more after this
    delivered_at REAL,
    journal      TEXT,                               -- the agent's record that it was delivered to; NULL: an agent without one
    started_at   REAL,
    finished_at  REAL,
    cancelled_by TEXT NOT NULL DEFAULT '',
    exit_code    INTEGER,
    stdout       TEXT NOT NULL DEFAULT '',
    stderr       TEXT NOT NULL DEFAULT '',
    truncated    INTEGER NOT NULL DEFAULT 0,
    reason       TEXT NOT NULL DEFAULT '',           -- in words, when it did not end by itself
    certain      INTEGER NOT NULL DEFAULT 1          -- 0: the end is our assumption; the agent may still tell the true one
) STRICT;
CREATE INDEX commands_host ON commands (host_id, number);
CREATE INDEX commands_open ON commands (host_id) WHERE finished_at IS NULL OR certain = 0;
