"""When hosts and their families changed their state, and when the daemon could not see: the stuff of availability."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hbd.availability import Change, Unseen
from hbd.model import Family, State, Transition
from hbd.store.database import Database

SERIES = (None, *Family)
_STATES = {str(state): state for state in State}  # reading one from the enumeration takes longer than the row
MOST_CHANGES = 20_000  # of one series that are looked at; what was before so many is not known
MOST_UNSEEN = 20_000
PRUNE_ROWS = 5_000
QUERY_SECONDS = 10.0

Changes = dict[Family | None, list[Change]]
"""by family, None being the host as a whole; only those that there are any of"""


class Recorded(NamedTuple):
    """What there is about some time; see ``availability.timeline``. hosts: by id."""

    hosts: dict[int, Changes]
    unseen: list[Unseen]


class Transitions:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def watched_until(self) -> float | None:
        """When the daemon could last see, Unix seconds; None: never yet."""
        sql = "SELECT value FROM meta WHERE key = 'watched_until'"
        found = await self._database.read(lambda db: db.execute(sql).fetchone())
        return None if found is None else float(found[0])

    async def between(self, host_ids: Sequence[int], first: float, end: float) -> Recorded:
        """What there is about a span of time, and the last of before, which says how it began."""

        def query(db: sqlite3.Connection) -> Recorded:
            return Recorded(
                {host_id: _changes(db, host_id, first, end) for host_id in host_ids}, _unseen(db, first, end)
            )

        return await self._database.read_long(query, QUERY_SECONDS)

    async def prune(self, before: float) -> int:
        """Forget what was before that time, some at once, but for what says how things were at it. Returns how many.

        A change is forgotten once another one, or a start of the daemon, took its place before that time.
        """

        def work(db: sqlite3.Connection) -> int:
            changes = db.execute(
                "DELETE FROM transitions WHERE id IN (SELECT id FROM transitions AS old WHERE at < ?1 AND ("
                " EXISTS (SELECT 1 FROM transitions WHERE host_id = old.host_id AND family = old.family"
                "         AND at > old.at AND at < ?1)"
                " OR EXISTS (SELECT 1 FROM unseen WHERE until > old.at AND until < ?1 AND restarted = 1))"
                " ORDER BY at LIMIT ?2)",
                (before, PRUNE_ROWS),
            ).rowcount
            if changes:
                return changes
            return db.execute(
                "DELETE FROM unseen WHERE id IN (SELECT id FROM unseen WHERE until < ? LIMIT ?)",
                (before, PRUNE_ROWS),
            ).rowcount

        return await self._database.write(work)


def insert(db: sqlite3.Connection, transitions: Iterable[Transition]) -> None:
    db.executemany(
        "INSERT INTO transitions (host_id, family, at, state, reason) SELECT ?1, ?2, ?3, ?4, ?5"
        " WHERE EXISTS (SELECT 1 FROM hosts WHERE id = ?1)",
        [(change.host_id, change.family or "", change.at, change.after, change.reason) for change in transitions],
    )


def save_unseen(db: sqlite3.Connection, rows: Iterable[Unseen]) -> None:
    db.executemany("INSERT INTO unseen (since, until, restarted) VALUES (?, ?, ?)", rows)


def watched(db: sqlite3.Connection, now: float) -> None:
    """The daemon can see; what it saw by now is in this transaction or an earlier one."""
    db.execute(
        "INSERT INTO meta (key, value) VALUES ('watched_until', ?)"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (repr(now),),
    )


def _changes(db: sqlite3.Connection, host_id: int, first: float, end: float) -> Changes:
    found: Changes = {}
    for family in SERIES:
        series = (host_id, family or "")
        rows = db.execute(
            "SELECT id, at, state, reason FROM transitions WHERE host_id = ? AND family = ? AND at > ? AND at < ?"
            " ORDER BY at DESC, id DESC LIMIT ?",
            (*series, first, end, MOST_CHANGES),
        ).fetchall()
        if len(rows) < MOST_CHANGES:
            rows += db.execute(
                "SELECT id, at, state, reason FROM transitions WHERE host_id = ? AND family = ? AND at <= ?"
                " ORDER BY at DESC, id DESC LIMIT 1",
                (*series, first),
            ).fetchall()
        if rows:
            found[family] = [Change(at, _STATES[state], reason) for _, at, state, reason in sorted(rows)]
    return found


def _unseen(db: sqlite3.Connection, first: float, end: float) -> list[Unseen]:
    rows = db.execute(
        "SELECT since, until, restarted FROM unseen WHERE until > ? AND since < ? ORDER BY until DESC LIMIT ?",
        (first, end, MOST_UNSEEN),
    ).fetchall()
    if len(rows) == MOST_UNSEEN:
        rows.append((0.0, rows[-1][0], 1))
    else:
        rows += db.execute(
            "SELECT since, until, restarted FROM unseen WHERE until <= ? AND restarted = 1 ORDER BY until DESC LIMIT 1",
            (first,),
        ).fetchall()
    return [Unseen(since, until, bool(restarted)) for since, until, restarted in reversed(rows)]
