"""Rollups ↔ bytes. Exact. Pure.

The first byte is the version: 1 deflated (zlib), 2 the same as it is, for a bundle, which compresses it::

    u32 length of the head, head (JSON), then of every grid its starts and counts, then of every column lows, highs
    above them, lasts above them, totals above count * low; floats as doubles

3 is MessagePack of the columns, for what is soon put together with more.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from operator import add, mul, sub
from typing import cast

import msgspec
from msgspec import Struct

from hbd.bundle import Part
from hbd.columns import pack, skip, unpack
from hbd.rollups import Column, Number, Path, Rolled

_V1, _VERSION, _QUICK = b"\1", b"\2", b"\3"
_MAX_PAYLOAD_BYTES = 8 << 20
_MAX_BUCKETS = 1 << 20


class _Head(Struct, array_like=True, frozen=True):
    """grids: distinct (starts, counts), each as (number of buckets). columns: (path, scale, number of its grid)."""

    seconds: int
    grids: list[int]
    columns: list[tuple[list[str], int, int]]


_read_head = msgspec.json.Decoder(_Head).decode
_write_quickly = msgspec.msgpack.Encoder().encode
_decode_quickly = msgspec.msgpack.Decoder(list[tuple[list[str], Column]]).decode
_write_head = msgspec.json.Encoder().encode


def encode(rolled: Rolled, seconds: int) -> Part:
    """The rollups of one plugin. Raises ValueError when they are too many."""
    grids: dict[tuple[tuple[int, ...], tuple[int, ...]], int] = {}
    numbers: dict[int, int] = {}
    columns, packed = [], []
    for path, column in rolled.items():
        grid = numbers.get(id(column.starts))
        if grid is None:
            grid = grids.setdefault((tuple(column.starts), tuple(column.counts)), len(grids))
            numbers[id(column.starts)] = grid
        columns.append((list(path), column.scale, grid))
        packed.append(_packed(column))
    head = _write_head(_Head(seconds, [len(starts) for starts, _ in grids], columns))
    shared = b"".join(pack([start // seconds for start in starts]) + pack(counts) for starts, counts in grids)
    part = Part(b"".join((_VERSION, struct.pack("<I", len(head)), head, shared)), b"".join(packed))
    if sum(map(len, part)) > _MAX_PAYLOAD_BYTES:
        raise ValueError(f"more than {_MAX_PAYLOAD_BYTES} bytes of rollups")
    return part


def encode_quickly(rolled: Rolled) -> Part:
    """The same in little time, and of more bytes."""
    return Part(b"", _QUICK + _write_quickly([(list(path), column) for path, column in rolled.items()]))


def decode(data: bytes, wanted: Callable[[Path], bool] | None = None) -> Rolled:
    """What ``encode`` or ``encode_quickly`` was given, or the wanted columns of it.

    Raises ValueError for anything else.
    """
    version = data[:1]
    try:
        if version == _QUICK:
            return _read_quickly(data, wanted or _everything)
        if version == _VERSION:
            return _decode(data, 1, wanted or _everything)
        if version == _V1:
            return _decode(_inflated(data), 0, wanted or _everything)
    except (zlib.error, struct.error, ArithmeticError, LookupError, TypeError, msgspec.MsgspecError) as error:
        raise ValueError(f"rollups are damaged: {error}") from error
    raise ValueError(f"rollups of version {version.hex() or 'missing'} are not known")


def _inflated(data: bytes) -> bytes:
    inflater = zlib.decompressobj()
    payload = inflater.decompress(memoryview(data)[1:], _MAX_PAYLOAD_BYTES + 1)
    if not inflater.eof or inflater.unused_data:
        raise ValueError("rollups are cut off, too long or too large")
    return payload


def _everything(_: Path) -> bool:
    return True


def _decode(payload: bytes, at: int, wanted: Callable[[Path], bool]) -> Rolled:
    (length,) = struct.unpack_from("<I", payload, at)
    at += 4 + length
    head = _read_head(memoryview(payload)[at - length : at])
    if max(head.grids, default=0) > _MAX_BUCKETS:
        raise ValueError("rollups have too many buckets")
    grids = []
    for count in head.grids:
        numbers, at = unpack(payload, at, count)
        counts, at = unpack(payload, at, count)
        grids.append(([number * head.seconds for number in numbers], counts))
    rolled: Rolled = {}
    for names, scale, grid in head.columns:
        path = tuple(names)
        if wanted(path):
            rolled[path], at = _unpacked(payload, at, scale, *grids[grid])
        else:
            at = _skipped(payload, at, scale, len(grids[grid][0]))
    if at != len(payload):
        raise ValueError("rollups have bytes too many")
    return rolled


def _read_quickly(data: bytes, wanted: Callable[[Path], bool]) -> Rolled:
    rolled: Rolled = {}
    grids: dict[tuple[tuple[int, ...], tuple[int, ...]], tuple[list[int], list[int]]] = {}
    for names, column in _decode_quickly(memoryview(data)[1:]):
        path = tuple(names)
        if not wanted(path):
            continue
        lists = column.starts, column.counts
        column.starts, column.counts = grids.setdefault((tuple(column.starts), tuple(column.counts)), lists)
        rolled[path] = column
    return rolled


def _packed(column: Column) -> bytes:
    if not column.scale:
        return b"".join(struct.pack(f"<{len(numbers)}d", *numbers) for numbers in column.numbers())
    lows, highs, totals, lasts = (cast(list[int], numbers) for numbers in column.numbers())
    above = [total - low * count for total, low, count in zip(totals, lows, column.counts, strict=True)]
    others = (list(map(sub, highs, lows)), above, list(map(sub, lasts, lows)))
    return pack(lows) + b"".join(pack(column, scattered=True) for column in others)


def _skipped(payload: bytes, at: int, scale: int, count: int) -> int:
    if not scale:
        return at + 4 * struct.calcsize(f"<{count}d")
    for _ in range(4):
        at = skip(payload, at, count)
    return at


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
