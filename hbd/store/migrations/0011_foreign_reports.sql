-- What agents of other systems sent and what they were answered, and what was changed here of how a host may report.

CREATE TABLE foreign_reports (
    id       INTEGER PRIMARY KEY,
    host_id  INTEGER NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    receiver TEXT NOT NULL,
    time     REAL NOT NULL,
    status   INTEGER NOT NULL,                       -- HTTP status of the answer
    cut      INTEGER NOT NULL,                       -- 1: what is kept of it is not all that was sent
    body     BLOB NOT NULL                           -- zlib: JSON [request, answer], secrets left out
) STRICT;
CREATE INDEX foreign_reports_host ON foreign_reports (host_id, id);

CREATE TABLE reporting (
    host_id      INTEGER PRIMARY KEY REFERENCES hosts (id) ON DELETE CASCADE,
    enabled      INTEGER,                            -- null: as the config says
    min_interval REAL                                -- seconds, null: as the config says
) STRICT;
