"""Rows of JSON as columns: what samples look like while they are made into history. Pure.

A column of plain numbers is a ``Numbers``: most measured values have few decimals, and so are integers divided by a
scale, to the last bit. One of objects is ``Records``, with a column for each name; one of lists is ``Lists``, with a
column of all their items; all else is ``Plain``. ``column`` makes one of values, ``values`` makes values of one again.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, compress, groupby, islice, repeat
from operator import mul, truediv
from typing import Any, TypeAlias

from msgspec import Struct

from hbd.columns import MOST_BITS

# 2**22 makes integers of what a clock gives: until 2106 a double has that many binary places for Unix seconds.
SCALES = (0, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 1 << 22)
"""of Numbers; 0: the values are integers themselves"""

_LARGEST = 1 << MOST_BITS
_PROBES = 8


class Numbers(Struct, array_like=True, tag=0, gc=False):
    """The values are floats, integers / scale, or with scale 0 the integers; each has at most MOST_BITS bits."""

    scale: int
    integers: list[int]


class Plain(Struct, array_like=True, tag=1):
    values: list[Any]


class Lists(Struct, array_like=True, tag=2):
    lengths: list[int]
    items: Column


class Records(Struct, array_like=True, tag=3):
    """shapes: distinct names of a row, in their order. runs: (number of a shape, how many rows in a row have it).

    columns: by name, each of the rows that have it.
    """

    shapes: list[tuple[str, ...]]
    runs: list[tuple[int, int]]
    columns: dict[str, Column]

    def parts(self) -> dict[str, int]:
        """How many rows have each name."""
        counts = dict.fromkeys(self.columns, 0)
        for number, length in self.runs:
            for name in self.shapes[number]:
                counts[name] += length
        return counts


Column: TypeAlias = Numbers | Plain | Lists | Records


def column(values: list[Any]) -> Column:
    """Raises RecursionError when they are nested too deeply."""
    kinds = set(map(type, values))
    if len(kinds) != 1:
        return Plain(values)
    (kind,) = kinds
    if kind is float:
        return _floats(values)
    if kind is int:
        return Numbers(0, values) if _fit(values) else Plain(values)
    if kind is dict:
        return _records(values)
    if kind is list:
        return Lists(list(map(len, values)), column(list(chain.from_iterable(values))))
    return Plain(values)


def values(of: Column) -> list[Any]:
    """Raises RecursionError when they are nested too deeply."""
    match of:
        case Numbers():
            return list(map(truediv, of.integers, repeat(of.scale))) if of.scale else of.integers
        case Plain():
            return of.values
        case Lists():
            items = iter(values(of.items))
            return [list(islice(items, length)) for length in of.lengths]
        case Records():
            return _rows(of)


def count(of: Column) -> int:
    """How many values it has."""
    match of:
        case Numbers():
            return len(of.integers)
        case Plain():
            return len(of.values)
        case Lists():
            return len(of.lengths)
        case Records():
            return sum(length for _, length in of.runs)


def joined(parts: Sequence[Column]) -> Column:
    """One behind the other. Raises RecursionError when they are nested too deeply."""
    first = parts[0]
    if len(parts) == 1:
        return first
    if isinstance(first, Numbers):
        numbers = [part for part in parts if isinstance(part, Numbers)]
        if len(numbers) == len(parts) and (common := _joined_numbers(numbers)):
            return common
    elif isinstance(first, Lists):
        lists = [part for part in parts if isinstance(part, Lists)]
        if len(lists) == len(parts):
            lengths = list(chain.from_iterable(part.lengths for part in lists))
            return Lists(lengths, joined([part.items for part in lists]))
    elif isinstance(first, Records):
        records = [part for part in parts if isinstance(part, Records)]
        if len(records) == len(parts):
            return _joined_records(records)
    return column(list(chain.from_iterable(values(part) for part in parts)))


def _floats(floats: list[float]) -> Column:
    """As integers of the smallest scale that fits, to the last bit."""
    exact = array("d", floats).tobytes()  # compared as bytes, for -0.0 equals 0.0
    if exact[:8] * len(floats) == exact:
        one = _as_integers(floats[:1], exact[:8])
        return Numbers(one.scale, one.integers * len(floats)) if one else Plain(floats)
    return _as_integers(floats, exact) or Plain(floats)


def _as_integers(floats: Sequence[float], exact: bytes) -> Numbers | None:
    probes = floats[:: len(floats) // _PROBES + 1]  # most scales that do not fit are found out here
    try:
        for scale in SCALES[1:]:
            if any(round(value * scale) / scale != value for value in probes):
                continue
            integers = list(map(round, map(mul, floats, repeat(scale))))
            if array("d", map(truediv, integers, repeat(scale))).tobytes() == exact:
                return Numbers(scale, integers) if _fit(integers) else None
    except (OverflowError, ValueError):  # an infinity, not a number
        pass
    return None


def _fit(integers: list[int]) -> bool:
    return min(integers) > -_LARGEST and max(integers) < _LARGEST


def _records(rows: list[dict[str, Any]]) -> Column:
    shapes = list(map(tuple, rows))
    first = shapes[0]
    if shapes.count(first) == len(shapes):
        columns = zip(*map(dict.values, rows), strict=True)
        return Records(
            [first],
            [(0, len(rows))],
            {name: column(list(of_name)) for name, of_name in zip(first, columns, strict=True)},
        )
    places: dict[tuple[str, ...], int] = {}
    runs: list[tuple[int, int]] = []
    found: dict[str, list[Any]] = {}
    begin = 0
    for shape, same in groupby(shapes):
        length = len(list(same))
        runs.append((places.setdefault(shape, len(places)), length))
        part = zip(*map(dict.values, rows[begin : begin + length]), strict=True)
        for name, of_name in zip(shape, part, strict=True):
            found.setdefault(name, []).extend(of_name)
        begin += length
    return Records(list(places), runs, {name: column(of_name) for name, of_name in found.items()})


def _rows(records: Records) -> list[dict[str, Any]]:
    columns: dict[str, Iterator[Any]] = {name: iter(values(below)) for name, below in records.columns.items()}
    rows: list[dict[str, Any]] = []
    for number, length in records.runs:
        shape = records.shapes[number]
        if not shape:
            rows += ({} for _ in range(length))
            continue
        part = zip(*(islice(columns[name], length) for name in shape), strict=True)
        rows += [dict(zip(shape, row, strict=True)) for row in part]
    return rows


def _joined_numbers(parts: Sequence[Numbers]) -> Numbers | None:
    scales = {part.scale for part in parts}
    scale = max(scales)
    if len(scales) == 1:
        return Numbers(scale, list(chain.from_iterable(part.integers for part in parts)))
    integers: list[int] = []
    for part in parts:
        factor, rest = divmod(scale, part.scale) if part.scale else (0, 1)
        # The quotient of two integers is rounded once, so it does not depend on how the fraction is written.
        if rest or max(map(abs, part.integers)) * factor >= _LARGEST:
            return None
        integers += part.integers if factor == 1 else map(mul, part.integers, repeat(factor))
    return Numbers(scale, integers)


def _joined_records(parts: Sequence[Records]) -> Records:
    shapes: dict[tuple[str, ...], int] = {}
    runs: list[tuple[int, int]] = []
    columns: dict[str, list[Column]] = {}
    for part in parts:
        for number, length in part.runs:
            place = shapes.setdefault(part.shapes[number], len(shapes))
            if runs and runs[-1][0] == place:
                runs[-1] = (place, runs[-1][1] + length)
            else:
                runs.append((place, length))
        for name, below in part.columns.items():
            columns.setdefault(name, []).append(below)
    return Records(list(shapes), runs, {name: joined(below) for name, below in columns.items()})


def leaves(
    of: Column, times: list[float], above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], list[float], Numbers | Plain]]:
    """Every column of single values: its path, when each was measured, and the column."""
    match of:
        case Numbers():
            yield above, times, of
        case Plain():
            yield from _leaves_of_plain(of, times, above)
        case Records():
            for name, below in of.columns.items():
                yield from leaves(below, _times_of(of, name, times), (*above, name))


def _leaves_of_plain(
    plain: Plain, times: list[float], above: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], list[float], Numbers | Plain]]:
    """Where only some are objects, these and the others apart."""
    objects = [type(value) is dict for value in plain.values]
    if not any(objects):
        yield above, times, plain
        return
    others = [not each for each in objects]
    yield above, list(compress(times, others)), Plain(list(compress(plain.values, others)))
    yield from leaves(column(list(compress(plain.values, objects))), list(compress(times, objects)), above)


def _times_of(records: Records, name: str, times: list[float]) -> list[float]:
    if all(name in shape for shape in records.shapes):
        return times
    some: list[float] = []
    at = 0
    for number, length in records.runs:
        if name in records.shapes[number]:
            some += times[at : at + length]
        at += length
    return some


def each_kind(mixed: Sequence[Any], kinds: Sequence[Callable[..., Any]]) -> tuple[list[int], list[list[Any]]]:
    """Which of these kinds each value is, and the values of every kind. Raises KeyError for another kind."""
    numbers = {kind: number for number, kind in enumerate(kinds)}
    codes = [numbers[type(value)] for value in mixed]
    parts: list[list[Any]] = [[] for _ in kinds]
    for code, value in zip(codes, mixed, strict=True):
        parts[code].append(value)
    return codes, parts
