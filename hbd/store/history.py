"""History on disk: samples of four hours packed into one row per host, and rollups of them in four tiers.

``Samples.fold`` leaves the minutes of what it folds here, unpacked. Packing puts them where they belong: to the minutes
of their window and, made coarser, to the quarters, hours and days. So the rows that are not packed are what the coarser
tiers do not know yet, and every sample counts once in every tier, however late it came.
"""

from __future__ import annotations

import asyncio
import logging
import math
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from functools import partial
from typing import NamedTuple

from hbd import history, rollup_bytes, rollups
from hbd.bundle import How, Part, bundle, unbundle
from hbd.history import Table
from hbd.model import Sample
from hbd.rollups import DAY, HOUR, MINUTE, QUARTER, Path, Rolled
from hbd.store.database import Database
from hbd.store.mishaps import Mishaps
from hbd.store.reading import as_table, read_report, read_table

log = logging.getLogger(__name__)

RAW = 0
WINDOWS = {RAW: 4 * HOUR, MINUTE: 4 * HOUR, QUARTER: DAY, HOUR: 4 * DAY, DAY: 96 * DAY}
"""tier → how many seconds one packed row is about; each is a whole number of those before it"""
SETTLED_SECONDS = 3600.0  # after the end of a window: what still comes then comes late
PRUNE_ROWS = 500
GIVEN_UP_ROWS = 50
QUERY_SECONDS = 10.0

Plugins = Mapping[str, Rolled]
Wanted = Callable[[str, Path], bool]
"""whether a metric of a plugin is asked for"""


class Row(NamedTuple):
    """A row to be written. start: of its window; first, last: of what is in it; Unix seconds."""

    tier: int
    start: int
    first: float
    last: float
    packed: bool
    data: bytes


class Stored(NamedTuple):
    """A row as it is in the database; see ``Row``."""

    id: int
    tier: int
    start: int
    first: float
    last: float
    packed: int
    data: bytes


class Window(NamedTuple):
    """What packing one window of one host is about. chunks: (id, plugin, data)."""

    host_id: int
    start: int
    rows: list[Stored]
    chunks: list[tuple[int, str, bytes]]


class Packed(NamedTuple):
    """obsolete, obsolete_chunks: ids of the rows that these take the place of."""

    host_id: int
    rows: list[Row]
    obsolete: list[int]
    obsolete_chunks: list[int]


class History:
    def __init__(self, database: Database, mishaps: Mishaps) -> None:
        self._database = database
        self._mishaps = mishaps
        self._left: set[tuple[int, int]] = set()
        """host and start of windows that cannot be packed; tried again after a restart"""

    async def pack(self, now: float) -> int:
        """Pack what waits of one window of one host; returns of how many rows one was made, 0 when nothing waits.

        The work is done beside the writer, which then replaces the rows in one transaction.
        """
        window = await self._database.read_long(lambda db: _waiting(db, now - SETTLED_SECONDS, self._left), 60)
        if window is None:
            return 0
        with self._mishaps.passed_over(f"history of host {window.host_id} cannot be packed"):
            packed = await asyncio.to_thread(pack_window, window, self._mishaps)
            await self._database.write(lambda db: _replace(db, packed))
            return len(packed.obsolete) + len(packed.obsolete_chunks)
        self._left.add((window.host_id, window.start))
        return len(window.rows)

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

    async def rolled(
        self,
        host_id: int,
        plugins: Iterable[str],
        tier: int,
        first: float,
        end: float,
        wanted: Wanted = lambda _plugin, _path: True,
    ) -> Plugins:
        """The rollups of some plugins that begin in that time (Unix seconds), up to what was stored last.

        wanted: which metrics of theirs; few are found sooner.
        """
        names = frozenset(plugins)
        return await self._database.read_long(
            lambda db: _rolled(db, host_id, names, wanted, tier, first, end), QUERY_SECONDS
        )

    async def samples(self, host_id: int, plugin: str, first: float, end: float, limit: int) -> list[Sample]:
        """The samples of a plugin from first until before end (Unix seconds), oldest first, not more than limit."""

        def query(db: sqlite3.Connection) -> list[Sample]:
            found = _table(db, host_id, plugin, first, end, limit).samples()
            return [Sample(plugin, time, data) for time, data in found if first <= time < end][:limit]

        return await self._database.read_long(query, QUERY_SECONDS)

    async def table(self, host_id: int, plugin: str, first: float, end: float, limit: int) -> Table:
        """The same as columns, with some more samples from before and behind."""
        return await self._database.read_long(lambda db: _table(db, host_id, plugin, first, end, limit), QUERY_SECONDS)


