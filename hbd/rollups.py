"""Rollups: how low, how high and how much on average a number was in each minute, quarter, hour and day. Pure.

Numbers with few decimals are added up as integers, so that no order in which parts are put together changes a sum.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, groupby, pairwise
from typing import NamedTuple, TypeAlias, cast

from msgspec import Struct

from hbd.history import Table, table
from hbd.model import Data
from hbd.tables import Numbers, Plain, leaves, values
from hbd.tables import column as as_column

MINUTE, QUARTER, HOUR, DAY = 60, 900, 3600, 86_400
TIERS = (MINUTE, QUARTER, HOUR, DAY)
"""seconds of a bucket"""

Path: TypeAlias = tuple[str, ...]
Number: TypeAlias = int | float

_SCALES = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
_BIGGEST = 1 << 40  # so that sums of a day's values can be packed
_NUMBERS = {int, float}
_MOST = 1e300  # what is larger is no number that anybody measured, and a sum of some would be none


class Bucket(Struct, frozen=True, gc=False):
    """What a metric was in one bucket. start: Unix seconds. last: the newest value in it."""

    start: float
    count: int
    low: float
    high: float
    mean: float
    last: float


class Column(Struct, array_like=True, gc=False):
    """One metric over some buckets, oldest first; the lists are of one length.

    starts: Unix seconds. scale: the numbers are integers, and divided by it they are the values; 0: they are floats.
    totals: sums of all values of a bucket.
    """

    scale: int
    starts: list[int]
    counts: list[int]
    lows: list[Number]
    highs: list[Number]
    totals: list[Number]
    lasts: list[Number]

    def numbers(self) -> tuple[list[Number], list[Number], list[Number], list[Number]]:
        return self.lows, self.highs, self.totals, self.lasts

    def buckets(self) -> Iterator[Bucket]:
        by = self.scale or 1
        for start, count, low, high, total, last in zip(
            self.starts, self.counts, self.lows, self.highs, self.totals, self.lasts, strict=True
        ):
            yield Bucket(start, count, low / by, high / by, total / count / by, last / by)


Rolled: TypeAlias = dict[Path, Column]
"""All metrics of one plugin"""


def roll(samples: Sequence[tuple[float, Data]], seconds: int) -> Rolled:
    """The samples of one plugin (Unix seconds, data), oldest first, in buckets of that length.

    Only numbers are rolled up: no texts, no booleans, no rows of tables.
    """
    return roll_table(table(samples), seconds)


def roll_table(samples: Table, seconds: int) -> Rolled:
    """The same of a table."""
    grids: dict[int, _Grid] = {}
    rolled: Rolled = {}
    for path, times, numbers in _numbers_in(samples):
        grid = grids.get(id(times))
        if grid is None:
            grid = grids[id(times)] = _grid(times, seconds)
        column = _rolled(numbers, grid)
        before = rolled.get(path)
        rolled[path] = column if before is None else _together([before, column], {})
    return rolled


def columns_of(samples: Iterable[tuple[float, Data]]) -> dict[Path, list[Bucket]]:
    """Each number of the samples of one plugin as a bucket of its own, at its own time."""
    return columns_of_table(table(list(samples)), lambda _: True)


def columns_of_table(
    samples: Table, wanted: Callable[[Path], bool], first: float = -math.inf, end: float = math.inf
) -> dict[Path, list[Bucket]]:
    """The same of a table, only of the columns that are wanted, and of the time from first until before end."""
    found: dict[Path, list[Bucket]] = {}
    for path, times, numbers in _numbers_in(samples):
        if wanted(path):
            buckets = [
                Bucket(time, 1, value, value, value, value)
                for time, value in zip(times, values(numbers), strict=True)
                if first <= time < end
            ]
            before = found.get(path)
            found[path] = buckets if before is None else sorted(before + buckets, key=lambda bucket: bucket.start)
    return found


def merge(earlier: Rolled, later: Rolled) -> Rolled:
    """Both together. In a bucket that both have a part of, the last value is that of ``later``."""
    return merged([{"": earlier}, {"": later}])[""]


def merged(parts: Iterable[Mapping[str, Rolled]]) -> dict[str, Rolled]:
    """By plugin; parts are in the order in which they were measured."""
    columns: dict[str, dict[Path, list[Column]]] = {}
    for part in parts:
        for plugin, rolled in part.items():
            found = columns.setdefault(plugin, {})
            for path, column in rolled.items():
                found.setdefault(path, []).append(column)
    known: _Known = {}
    return {
        plugin: {path: _together(each, known) for path, each in by_path.items()} for plugin, by_path in columns.items()
    }


def coarsen(rolled: Rolled, seconds: int) -> Rolled:
    """The same in buckets of that length, which holds a whole number of those that there are."""
    coarse: Rolled = {}
    known: dict[int, list[tuple[int, int, int]]] = {}
    shared: dict[int, tuple[list[int], list[int]]] = {}
    for path, column in rolled.items():
        key = id(column.starts)
        spans = known.get(key)
        if spans is None:
            spans = known[key] = list(_spans([start - start % seconds for start in column.starts]))
        coarse[path] = _join(column, spans, shared)
    return coarse


def between(rolled: Rolled, first: float, end: float) -> Rolled:
    """Only the buckets that begin in that time (Unix seconds), the end left out."""
    found = {}
    for path, column in rolled.items():
        begin, stop = bisect_left(column.starts, first), bisect_left(column.starts, end)
        if begin < stop:
            whole = begin == 0 and stop == len(column.starts)
            found[path] = column if whole else _picked(column, slice(begin, stop))
    return found


# ------------------------------------------------------------------------------------------------------------- columns


class _Grid(NamedTuple):
    """The buckets of some moments. spans: where the moments of each begin and end."""

    starts: list[int]
    counts: list[int]
    spans: list[tuple[int, int]]


_Known: TypeAlias = dict[tuple[int, ...], tuple[list[int], list[int]] | None]
"""ids of lists of starts → them and their counts in a row; None: they are not in a row"""


def _numbers_in(samples: Table) -> Iterator[tuple[Path, list[float], Numbers | Plain]]:
    """Path, times and values of every column of numbers; of others the numbers in them, where there are any."""
    for path, times, column in leaves(samples.data, samples.times):
        if isinstance(column, Numbers):
            if column.integers:
                yield path, times, column
        elif not _NUMBERS.isdisjoint(map(type, column.values)):
            known = [(at, value) for at, value in zip(times, column.values, strict=True) if _can_be_added(value)]
            if known:
                yield path, [at for at, _ in known], Plain([value for _, value in known])


def _can_be_added(value: object) -> bool:
    return type(value) in _NUMBERS and -_MOST <= cast(Number, value) <= _MOST


def _grid(times: Sequence[float], seconds: int) -> _Grid:
    found = list(_spans([int(time // seconds) * seconds for time in times]))
    return _Grid(
        [start for start, _, _ in found],
        [end - begin for _, begin, end in found],
        [(begin, end) for _, begin, end in found],
    )


def _spans(starts: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """(start of a bucket, the first place that has it, the one behind the last); all of one start are neighbours."""
    place = 0
    for start, same in groupby(starts):
        end = place + sum(1 for _ in same)
        yield start, place, end
        place = end


def _rolled(column: Numbers | Plain, grid: _Grid) -> Column:
    # What is plain are floats and integers, or some that are very large.
    same = as_column(list(map(float, column.values))) if isinstance(column, Plain) else column
    if isinstance(same, Numbers) and (scale := same.scale or 1) in _SCALES:
        exact = _in_buckets(scale, cast(list[Number], same.integers), grid)
        if min(exact.lows) > -_BIGGEST and max(exact.highs) < _BIGGEST:
            return exact
    return _in_buckets(0, list(map(float, values(same))), grid)


def _in_buckets(scale: int, numbers: list[Number], grid: _Grid) -> Column:
    starts, counts, spans = grid
    first = numbers[0]
    if scale and numbers.count(first) == len(numbers):
        same = [first] * len(starts)
        return Column(scale, starts, counts, same, same, [first * count for count in counts], same)
    pieces = [numbers[begin:end] for begin, end in spans]
    lasts = [piece[-1] for piece in pieces]
    add = sum if scale else math.fsum
    return Column(scale, starts, counts, list(map(min, pieces)), list(map(max, pieces)), list(map(add, pieces)), lasts)


def _together(columns: Sequence[Column], known: _Known) -> Column:
    """One behind the other, or where they overlap put together bucket by bucket."""
    if len(columns) == 1:
        return columns[0]
    scale = _common_scale(columns)
    columns = [_rescaled(column, scale) for column in columns]
    key = tuple(id(column.starts) for column in columns)
    if key not in known:
        ordered = all(
            one.starts and other.starts and one.starts[-1] < other.starts[0] for one, other in pairwise(columns)
        )
        starts = list(chain.from_iterable(column.starts for column in columns))
        known[key] = (starts, list(chain.from_iterable(column.counts for column in columns))) if ordered else None
    grid = known[key]
    starts, counts = grid or (
        list(chain.from_iterable(column.starts for column in columns)),
        list(chain.from_iterable(column.counts for column in columns)),
    )
    lists = (
        list(chain.from_iterable(numbers)) for numbers in zip(*(column.numbers() for column in columns), strict=True)
    )
    both = Column(scale, starts, counts, *lists)
    if grid is not None:
        return both
    order = sorted(range(len(starts)), key=starts.__getitem__)  # stable: the later part stays behind
    both = _ordered(both, order)
    return _join(both, list(_spans(both.starts)), {})


def _common_scale(columns: Sequence[Column]) -> int:
    """0 where there is none, or the numbers would become too large with it."""
    scales = {column.scale for column in columns}
    scale = max(scales) if 0 not in scales else 0
    if len(scales) > 1:
        for column in columns:
            if scale and max(map(abs, (*column.lows, *column.highs))) * (scale // column.scale) >= _BIGGEST:
                return 0
    return scale


def _rescaled(column: Column, scale: int) -> Column:
    if column.scale == scale:
        return column
    if not scale:
        by = column.scale
        lists = [[number / by for number in numbers] for numbers in column.numbers()]
    else:
        factor = scale // column.scale
        lists = [[number * factor for number in numbers] for numbers in column.numbers()]
    return Column(scale, column.starts, column.counts, *lists)


def _picked(column: Column, part: slice) -> Column:
    return Column(
        column.scale, column.starts[part], column.counts[part], *(numbers[part] for numbers in column.numbers())
    )


def _ordered(column: Column, places: Sequence[int]) -> Column:
    return Column(
        column.scale,
        [column.starts[place] for place in places],
        [column.counts[place] for place in places],
        *([numbers[place] for place in places] for numbers in column.numbers()),
    )


def _join(
    column: Column, spans: Sequence[tuple[int, int, int]], shared: dict[int, tuple[list[int], list[int]]]
) -> Column:
    """The same column with the buckets of a span made one. shared: starts and counts by the id of those before."""
    grid = shared.get(id(column.starts))
    if grid is None:
        counts = [sum(column.counts[begin:end]) for _, begin, end in spans]
        grid = shared[id(column.starts)] = [start for start, _, _ in spans], counts
    lows, highs, totals, lasts = column.numbers()
    add = sum if column.scale else math.fsum
    return Column(
        column.scale,
        *grid,
        [min(lows[begin:end]) for _, begin, end in spans],
        [max(highs[begin:end]) for _, begin, end in spans],
        [add(totals[begin:end]) for _, begin, end in spans],
        [lasts[end - 1] for _, _, end in spans],
    )
