"""History on disk: samples of four hours packed into one row per host, and rollups of them in four tiers.

``Samples.fold`` leaves the minutes of what it folds here, unpacked. Packing puts them where they belong: to the minutes
of their window and, made coarser, to the quarters, hours and days. So the rows that are not packed are what the coarser
tiers do not know yet, and every sample counts once in every tier, however late it came.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from hbd import history, rollups
from hbd.bundle import bundle, unbundle
from hbd.model import Data, Sample
from hbd.rollups import DAY, HOUR, MINUTE, QUARTER, Rolled
from hbd.store.database import Database
from hbd.store.reading import read_chunk, read_report

log = logging.getLogger(__name__)

RAW = 0
WINDOWS = {RAW: 4 * HOUR, MINUTE: 4 * HOUR, QUARTER: DAY, HOUR: 4 * DAY, DAY: 96 * DAY}
"""tier → how many seconds one packed row is about; each is a whole number of those before it"""
SETTLED_SECONDS = 3600.0  # after the end of a window: what still comes then comes late
PRUNE_ROWS = 500
GIVEN_UP_ROWS = 50
QUERY_SECONDS = 10.0

Plugins = Mapping[str, Rolled]


class Row(NamedTuple):
    """A row to be written. start: of its window; first, last: of what is in it; Unix seconds."""

    tier: int
    start: int
    first: float
    last: float
    packed: bool
    data: bytes


class _Stored(NamedTuple):
    id: int
    tier: int
    start: int
    packed: int
    data: bytes


class _Window(NamedTuple):
    """What packing one window of one host is about. chunks: (id, plugin, data)."""

    host_id: int
    start: int
    rows: list[_Stored]
    chunks: list[tuple[int, str, bytes]]


class _Packed(NamedTuple):
    host_id: int
    rows: list[Row]
    obsolete: list[int]
    obsolete_chunks: list[int]


class History:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def pack(self, now: float) -> int:
        """Pack what waits of one window of one host; returns of how many rows one was made, 0 when nothing waits.

        The work is done beside the writer, which then replaces the rows in one transaction.
        """
        window = await self._database.read_long(lambda db: _waiting(db, now - SETTLED_SECONDS), 60)
        if window is None:
            return 0
        packed = await asyncio.to_thread(_pack, window)
        await self._database.write(lambda db: _replace(db, packed))
        return len(packed.obsolete) + len(packed.obsolete_chunks)

    async def prune(self, tier: int, before: float) -> int:
        """Forget rows of a tier whose newest content is older than that, some at once; returns how many went.

        Minutes that are not packed yet stay: the coarser tiers do not know them.
        """

        def work(db: sqlite3.Connection) -> int:
            return db.execute(
                "DELETE FROM history WHERE id IN"
                " (SELECT id FROM history WHERE tier = ? AND last < ? AND packed = 1 LIMIT ?)",
                (tier, before, PRUNE_ROWS),
            ).rowcount

        return await self._database.write(work)

    async def give_up(self, tier: int, before: float) -> int:
        """Forget the oldest rows of a tier, whatever its retention, but for those that are younger than that; a few at
        once. Returns how many went."""

        def work(db: sqlite3.Connection) -> int:
            return db.execute(
                "DELETE FROM history WHERE id IN (SELECT id FROM history"
                " WHERE tier = ? AND last < ? AND packed = 1 ORDER BY last LIMIT ?)",
                (tier, before, GIVEN_UP_ROWS),
            ).rowcount

        return await self._database.write(work)

    async def rolled(self, host_id: int, plugins: Iterable[str], tier: int, first: float, end: float) -> Plugins:
        """The rollups of some plugins that begin in that time (Unix seconds), up to what was stored last."""
        wanted = frozenset(plugins)
        return await self._database.read_long(lambda db: _rolled(db, host_id, wanted, tier, first, end), QUERY_SECONDS)

    async def samples(self, host_id: int, plugin: str, first: float, end: float, limit: int) -> list[Sample]:
        """The samples of a plugin from first until before end (Unix seconds), oldest first, not more than limit."""
        return await self._database.read_long(
            lambda db: _samples(db, host_id, plugin, first, end, limit), QUERY_SECONDS
        )


def minutes(series: Mapping[str, list[tuple[float, Data]]]) -> Iterator[Row]:
    """The rows for samples that are being folded, by plugin, oldest first."""
    windows: dict[int, dict[str, bytes]] = defaultdict(dict)
    spans: dict[int, tuple[float, float]] = {}
    for plugin, samples in series.items():
        for start, part in _by_window(samples):
            rolled = rollups.roll(part, MINUTE)
            if rolled:
                windows[start][plugin] = rollups.encode(rolled, MINUTE)
                first, last = spans.get(start, (part[0][0], part[-1][0]))
                spans[start] = min(first, part[0][0]), max(last, part[-1][0])
    for start, parts in windows.items():
        first, last = spans[start]
        yield Row(MINUTE, start, first // MINUTE * MINUTE, last // MINUTE * MINUTE + MINUTE, False, bundle(parts))


def insert(db: sqlite3.Connection, host_id: int, rows: Iterable[Row]) -> None:
    db.executemany(
        "INSERT INTO history (host_id, tier, start, first, last, packed, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(host_id, *row) for row in rows],
    )


def newest_packed(db: sqlite3.Connection, host_id: int, until: float | None = None) -> Iterator[dict[str, bytes]]:
    """The chunks of packed windows by plugin, the newest window first. until: those that begin later are left out."""
    rows = db.execute(
        "SELECT data FROM history WHERE host_id = ? AND tier = ? AND (?3 IS NULL OR first <= ?3) ORDER BY last DESC",
        (host_id, RAW, until),
    )
    for (data,) in rows:
        yield chunks_of(data)


# ------------------------------------------------------------------------------------------------------------- packing


def _by_window(
    samples: list[tuple[float, Data]],
) -> Iterator[tuple[int, list[tuple[float, Data]]]]:
    seconds = WINDOWS[MINUTE]
    begin = 0
    while begin < len(samples):
        start = int(samples[begin][0] // seconds) * seconds
        end = begin
        while end < len(samples) and samples[end][0] < start + seconds:
            end += 1
        yield start, samples[begin:end]
        begin = end


def _waiting(db: sqlite3.Connection, settled: float) -> _Window | None:
    """The oldest window that has something to be packed and ended before that time."""
    seconds = WINDOWS[MINUTE]
    found = db.execute(
        "SELECT host_id, start FROM history WHERE packed = 0 AND start <= ? ORDER BY start LIMIT 1",
        (settled - seconds,),
    ).fetchone()
    if found is None:
        return None
    host_id, start = found
    rows: list[_Stored] = []
    for tier, length in WINDOWS.items():
        rows += map(
            _Stored._make,
            db.execute(
                "SELECT id, tier, start, packed, data FROM history WHERE host_id = ? AND tier = ? AND start = ?"
                " ORDER BY packed DESC, last, id",
                (host_id, tier, start - start % length),
            ),
        )
    chunks = db.execute(
        "SELECT id, plugin, data FROM chunks WHERE host_id = ? AND first >= ? AND first < ? ORDER BY first, id",
        (host_id, start, start + seconds),
    ).fetchall()
    return _Window(host_id, start, rows, chunks)


def _pack(window: _Window) -> _Packed:
    waiting = [row for row in window.rows if not row.packed]
    fresh = rollups.merged(_decoded(row.data) for row in waiting)
    rows: list[Row] = []
    obsolete = [row.id for row in waiting]
    for tier, length in list(WINDOWS.items())[1:]:
        before = next((row for row in window.rows if row.tier == tier and row.packed), None)
        whole = dict(fresh)
        if tier != MINUTE:
            whole = {plugin: rollups.coarsen(rolled, tier) for plugin, rolled in fresh.items()}
        if before is not None:
            obsolete.append(before.id)
            whole = rollups.merged((_decoded(before.data), whole))
        starts = [start for rolled in whole.values() for column in rolled.values() for start in column.starts]
        if starts:
            parts = {plugin: rollups.encode(rolled, tier) for plugin, rolled in whole.items()}
            start = window.start - window.start % length
            rows.append(Row(tier, start, min(starts), max(starts) + tier, True, bundle(parts)))
    raw, chunks = _packed_samples(window)
    if raw is not None:
        rows.append(raw)
        obsolete += [row.id for row in window.rows if row.tier == RAW]
    return _Packed(window.host_id, rows, obsolete, chunks)


def _packed_samples(window: _Window) -> tuple[Row | None, list[int]]:
    """All samples of a window in one row, and the chunks that are in it now; what is too much for that stays."""
    if not window.chunks:
        return None, []
    before = next((chunks_of(row.data) for row in window.rows if row.tier == RAW), {})
    chunks: dict[str, list[bytes]] = defaultdict(list)
    for plugin, data in before.items():
        chunks[plugin].append(data)
    for _, plugin, data in window.chunks:
        chunks[plugin].append(data)
    parts: dict[str, bytes] = {}
    left: set[str] = set()
    times: list[float] = []
    for plugin, datas in chunks.items():
        samples = sorted(
            ((sample.time, sample.data) for data in datas for sample in read_chunk(plugin, data)),
            key=lambda pair: pair[0],
        )
        if not samples:
            continue
        try:
            parts[plugin] = datas[0] if len(datas) == 1 else history.encode(samples)
        except ValueError:  # more than fits into one
            left.add(plugin)
            if plugin not in before:
                continue
            parts[plugin] = before[plugin]
        times += (samples[0][0], samples[-1][0])
    if not parts:
        return None, []
    done = [chunk_id for chunk_id, plugin, _ in window.chunks if plugin not in left]
    return Row(RAW, window.start, min(times), max(times), True, bundle(parts)), done


def _replace(db: sqlite3.Connection, packed: _Packed) -> None:
    """Put the packed rows in the place of those that they were made of; nothing, when the host is gone meanwhile."""
    if db.execute("SELECT 1 FROM hosts WHERE id = ?", (packed.host_id,)).fetchone() is None:
        return
    db.executemany("DELETE FROM history WHERE id = ?", [(row_id,) for row_id in packed.obsolete])
    db.executemany("DELETE FROM chunks WHERE id = ?", [(row_id,) for row_id in packed.obsolete_chunks])
    insert(db, packed.host_id, packed.rows)


def chunks_of(data: bytes) -> dict[str, bytes]:
    """What is bundled in a row, by plugin; nothing when it is damaged."""
    try:
        return unbundle(data)
    except ValueError as error:
        log.error("a row of history cannot be read and is passed over: %s", error)
        return {}


def _decoded(data: bytes, wanted: frozenset[str] | None = None) -> dict[str, Rolled]:
    """The plugins of a row, or those of them that are wanted; without what is damaged."""
    found: dict[str, Rolled] = {}
    for plugin, part in chunks_of(data).items():
        if wanted is None or plugin in wanted:
            try:
                found[plugin] = rollups.decode(part)
            except ValueError as error:
                log.error("rollups of %s cannot be read and are passed over: %s", plugin, error)
    return found


# ------------------------------------------------------------------------------------------------------------- queries


def _rolled(
    db: sqlite3.Connection, host_id: int, wanted: frozenset[str], tier: int, first: float, end: float
) -> Plugins:
    parts = [
        _decoded(data, wanted)
        for (data,) in db.execute(
            "SELECT data FROM history WHERE host_id = ? AND tier = ? AND packed = 1 AND last > ? AND first < ?"
            " ORDER BY start",
            (host_id, tier, first, end),
        )
    ]
    waiting = [
        _decoded(data, wanted)
        for (data,) in db.execute(
            "SELECT data FROM history WHERE host_id = ? AND tier = ? AND packed = 0 AND last > ? AND first < ?"
            " ORDER BY last, id",
            (host_id, MINUTE, first - tier, end + tier),
        )
    ]
    fresh: dict[str, list[tuple[float, Data]]] = defaultdict(list)
    for shift, body in db.execute(
        "SELECT shift, body FROM samples WHERE host_id = ? AND time >= ? ORDER BY time", (host_id, first)
    ):
        for sample in read_report(shift, body):
            if sample.plugin in wanted:
                fresh[sample.plugin].append((sample.time, sample.data))
    for samples in fresh.values():
        samples.sort(key=lambda pair: pair[0])
    waiting.append({plugin: rollups.roll(samples, MINUTE) for plugin, samples in fresh.items()})
    if tier != MINUTE:
        waiting = [{plugin: rollups.coarsen(rolled, tier) for plugin, rolled in part.items()} for part in waiting]
    whole = rollups.merged((*parts, *waiting))
    return {plugin: rollups.between(rolled, first, end) for plugin, rolled in whole.items()}


def _samples(db: sqlite3.Connection, host_id: int, plugin: str, first: float, end: float, limit: int) -> list[Sample]:
    found: list[Sample] = []
    for (data,) in db.execute(
        "SELECT data FROM history WHERE host_id = ? AND tier = ? AND last >= ? AND first < ? ORDER BY start",
        (host_id, RAW, first, end),
    ):
        part = chunks_of(data).get(plugin)
        if part is not None:
            found += read_chunk(plugin, part)
    for (data,) in db.execute(
        "SELECT data FROM chunks WHERE host_id = ? AND plugin = ? AND last >= ? AND first < ?",
        (host_id, plugin, first, end),
    ):
        found += read_chunk(plugin, data)
    for shift, body in db.execute("SELECT shift, body FROM samples WHERE host_id = ? AND time >= ?", (host_id, first)):
        found += (sample for sample in read_report(shift, body) if sample.plugin == plugin)
    found = [sample for sample in found if first <= sample.time < end]
    found.sort(key=lambda sample: sample.time)
    return found[:limit]
