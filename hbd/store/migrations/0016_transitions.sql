-- What availability is made of: when hosts and their families changed their state, and when the daemon could not see.
-- meta has in watched_until when it last could, as far as it is on disk.

CREATE TABLE transitions (
    id      INTEGER PRIMARY KEY,
    host_id INTEGER NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    family  TEXT NOT NULL,                           -- '': the host as a whole
    at      REAL NOT NULL,
    state   TEXT NOT NULL,                           -- the one it came to
    reason  TEXT NOT NULL
) STRICT;
CREATE INDEX transitions_series ON transitions (host_id, family, at);
CREATE INDEX transitions_at ON transitions (at);

CREATE TABLE unseen (
    id        INTEGER PRIMARY KEY,
    since     REAL NOT NULL,
    until     REAL NOT NULL,
    restarted INTEGER NOT NULL                       -- 1: the daemon began anew then, and knew no state any more
) STRICT;
CREATE INDEX unseen_until ON unseen (until);
