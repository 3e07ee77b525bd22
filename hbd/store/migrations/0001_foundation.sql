-- Hosts, their keys and connections, the message journal, and samples: fresh ones as they came (samples),
-- older ones folded into compressed chunks (chunks), and which reports the folded ones came from (sequences).

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE hosts (
    id            INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again after a host is deleted
    name          TEXT NOT NULL COLLATE NOCASE UNIQUE,
    agent_id      TEXT NOT NULL UNIQUE,
    created       REAL NOT NULL,
    label         TEXT NOT NULL DEFAULT '',
    tags          TEXT NOT NULL DEFAULT '[]',        -- JSON list
    os            TEXT NOT NULL DEFAULT '',
    agent_version TEXT NOT NULL DEFAULT '',
    state         TEXT NOT NULL DEFAULT 'UNKNOWN'    -- the last one told in the journal
) STRICT;

CREATE TABLE agent_keys (
    hash    BLOB PRIMARY KEY,                        -- SHA-256 of the key
    host_id INTEGER NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    created REAL NOT NULL,
    expires REAL,                                    -- set when the key was rotated: the end of the overlap
    proven  INTEGER NOT NULL                         -- 0: handed out over a link, and nobody has used it yet
) STRICT, WITHOUT ROWID;
CREATE INDEX agent_keys_host ON agent_keys (host_id);

CREATE TABLE connections (
    host_id   INTEGER NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    family    TEXT NOT NULL,
    address   TEXT NOT NULL,
    state     TEXT NOT NULL,
    since     REAL NOT NULL,
    last_seen REAL NOT NULL,
    interval  REAL NOT NULL,
    PRIMARY KEY (host_id, family)
) STRICT, WITHOUT ROWID;

-- The newest heartbeat taken over each path, so that a recording of older ones stays worthless after a restart.
CREATE TABLE heartbeats (
    host_id INTEGER NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    path    INTEGER NOT NULL,                        -- 4 or 6, as the agent says
    run_id  TEXT NOT NULL,
    seq     INTEGER NOT NULL,
    time    REAL NOT NULL,                           -- of the agent's clock
    PRIMARY KEY (host_id, path)
) STRICT, WITHOUT ROWID;

CREATE TABLE messages (
    id      INTEGER PRIMARY KEY,
    time    REAL NOT NULL,
    host_id INTEGER REFERENCES hosts (id) ON DELETE CASCADE,
    host    TEXT NOT NULL,
    msg     TEXT NOT NULL
) STRICT;
CREATE INDEX messages_host ON messages (host_id, id);
CREATE INDEX messages_time ON messages (time);

CREATE TABLE samples (
    id          INTEGER PRIMARY KEY,
    host_id     INTEGER NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    run_id      TEXT NOT NULL,
    seq         INTEGER NOT NULL,
    received_at REAL NOT NULL,
    time        REAL NOT NULL,                       -- of the newest sample in it, corrected
    shift       REAL NOT NULL,                       -- seconds added to the times in body
    body        BLOB NOT NULL                        -- JSON: [{"plugin", "time", "data"}, ...]
) STRICT;
CREATE UNIQUE INDEX samples_report ON samples (host_id, run_id, seq);
CREATE INDEX samples_series ON samples (host_id, time);

CREATE TABLE sequences (
    host_id INTEGER NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    run_id  TEXT NOT NULL,
    ranges  TEXT NOT NULL,                           -- JSON: [[first, last], ...] of the reports folded so far
    updated REAL NOT NULL,
    PRIMARY KEY (host_id, run_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE chunks (
    id      INTEGER PRIMARY KEY,
    host_id INTEGER NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    plugin  TEXT NOT NULL,
    first   REAL NOT NULL,
    last    REAL NOT NULL,
    count   INTEGER NOT NULL,
    data    BLOB NOT NULL                            -- hbd/history.py
) STRICT;
CREATE INDEX chunks_series ON chunks (host_id, plugin, last);
CREATE INDEX chunks_last ON chunks (last);
