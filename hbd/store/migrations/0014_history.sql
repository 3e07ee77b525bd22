-- History that is older than what lies in samples and chunks: packed samples (tier 0), and rollups, whose tier is the
-- seconds of one bucket. Rows that are not packed yet are minutes as they were folded, several to a window.

CREATE TABLE history (
    id      INTEGER PRIMARY KEY,
    host_id INTEGER NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    tier    INTEGER NOT NULL,
    start   INTEGER NOT NULL,                        -- of the window that the row is about, Unix seconds
    first   REAL NOT NULL,                           -- when the oldest thing in it begins
    last    REAL NOT NULL,                           -- when the newest thing in it ends
    packed  INTEGER NOT NULL,
    data    BLOB NOT NULL                            -- hbd/bundle.py; a part is of hbd/history.py or hbd/rollups.py
) STRICT;
CREATE INDEX history_series ON history (host_id, tier, last);
CREATE INDEX history_age ON history (tier, last);
CREATE INDEX history_waiting ON history (start) WHERE packed = 0;
CREATE INDEX chunks_first ON chunks (first);
