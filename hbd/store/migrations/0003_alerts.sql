-- Alerts: where every path that ever was not OK stands now, with its timers, and every change of what was told of it.

CREATE TABLE alerts (
    host_id INTEGER NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    path    TEXT NOT NULL,                           -- plugin.metric, plugin.key.metric, presence.host …
    plugin  TEXT NOT NULL,
    level   TEXT NOT NULL,
    since   REAL NOT NULL,
    value   REAL,
    checked REAL NOT NULL,
    source  TEXT NOT NULL,                           -- the config of the rule that judged it
    reason  TEXT NOT NULL,
    timers  TEXT NOT NULL,                           -- JSON: [[level, since, seconds], …] of what is pending
    problem TEXT NOT NULL,                           -- id of the open problem, '' when there is none
    number  INTEGER NOT NULL,                        -- of the problems of this path so far
    step    INTEGER NOT NULL,                        -- of the events of that problem so far
    worse   INTEGER NOT NULL,                        -- whether the last change of level was for the worse
    turns   TEXT NOT NULL,                           -- JSON: [time, …] when the level turned lately
    calm    TEXT NOT NULL,                           -- JSON: [since, seconds] while it flaps, else null
    PRIMARY KEY (host_id, path)
) STRICT, WITHOUT ROWID;

CREATE TABLE alert_events (
    id      INTEGER PRIMARY KEY,
    event   TEXT NOT NULL UNIQUE,                    -- the same when it is worked out again after a crash
    problem TEXT NOT NULL,
    host_id INTEGER NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    path    TEXT NOT NULL,
    before  TEXT NOT NULL,
    after   TEXT NOT NULL,
    time    REAL NOT NULL,
    value   REAL,
    reason  TEXT NOT NULL,
    flapping TEXT NOT NULL                           -- '', begins, goes on, ends
) STRICT;
CREATE INDEX alert_events_host ON alert_events (host_id, id);
CREATE INDEX alert_events_time ON alert_events (time);
