"""The points of the metrics of one host, as they are read from the store: no more of them than there is room for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from itertools import islice
from typing import NamedTuple

from hbd import spans
from hbd.errors import InvalidInput
from hbd.history import Table
from hbd.rollups import Bucket, Path, Rolled, columns_of_table
from hbd.store.history import RAW, History

MAX_SERIES = 500  # of one answer
MAX_POINTS = 10_000  # of one series
MOST_DOTS = 10  # in the name of a plugin, and one more: where it ends in a pattern cannot be seen

TOO_MANY_SERIES = f"names more than {MAX_SERIES} series; be more precise"
TOO_MANY_POINTS = "would be too many points for one answer; a shorter time, longer steps or fewer series"

Columns = dict[str, dict[Path, list[Bucket]]]
"""plugin → path of a metric in it → its points"""


class Room(NamedTuple):
    """How much more may be found."""

    series: int
    points: int


async def columns_of_host(
    history: History, host_id: int, patterns: Sequence[str], plan: spans.Plan, room: Room
) -> Columns:
    """What fits one of the patterns. Raises StorageError, and InvalidInput before more points are made than there is
    room for."""
    dots = ((pattern, (place for place, letter in enumerate(pattern) if letter == ".")) for pattern in patterns)
    plugins = {pattern[:place] for pattern, places in dots for place in islice(places, MOST_DOTS)}
    read = _samples if plan.tier == RAW else _rollups
    return await read(history, host_id, plugins, plan, patterns, room)


def fits(pattern: str, metric: str, plugin: str) -> bool:
    """Whether a pattern means this metric of that plugin: behind the plugin ``*`` stands for any text."""
    return metric == pattern or (pattern.startswith(f"{plugin}.") and fnmatchcase(metric, pattern))


class _Asked:
    """Tells which metrics of a host are meant, while they are read; of more than there is room for, none.

    length: points of each at most.
    """

    def __init__(self, patterns: Sequence[str], room: Room, length: int) -> None:
        self._patterns = patterns
        self._series = room.series
        self._most = max(0, min(room.series, room.points // max(1, length)))
        self._meant: dict[tuple[str, Path], bool] = {}
        self._count = 0

    def __call__(self, plugin: str, path: Path) -> bool:
        meant = self._meant.get((plugin, path))
        if meant is None:
            metric = ".".join((plugin, *path))
            meant = self._meant[plugin, path] = any(fits(pattern, metric, plugin) for pattern in self._patterns)
            self._count += meant
        return meant and self._count <= self._most

    def require_room(self) -> None:
        """Raises InvalidInput when there were more than there is room for."""
        if self._count > self._most:
            raise InvalidInput(TOO_MANY_SERIES if self._most == self._series else TOO_MANY_POINTS, "metric")


async def _rollups(
    history: History, host_id: int, plugins: set[str], plan: spans.Plan, patterns: Sequence[str], room: Room
) -> Columns:
    asked = _Asked(patterns, room, (plan.end - plan.first) // plan.step)
    # The rate at the first point needs the bucket before it.
    rolled = await history.rolled(host_id, plugins, plan.tier, plan.first - plan.step, plan.end, asked)
    return await asyncio.to_thread(_points, rolled, asked, plan.step)


def _points(rolled: Mapping[str, Rolled], asked: _Asked, step: int) -> Columns:
    meant = {
        plugin: {path: column for path, column in columns.items() if asked(plugin, path)}
        for plugin, columns in rolled.items()
    }
    asked.require_room()
    return {
        plugin: {path: spans.points(column.buckets(), step) for path, column in columns.items()}
        for plugin, columns in meant.items()
    }


async def _samples(
    history: History, host_id: int, plugins: set[str], plan: spans.Plan, patterns: Sequence[str], room: Room
) -> Columns:
    found: Columns = {}
    for plugin in plugins:
        table = await history.table(host_id, plugin, plan.first, plan.end, MAX_POINTS)
        columns = found[plugin] = await asyncio.to_thread(_values, table, plugin, plan, patterns, room)
        room = Room(room.series - len(columns), room.points - sum(map(len, columns.values())))
    return found


def _values(
    table: Table, plugin: str, plan: spans.Plan, patterns: Sequence[str], room: Room
) -> dict[Path, list[Bucket]]:
    length = min(MAX_POINTS, sum(plan.first <= time < plan.end for time in table.times))
    asked = _Asked(patterns, room, length)
    columns = columns_of_table(table, partial(asked, plugin), plan.first, plan.end)
    asked.require_room()
    return {path: buckets[:MAX_POINTS] for path, buckets in columns.items()}
