"""Samples on disk: fresh reports as they came, older ones folded into one chunk per plugin.

A report is one row of ``samples`` until it is folded: then its samples stand in ``chunks`` and its number in
``sequences``, moved there in one transaction, so that a resend of it is still known for what it is.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import msgspec

from hbd import history
from hbd.history import Table
from hbd.model import Data, Report, Sample
from hbd.sequences import MAX_RANGES, merged
from hbd.store.database import Database
from hbd.store.exports import Span, owe
from hbd.store.history import Row, minutes, newest_packed
from hbd.store.history import insert as insert_history
from hbd.store.mishaps import Mishaps
from hbd.store.reading import read_chunk, read_report

FOLD_ROWS = 250  # folded in one transaction: some 50 ms of the writer
FOLD_BYTES = 1 << 20
RARE = 20  # a plugin that reports less often than with every 20th report is read from the chunks
PRUNE_CHUNKS = 2_000
LOOKED_THROUGH = 400  # reports for one sample of a plugin; others are not folded yet, or came with none of it
LEFT_SECONDS = 3600.0  # a host whose reports cannot be folded is left alone for
RUN_KEPT_SECONDS = 14 * 86_400  # twice as long as an agent keeps unsent reports


class Range(NamedTuple):
    """Report numbers of one agent run that are on disk, both ends included."""

    host_id: int
    run_id: str
    first: int
    last: int


_decode_ranges = msgspec.json.Decoder(list[tuple[int, int]]).decode


class Samples:
    def __init__(self, database: Database, mishaps: Mishaps) -> None:
        self._database = database
        self._mishaps = mishaps
        self._left: dict[int, float] = {}
        """hosts whose reports cannot be folded, and until when they are left alone, Unix seconds"""

    async def ranges(self) -> list[Range]:
        """Which reports are on disk, folded or not. Numbers without a gap between them come as one range."""

        def query(db: sqlite3.Connection) -> list[Range]:
            found = [
                Range(host_id, run_id, first, last)
                for host_id, run_id, ranges in db.execute("SELECT host_id, run_id, ranges FROM sequences")
                for first, last in _decode_ranges(ranges)
            ]
            # Consecutive numbers have the same difference to their position: the islands of the sequence.
            found += [
                Range(*row)
                for row in db.execute(
                    "SELECT host_id, run_id, min(seq), max(seq) FROM ("
                    " SELECT host_id, run_id, seq,"
                    " seq - row_number() OVER (PARTITION BY host_id, run_id ORDER BY seq) AS island FROM samples)"
                    " GROUP BY host_id, run_id, island"
                )
            ]
            return found

        return await self._database.read_long(query, 120)

    async def last_id(self) -> int:
        """The number of the newest row; 0 when there is none."""
        return await self._database.read(
            lambda db: int(db.execute("SELECT coalesce(max(id), 0) FROM samples").fetchone()[0])
        )

    async def newest(self, host_id: int, per_plugin: int, last_id: int) -> list[Sample]:
        """At least the last per_plugin samples of each plugin of a host, as far as they are kept; oldest first.

        last_id: rows that came after this one are left out. What cannot be read is passed over.
        """
        return await self._database.read_long(lambda db: _newest(db, host_id, per_plugin, last_id), 30)

    async def newest_before(self, host_id: int, plugin: str, at: float) -> Sample | None:
        """The newest sample of a plugin that was measured up to that time (Unix seconds), as far as it is kept."""
        return await self._database.read(lambda db: _newest_before(db, host_id, plugin, at))

    async def fold(self, now: float, keep: float, due: float) -> int:
        """Fold some reports of one host that were received more than ``keep`` seconds before now.

        That is done for a host that has one from more than ``due`` seconds before, so that a host is folded seldom and
        a good many reports at once. Returns how many were folded; 0: no host is due.
        """
        self._left = {host_id: until for host_id, until in self._left.items() if now < until <= now + LEFT_SECONDS}
        rows = await self._database.read_long(lambda db: _due(db, now, keep, due, self._left.keys()), 60)
        if rows is None:
            return 0
        with self._mishaps.passed_over(f"reports of host {rows.host_id} cannot be folded"):
            folded = await asyncio.to_thread(fold_rows, rows, now, self._mishaps)
            return await self._database.write(lambda db: _replace(db, folded))
        self._left[rows.host_id] = now + LEFT_SECONDS
        return len(rows.rows)

    async def prune(self, before: float) -> int:
        """Forget chunks whose last sample is older than that time, some at once; returns how many went."""

        def work(db: sqlite3.Connection) -> int:
            return db.execute(
                "DELETE FROM chunks WHERE id IN (SELECT id FROM chunks WHERE last < ? LIMIT ?)", (before, PRUNE_CHUNKS)
            ).rowcount

        return await self._database.write(work)

    async def prune_sequences(self, before: float) -> None:
        """Forget which reports there were of agent runs that were last heard of before that time."""
        sql = "DELETE FROM sequences WHERE updated < ?"
        await self._database.write(lambda db: db.execute(sql, (before - RUN_KEPT_SECONDS,)))


def insert(db: sqlite3.Connection, reports: Iterable[tuple[Report, float]]) -> None:
    """reports: (report, Unix seconds when it was received)."""
    db.executemany(
        "INSERT OR IGNORE INTO samples (host_id, run_id, seq, received_at, time, shift, body)"
        " SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE EXISTS (SELECT 1 FROM hosts WHERE id = ?1)",
        [
            (
                report.host_id,
                report.run_id,
                report.seq,
                received,
                max((sample.time for sample in report.samples), default=received),
                report.shift,
                report.body,
            )
            for report, received in reports
        ],
    )


def _newest(db: sqlite3.Connection, host_id: int, per_plugin: int, last_id: int) -> list[Sample]:
    found: list[Sample] = []
    counts: dict[str, int] = defaultdict(int)
    rows = db.execute(
        "SELECT shift, body FROM samples WHERE host_id = ? AND id <= ? ORDER BY time DESC LIMIT ?",
        (host_id, last_id, per_plugin * RARE),
    )
    for number, (shift, body) in enumerate(rows):
        if number >= per_plugin * 4 and min(counts.values(), default=0) >= per_plugin:
            break
        for sample in read_report(shift, body):
            if counts[sample.plugin] < per_plugin:
                counts[sample.plugin] += 1
                found.append(sample)
    plugins = db.execute("SELECT DISTINCT plugin FROM chunks WHERE host_id = ?", (host_id,)).fetchall()
    for (plugin,) in plugins:
        chunks = db.execute(
            "SELECT data FROM chunks WHERE host_id = ? AND plugin = ? ORDER BY last DESC", (host_id, plugin)
        )
        for (data,) in chunks:
            if counts[plugin] >= per_plugin:
                break
            folded = read_chunk(plugin, data)
            counts[plugin] += len(folded)
            found += folded
    for parts in newest_packed(db, host_id):
        few = {plugin: data for plugin, data in parts.items() if counts[plugin] < per_plugin}
        if not few and min(counts.values(), default=0) >= per_plugin:
            break
        for plugin, data in few.items():
            folded = read_chunk(plugin, data)
            counts[plugin] += len(folded)
            found += folded
    found.sort(key=lambda sample: sample.time)
    return found


def _newest_before(db: sqlite3.Connection, host_id: int, plugin: str, at: float) -> Sample | None:
    rows = db.execute(
        "SELECT shift, body FROM samples WHERE host_id = ? AND time <= ? ORDER BY time DESC LIMIT ?",
        (host_id, at, LOOKED_THROUGH),
    )
    chunks = db.execute(
        "SELECT data FROM chunks WHERE host_id = ? AND plugin = ? AND first <= ? ORDER BY last DESC LIMIT 2",
        (host_id, plugin, at),
    )
    packed = islice((parts[plugin] for parts in newest_packed(db, host_id, at) if plugin in parts), 2)
    for found in (
        (sample for shift, body in rows for sample in reversed(read_report(shift, body))),
        (sample for (data,) in chunks for sample in reversed(read_chunk(plugin, data))),
        (sample for data in packed for sample in reversed(read_chunk(plugin, data))),
    ):
        newest = next((sample for sample in found if sample.plugin == plugin and sample.time <= at), None)
        if newest is not None:
            return newest
    return None


def _tables(whose: str, samples: list[tuple[float, Data]], mishaps: Mishaps) -> Iterator[Table]:
    """All samples in one, or in several without those that cannot be in any. whose: in words."""
    try:
        yield history.table(samples)
    except Exception as error:
        if len(samples) == 1:
            mishaps.tell(f"a sample of {whose} cannot be folded", error)
            return
        half = len(samples) // 2
        yield from _tables(whose, samples[:half], mishaps)
        yield from _tables(whose, samples[half:], mishaps)


def _chunks(whose: str, samples: Table, mishaps: Mishaps) -> Iterator[tuple[float, float, int, bytes]]:
    """(first, last, count, chunk); several where the samples are too many or too large for one."""
    try:
        yield samples.times[0], samples.times[-1], len(samples), history.write_quickly(samples)
    except Exception as error:
        if len(samples) == 1:
            mishaps.tell(f"a sample of {whose} cannot be folded", error)
            return
        pairs = samples.samples()
        half = len(pairs) // 2
        yield from _chunks(whose, history.table(pairs[:half]), mishaps)
        yield from _chunks(whose, history.table(pairs[half:]), mishaps)


class Due(NamedTuple):
    """Reports of one host that are to be folded: (id, run_id, seq, received_at, shift, body), oldest first."""

    host_id: int
    rows: list[tuple[int, str, int, float, float, bytes]]


class Folded(NamedTuple):
    """What they come to. chunks: (plugin, first, last, count, data). newest: Unix seconds when the last one came.
    spans: of those that have samples."""

    host_id: int
    ids: list[int]
    spans: list[Span]
    chunks: list[tuple[str, float, float, int, bytes]]
    minutes: list[Row]
    runs: dict[str, list[int]]
    newest: float


def _due(db: sqlite3.Connection, now: float, keep: float, due: float, left: Collection[int]) -> Due | None:
    # A row from the future came while the clock was wrong; it must not hide all that is behind it.
    oldest = db.execute(
        "SELECT host_id, received_at FROM samples WHERE host_id NOT IN (SELECT value FROM json_each(?))"
        " ORDER BY id LIMIT 1",
        (msgspec.json.encode(sorted(left)).decode(),),
    ).fetchone()
    if oldest is None or now - due <= oldest[1] <= now:
        return None
    host_id = oldest[0]
    rows = []
    size = 0
    for row in db.execute(
        "SELECT id, run_id, seq, received_at, shift, body FROM samples"
        " WHERE host_id = ? AND (received_at < ? OR received_at > ?) ORDER BY time LIMIT ?",
        (host_id, now - keep, now, FOLD_ROWS),
    ):
        rows.append(row)
        size += len(row[5])
        if size >= FOLD_BYTES:
            break
    return Due(host_id, rows)


def fold_rows(due: Due, now: float, mishaps: Mishaps) -> Folded:
    """What reports come to. A report or a plugin that cannot be worked on costs itself."""
    series: dict[str, list[tuple[float, Data]]] = defaultdict(list)
    runs: dict[str, list[int]] = defaultdict(list)
    spans: list[Span] = []
    for row_id, run_id, seq, _, shift, body in due.rows:
        runs[run_id].append(seq)
        with mishaps.passed_over(f"a report of host {due.host_id} cannot be read"):
            reported = read_report(shift, body)
            for sample in reported:
                series[sample.plugin].append((sample.time, sample.data))
            if reported:
                times = [sample.time for sample in reported]
                spans.append(Span(row_id, min(times), max(times)))
    tables: dict[str, Table] = {}
    chunks: list[tuple[str, float, float, int, bytes]] = []
    for plugin, samples in series.items():
        samples.sort(key=lambda pair: pair[0])
        whose = f"{plugin!r} of host {due.host_id}"
        with mishaps.passed_over(f"samples of {whose} cannot be folded"):
            parts = list(_tables(whose, samples, mishaps))
            chunks += ((plugin, *chunk) for part in parts for chunk in _chunks(whose, part, mishaps))
            tables[plugin] = history.in_a_row(parts)
    return Folded(
        due.host_id,
        [row[0] for row in due.rows],
        spans,
        chunks,
        list(minutes(due.host_id, tables, mishaps)),
        runs,
        min(max(row[3] for row in due.rows), now),
    )


def _replace(db: sqlite3.Connection, folded: Folded) -> int:
    """Put what was folded in the place of the reports. Returns how many they were; 0 when their host is gone."""
    host_id = folded.host_id
    db.executemany("DELETE FROM samples WHERE id = ?", [(row_id,) for row_id in folded.ids])
    if db.execute("SELECT 1 FROM hosts WHERE id = ?", (host_id,)).fetchone() is None:
        return 0
    db.executemany(
        "INSERT INTO chunks (host_id, plugin, first, last, count, data) VALUES (?, ?, ?, ?, ?, ?)",
        [(host_id, *chunk) for chunk in folded.chunks],
    )
    insert_history(db, host_id, folded.minutes)
    owe(db, host_id, folded.spans)
    for run_id, seqs in folded.runs.items():
        known = db.execute(
            "SELECT ranges FROM sequences WHERE host_id = ? AND run_id = ?", (host_id, run_id)
        ).fetchone()
        ranges = merged((_decode_ranges(known[0]) if known else []) + [(seq, seq) for seq in seqs])
        db.execute(
            "INSERT INTO sequences (host_id, run_id, ranges, updated) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (host_id, run_id) DO UPDATE SET ranges = excluded.ranges, updated = excluded.updated",
            (host_id, run_id, msgspec.json.encode(ranges[-MAX_RANGES:]).decode(), folded.newest),
        )
    return len(folded.ids)
