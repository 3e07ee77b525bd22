"""What was shown of a host, second by second, as the changes of one JSON document. Pure.

A document is taken apart into *leaves*: its values, by the way to them. A *strand* is a run of changes of one host; it
begins with a whole document (its *base*), so that nothing before it is needed to read it::

    doc ── flatten ──► leaves ── differences ──► changes ── to_rows ──► bytes, as they are written (some seconds each)
                                                    └────── pack ─────► bytes, a column for each leaf (a window each)

Times are Unix milliseconds in here: two documents of one host are never of the same one.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import msgspec

Path = tuple[str | int, ...]  # names of members, positions in lists
Leaves = dict[Path, Any]

VERSION = b"\x01"
MOST_DECIMALS = 6
EXACT = 2**53  # integers below this are exact as floats
MAX_BYTES = 64 << 20  # of one strand, unpacked

_encode = msgspec.json.Encoder().encode


class Change(NamedTuple):
    """At a time some leaves came to be something, and some went. base: all others went too."""

    at: int
    base: bool
    put: Leaves
    gone: list[Path]


class _Row(msgspec.Struct, array_like=True):
    at: int
    base: bool
    put: list[tuple[list[str | int], Any]]
    gone: list[list[str | int]]


class _Column(msgspec.Struct, array_like=True):
    """One leaf. rows: steps between the positions of the times at which it came to be something. values: as they are
    (scale None), else their steps in units of 10 to the power of minus ``scale``. whole: whether those are integers.
    gone: steps between the positions of the times at which it went.
    """

    path: list[str | int]
    rows: list[int]
    values: list[Any]
    scale: int | None
    whole: bool
    gone: list[int]


class _Packed(msgspec.Struct, array_like=True):
    """times: the first, then steps. bases: steps between the positions of those that begin anew."""

    times: list[int]
    bases: list[int]
    columns: list[_Column]


_decode_rows = msgspec.json.Decoder(list[_Row]).decode
_decode_packed = msgspec.json.Decoder(_Packed).decode


def flatten(doc: Mapping[str, Any]) -> Leaves:
    """The leaves of a document. Empty objects and lists, and lists without an object in them, are leaves."""
    leaves: Leaves = {}
    for name, value in doc.items():
        _flatten((name,), value, leaves)
    return leaves


def _flatten(path: Path, value: Any, leaves: Leaves) -> None:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            _flatten((*path, name), inner, leaves)
    elif _has_objects(value):
        for position, inner in enumerate(value):
            _flatten((*path, position), inner, leaves)
    else:
        leaves[path] = value


def unflatten(leaves: Leaves) -> dict[str, Any]:
    """The document again; members of an object are in the order in which they came to be."""
    doc: dict[Any, Any] = {}
    for path, value in leaves.items():
        place = doc
        for step in path[:-1]:
            place = place.setdefault(step, {})
        place[path[-1]] = value
    whole: dict[str, Any] = _with_lists(doc)
    return whole


def _with_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _with_lists(one) for name, one in value.items()}
    if inner and all(isinstance(name, int) for name in inner):
        return [inner[position] for position in sorted(inner)]
    return inner


def difference(before: Mapping[str, Any], after: Mapping[str, Any], at: int) -> Change | None:
    """How one document became the other; None when it is the same."""
    put: Leaves = {}
    gone: list[Path] = []
    _differ_in((), before, after, put, gone)
    return Change(at, False, put, gone) if put or gone else None


def _differ_in(path: Path, before: Mapping[Any, Any], after: Mapping[Any, Any], put: Leaves, gone: list[Path]) -> None:
    for name, new in after.items():
        if name not in before:
            _flatten((*path, name), new, put)
            continue
        old = before[name]
        kind = type(new)
        if type(old) is kind and kind is not dict and kind is not list:
            if old != new:
                put[*path, name] = new
        else:
            _differ((*path, name), old, new, put, gone)
    for name in before:
        if name not in after:
            _leave((*path, name), before[name], gone)


def _differ(path: Path, old: Any, new: Any, put: Leaves, gone: list[Path]) -> None:
    if isinstance(old, dict) and isinstance(new, dict) and old and new:
        _differ_in(path, old, new, put, gone)
    elif _has_objects(old) and _has_objects(new):
        _differ_in(path, dict(enumerate(old)), dict(enumerate(new)), put, gone)
    elif _is_leaf(old) and _is_leaf(new):
        if not _alike(old, new):
            put[path] = new
    else:
        _leave(path, old, gone)
        _flatten(path, new, put)


def _leave(path: Path, value: Any, gone: list[Path]) -> None:
    leaves: Leaves = {}
    _flatten(path, value, leaves)
    gone += leaves


def _alike(one: Any, other: Any) -> bool:
    """Whether they are written in the same way; 1 and 1.0 and true are not."""
    return type(one) is type(other) and one == other and (type(one) is not list or _encode(one) == _encode(other))


def _is_leaf(value: Any) -> bool:
    return not (isinstance(value, dict) and value) and not _has_objects(value)


def _has_objects(value: Any) -> bool:
    """Whether it is a list whose parts are told apart; see ``flatten``."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def base(doc: Mapping[str, Any], at: int) -> Change:
    return Change(at, True, flatten(doc), [])