def minutes(host_id: int, tables: Mapping[str, Table], mishaps: Mishaps) -> Iterator[Row]:
    """The rows for samples that are being folded, by plugin. A plugin that cannot be rolled up goes without."""
    windows: dict[int, dict[str, Part]] = defaultdict(dict)
    spans: dict[int, tuple[float, float]] = {}
    for plugin, table in tables.items():
        with mishaps.passed_over(f"samples of {plugin!r} of host {host_id} cannot be rolled up"):
            for start, rolled in _by_window(rollups.roll_table(table, MINUTE)):
                windows[start][plugin] = rollup_bytes.encode_quickly(rolled)
                first, last = _span(rolled, MINUTE)
                known = spans.get(start, (first, last))
                spans[start] = min(first, known[0]), max(last, known[1])
    for start, parts in windows.items():
        yield Row(MINUTE, start, *spans[start], False, bundle(parts, "quick"))


def insert(db: sqlite3.Connection, host_id: int, rows: Iterable[Row]) -> None:
    db.executemany(
        "INSERT INTO history (host_id, tier, start, first, last, packed, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(host_id, *row) for row in rows],
    )


def newest_packed(db: sqlite3.Connection, host_id: int, until: float | None = None) -> Iterator[Mapping[str, bytes]]:
    """The chunks of packed windows by plugin, the newest window first. until: those that begin later are left out."""
    rows = db.execute(
        "SELECT data FROM history WHERE host_id = ? AND tier = ? AND (?3 IS NULL OR first <= ?3) ORDER BY last DESC",
        (host_id, RAW, until),
    )
    for (data,) in rows:
        yield chunks_of(data)


# ------------------------------------------------------------------------------------------------------------- packing


def _by_window(rolled: Rolled) -> Iterator[tuple[int, Rolled]]:
    seconds = WINDOWS[MINUTE]
    for start in sorted({start - start % seconds for column in rolled.values() for start in column.starts}):
        yield start, rollups.between(rolled, start, start + seconds)


def _span(rolled: Rolled, tier: int) -> tuple[float, float]:
    """When the first bucket begins and the last one ends."""
    return min(column.starts[0] for column in rolled.values()), max(
        column.starts[-1] for column in rolled.values()
    ) + tier


def _waiting(db: sqlite3.Connection, settled: float, left: Set[tuple[int, int]]) -> Window | None:
    """The oldest window that has something to be packed and ended before that time, but for those that are left."""
    seconds = WINDOWS[MINUTE]
    waiting = db.execute(
        "SELECT host_id, start FROM history WHERE packed = 0 AND start <= ? ORDER BY start", (settled - seconds,)
    )
    found = next((each for each in waiting if each not in left), None)
    if found is None:
        return None
    host_id, start = found
    rows: list[Stored] = []
    for tier, length in WINDOWS.items():
        rows += map(
            Stored._make,
            db.execute(
                "SELECT id, tier, start, first, last, packed, data FROM history"
                " WHERE host_id = ? AND tier = ? AND start = ? ORDER BY packed DESC, last, id",
                (host_id, tier, start - start % length),
            ),
        )
    chunks = db.execute(
        "SELECT id, plugin, data FROM chunks WHERE host_id = ? AND first >= ? AND first < ? ORDER BY first, id",
        (host_id, start, start + seconds),
    ).fetchall()
    return Window(host_id, start, rows, chunks)


