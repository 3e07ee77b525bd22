-- People: who they are, what they sign in with, what they may do on which host, and what they did.

CREATE TABLE users (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    name        TEXT NOT NULL COLLATE NOCASE UNIQUE,
    source      TEXT NOT NULL,                       -- local, oidc, proxy; config: the file says what full_name to
                                                     -- password say of others, and changes has what was changed here
    subject     TEXT UNIQUE,                         -- whom the provider of single sign-on means
    full_name   TEXT NOT NULL DEFAULT '',
    avatar      TEXT NOT NULL DEFAULT '',
    role        TEXT NOT NULL,
    enabled     INTEGER NOT NULL DEFAULT 1,
    channels    TEXT NOT NULL DEFAULT '[]',          -- JSON list of names
    password    TEXT,                                -- bcrypt; config: the one that held last
    changes     TEXT NOT NULL DEFAULT '{}',          -- JSON: field -> {was, now}; holds as long as the file says was
    totp        TEXT,                                -- secret of the second factor, base32
    totp_step   INTEGER NOT NULL DEFAULT 0,          -- the last one used: a code works once
    recovery    TEXT NOT NULL DEFAULT '[]',          -- JSON list of SHA-256 in hex
    created     REAL NOT NULL,
    last_login  REAL
) STRICT;

CREATE TABLE sessions (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash       BLOB NOT NULL UNIQUE,                 -- SHA-256 of the token
    created    REAL NOT NULL,
    expires    REAL NOT NULL,
    last_used  REAL NOT NULL,
    address    TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    method     TEXT NOT NULL                         -- password, oidc, setup
) STRICT;
CREATE INDEX sessions_user ON sessions (user_id);

CREATE TABLE api_tokens (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id      INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash         BLOB NOT NULL UNIQUE,
    name         TEXT NOT NULL,
    start        TEXT NOT NULL,                      -- its first characters, to know it again
    scope        TEXT NOT NULL,                      -- read, write
    hosts        TEXT,                               -- JSON list of names; NULL: all that its user may
    created      REAL NOT NULL,
    expires      REAL,
    last_used    REAL,
    last_address TEXT
) STRICT;
CREATE INDEX api_tokens_user ON api_tokens (user_id);

-- Who may do what on a host, where that was changed here; NULL: as the config says.
CREATE TABLE host_access (
    host_id  INTEGER PRIMARY KEY REFERENCES hosts (id) ON DELETE CASCADE,
    owner    TEXT,
    managers TEXT,                                   -- JSON list
    monitors TEXT
) STRICT;

CREATE TABLE audit (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    time    REAL NOT NULL,
    user    TEXT NOT NULL,                           -- "" for nobody known
    via     TEXT NOT NULL,
    address TEXT NOT NULL,
    action  TEXT NOT NULL,
    object  TEXT NOT NULL,
    outcome TEXT NOT NULL,                           -- done, refused, failed
    detail  TEXT NOT NULL
) STRICT;
CREATE INDEX audit_time ON audit (time);
CREATE INDEX audit_user ON audit (user COLLATE NOCASE, id);

CREATE TRIGGER audit_stays_as_written BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is not edited');
END;
