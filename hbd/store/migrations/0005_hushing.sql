-- What keeps alerts from being told: silences, maintenance windows, and who looks after which problem.

CREATE TABLE silences (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    hosts   TEXT NOT NULL,                           -- JSON lists: patterns of names, tags, patterns of paths, levels
    tags    TEXT NOT NULL,
    metrics TEXT NOT NULL,
    levels  TEXT NOT NULL,
    reason  TEXT NOT NULL,
    author  TEXT NOT NULL,                           -- name of a user, who may be gone by now
    created REAL NOT NULL,
    starts  REAL NOT NULL,
    ends    REAL NOT NULL
) STRICT;
CREATE INDEX silences_ends ON silences (ends);

CREATE TABLE windows (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    name     TEXT NOT NULL,
    hosts    TEXT NOT NULL,
    tags     TEXT NOT NULL,
    metrics  TEXT NOT NULL,
    start    TEXT NOT NULL,                          -- what clocks show, such as 2026-11-21T22:00
    duration REAL NOT NULL,
    timezone TEXT NOT NULL,
    repeat   TEXT NOT NULL,                          -- once, daily, weekly, monthly
    days     TEXT NOT NULL,                          -- JSON list: mon … sun, of a weekly one
    until    TEXT,                                   -- the last day on which it may begin
    author   TEXT NOT NULL,
    created  REAL NOT NULL
) STRICT;

CREATE TABLE acks (
    problem TEXT PRIMARY KEY,                        -- goes with its problem, or when that gets worse
    host_id INTEGER NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    path    TEXT NOT NULL,
    level   TEXT NOT NULL,                           -- what it was when somebody acknowledged it
    user    TEXT NOT NULL,
    note    TEXT NOT NULL,
    time    REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX acks_host ON acks (host_id);