def pack_window(window: Window, mishaps: Mishaps) -> Packed:
    """What one window of one host comes to. A plugin whose rollups or samples cannot be packed costs only these."""
    waiting = [row for row in window.rows if not row.packed]
    packing = {tier: _Packing(window, tier) for tier in WINDOWS}
    fresh = [chunks_of(row.data) for row in waiting]
    for plugin in dict.fromkeys(plugin for parts in fresh for plugin in parts):
        with mishaps.passed_over(f"rollups of {plugin!r} of host {window.host_id} cannot be packed"):
            rolled = _put_together(plugin, [parts[plugin] for parts in fresh if plugin in parts])
            packed = {}
            for tier in rollups.TIERS:
                rolled = rolled if tier == MINUTE else rollups.coarsen(rolled, tier)
                packed[tier] = _together_with(packing[tier].parts.get(plugin), plugin, rolled, tier)
            for tier, (part, first, last) in packed.items():
                packing[tier].put(plugin, part, first, last)
    chunks = _pack_samples(window, packing[RAW], mishaps)
    changed = [each for each in packing.values() if each.changed]
    obsolete = [row.id for row in waiting] + [each.before.id for each in changed if each.before is not None]
    return Packed(window.host_id, [each.row() for each in changed], obsolete, chunks)


class _Packing:
    """One packed row that is being made. before: the one whose place it takes. parts: by plugin."""

    def __init__(self, window: Window, tier: int) -> None:
        length = WINDOWS[tier]
        self.tier = tier
        self.start = window.start - window.start % length
        self.before = next((row for row in window.rows if row.tier == tier and row.packed), None)
        self.parts = dict(_readable(self.before.data)) if self.before is not None else {}
        self.changed = False
        self._first = self.before.first if self.before is not None else math.inf
        self._last = self.before.last if self.before is not None else -math.inf
        ends = window.start + WINDOWS[MINUTE] == self.start + length
        self._how: How = "least" if ends else "small"  # it will be packed anew until its last window ends

    def put(self, plugin: str, part: Part, first: float, last: float) -> None:
        self.parts[plugin] = part
        self._first, self._last = min(self._first, first), max(self._last, last)
        self.changed = True

    def row(self) -> Row:
        return Row(self.tier, self.start, self._first, self._last, True, bundle(self.parts, self._how))


def _put_together(plugin: str, parts: Iterable[bytes]) -> Rolled:
    return rollups.merged({plugin: _read_rollups(plugin, data)} for data in parts)[plugin]


def _together_with(before: Part | None, plugin: str, rolled: Rolled, tier: int) -> tuple[Part, float, float]:
    """Rollups with those that were packed before; and their span."""
    if before is not None:
        rolled = rollups.merge(_read_rollups(plugin, before.data), rolled)
    return rollup_bytes.encode(rolled, tier), *_span(rolled, tier)


def _pack_samples(window: Window, packing: _Packing, mishaps: Mishaps) -> list[int]:
    """Put all samples of a window in one row; returns the chunks that are in it now. What is too much stays."""
    chunks: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
    for chunk_id, plugin, data in window.chunks:
        chunks[plugin].append((chunk_id, data))
    done: list[int] = []
    for plugin, of_plugin in chunks.items():
        with mishaps.passed_over(f"samples of {plugin!r} of host {window.host_id} cannot be packed"):
            before = packing.parts.get(plugin)
            datas = (
                [data for _, data in of_plugin] if before is None else [before.data, *(data for _, data in of_plugin)]
            )
            table = history.in_a_row([read_table(plugin, data) for data in datas])
            if len(table):
                try:
                    part = history.write_part(table)
                except ValueError:  # more than fits into one
                    continue
                packing.put(plugin, part, table.times[0], table.times[-1])
            done += [chunk_id for chunk_id, _ in of_plugin]
    return done


def _replace(db: sqlite3.Connection, packed: Packed) -> None:
    """Put the packed rows in the place of those that they were made of; nothing, when the host is gone meanwhile."""
    if db.execute("SELECT 1 FROM hosts WHERE id = ?", (packed.host_id,)).fetchone() is None:
        return
    db.executemany("DELETE FROM history WHERE id = ?", [(row_id,) for row_id in packed.obsolete])
    db.executemany("DELETE FROM chunks WHERE id = ?", [(row_id,) for row_id in packed.obsolete_chunks])
    insert(db, packed.host_id, packed.rows)


class _Chunks(Mapping[str, bytes]):
    """The parts of a bundle as they are asked for; nothing in the place of a damaged one."""

    def __init__(self, parts: Mapping[str, Part]) -> None:
        self._parts = parts

    def __getitem__(self, plugin: str) -> bytes:
        try:
            return self._parts[plugin].data
        except ValueError as error:
            _tell_damage(plugin, error)
            return b""

    def __contains__(self, plugin: object) -> bool:
        return plugin in self._parts

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)


