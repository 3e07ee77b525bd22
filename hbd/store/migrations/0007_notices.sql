-- Notifications: what each channel is to know of each problem and what it was told, and what became of every message.

CREATE TABLE notices (
    problem       TEXT NOT NULL,
    channel       TEXT NOT NULL,
    host_id       INTEGER NOT NULL,                  -- no reference: the end is told even when the host is gone
    host          TEXT NOT NULL,
    path          TEXT NOT NULL,
    why           TEXT NOT NULL,
    opened        REAL NOT NULL,
    -- what is wanted, written with the alert's event
    worst         TEXT NOT NULL,
    level         TEXT NOT NULL,
    at            REAL NOT NULL,
    value         REAL,
    reason        TEXT NOT NULL,
    flapping      INTEGER NOT NULL,
    due           REAL NOT NULL,
    after         REAL NOT NULL,
    -- what was told, written when the channel took it
    told          TEXT,
    told_flapping INTEGER NOT NULL DEFAULT 0,
    told_at       REAL NOT NULL DEFAULT 0,
    count         INTEGER NOT NULL DEFAULT 0,
    tried         TEXT NOT NULL DEFAULT '',          -- what a message said whose outcome is not known
    owed          INTEGER NOT NULL DEFAULT 0,
    dead          TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (problem, channel)
) STRICT, WITHOUT ROWID;

CREATE TABLE deliveries (
    id      INTEGER PRIMARY KEY,
    time    REAL NOT NULL,
    channel TEXT NOT NULL,
    outcome TEXT NOT NULL,                           -- sent, failed, held, dropped, dead
    message TEXT NOT NULL,                           -- id of the message, "" when none was made
    title   TEXT NOT NULL,
    detail  TEXT NOT NULL
) STRICT;
CREATE INDEX deliveries_channel ON deliveries (channel, id);
CREATE INDEX deliveries_time ON deliveries (time);

CREATE TABLE delivery_items (
    delivery INTEGER NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    host_id  INTEGER NOT NULL,
    path     TEXT NOT NULL,
    problem  TEXT NOT NULL,
    level    TEXT NOT NULL,
    number   INTEGER NOT NULL,                       -- of the message among those about this problem
    PRIMARY KEY (delivery, problem)
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_items_path ON delivery_items (host_id, path, delivery);

CREATE TABLE notification_routes (
    id       INTEGER PRIMARY KEY,
    name     TEXT NOT NULL,
    settings TEXT NOT NULL,                          -- JSON
    author   TEXT NOT NULL,
    created  REAL NOT NULL
) STRICT;
