-- Agents that were installed over SSH, and the keys by which those machines are known.

CREATE TABLE deployments (
    id         INTEGER PRIMARY KEY,
    host_id    INTEGER REFERENCES hosts (id) ON DELETE CASCADE,   -- NULL until it is enrolled
    address    TEXT NOT NULL,
    port       INTEGER NOT NULL,
    ssh_user   TEXT NOT NULL,
    label      TEXT NOT NULL,
    author     TEXT NOT NULL,
    created    REAL NOT NULL,
    finished   REAL,
    status     TEXT NOT NULL,                                     -- running, done, failed, cancelled
    steps      TEXT NOT NULL,                                     -- JSON
    error      TEXT NOT NULL DEFAULT '',
    code       TEXT NOT NULL DEFAULT '',
    host_key   TEXT NOT NULL DEFAULT '',                          -- fingerprint
    lent       BLOB                                               -- hash of a key that its machine may have
) STRICT;
CREATE INDEX deployments_host ON deployments (host_id);

CREATE TABLE ssh_host_keys (
    address  TEXT NOT NULL,
    port     INTEGER NOT NULL,
    key      TEXT NOT NULL,                                       -- public, as known_hosts has it
    recorded REAL NOT NULL,
    author   TEXT NOT NULL,
    PRIMARY KEY (address, port, key)
) STRICT, WITHOUT ROWID;