def chunks_of(data: bytes) -> Mapping[str, bytes]:
    """What is bundled in a row, by plugin; nothing when it is damaged."""
    return _Chunks(_parts_of(data))


def _readable(data: bytes) -> Iterator[tuple[str, Part]]:
    parts = _parts_of(data)
    for plugin in parts:
        try:
            yield plugin, parts[plugin]
        except ValueError as error:
            _tell_damage(plugin, error)


def _tell_damage(plugin: str, error: ValueError) -> None:
    log.error("history of %s cannot be read and is passed over: %s", plugin, error)


def _parts_of(data: bytes) -> Mapping[str, Part]:
    try:
        return unbundle(data)
    except ValueError as error:
        log.error("a row of history cannot be read and is passed over: %s", error)
        return {}


def _read_rollups(plugin: str, data: bytes, wanted: Callable[[Path], bool] | None = None) -> Rolled:
    try:
        return rollup_bytes.decode(data, wanted)
    except ValueError as error:
        log.error("rollups of %s cannot be read and are passed over: %s", plugin, error)
        return {}


def _decoded(data: bytes, plugins: frozenset[str], wanted: Wanted) -> dict[str, Rolled]:
    """What is wanted of a row."""
    chunks = chunks_of(data)
    return {
        plugin: _read_rollups(plugin, chunks[plugin], partial(wanted, plugin)) for plugin in plugins & chunks.keys()
    }


# ------------------------------------------------------------------------------------------------------------- queries


def _rolled(
    db: sqlite3.Connection,
    host_id: int,
    plugins: frozenset[str],
    wanted: Wanted,
    tier: int,
    first: float,
    end: float,
) -> Plugins:
    parts = [
        _decoded(data, plugins, wanted)
        for (data,) in db.execute(
            "SELECT data FROM history WHERE host_id = ? AND tier = ? AND packed = 1 AND last > ? AND first < ?"
            " ORDER BY last",
            (host_id, tier, first, end),
        )
    ]
    waiting = [
        _decoded(data, plugins, wanted)
        for (data,) in db.execute(
            "SELECT data FROM history WHERE host_id = ? AND tier = ? AND packed = 0 AND last > ? AND first < ?"
            " ORDER BY last, id",
            (host_id, MINUTE, first - tier, end + tier),
        )
    ]
    fresh: dict[str, list[Sample]] = defaultdict(list)
    for shift, body in db.execute(
        "SELECT shift, body FROM samples WHERE host_id = ? AND time >= ? ORDER BY time", (host_id, first)
    ):
        for sample in read_report(shift, body):
            if sample.plugin in plugins:
                fresh[sample.plugin].append(sample)
    waiting.append({plugin: rollups.roll_table(as_table(samples), MINUTE) for plugin, samples in fresh.items()})
    if tier != MINUTE:
        waiting = [{plugin: rollups.coarsen(rolled, tier) for plugin, rolled in part.items()} for part in waiting]
    whole = rollups.merged((*parts, *waiting))
    return {
        plugin: {path: column for path, column in rollups.between(rolled, first, end).items() if wanted(plugin, path)}
        for plugin, rolled in whole.items()
    }


def _table(db: sqlite3.Connection, host_id: int, plugin: str, first: float, end: float, limit: int) -> Table:
    tables: list[Table] = []
    count = 0
    for (data,) in db.execute(
        "SELECT data FROM history WHERE host_id = ? AND tier = ? AND last >= ? AND first < ? ORDER BY last",
        (host_id, RAW, first, end),
    ):
        chunks = chunks_of(data)
        if plugin in chunks:
            tables.append(read_table(plugin, chunks[plugin]))
            count += sum(first <= time < end for time in tables[-1].times)
            if count >= limit:
                end = tables[-1].times[-1]  # what comes late may still belong before that
                break
    tables += (
        read_table(plugin, data)
        for (data,) in db.execute(
            "SELECT data FROM chunks WHERE host_id = ? AND plugin = ? AND last >= ? AND first < ?",
            (host_id, plugin, first, end),
        )
    )
    fresh = [
        sample
        for shift, body in db.execute(
            "SELECT shift, body FROM samples WHERE host_id = ? AND time >= ?", (host_id, first)
        )
        for sample in read_report(shift, body)
        if sample.plugin == plugin
    ]
    if fresh:
        tables.append(as_table(fresh))
    return history.in_a_row(tables)
