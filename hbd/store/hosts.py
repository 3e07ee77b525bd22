"""Hosts, their keys, and what was last known of their connections."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from hbd.errors import Conflict
from hbd.model import Family, State
from hbd.store.audit import Entry, insert
from hbd.store.database import Database


class HostRow(NamedTuple):
    """tags: the agent's. given_tags: those that people gave it over the API."""

    id: int
    name: str
    agent_id: str
    created: float
    label: str
    tags: list[str]
    os: str
    agent_version: str
    state: State
    given_tags: list[str]


class KeyRow(NamedTuple):
    """hash: SHA-256 of an agent key. expires: Unix seconds, None for a key that stays.

    proven: False as long as it was only handed out over a link, and may never have arrived. used: when an agent first
    showed it, Unix seconds, None: not yet.
    """

    hash: bytes
    host_id: int
    created: float
    expires: float | None
    proven: bool
    used: float | None = None


class ConnectionRow(NamedTuple):
    """What was last known of one address family of a host. Times are Unix seconds."""

    host_id: int
    family: Family
    address: str
    state: State
    since: float
    last_seen: float
    interval: float


class BeatRow(NamedTuple):
    """The newest heartbeat taken over one path (4 or 6). time: of the agent's clock."""

    host_id: int
    path: int
    run_id: str
    seq: int
    time: float


