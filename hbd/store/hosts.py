"""Hosts, their keys, and what was last known of their connections."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from hbd.errors import Conflict
from hbd.model import Family, State
from hbd.store.database import Database


class HostRow(NamedTuple):
    id: int
    name: str
    agent_id: str
    created: float
    label: str
    tags: list[str]
    os: str
    agent_version: str
    state: State


class KeyRow(NamedTuple):
    """hash: SHA-256 of an agent key. expires: Unix seconds, None for a key that stays.

    proven: False as long as it was only handed out over a link, and may never have arrived.
    """

    hash: bytes
    host_id: int
    created: float
    expires: float | None
    proven: bool


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
            rows = db.execute("SELECT id, name, agent_id, created, label, tags, os, agent_version, state FROM hosts")
            return [
                HostRow(host_id, name, agent_id, created, label, _tags(tags), os, version, State(state))
                for host_id, name, agent_id, created, label, tags, os, version, state in rows
            ]

        return await self._database.read_long(query, 60)

    async def keys(self) -> list[KeyRow]:
        def query(db: sqlite3.Connection) -> list[KeyRow]:
            rows = db.execute("SELECT hash, host_id, created, expires, proven FROM agent_keys")
            return [
                KeyRow(digest, host_id, created, expires, bool(proven))
                for digest, host_id, created, expires, proven in rows
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
        self, name: str, agent_id: str, tags: list[str], key: Callable[[int], KeyRow] | None, now: float
    ) -> int:
        """Make a host, with its first key when there is one; returns its id. Raises Conflict when the name is taken."""

        def work(db: sqlite3.Connection) -> int:
            try:
                cursor = db.execute(
                    "INSERT INTO hosts (name, agent_id, created, tags) VALUES (?, ?, ?, ?)",
                    (name, agent_id, now, msgspec.json.encode(tags).decode()),
                )
            except sqlite3.IntegrityError:
                raise Conflict(f"there is a host '{name}' already") from None
            host_id = cursor.lastrowid
            assert host_id is not None
            if key is not None:
                _insert_key(db, key(host_id))
            return host_id

        return await self._database.write(work)

    async def replace_keys(self, host_id: int, key: KeyRow | None, old_expire: float | None) -> None:
        """Give a host this key as its only lasting one.

        old_expire: until when the keys it had go on working; None: they stop at once.
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

        await self._database.write(work)

    async def prove(self, key_hash: bytes) -> None:
        """Somebody has used this key."""
        sql = "UPDATE agent_keys SET proven = 1 WHERE hash = ?"
        await self._database.write(lambda db: db.execute(sql, (key_hash,)))

    async def delete(self, host_id: int) -> None:
        """Delete a host and all that hangs on it."""
        await self._database.write(lambda db: db.execute("DELETE FROM hosts WHERE id = ?", (host_id,)))


_tags = msgspec.json.Decoder(list[str]).decode


def _insert_key(db: sqlite3.Connection, key: KeyRow) -> None:
    db.execute("INSERT INTO agent_keys (hash, host_id, created, expires, proven) VALUES (?, ?, ?, ?, ?)", key)


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
        [(os, version, msgspec.json.encode(tags).decode(), host_id) for host_id, os, version, tags in facts],
    )
