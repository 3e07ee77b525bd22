"""Users, what they sign in with, and who may do what on which host. What is changed is written with its audit entry."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct, field

from hbd.errors import StorageError
from hbd.store import audit
from hbd.store.audit import Entry
from hbd.store.database import Database


class UserRow(Struct, kw_only=True):
    """id 0: not written yet. recovery: SHA-256 in hex. changes: of a config user, field → {"was": …, "now": …}."""

    id: int = 0
    name: str
    source: str
    subject: str | None = None
    full_name: str = ""
    avatar: str = ""
    role: str = "viewer"
    enabled: bool = True
    channels: list[str] = field(default_factory=list)
    password: str | None = None
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)
    totp: str | None = None
    totp_step: int = 0
    recovery: list[str] = field(default_factory=list)
    created: float
    last_login: float | None = None

    def __repr__(self) -> str:
        return f"UserRow({self.name!r}, •••)"


class SessionRow(NamedTuple):
    """Somebody who is signed in. hash: SHA-256 of the token. Times are Unix seconds."""

    id: int
    user_id: int
    hash: bytes
    created: float
    expires: float
    last_used: float
    address: str
    user_agent: str
    method: str


class TokenRow(NamedTuple):
    """An API token. start: its first characters. hosts: names; None: all that its user may."""

    id: int
    user_id: int
    hash: bytes
    name: str
    start: str
    scope: str
    hosts: tuple[str, ...] | None
    created: float
    expires: float | None
    last_used: float | None
    last_address: str | None


class AccessRow(NamedTuple):
    """What was changed here; None: the config says it."""

    host_id: int
    owner: str | None
    managers: tuple[str, ...] | None
    monitors: tuple[str, ...] | None

    @property
    def says_nothing(self) -> bool:
        return self.owner is None and self.managers is None and self.monitors is None


class AccountTables:
    def __init__(self, database: Database) -> None:
        self._database = database

    # ------------------------------------------------------------------------------------------------------ reading

    async def users(self) -> list[UserRow]:
        def query(db: sqlite3.Connection) -> list[UserRow]:
            names = UserRow.__struct_fields__
            rows = db.execute(
                "SELECT id, name, source, subject, full_name, avatar, role, enabled, channels, password, changes,"
                " totp, totp_step, recovery, created, last_login FROM users ORDER BY id"
            )
            found = []
            for row in rows:
                values = dict(zip(names, row, strict=True))
                values |= {key: msgspec.json.decode(values[key]) for key in ("channels", "changes", "recovery")}
                found.append(UserRow(**values | {"enabled": bool(values["enabled"])}))
            return found

        return await self._database.read(query)

    async def sessions(self) -> list[SessionRow]:
        sql = (
            "SELECT id, user_id, hash, created, expires, last_used, address, user_agent, method FROM sessions"
            " ORDER BY last_used"
        )
        return await self._database.read(lambda db: [SessionRow(*row) for row in db.execute(sql)])

    async def tokens(self) -> list[TokenRow]:
        sql = (
            "SELECT id, user_id, hash, name, start, scope, hosts, created, expires, last_used, last_address"
            " FROM api_tokens ORDER BY id"
        )
        return await self._database.read(
            lambda db: [TokenRow._make((*row[:6], _names(row[6]), *row[7:])) for row in db.execute(sql)]
        )

    async def access(self) -> list[AccessRow]:
        sql = "SELECT host_id, owner, managers, monitors FROM host_access"
        return await self._database.read(
            lambda db: [AccessRow(row[0], row[1], _names(row[2]), _names(row[3])) for row in db.execute(sql)]
        )

    async def flag(self, key: str) -> bool:
        """Whether something happened once and for all."""
        sql = "SELECT 1 FROM meta WHERE key = ?"
        return await self._database.read(lambda db: db.execute(sql, (key,)).fetchone() is not None)

    # ------------------------------------------------------------------------------------------------------- writing

    async def save(
        self,
        rows: Sequence[UserRow],
        *entries: Entry,
        ended: Iterable[int] = (),
        revoked: Iterable[int] = (),
        gone: Iterable[int] = (),
        access: Iterable[AccessRow] = (),
        flag: str | None = None,
    ) -> None:
        """Write users; those that are new get their id. ended, revoked, gone: ids of sessions, API tokens and users
        that end with it.

        A user goes with its sessions and tokens. access: what becomes of the hosts that it could reach.
        """
        sessions, users, hosts = [(session_id,) for session_id in ended], [(user_id,) for user_id in gone], list(access)
        tokens = [(token_id,) for token_id in revoked]

        def work(db: sqlite3.Connection) -> list[int]:
            db.executemany("DELETE FROM users WHERE id = ?", users)
            ids = [_save(db, row) for row in rows]
            db.executemany("DELETE FROM sessions WHERE id = ?", sessions)
            db.executemany("DELETE FROM api_tokens WHERE id = ?", tokens)
            _save_access(db, hosts)
            if flag is not None:
                db.execute("INSERT INTO meta (key, value) VALUES (?, '1') ON CONFLICT DO NOTHING", (flag,))
            audit.insert(db, *entries)
            return ids

        for row, row_id in zip(rows, await self._database.write(work), strict=True):
            row.id = row_id

    async def sign_in(
        self,
        session: SessionRow,
        user: UserRow,
        entry: Entry,
        *,
        ended: Iterable[int] = (),
        access: Iterable[AccessRow] = (),
        flag: str | None = None,
    ) -> tuple[int, int]:
        """Begin a session of a user, who is written with it; returns (id of the session, id of the user).

        ended, access: as for ``save``.
        """
        over, hosts = [(session_id,) for session_id in ended], list(access)

        def work(db: sqlite3.Connection) -> tuple[int, int]:
            user_id = _save(db, user)
            db.executemany("DELETE FROM sessions WHERE id = ?", over)
            _save_access(db, hosts)
            made = db.execute(
                "INSERT INTO sessions (user_id, hash, created, expires, last_used, address, user_agent, method)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (user_id, *session[2:]),
            )
            if flag is not None:
                db.execute("INSERT INTO meta (key, value) VALUES (?, '1') ON CONFLICT DO NOTHING", (flag,))
            audit.insert(db, entry)
            return made.lastrowid or 0, user_id

        made_id, user.id = await self._database.write(work)
        return made_id, user.id

    async def end_sessions(self, session_ids: Iterable[int], *entries: Entry) -> None:
        ids = [(session_id,) for session_id in session_ids]

        def work(db: sqlite3.Connection) -> None:
            db.executemany("DELETE FROM sessions WHERE id = ?", ids)
            audit.insert(db, *entries)

        await self._database.write(work)

    async def add_token(self, token: TokenRow, entry: Entry) -> int:
        def work(db: sqlite3.Connection) -> int:
            made = db.execute(
                "INSERT INTO api_tokens"
                " (user_id, hash, name, start, scope, hosts, created, expires, last_used, last_address)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*token[1:6], _json(token.hosts), *token[7:]),
            )
            audit.insert(db, entry)
            return made.lastrowid or 0

        return await self._database.write(work)

    async def delete_tokens(self, token_ids: Iterable[int], *entries: Entry) -> None:
        ids = [(token_id,) for token_id in token_ids]

        def work(db: sqlite3.Connection) -> None:
            db.executemany("DELETE FROM api_tokens WHERE id = ?", ids)
            audit.insert(db, *entries)

        await self._database.write(work)

    async def save_uses(self, sessions: Iterable[SessionRow], tokens: Iterable[TokenRow]) -> None:
        """When sessions and tokens were last used, and from where."""
        of_sessions = [(row.last_used, row.address, row.id) for row in sessions]
        of_tokens = [(row.last_used, row.last_address, row.id) for row in tokens]

        def work(db: sqlite3.Connection) -> None:
            db.executemany("UPDATE sessions SET last_used = ?, address = ? WHERE id = ?", of_sessions)
            db.executemany("UPDATE api_tokens SET last_used = ?, last_address = ? WHERE id = ?", of_tokens)

        await self._database.write(work)

    async def save_access(self, rows: Iterable[AccessRow], *entries: Entry) -> None:
        given = list(rows)

        def work(db: sqlite3.Connection) -> None:
            _save_access(db, given)
            audit.insert(db, *entries)

        await self._database.write(work)


def names_of_others(path: Path) -> list[str]:
    """The users that no config file names. The database is only read, and none is made. Raises StorageError."""
    if not path.exists():
        return []
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            return [name for (name,) in db.execute("SELECT name FROM users WHERE source != 'config'")]
    except sqlite3.Error as error:
        raise StorageError(f"{path}: {error}") from error


def _save(db: sqlite3.Connection, row: UserRow) -> int:
    values = (
        row.name,
        row.source,
        row.subject,
        row.full_name,
        row.avatar,
        row.role,
        int(row.enabled),
        msgspec.json.encode(row.channels).decode(),
        row.password,
        msgspec.json.encode(row.changes).decode(),
        row.totp,
        row.totp_step,
        msgspec.json.encode(row.recovery).decode(),
        row.created,
        row.last_login,
    )
    if row.id:
        db.execute(
            "UPDATE users SET name = ?, source = ?, subject = ?, full_name = ?, avatar = ?, role = ?, enabled = ?,"
            " channels = ?, password = ?, changes = ?, totp = ?, totp_step = ?, recovery = ?, created = ?,"
            " last_login = ? WHERE id = ?",
            (*values, row.id),
        )
        return row.id
    made = db.execute(
        "INSERT INTO users (name, source, subject, full_name, avatar, role, enabled, channels, password, changes,"
        " totp, totp_step, recovery, created, last_login) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        values,
    )
    return made.lastrowid or 0


def _save_access(db: sqlite3.Connection, rows: Iterable[AccessRow]) -> None:
    for row in rows:
        if row.says_nothing:
            db.execute("DELETE FROM host_access WHERE host_id = ?", (row.host_id,))
        else:
            db.execute(
                "INSERT INTO host_access (host_id, owner, managers, monitors)"
                " SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (SELECT 1 FROM hosts WHERE id = ?1)"
                " ON CONFLICT (host_id) DO UPDATE SET owner = excluded.owner, managers = excluded.managers,"
                " monitors = excluded.monitors",
                (row.host_id, row.owner, _json(row.managers), _json(row.monitors)),
            )


def _json(names: tuple[str, ...] | None) -> str | None:
    return None if names is None else msgspec.json.encode(names).decode()


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else msgspec.json.decode(text, type=tuple[str, ...])
