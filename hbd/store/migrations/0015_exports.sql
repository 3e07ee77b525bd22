-- How far others have been told of the samples. Reports are counted in the order in which they came, so a number of a
-- report must never be used again, also after its row was folded away and nothing is left: hence AUTOINCREMENT.

CREATE TABLE samples_counted (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    host_id     INTEGER NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    run_id      TEXT NOT NULL,
    seq         INTEGER NOT NULL,
    received_at REAL NOT NULL,
    time        REAL NOT NULL,                       -- of the newest sample in it, corrected
    shift       REAL NOT NULL,                       -- seconds added to the times in body
    body        BLOB NOT NULL                        -- JSON: [{"plugin", "time", "data"}, ...]
) STRICT;
INSERT INTO samples_counted SELECT id, host_id, run_id, seq, received_at, time, shift, body FROM samples ORDER BY id;
DROP TABLE samples;
ALTER TABLE samples_counted RENAME TO samples;
CREATE UNIQUE INDEX samples_report ON samples (host_id, run_id, seq);
CREATE INDEX samples_series ON samples (host_id, time);

CREATE TABLE exports (
    name     TEXT PRIMARY KEY,                       -- in the config
    position INTEGER NOT NULL                        -- reports up to this id were sent, or are owed
) STRICT, WITHOUT ROWID;

-- Samples that were folded before they were sent.
CREATE TABLE export_debts (
    id      INTEGER PRIMARY KEY,
    export  TEXT NOT NULL REFERENCES exports (name) ON DELETE CASCADE,
    host_id INTEGER NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    first   REAL NOT NULL,                           -- when the oldest of them was measured
    last    REAL NOT NULL,                           -- when the newest of them was
    newest  INTEGER NOT NULL                         -- id that the last report among them had
) STRICT;
CREATE INDEX export_debts_order ON export_debts (export, first);
CREATE INDEX export_debts_host ON export_debts (host_id);
