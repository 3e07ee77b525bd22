"""Alerts and what became of them, written with the reports that caused it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from hbd.alerts import AlertEvent, AlertRow
from hbd.model import Level
from hbd.store.database import Database

PRUNE_ROWS = 5_000
NO_ID = 2**63 - 1  # above all there are
HISTORY = (
    "SELECT id, event, problem, host_id, path, before, after, time, value, reason, flapping FROM alert_events"
    " WHERE (?1 IS NULL OR host_id IN (SELECT value FROM json_each(?1)))"
    " AND (?2 = '' OR path = ?2) AND (?3 IS NULL OR after = ?3) AND id < ?4 ORDER BY id DESC LIMIT ?5"
)
# The index of a host is found by "=" alone.
HISTORY_OF_HOST = (
    "SELECT id, event, problem, host_id, path, before, after, time, value, reason, flapping FROM alert_events"
    " WHERE host_id = ?1 AND (?2 = '' OR path = ?2) AND (?3 IS NULL OR after = ?3) AND id < ?4"
    " ORDER BY id DESC LIMIT ?5"
)
Timers = tuple[tuple[Level, float, float], ...]
Turns = tuple[float, ...]
Calm = tuple[float, float] | None

# From the columns of a row, in the order of the fields.
_alert: Callable[..., AlertRow] = AlertRow
_event: Callable[..., AlertEvent] = AlertEvent
_json: Callable[..., Any] = msgspec.json.decode


class AlertTables:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[AlertRow]:
        sql = (
            "SELECT host_id, path, plugin, level, since, value, checked, source, reason, timers, problem, number, step,"
            " worse, turns, calm FROM alerts"
        )

        def query(db: sqlite3.Connection) -> list[AlertRow]:
            return [
                _alert(
                    *row[:3],
                    Level(row[3]),
                    *row[4:9],
                    _json(row[9], type=Timers),
                    *row[10:13],
                    bool(row[13]),
                    _json(row[14], type=Turns),
                    _json(row[15], type=Calm),
                )
                for row in db.execute(sql)
            ]

        return await self._database.read_long(query, 60)

    async def newest_samples(self) -> list[tuple[int, str, float]]:
        """(host id, plugin, time of its newest sample that was folded)."""
        sql = "SELECT host_id, plugin, max(last) FROM chunks GROUP BY host_id, plugin"
        return await self._database.read_long(lambda db: [(*row,) for row in db.execute(sql)], 60)

    async def events(self, limit: int, host_ids: Iterable[int] | None = None) -> list[AlertEvent]:
        """The newest changes, newest first; only of these hosts when given."""
        wanted = None if host_ids is None else msgspec.json.encode(list(host_ids)).decode()

        def query(db: sqlite3.Connection) -> list[AlertEvent]:
            rows = db.execute(
                "SELECT event, problem, host_id, path, before, after, time, value, reason, flapping FROM alert_events"
                " WHERE ?1 IS NULL OR host_id IN (SELECT value FROM json_each(?1)) ORDER BY id DESC LIMIT ?2",
                (wanted, limit),
            )
            return [_event(*row[:4], Level(row[4]), Level(row[5]), *row[6:]) for row in rows]

        return await self._database.read(query)

    async def history(
        self,
        limit: int,
        *,
        host_ids: Iterable[int] | None = None,
        path: str = "",
        after: Level | None = None,
        before: int | None = None,
    ) -> list[tuple[int, AlertEvent]]:
        """(id, change), newest first: of these hosts, of one path, to one level, with an id below ``before``."""
        ids = None if host_ids is None else list(host_ids)
        one = ids is not None and len(ids) == 1
        sql = HISTORY_OF_HOST if one else HISTORY
        wanted = None if ids is None else ids[0] if one else msgspec.json.encode(ids).decode()

        def query(db: sqlite3.Connection) -> list[tuple[int, AlertEvent]]:
            rows = db.execute(sql, (wanted, path, after, NO_ID if before is None else before, limit))
            return [(row[0], _event(*row[1:5], Level(row[5]), Level(row[6]), *row[7:])) for row in rows]

        return await self._database.read(query)

    async def prune(self, before: float) -> int:
        """Forget changes older than that time, some at once; returns how many."""
        sql = "DELETE FROM alert_events WHERE id IN (SELECT id FROM alert_events WHERE time < ? ORDER BY time LIMIT ?)"
        return await self._database.write(lambda db: db.execute(sql, (before, PRUNE_ROWS)).rowcount)


def save(
    db: sqlite3.Connection,
    rows: Iterable[AlertRow],
    gone: Iterable[tuple[int, str]],
    events: Iterable[AlertEvent],
) -> None:
    """rows: where paths stand now. gone: (host id, path) of those that are no more."""
    db.executemany(
        "INSERT INTO alerts (host_id, path, plugin, level, since, value, checked, source, reason, timers, problem,"
        " number, step, worse, turns, calm)"
        " SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16"
        " WHERE EXISTS (SELECT 1 FROM hosts WHERE id = ?1)"
        " ON CONFLICT (host_id, path) DO UPDATE SET plugin = excluded.plugin, level = excluded.level,"
        " since = excluded.since, value = excluded.value, checked = excluded.checked, source = excluded.source,"
        " reason = excluded.reason, timers = excluded.timers, problem = excluded.problem, number = excluded.number,"
        " step = excluded.step, worse = excluded.worse, turns = excluded.turns, calm = excluded.calm",
        [
            (
                row.host_id,
                row.path,
                row.plugin,
                row.level,
                row.since,
                row.value,
                row.checked,
                row.source,
                row.reason,
                msgspec.json.encode(row.timers).decode(),
                row.problem,
                row.number,
                row.step,
                row.worse,
                msgspec.json.encode(row.turns).decode(),
                msgspec.json.encode(row.calm).decode(),
            )
            for row in rows
        ],
    )
    db.executemany("DELETE FROM alerts WHERE host_id = ? AND path = ?", gone)
    db.executemany(
        "INSERT INTO alert_events (event, problem, host_id, path, before, after, time, value, reason, flapping)"
        " SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10 WHERE EXISTS (SELECT 1 FROM hosts WHERE id = ?3)"
        " ON CONFLICT (event) DO NOTHING",
        [
            (
                event.id,
                event.problem,
                event.host_id,
                event.path,
                event.before,
                event.after,
                event.at,
                event.value,
                event.reason,
                event.flapping,
            )
            for event in events
        ],
    )
