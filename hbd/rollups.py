"""Rollups: how low, how high and how much on average a number was in each minute, quarter, hour and day. Pure.

Numbers with few decimals are added up as integers, so that no order in which parts are put together changes a sum.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import add, mul, sub
from typing import TypeAlias, cast

import msgspec
from msgspec import Struct

from hbd.columns import pack, unpack
from hbd.history import paths_of, runs
from hbd.model import Data

MINUTE, QUARTER, HOUR, DAY = 60, 900, 3600, 86_400
TIERS = (MINUTE, QUARTER, HOUR, DAY)
"""seconds of a bucket"""

Path: TypeAlias = tuple[str, ...]
Number: TypeAlias = int | float

_SCALES = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
_BIGGEST = 1 << 40  # so that sums of a day's values can be packed
_NUMBERS = {int, float}
_MOST = 1e300  # what is larger is no number that anybody measured, and a sum of some would be none
_VERSION = b"\1"
_MAX_PAYLOAD_BYTES = 8 << 20


class Bucket(Struct, frozen=True, gc=False):
    """What a metric was in one bucket. start: Unix seconds. last: the newest value in it."""

    start: float
    count: int
    low: float
    high: float
    mean: float
    last: float


class Column(Struct, gc=False):
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

    def buckets(self) -> Iterator[Bucket]:
        by = self.scale or 1
        for start, count, low, high, total, last in zip(
            self.starts, self.counts, self.lows, self.highs, self.totals, self.lasts, strict=True
        ):
            yield Bucket(start, count, low / by, high / by, total / count / by, last / by)


Rolled: TypeAlias = dict[Path, Column]
"""All metrics of one plugin"""


def roll(samples: Iterable[tuple[float, Data]], seconds: int) -> Rolled:
    """The samples of one plugin (Unix seconds, data), oldest first, in buckets of that length.

    Only numbers are rolled up: no texts, no booleans, no rows of tables.
    """
    times, values = _columns(samples)
    spans: dict[tuple[float, ...], list[tuple[int, int, int]]] = {}
    rolled: Rolled = {}
    for path, column in values.items():
        moments = tuple(times[path])
        parts = spans.get(moments)
        if parts is None:
            parts = spans[moments] = list(_parts(moments, seconds))
        scale, numbers = _scaled(column)
        pieces = [numbers[first:end] for _, first, end in parts]
        rolled[path] = Column(
            scale,
            [start for start, _, _ in parts],
            [end - first for _, first, end in parts],
            list(map(min, pieces)),
            list(map(max, pieces)),
            list(map(sum if scale else math.fsum, pieces)),
            [piece[-1] for piece in pieces],
        )
    return rolled


def columns_of(samples: Iterable[tuple[float, Data]]) -> dict[Path, list[Bucket]]:
    """Each number of the samples of one plugin as a bucket of its own, at its own time."""
    times, values = _columns(samples)
    return {
        path: [Bucket(time, 1, value, value, value, value) for time, value in zip(times[path], column, strict=True)]
        for path, column in values.items()
    }


def merge(earlier: Rolled, later: Rolled) -> Rolled:
    """Both together. In a bucket that both have a part of, the last value is that of ``later``."""
    merged = dict(earlier)
    for path, column in later.items():
        before = merged.get(path)
        merged[path] = column if before is None else _merge(before, column)
    return merged


def coarsen(rolled: Rolled, seconds: int) -> Rolled:
    """The same in buckets of that length, which holds a whole number of those that there are."""
    return {
        path: _join(column, [start - start % seconds for start in column.starts]) for path, column in rolled.items()
    }


def between(rolled: Rolled, first: float, end: float) -> Rolled:
    """Only the buckets that begin in that time (Unix seconds), the end left out."""
    found = {}
    for path, column in rolled.items():
        keep = [place for place, start in enumerate(column.starts) if first <= start < end]
        if keep:
            found[path] = column if len(keep) == len(column.starts) else _picked(column, keep)
    return found


# ------------------------------------------------------------------------------------------------------------- columns


def _columns(samples: Iterable[tuple[float, Data]]) -> tuple[dict[Path, list[float]], dict[Path, list[Number]]]:
    """The times and the values of every number."""
    times: dict[Path, list[float]] = {}
    values: dict[Path, list[Number]] = {}
    for shape, moments, rows in runs(samples):
        for path, column in zip(paths_of(shape), zip(*rows, strict=True), strict=True):
            kinds = set(map(type, column))
            if kinds <= _NUMBERS and min(column) >= -_MOST and max(column) <= _MOST:
                times.setdefault(path, []).extend(moments)
                values.setdefault(path, []).extend(column)
            elif not kinds.isdisjoint(_NUMBERS):
                known = [(at, value) for at, value in zip(moments, column, strict=True) if _can_be_added(value)]
                times.setdefault(path, []).extend(at for at, _ in known)
                values.setdefault(path, []).extend(value for _, value in known)
    return times, values


def _can_be_added(value: object) -> bool:
    return type(value) in _NUMBERS and -_MOST <= cast(Number, value) <= _MOST


def _parts(times: Sequence[float], seconds: int) -> Iterator[tuple[int, int, int]]:
    """(start of a bucket, its first sample, the one behind its last)."""
    place = 0
    for start, group in groupby(int(time // seconds) * seconds for time in times):
        length = sum(1 for _ in group)
        yield start, place, place + length
        place += length


def _scaled(column: Sequence[Number]) -> tuple[int, list[Number]]:
    """The smallest scale at which all are integers, and those; 0 and floats when there is none."""
    for scale in _SCALES:
        try:
            if any(round(value * scale) / scale != value for value in column[:4]):  # here most that do not fit are seen
                continue
            numbers: list[Number] = [round(value * scale) for value in column]
            if all(number / scale == value for number, value in zip(numbers, column, strict=True)) and (
                max(map(abs, numbers)) < _BIGGEST
            ):
                return scale, numbers
        except (OverflowError, ValueError):  # an infinity, not a number: no sample has one
            break
    return 0, [float(value) for value in column]


def _common_scale(one: Column, other: Column) -> int:
    """0 where there is none, or the numbers would become too large with it."""
    scale = max(one.scale, other.scale) if one.scale and other.scale else 0
    for column in (one, other):
        if scale and max(map(abs, (*column.lows, *column.highs))) * (scale // column.scale) >= _BIGGEST:
            return 0
    return scale


def _rescaled(column: Column, scale: int) -> Column:
    if column.scale == scale:
        return column
    if not scale:
        by = column.scale
        lists = [[number / by for number in numbers] for numbers in _numbers(column)]
    else:
        factor = scale // column.scale
        lists = [[number * factor for number in numbers] for numbers in _numbers(column)]
    return Column(scale, column.starts, column.counts, *lists)


def _numbers(column: Column) -> tuple[list[Number], list[Number], list[Number], list[Number]]:
    return column.lows, column.highs, column.totals, column.lasts


def _merge(earlier: Column, later: Column) -> Column:
    scale = _common_scale(earlier, later)
    earlier, later = _rescaled(earlier, scale), _rescaled(later, scale)
    if earlier.starts and later.starts and later.starts[0] > earlier.starts[-1]:
        return _appended(earlier, later)
    both = _appended(earlier, later)
    order = sorted(range(len(both.starts)), key=both.starts.__getitem__)  # stable: the later part stays behind
    both = _picked(both, order)
    return _join(both, both.starts)


def _appended(first: Column, second: Column) -> Column:
    return Column(
        first.scale,
        first.starts + second.starts,
        first.counts + second.counts,
        *(a + b for a, b in zip(_numbers(first), _numbers(second), strict=True)),
    )


def _picked(column: Column, places: Sequence[int]) -> Column:
    return Column(
        column.scale,
        [column.starts[place] for place in places],
        [column.counts[place] for place in places],
        *([numbers[place] for place in places] for numbers in _numbers(column)),
    )


def _join(column: Column, starts: Sequence[int]) -> Column:
    """The same column with these starts, neighbours of one start made one."""
    add = sum if column.scale else math.fsum
    joined = Column(column.scale, [], [], [], [], [], [])
    place = 0
    for start, group in groupby(starts):
        end = place + sum(1 for _ in group)
        joined.starts.append(start)
        joined.counts.append(sum(column.counts[place:end]))
        joined.lows.append(min(column.lows[place:end]))
        joined.highs.append(max(column.highs[place:end]))
        joined.totals.append(add(column.totals[place:end]))
        joined.lasts.append(column.lasts[end - 1])
        place = end
    return joined


# ------------------------------------------------------------------------------------------------------------- on disk


class _Head(Struct, array_like=True, frozen=True):
    """grids: distinct (starts, counts), each as (number of buckets). columns: (path, scale, number of its grid)."""

    seconds: int
    grids: list[int]
    columns: list[tuple[list[str], int, int]]


_read_head = msgspec.json.Decoder(_Head).decode
_write_head = msgspec.json.Encoder().encode


def encode(rolled: Rolled, seconds: int) -> bytes:
    """The rollups of one plugin as bytes::

    byte 1, then deflated: u32 length of the head, head (JSON), then of every grid its starts and counts, then of
    every column lows, highs above them, lasts above them, totals above count * low; floats as doubles
    """
    grids: dict[tuple[tuple[int, ...], tuple[int, ...]], int] = {}
    columns, packed = [], []
    for path, column in rolled.items():
        grid = grids.setdefault((tuple(column.starts), tuple(column.counts)), len(grids))
        columns.append((list(path), column.scale, grid))
        packed.append(_packed(column))
    head = _write_head(_Head(seconds, [len(starts) for starts, _ in grids], columns))
    shared = b"".join(pack([start // seconds for start in starts]) + pack(counts) for starts, counts in grids)
    return _VERSION + zlib.compress(b"".join((struct.pack("<I", len(head)), head, shared, *packed)), 6)


def decode(data: bytes) -> Rolled:
    """What ``encode`` was given. Raises ValueError for anything that no ``encode`` gave."""
    if data[:1] != _VERSION:
        raise ValueError(f"rollups of version {data[:1].hex() or 'missing'} are not known")
    inflater = zlib.decompressobj()
    try:
        payload = inflater.decompress(memoryview(data)[1:], _MAX_PAYLOAD_BYTES + 1)
        if not inflater.eof or inflater.unused_data:
            raise ValueError("rollups are cut off, too long or too large")
        (length,) = struct.unpack_from("<I", payload)
        head = _read_head(memoryview(payload)[4 : 4 + length])
        at = 4 + length
        grids = []
        for count in head.grids:
            numbers, at = unpack(payload, at, count)
            counts, at = unpack(payload, at, count)
            grids.append(([number * head.seconds for number in numbers], counts))
        rolled: Rolled = {}
        for path, scale, grid in head.columns:
            rolled[tuple(path)], at = _unpacked(payload, at, scale, *grids[grid])
    except (zlib.error, struct.error, ArithmeticError, LookupError, TypeError, msgspec.MsgspecError) as error:
        raise ValueError(f"rollups are damaged: {error}") from error
    if at != len(payload):
        raise ValueError("rollups have bytes too many")
    return rolled


def _packed(column: Column) -> bytes:
    if not column.scale:
        return b"".join(struct.pack(f"<{len(numbers)}d", *numbers) for numbers in _numbers(column))
    lows, highs, totals, lasts = (cast(list[int], numbers) for numbers in _numbers(column))
    above = [total - low * count for total, low, count in zip(totals, lows, column.counts, strict=True)]
    columns = (lows, list(map(sub, highs, lows)), above, list(map(sub, lasts, lows)))
    return b"".join(map(pack, columns))


def _unpacked(payload: bytes, at: int, scale: int, starts: list[int], counts: list[int]) -> tuple[Column, int]:
    """A column, and the place behind it."""
    count = len(starts)
    if not scale:
        size = struct.calcsize(f"<{count}d")
        parts = (list(struct.unpack_from(f"<{count}d", payload, at + place * size)) for place in range(4))
        return Column(scale, starts, counts, *parts), at + 4 * size
    lows, at = unpack(payload, at, count)
    highs, at = unpack(payload, at, count)
    above, at = unpack(payload, at, count)
    lasts, at = unpack(payload, at, count)
    totals: list[Number] = list(map(add, above, map(mul, lows, counts)))
    column = Column(scale, starts, counts, list(lows), list(map(add, highs, lows)), totals, list(map(add, lasts, lows)))
    return column, at


def merged(parts: Iterable[Mapping[str, Rolled]]) -> dict[str, Rolled]:
    """By plugin; parts are in the order in which they were measured."""
    found: dict[str, Rolled] = {}
    for part in parts:
        for plugin, rolled in part.items():
            before = found.get(plugin)
            found[plugin] = rolled if before is None else merge(before, rolled)
    return found