def to_rows(changes: Iterable[Change]) -> bytes:
    """Changes as they are written first."""
    rows = [
        _Row(one.at, one.base, [(list(path), value) for path, value in one.put.items()], _lists(one.gone))
        for one in changes
    ]
    return zlib.compress(_encode(rows), 1)


def from_rows(data: bytes) -> list[Change]:
    """Raises ValueError when the bytes are damaged."""
    try:
        rows = _decode_rows(_inflate(data))
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
    return [
        Change(row.at, row.base, {tuple(path): value for path, value in row.put}, [*map(tuple, row.gone)])
        for row in rows
    ]


def pack(changes: Sequence[Change]) -> bytes:
    """The changes of one window, of which the first is a base, in the order of their times."""
    rows: dict[Path, tuple[list[int], list[Any], list[int]]] = {}
    for position, change in enumerate(changes):
        for path, value in change.put.items():
            column = rows.setdefault(path, ([], [], []))
            column[0].append(position)
            column[1].append(value)
        for path in change.gone:
            rows.setdefault(path, ([], [], []))[2].append(position)
    packed = _Packed(
        _steps(change.at for change in changes),
        _steps(position for position, change in enumerate(changes) if change.base),
        [_column(path, *found) for path, found in rows.items()],
    )
    return VERSION + zlib.compress(_encode(packed), 9)


def _column(path: Path, rows: list[int], values: list[Any], gone: list[int]) -> _Column:
    scale = _scale(values)
    whole = scale is not None and type(values[0]) is int
    if scale is not None:
        values = _steps(round(value * 10**scale) for value in values)
    return _Column(list(path), _steps(rows), values, scale, whole, _steps(gone))


def _scale(values: Sequence[Any]) -> int | None:
    """How many decimals hold all values to the last bit; None when they are no numbers of one kind, or too fine."""
    kind = type(values[0]) if values else None
    if kind not in (int, float) or len(values) < 3 or not all(type(value) is kind for value in values):
        return None
    if kind is int:
        return 0
    for scale in range(MOST_DECIMALS + 1):
        unit = 10**scale
        if all(abs(value) * unit < EXACT and round(value * unit) / unit == value for value in values):
            return scale
    return None


def unpack(data: bytes) -> list[Change]:
    """All changes of a window. Raises ValueError when the bytes are damaged."""
    packed = _opened(data)
    bases = set(accumulate(packed.bases))
    changes = [Change(at, position in bases, {}, []) for position, at in enumerate(accumulate(packed.times))]
    try:
        for column in packed.columns:
            path = tuple(column.path)
            for position, value in zip(accumulate(column.rows), _values(column, len(column.rows)), strict=True):
                changes[position].put[path] = value
            for position in accumulate(column.gone):
                changes[position].gone.append(path)
    except IndexError:
        raise ValueError("a column has more than there are times") from None
    return changes


