-- Notification channels that were made here; those of the config file are not stored.

CREATE TABLE channels (
    name    TEXT PRIMARY KEY,
    spec    TEXT NOT NULL,                           -- JSON, with the secrets, which have to be shown to the services
    changed REAL NOT NULL
) STRICT, WITHOUT ROWID;
