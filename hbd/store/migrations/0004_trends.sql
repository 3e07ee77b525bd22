-- How the disks of each host filled up lately: what has to be known to foretell when they are full.

CREATE TABLE trends (
    host_id INTEGER PRIMARY KEY REFERENCES hosts (id) ON DELETE CASCADE,
    trend   BLOB NOT NULL                            -- JSON, see hbd/trends.py
) STRICT;