def packed_at(data: bytes, at: int) -> Leaves | None:
    """What held at a time; None when the window began later. Raises ValueError when the bytes are damaged."""
    packed = _opened(data)
    last = sum(1 for time in accumulate(packed.times) if time <= at) - 1
    if last < 0:
        return None
    first = max((position for position in accumulate(packed.bases) if position <= last), default=0)
    found: Leaves = {}
    for column in packed.columns:
        newest = _last(column.rows, last)
        if newest is None or newest[1] < first:
            continue
        went = _last(column.gone, last)
        if went is not None and went[1] > newest[1]:
            continue
        values = _values(column, newest[0] + 1)
        if len(values) <= newest[0]:
            raise ValueError("a column is cut off")
        found[tuple(column.path)] = values[newest[0]]
    return found


def _last(steps: list[int], limit: int) -> tuple[int, int] | None:
    """Index and position of the last that is not behind the limit."""
    found = None
    for index, position in enumerate(accumulate(steps)):
        if position > limit:
            break
        found = index, position
    return found


def _values(column: _Column, count: int) -> list[Any]:
    """The first ``count`` values of a column."""
    if column.scale is None:
        return column.values[:count]
    if not 0 <= column.scale <= MOST_DECIMALS:
        raise ValueError("a column has an unknown scale")
    try:
        numbers = list(accumulate(column.values[:count]))
        return numbers if column.whole else [number / 10**column.scale for number in numbers]
    except TypeError as error:
        raise ValueError(f"a column is damaged: {error}") from None


def _opened(data: bytes) -> _Packed:
    if not data.startswith(VERSION):
        raise ValueError("this is of another version of hbd")
    try:
        return _decode_packed(_inflate(data[len(VERSION) :]))
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None


def _inflate(data: bytes) -> bytes:
    inflating = zlib.decompressobj()
    try:
        found = inflating.decompress(data, MAX_BYTES)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if inflating.unconsumed_tail or not inflating.eof:
        raise ValueError("it is cut off, or larger than anything that was written")
    return found


def apply(leaves: Leaves, changes: Iterable[Change], until: int) -> Leaves:
    """What holds at a time, given what held before these changes."""
    for change in changes:
        if change.at > until:
            break
        if change.base:
            leaves = {}
        for path in change.gone:
            leaves.pop(path, None)
        leaves.update(change.put)
    return leaves


def in_order(changes: Sequence[Change]) -> list[Change]:
    """Without those that were overtaken: a clock that is set back begins anew with an earlier time."""
    kept: list[Change] = []
    for change in reversed(changes):
        if not kept or change.at <= kept[-1].at:
            kept.append(change)
    return kept[::-1]


def thin(changes: Sequence[Change], every: int) -> list[Change]:
    """Only what held at the end of each ``every`` milliseconds, and the first base."""
    kept: list[Change] = []
    leaves: Leaves = {}
    shown: Leaves = {}
    for change, following in [*pairwise(changes), (changes[-1], None)] if changes else []:
        leaves = apply(dict(leaves), (change,), change.at)
        if following is not None and kept and change.at // every == following.at // every:
            continue
        if not kept or change.base:
            kept.append(Change(change.at, True, dict(leaves), []))
        else:
            put = {
                path: value
                for path, value in leaves.items()
                if path not in shown or _encode(shown[path]) != _encode(value)
            }
            gone = [path for path in shown if path not in leaves]
            if put or gone:
                kept.append(Change(change.at, False, put, gone))
        shown = leaves
    return kept


def _steps(numbers: Iterable[int]) -> list[int]:
    """The first number, then by how much each is more than the one before."""
    steps, before = [], 0
    for number in numbers:
        steps.append(number - before)
        before = number
    return steps


def _lists(paths: Iterable[Path]) -> list[list[str | int]]:
    return [list(path) for path in paths]