class HostTables:
    """Whole tables are read once at the start; from then on memory leads and these follow."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[HostRow]:
        def query(db: sqlite3.Connection) -> list[HostRow]:
            rows = db.execute(
                "SELECT id, name, agent_id, created, label, tags, os, agent_version, state, given_tags FROM hosts"
            )
            return [
                HostRow(host_id, name, agent_id, created, label, _tags(tags), os, version, State(state), _tags(given))
                for host_id, name, agent_id, created, label, tags, os, version, state, given in rows
            ]

        return await self._database.read_long(query, 60)

    async def keys(self) -> list[KeyRow]:
        def query(db: sqlite3.Connection) -> list[KeyRow]:
            rows = db.execute("SELECT hash, host_id, created, expires, proven, used FROM agent_keys")
            return [
                KeyRow(digest, host_id, created, expires, bool(proven), used)
                for digest, host_id, created, expires, proven, used in rows
            ]

        return await self._database.read_long(query, 60)

    async def connections(self) -> list[ConnectionRow]:
        def query(db: sqlite3.Connection) -> list[ConnectionRow]:
            rows = db.execute(
                "SELECT host_id, family, address, state, since, last_seen, interval FROM connections ORDER BY family"
            )
            return [ConnectionRow(row[0], Family(row[1]), row[2], State(row[3]), *row[4:]) for row in rows]

        return await self._database.read_long(query, 60)

    async def beats(self) -> list[BeatRow]:
        def query(db: sqlite3.Connection) -> list[BeatRow]:
            return [BeatRow(*row) for row in db.execute("SELECT host_id, path, run_id, seq, time FROM heartbeats")]

        return await self._database.read_long(query, 60)

    async def enrol(
        self,
        name: str,
        agent_id: str,
        tags: list[str],
        key: Callable[[int], KeyRow] | None,
        now: float,
        *entries: Entry,
        label: str = "",
        given_tags: Sequence[str] = (),
    ) -> int:
        """Make a host, with its first key when there is one; returns its id. Raises Conflict when the name is taken."""

        def work(db: sqlite3.Connection) -> int:
            try:
                cursor = db.execute(
                    "INSERT INTO hosts (name, agent_id, created, tags, label, given_tags) VALUES (?, ?, ?, ?, ?, ?)",
                    (name, agent_id, now, _json(tags), label, _json(given_tags)),
                )
            except sqlite3.IntegrityError:
                raise Conflict(f"there is a host '{name}' already") from None
            host_id = cursor.lastrowid
            assert host_id is not None
            if key is not None:
                _insert_key(db, key(host_id))
            insert(db, *entries)
            return host_id

        return await self._database.write(work)

    async def describe(self, host_id: int, label: str, given_tags: Sequence[str], *entries: Entry) -> None:
        """Keep what people say of a host."""

        def work(db: sqlite3.Connection) -> None:
            _describe(db, host_id, label, given_tags)
            insert(db, *entries)

        await self._database.write(work)

    async def replace_keys(
        self,
        host_id: int,
        key: KeyRow | None,
        old_expire: float | None,
        *entries: Entry,
        described: tuple[str, Sequence[str]] | None = None,
    ) -> None:
        """Give a host this key as its only lasting one.

        old_expire: until when the keys it had go on working; None: they stop at once. described: a label and tags to
        keep with it.
        """

        def work(db: sqlite3.Connection) -> None:
            if old_expire is None:
                db.execute("DELETE FROM agent_keys WHERE host_id = ?", (host_id,))
            else:
                db.execute(
                    "UPDATE agent_keys SET expires = min(coalesce(expires, ?1), ?1) WHERE host_id = ?2",
                    (old_expire, host_id),
                )
            if key is not None:
                _insert_key(db, key)
            if described is not None:
                _describe(db, host_id, *described)
            insert(db, *entries)

        await self._database.write(work)

    async def add_key(self, key: KeyRow) -> None:
        """Give a host a key beside those it has."""
        await self._database.write(lambda db: _insert_key(db, key))

    async def keep_key(self, host_id: int, kept: bytes, until: float) -> None:
        """Have the key with that hash last; the others of its host end at that time, if they do not before."""
        sql = (
            "UPDATE agent_keys SET expires = CASE WHEN hash = ?3 THEN NULL ELSE min(coalesce(expires, ?1), ?1) END"
            " WHERE host_id = ?2"
        )
        await self._database.write(lambda db: db.execute(sql, (until, host_id, kept)))

    async def delete_key(self, key_hash: bytes) -> None:
        sql = "DELETE FROM agent_keys WHERE hash = ?"
        await self._database.write(lambda db: db.execute(sql, (key_hash,)))

    async def prove(self, key_hash: bytes, now: float) -> None:
        """Somebody has used this key. now: Unix seconds."""
        sql = "UPDATE agent_keys SET proven = 1, used = coalesce(used, ?) WHERE hash = ?"
        await self._database.write(lambda db: db.execute(sql, (now, key_hash)))

    async def delete(self, host_id: int, *entries: Entry) -> None:
        """Delete a host and all that hangs on it."""

        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM hosts WHERE id = ?", (host_id,))
            insert(db, *entries)

        await self._database.write(work)


_tags = msgspec.json.Decoder(list[str]).decode


def _json(tags: Sequence[str]) -> str:
    return msgspec.json.encode(tags).decode()


def _describe(db: sqlite3.Connection, host_id: int, label: str, given_tags: Sequence[str]) -> None:
    db.execute("UPDATE hosts SET label = ?, given_tags = ? WHERE id = ?", (label, _json(given_tags), host_id))


def _insert_key(db: sqlite3.Connection, key: KeyRow) -> None:
    db.execute("INSERT INTO agent_keys (hash, host_id, created, expires, proven, used) VALUES (?, ?, ?, ?, ?, ?)", key)


def save_connections(db: sqlite3.Connection, rows: Iterable[ConnectionRow]) -> None:
    db.executemany(
        "INSERT INTO connections (host_id, family, address, state, since, last_seen, interval)"
        " SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE EXISTS (SELECT 1 FROM hosts WHERE id = ?1)"
        " ON CONFLICT (host_id, family) DO UPDATE SET address = excluded.address, state = excluded.state,"
        " since = excluded.since, last_seen = excluded.last_seen, interval = excluded.interval",
        rows,
    )


def save_beats(db: sqlite3.Connection, rows: Iterable[BeatRow]) -> None:
    db.executemany(
        "INSERT INTO heartbeats (host_id, path, run_id, seq, time)"
        " SELECT ?1, ?2, ?3, ?4, ?5 WHERE EXISTS (SELECT 1 FROM hosts WHERE id = ?1)"
        " ON CONFLICT (host_id, path) DO UPDATE SET run_id = excluded.run_id, seq = excluded.seq, time = excluded.time",
        rows,
    )


def save_states(db: sqlite3.Connection, states: Iterable[tuple[int, State]]) -> None:
    """states: (host id, the state that the journal told last)."""
    db.executemany("UPDATE hosts SET state = ? WHERE id = ?", [(state, host_id) for host_id, state in states])


def save_facts(db: sqlite3.Connection, facts: Iterable[tuple[int, str, str, list[str]]]) -> None:
    """facts: (host id, operating system, agent version, the agent's tags)."""
    db.executemany(
        "UPDATE hosts SET os = ?, agent_version = ?, tags = ? WHERE id = ?",
        [(os, version, _json(tags), host_id) for host_id, os, version, tags in facts],
    )
