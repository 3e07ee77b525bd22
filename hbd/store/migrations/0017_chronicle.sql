-- What was shown of each host, as the changes of a document, and when the daemon ran to show it.

CREATE TABLE chronicle (
    id      INTEGER PRIMARY KEY,
    host_id INTEGER NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    window  INTEGER NOT NULL,                        -- the hour that it is of, Unix seconds when it begins
    first   INTEGER NOT NULL,                        -- of its changes, Unix milliseconds
    last    INTEGER NOT NULL,
    packed  INTEGER NOT NULL,                        -- 0: some seconds as written, 1: the hour, 2: its minutes
    data    BLOB NOT NULL                            -- hbd/chronicle.py
) STRICT;
CREATE INDEX chronicle_host ON chronicle (host_id, first);
CREATE INDEX chronicle_work ON chronicle (packed, last);

CREATE TABLE runs (
    started INTEGER PRIMARY KEY,                     -- Unix milliseconds
    last    INTEGER NOT NULL                         -- when it last wrote what it showed
) STRICT;
