"""Reads chunks of version 1, as they are in databases of earlier versions. Pure; nothing writes them any more.

Deflated (zlib, with its checksum)::

    u32    length of the head, little-endian
    head   JSON [count, shapes, runs, others]
             count   samples in the chunk
             shapes  every distinct ``Shape``
             runs    [shape number, how many samples in a row have it], ...
             others  the columns that are not plain numbers, each a list of JSON values
    column of the times, then of every path in the order of first appearance, each one byte of form and then
             0       the next of ``others``
             1       doubles, little-endian
             else    2 + 3 * (number of a scale) + order of differences: varints; divided by the scale they are the
                     values. Order 0: the median, then each distance to it. Order 1: the first, then each distance to
                     the one before. Order 2: the first, the first distance, then each change of the distance.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import accumulate, repeat
from typing import Any

import msgspec

from hbd.model import Data
from hbd.shapes import Shape, paths_of, unflatten

_OTHER, _DOUBLES, _FIRST_FORM = 0, 1, 2
_SCALES = (0, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6, float(1 << 22))
_ORDERS = 3
_MAX_BITS = 64


class _Head(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    count: int
    shapes: list[Any]
    runs: list[tuple[int, int]]
    others: list[list[Any]]


_read_head = msgspec.json.Decoder(_Head).decode


def decode_payload(payload: bytes, max_cells: int) -> list[tuple[float, Data]]:
    """The samples in an inflated chunk. Raises ValueError, struct.error, ArithmeticError, LookupError, TypeError or
    RecursionError when it is damaged. max_cells: times and values in it, at most."""
    (head_bytes,) = struct.unpack_from("<I", payload)
    head = _read_head(memoryview(payload)[4 : 4 + head_bytes])
    shapes = [_as_shape(raw) for raw in head.shapes]
    paths = [list(paths_of(shape)) for shape in shapes]
    lengths = {path: 0 for shape_paths in paths for path in shape_paths}
    cells = 0
    for number, length in head.runs:
        cells += (len(paths[number]) + 1) * length
        if number < 0 or length < 1 or cells > max_cells:
            raise ValueError("chunk has an impossible run")
        for path in paths[number]:
            lengths[path] += length
    if head.count != sum(length for _, length in head.runs):
        raise ValueError("chunk has another number of samples than it says")
    reader = _Reader(payload, 4 + head_bytes, iter(head.others))
    times = reader.column(head.count)
    columns = {path: iter(reader.column(length)) for path, length in lengths.items()}
    if reader.at != len(payload):
        raise ValueError("chunk has bytes too many")
    data: list[Data] = []
    for number, length in head.runs:
        rows = zip(*(columns[path] for path in paths[number]), strict=True) if paths[number] else repeat(())
        data += [unflatten(shapes[number], iter(row)) for _, row in zip(range(length), rows, strict=False)]
    return list(zip(times, data, strict=True))


def _as_shape(raw: Any) -> Shape:
    """A shape as it comes out of JSON, with tuples again. Raises TypeError or ValueError when it is none."""
    names: list[str | tuple[str, Shape]] = []
    for item in raw:
        if isinstance(item, str):
            names.append(item)
        else:
            name, below = item
            names.append((str(name), _as_shape(below)))
    return tuple(names)


class _Reader:
    """Takes one column after the other from a payload. at: the next byte."""

    def __init__(self, payload: bytes, at: int, others: Iterator[list[Any]]) -> None:
        self.at = at
        self._payload = payload
        self._others = others

    def column(self, count: int) -> list[Any]:
        form = self._payload[self.at]
        self.at += 1
        if form == _OTHER:
            column = next(self._others, [])
            if len(column) != count:
                raise ValueError("chunk has a column of the wrong length")
            return column
        if form == _DOUBLES:
            doubles = struct.unpack_from(f"<{count}d", self._payload, self.at)
            self.at += 8 * count
            return list(doubles)
        scale_number, order = divmod(form - _FIRST_FORM, _ORDERS)
        scale = _SCALES[scale_number]
        integers = self._integers(order, count)
        return [integer / scale for integer in integers] if scale else integers

    def _integers(self, order: int, count: int) -> list[int]:
        leading = self._varints(max(order, 1))
        residues = self._varints(count - order)
        if order == 0:
            return [leading[0] + residue for residue in residues]
        if order == 2:
            residues = list(accumulate(residues, initial=leading[1]))
        return list(accumulate(residues, initial=leading[0]))

    def _varints(self, count: int) -> list[int]:
        short = self._payload[self.at : self.at + count]
        if short.isascii() and len(short) == count:  # each in one byte
            self.at += count
            unsigned = list(short)
        else:
            unsigned = [self._varint() for _ in range(count)]
        return [number >> 1 if not number & 1 else ~(number >> 1) for number in unsigned]

    def _varint(self) -> int:
        number = shift = 0
        while (byte := self._payload[self.at]) > 0x7F:
            if shift > _MAX_BITS:
                raise ValueError("chunk has a number too large")
            number |= (byte & 0x7F) << shift
            shift += 7
            self.at += 1
        self.at += 1
        return number | byte << shift
