"""Silences, maintenance windows and acknowledgements. What is changed is written with its audit entry."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from hbd.alert_state import RANK, AlertEvent
from hbd.hushes import Ack, Silence, is_over, is_worse
from hbd.matching import Matcher
from hbd.model import Level, Message
from hbd.schedule import WindowTexts
from hbd.store import audit, messages
from hbd.store.audit import Entry
from hbd.store.database import Database

PRUNE_ROWS = 5_000


class WindowRow(NamedTuple):
    """A maintenance window as it is stored; its time zone may be one that this machine does not know."""

    id: int
    name: str
    matcher: Matcher
    texts: WindowTexts
    author: str
    created: float


class HushTables:
    def __init__(self, database: Database) -> None:
        self._database = database

    # ------------------------------------------------------------------------------------------------------ silences

    async def silences(self, now: float) -> list[Silence]:
        """Those that have not ended."""
        sql = (
            "SELECT id, hosts, tags, metrics, levels, reason, author, created, starts, ends FROM silences"
            " WHERE ends > ?"
        )
        return await self._database.read(lambda db: [_silence(row) for row in db.execute(sql, (now,))])

    async def ended_silences(self, now: float, limit: int) -> list[Silence]:
        """The last that ended, the newest end first."""
        sql = (
            "SELECT id, hosts, tags, metrics, levels, reason, author, created, starts, ends FROM silences"
            " WHERE ends <= ? ORDER BY ends DESC, id DESC LIMIT ?"
        )
        return await self._database.read(lambda db: [_silence(row) for row in db.execute(sql, (now, limit))])

    async def add_silence(self, silence: Silence, entry: Entry) -> Silence:
        """Returns it with its id, which the entry is about."""
        matcher = silence.matcher
        lists = (matcher.hosts, matcher.tags, matcher.metrics, matcher.levels)

        def work(db: sqlite3.Connection) -> int:
            made = db.execute(
                "INSERT INTO silences (hosts, tags, metrics, levels, reason, author, created, starts, ends)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*map(_json, lists), silence.reason, silence.author, silence.created, silence.starts, silence.ends),
            )
            audit.insert(db, replace(entry, object=f"silence {made.lastrowid}"))
            return made.lastrowid or 0

        return replace(silence, id=await self._database.write(work))

    async def end_silence(self, silence: Silence, entry: Entry) -> None:
        """Write when it ends now."""

        def work(db: sqlite3.Connection) -> None:
            db.execute("UPDATE silences SET ends = ? WHERE id = ?", (silence.ends, silence.id))
            audit.insert(db, entry)

        await self._database.write(work)

    # ------------------------------------------------------------------------------------------------------- windows

    async def windows(self) -> list[WindowRow]:
        def query(db: sqlite3.Connection) -> list[WindowRow]:
            rows = db.execute(
                "SELECT id, name, hosts, tags, metrics, start, duration, timezone, repeat, days, until, author, created"
                " FROM windows"
            )
            return [
                WindowRow(
                    row[0],
                    row[1],
                    Matcher(hosts=_texts(row[2]), tags=_texts(row[3]), metrics=_texts(row[4])),
                    WindowTexts(row[5], row[6], row[7], row[8], _texts(row[9]), row[10]),
                    row[11],
                    row[12],
                )
                for row in rows
            ]

        return await self._database.read(query)

    async def save_window(self, window: WindowRow, entry: Entry) -> int:
        """Write a new one (id 0), or one in place of what had its id; returns its id."""
        matcher, texts = window.matcher, window.texts
        values = (
            window.name,
            *map(_json, (matcher.hosts, matcher.tags, matcher.metrics)),
            *texts[:4],
            _json(texts.days),
            texts.until,
        )

        def work(db: sqlite3.Connection) -> int:
            audit.insert(db, entry)
            if window.id:
                db.execute(
                    "UPDATE windows SET name = ?, hosts = ?, tags = ?, metrics = ?, start = ?, duration = ?,"
                    " timezone = ?, repeat = ?, days = ?, until = ? WHERE id = ?",
                    (*values, window.id),
                )
                return window.id
            made = db.execute(
                "INSERT INTO windows (name, hosts, tags, metrics, start, duration, timezone, repeat, days, until,"
                " author, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*values, window.author, window.created),
            )
            return made.lastrowid or 0

        return await self._database.write(work)

    async def delete_window(self, window_id: int, entry: Entry) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM windows WHERE id = ?", (window_id,))
            audit.insert(db, entry)

        await self._database.write(work)

    # ---------------------------------------------------------------------------------------------- acknowledgements

    async def acks(self) -> list[Ack]:
        """Those whose problem is open."""
        sql = (
            "SELECT acks.problem, acks.host_id, acks.path, acks.level, user, note, time FROM acks"
            " JOIN alerts ON alerts.host_id = acks.host_id AND alerts.path = acks.path"
            " AND alerts.problem = acks.problem"
        )

        def query(db: sqlite3.Connection) -> list[Ack]:
            return [
                Ack(
                    problem=row[0],
                    host_id=row[1],
                    path=row[2],
                    level=Level(row[3]),
                    user=row[4],
                    note=row[5],
                    time=row[6],
                )
                for row in db.execute(sql)
            ]

        return await self._database.read(query)

    async def acknowledge(self, ack: Ack, entry: Entry, line: Message) -> bool:
        """Write it, in place of one before; nothing, and False, when the problem is over or worse by now.

        line: for the journal.
        """
        as_bad_as_it = [level for level in RANK if not is_worse(level, ack)]

        def work(db: sqlite3.Connection) -> bool:
            made = db.execute(
                "INSERT INTO acks (problem, host_id, path, level, user, note, time)"
                " SELECT problem, host_id, path, ?, ?, ?, ? FROM alerts"
                " WHERE host_id = ? AND path = ? AND problem = ? AND level IN (SELECT value FROM json_each(?))"
                " ON CONFLICT (problem) DO UPDATE SET level = excluded.level, user = excluded.user,"
                " note = excluded.note, time = excluded.time",
                (ack.level, ack.user, ack.note, ack.time, ack.host_id, ack.path, ack.problem, _json(as_bad_as_it)),
            )
            if made.rowcount:
                messages.insert(db, [(ack.host_id, line)])
                audit.insert(db, entry)
            return bool(made.rowcount)

        return await self._database.write(work)

    async def end_ack(self, ack: Ack, entry: Entry, line: Message) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM acks WHERE problem = ?", (ack.problem,))
            messages.insert(db, [(ack.host_id, line)])
            audit.insert(db, entry)

        await self._database.write(work)

    async def prune(self, before: float) -> int:
        """Forget silences that ended before that time, some at once; returns how many."""
        sql = "DELETE FROM silences WHERE id IN (SELECT id FROM silences WHERE ends < ? ORDER BY ends LIMIT ?)"
        return await self._database.write(lambda db: db.execute(sql, (before, PRUNE_ROWS)).rowcount)


def end_acks(db: sqlite3.Connection, events: Iterable[AlertEvent]) -> None:
    """Within the transaction of the events: whose problem is over, or worse, has been acknowledged by nobody."""
    db.executemany(
        "DELETE FROM acks WHERE problem = ? AND level IN (SELECT value FROM json_each(?))",
        [
            (event.problem, _json(level for level in RANK if is_over(event) or RANK[level] < RANK[event.after]))
            for event in events
        ],
    )


def _silence(row: tuple[int, str, str, str, str, str, str, float, float, float]) -> Silence:
    matcher = Matcher(
        hosts=_texts(row[1]),
        tags=_texts(row[2]),
        metrics=_texts(row[3]),
        levels=msgspec.json.decode(row[4], type=tuple[Level, ...]),
    )
    return Silence(
        id=row[0],
        matcher=matcher,
        reason=row[5],
        author=row[6],
        created=row[7],
        starts=row[8],
        ends=row[9],
    )


def _json(texts: Iterable[str]) -> str:
    return msgspec.json.encode(list(texts)).decode()


def _texts(json: str) -> tuple[str, ...]:
    return msgspec.json.decode(json, type=tuple[str, ...])
