"""How far others have been told of the samples.

Reports are numbered in the order in which they came, so ``position`` says of each row of ``samples`` whether it was
sent. Folding takes rows away and leaves no order behind; in the same transaction it writes down as a debt of which host
and time samples went that were not sent yet. Debts are paid before newer rows are sent: each series stays in order.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from hbd.model import Sample
from hbd.store.database import Database
from hbd.store.history import RAW, chunks_of
from hbd.store.reading import read_chunk, read_report

PAUSE_SECONDS = 120.0  # a longer silence of a host is no part of a debt
FRESH_ROWS = 500
FRESH_BYTES = 200 << 10  # some 10,000 values
READ_SECONDS = 30.0

Read = Iterator[tuple[int, Sample]]
"""(host id, sample)"""


class Span(NamedTuple):
    """One report that is being folded. id: of its row. first, last: when its samples were measured, Unix seconds."""

    id: int
    first: float
    last: float


class Fresh(NamedTuple):
    """Reports as they came. since: when the first one did, Unix seconds. reports: (host_id, shift, body).

    position: id of the last one. full: whether there may be more.
    """

    position: int
    since: float
    reports: list[tuple[int, float, bytes]]
    full: bool

    @property
    def host_ids(self) -> frozenset[int]:
        return frozenset(host_id for host_id, _, _ in self.reports)

    def samples(self) -> Read:
        for host_id, shift, body in self.reports:
            yield from ((host_id, sample) for sample in read_report(shift, body))


class Owed(NamedTuple):
    """A part of a debt: what is kept of a host from since until before end, Unix seconds. chunks: (plugin, data)."""

    id: int
    host_id: int
    since: float
    end: float
    chunks: list[tuple[str, bytes]]

    @property
    def host_ids(self) -> frozenset[int]:
        return frozenset((self.host_id,))

    def samples(self) -> Read:
        for plugin, data in self.chunks:
            for sample in read_chunk(plugin, data):
                if self.since <= sample.time < self.end:
                    yield self.host_id, sample


class Exports:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, names: Collection[str]) -> None:
        """These exports there are, and no others. One that is new gets what comes from now on."""

        def work(db: sqlite3.Connection) -> None:
            known = {name for (name,) in db.execute("SELECT name FROM exports")}
            db.executemany("DELETE FROM exports WHERE name = ?", [(name,) for name in known - {*names}])
            newest = db.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'samples'").fetchone()
            db.executemany(
                "INSERT INTO exports (name, position) VALUES (?, ?)",
                [(name, *newest) for name in names if name not in known],
            )

        await self._database.write(work)

    async def next(self, name: str, seconds: float) -> Fresh | Owed | None:
        """What is to be sent next; None when all was. seconds: the most of a debt."""
        return await self._database.read_long(lambda db: _owed(db, name, seconds) or _fresh(db, name), READ_SECONDS)

    async def done(self, name: str, sent: Fresh | Owed) -> None:
        """It need not be sent again. Raises StorageError."""
        await self._database.write(lambda db: _done(db, name, sent))


def owe(db: sqlite3.Connection, host_id: int, folded: Sequence[Span]) -> None:
    """Within the transaction that folds these reports: what of them was not sent is owed."""
    for name, position in db.execute("SELECT name, position FROM exports").fetchall():
        for debt in _debts(folded, position):
            longer = db.execute(
                "UPDATE export_debts SET last = ?4, newest = max(newest, ?5) WHERE id ="
                " (SELECT id FROM export_debts"
                "  WHERE export = ?1 AND host_id = ?2 AND last < ?3 AND last >= ?3 - ?6 LIMIT 1)",
                (name, host_id, debt.first, debt.last, debt.id, PAUSE_SECONDS),
            )
            if not longer.rowcount:
                db.execute(
                    "INSERT INTO export_debts (export, host_id, first, last, newest) VALUES (?, ?, ?, ?, ?)",
                    (name, host_id, debt.first, debt.last, debt.id),
                )


def _debts(folded: Iterable[Span], position: int) -> Iterator[Span]:
    """What was measured in one go and not sent; with the newest id."""
    run: Span | None = None
    for report in sorted(folded, key=lambda span: span.first):
        unsent = report.id > position
        if run is not None and (not unsent or report.first - run.last > PAUSE_SECONDS):
            yield run
            run = None
        if unsent:
            run = Span(max(run.id, report.id), run.first, max(run.last, report.last)) if run is not None else report
    if run is not None:
        yield run


def _owed(db: sqlite3.Connection, name: str, seconds: float) -> Owed | None:
    debt = db.execute(
        "SELECT id, host_id, first, last FROM export_debts WHERE export = ? ORDER BY first LIMIT 1", (name,)
    ).fetchone()
    if debt is None:
        return None
    debt_id, host_id, first, last = debt
    end = min(first + seconds, math.nextafter(last, math.inf))
    found = [
        part
        for (data,) in db.execute(
            "SELECT data FROM history WHERE host_id = ? AND tier = ? AND last >= ? AND first < ? ORDER BY start",
            (host_id, RAW, first, end),
        )
        for part in chunks_of(data).items()
    ]
    found += db.execute(
        "SELECT plugin, data FROM chunks WHERE host_id = ? AND last >= ? AND first < ? ORDER BY first, id",
        (host_id, first, end),
    ).fetchall()
    return Owed(debt_id, host_id, first, end, found)


def _fresh(db: sqlite3.Connection, name: str) -> Fresh | None:
    rows = db.execute(
        "SELECT id, received_at, host_id, shift, body FROM samples"
        " WHERE id > (SELECT position FROM exports WHERE name = ?) ORDER BY id LIMIT ?",
        (name, FRESH_ROWS),
    )
    reports: list[tuple[int, float, bytes]] = []
    position, since, size = 0, 0.0, 0
    for row_id, received, *report in rows:
        if not reports:
            since = received
        position = row_id
        reports.append((report[0], report[1], report[2]))
        size += len(report[2])
        if size >= FRESH_BYTES:
            break
    return Fresh(position, since, reports, size >= FRESH_BYTES or len(reports) == FRESH_ROWS) if reports else None


def _done(db: sqlite3.Connection, name: str, sent: Fresh | Owed) -> None:
    if isinstance(sent, Fresh):
        db.execute("UPDATE exports SET position = max(position, ?) WHERE name = ?", (sent.position, name))
        # There were no debts when these rows were read: what is owed of them was folded meanwhile.
        db.execute("DELETE FROM export_debts WHERE export = ? AND newest <= ?", (name, sent.position))
        return
    # It may have grown meanwhile, and then goes on where this part ends.
    db.execute("DELETE FROM export_debts WHERE id = ? AND last < ?", (sent.id, sent.end))
    db.execute("UPDATE export_debts SET first = ? WHERE id = ?", (sent.end, sent.id))
