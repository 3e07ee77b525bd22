"""Samples ↔ compressed columnar chunks. Pure, exact, and the only place that knows the format.

A chunk of version 1 is the byte 1 and then deflated (zlib, with its checksum)::

    u32    length of the head, little-endian
    head   JSON [count, shapes, runs, others]
             count   samples in the chunk
             shapes  every distinct ``Shape``
             runs    [shape number, how many samples in a row have it], ...
             others  the columns that are not plain numbers, each a list of JSON values
    column of the times, then of every path in the order of first appearance, each one byte of form and then
             0       the next of ``others``
             1       doubles, little-endian
             else    integers, see ``pack_integers``; divided by a scale they are the values

Most measured values have few decimals and differ little from the one before. So a column of doubles becomes integers
where that is exact, integers become differences, and differences become varints, which deflate well.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, repeat
from operator import sub
from typing import Any, TypeAlias

import msgspec

from hbd.model import Data

# The names of a sample in their order; a nested one is a pair of its name and the shape below it.
Shape: TypeAlias = tuple["str | tuple[str, Shape]", ...]

MAX_CELLS = 1 << 20  # values and times in one chunk
MAX_PAYLOAD_BYTES = 8 << 20  # of one chunk before it is compressed

_VERSION = b"\1"
_OTHER, _DOUBLES, _FIRST_FORM = 0, 1, 2
# An integer column's form: scale number * orders + order of differences. Scale 0: the values are integers themselves.
# 2**22 makes integers of what a clock gives: until 2106 a double has that many binary places for Unix seconds.
_SCALES = (0, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6, float(1 << 22))
_ORDERS = 3
_MAX_BITS = 64  # of an integer in such a column; its second difference has 2 bits more


class _Head(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    count: int
    shapes: list[Any]
    runs: list[tuple[int, int]]
    others: list[list[Any]]


_read_head = msgspec.json.Decoder(_Head).decode
_write_head = msgspec.json.Encoder().encode


def encode(samples: Sequence[tuple[float, Data]]) -> bytes:
    """One chunk. samples: (Unix seconds, data), oldest first; data: what JSON can say.

    Raises ValueError when there are more than MAX_CELLS values or MAX_PAYLOAD_BYTES, when data are nested deeper than
    the interpreter's stack, or when they hold something that JSON cannot say.
    """
    shapes: dict[Shape, int] = {}
    lengths: list[tuple[int, int]] = []
    columns: dict[tuple[str, ...], list[Any]] = {}
    others: list[list[Any]] = []
    cells = len(samples)
    try:
        for shape, _, rows in runs(samples):
            lengths.append((shapes.setdefault(shape, len(shapes)), len(rows)))
            cells += sum(map(len, rows))
            if cells > MAX_CELLS:
                raise ValueError(f"more than {MAX_CELLS} values in one chunk")
            for path, column in zip(paths_of(shape), zip(*rows, strict=True), strict=True):
                columns.setdefault(path, []).extend(column)
        packed = [_pack(column, others) for column in ([time for time, _ in samples], *columns.values())]
        head = _write_head(_Head(len(samples), list(shapes), lengths, others))
    except (TypeError, RecursionError) as error:
        raise ValueError(f"not JSON, or nested too deeply: {error}") from error
    payload = b"".join((struct.pack("<I", len(head)), head, *packed))
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"more than {MAX_PAYLOAD_BYTES} bytes in one chunk")
    return _VERSION + zlib.compress(payload, 6)


def decode(chunk: bytes) -> list[tuple[float, Data]]:
    """What ``encode`` was given. Raises ValueError for anything that no ``encode`` gave."""
    if chunk[:1] != _VERSION:
        raise ValueError(f"chunk version {chunk[:1].hex() or 'missing'} is not known")
    inflater = zlib.decompressobj()
    try:
        payload = inflater.decompress(memoryview(chunk)[1:], MAX_PAYLOAD_BYTES + 1)
        if not inflater.eof or inflater.unused_data:
            raise ValueError("chunk is cut off, too long or too large")
        return _decode_payload(payload)
    except (zlib.error, struct.error, ArithmeticError, LookupError, TypeError, RecursionError) as error:
        raise ValueError(f"chunk is damaged: {error}") from error


def flatten(data: Data) -> tuple[Shape, list[Any]]:
    """A sample's names and its values, both in order. Raises RecursionError when it is nested too deeply."""
    values = list(data.values())
    if dict not in map(type, values):
        return tuple(data), values
    names: list[str | tuple[str, Shape]] = []
    values = []
    for name, value in data.items():
        if type(value) is dict:
            below, values_below = flatten(value)
            names.append((name, below))
            values += values_below
        else:
            names.append(name)
            values.append(value)
    return tuple(names), values


def unflatten(shape: Shape, values: Iterator[Any]) -> Data:
    """The sample that ``flatten`` took apart."""
    if tuple not in map(type, shape):
        return dict(zip(shape, values, strict=False))  # type: ignore[arg-type]  # only text; values may go on
    return {
        name if isinstance(name, str) else name[0]: next(values)
        if isinstance(name, str)
        else unflatten(name[1], values)
        for name in shape
    }


def paths_of(shape: Shape, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The names of every value of such a sample, in the order of its values."""
    for name in shape:
        if isinstance(name, str):
            yield (*above, name)
        else:
            yield from paths_of(name[1], (*above, name[0]))


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


def runs(samples: Iterable[tuple[float, Data]]) -> Iterator[tuple[Shape, list[float], list[list[Any]]]]:
    """Neighbours of one shape together: their times, and their values as rows."""
    shape: Shape | None = None
    times: list[float] = []
    rows: list[list[Any]] = []
    for time, data in samples:
        next_shape, values = flatten(data)
        if next_shape != shape:
            if shape is not None:
                yield shape, times, rows
            shape, times, rows = next_shape, [], []
        times.append(time)
        rows.append(values)
    if shape is not None:
        yield shape, times, rows


def _decode_payload(payload: bytes) -> list[tuple[float, Data]]:
    (head_bytes,) = struct.unpack_from("<I", payload)
    head = _read_head(memoryview(payload)[4 : 4 + head_bytes])
    shapes = [_as_shape(raw) for raw in head.shapes]
    paths = [list(paths_of(shape)) for shape in shapes]
    lengths = {path: 0 for shape_paths in paths for path in shape_paths}
    cells = 0
    for number, length in head.runs:
        cells += (len(paths[number]) + 1) * length
        if number < 0 or length < 1 or cells > MAX_CELLS:
            raise ValueError("chunk has an impossible run")
        for path in paths[number]:
            lengths[path] += length
    if head.count != sum(length for _, length in head.runs):
        raise ValueError("chunk has another number of samples than it says")
    reader = Reader(payload, 4 + head_bytes, iter(head.others))
    times = reader.column(head.count)
    columns = {path: iter(reader.column(length)) for path, length in lengths.items()}
    if reader.at != len(payload):
        raise ValueError("chunk has bytes too many")
    data: list[Data] = []
    for number, length in head.runs:
        rows = zip(*(columns[path] for path in paths[number]), strict=True) if paths[number] else repeat(())
        data += [unflatten(shapes[number], iter(row)) for _, row in zip(range(length), rows, strict=False)]
    return list(zip(times, data, strict=True))


def _pack(column: list[Any], others: list[list[Any]]) -> bytes:
    """A column as bytes. One that is not all floats or all integers of common size goes to ``others``."""
    kinds = set(map(type, column))
    if kinds == {int} and max(map(int.bit_length, column)) <= _MAX_BITS:
        return pack_integers(column, 0)
    if kinds == {float}:
        for number, scale in enumerate(_SCALES[1:], 1):
            integers = _scaled(column, scale)
            if integers is not None:
                return pack_integers(integers, number)
        return struct.pack(f"<B{len(column)}d", _DOUBLES, *column)
    others.append(column)
    return bytes((_OTHER,))


def _scaled(column: list[float], scale: float) -> list[int] | None:
    """The integers which divided by scale are the column to the last bit, None when there are none."""
    try:
        for value in column[:4]:  # most scales that do not fit are found out here
            if round(value * scale) / scale != value:
                return None
        integers = [round(value * scale) for value in column]
        back = [integer / scale for integer in integers]
    except (OverflowError, ValueError):  # an infinity, not a number
        return None
    if max(map(int.bit_length, integers)) > _MAX_BITS:
        return None
    # Compared as bytes, for -0.0 equals 0.0.
    return integers if array("d", back).tobytes() == array("d", column).tobytes() else None


def pack_integers(integers: list[int], scale_number: int = 0) -> bytes:
    """Form, leading numbers, residues; of the three orders of differences the one with the fewest bits.

    Order 0: the median, then each distance to it. Order 1: the first, then each distance to the one before.
    Order 2: the first, the first distance, then each change of the distance.
    """
    if not integers:
        return b""
    median = sorted(integers)[len(integers) // 2]
    distances = list(map(sub, integers[1:], integers))
    choices = [([median], [integer - median for integer in integers]), (integers[:1], distances)]
    if distances:
        choices.append(([integers[0], distances[0]], list(map(sub, distances[1:], distances))))
    bits = [sum(map(int.bit_length, residues)) for _, residues in choices]
    order = bits.index(min(bits))
    leading, residues = choices[order]
    return bytes((_FIRST_FORM + scale_number * _ORDERS + order,)) + _varints(leading) + _varints(residues)


def _varints(integers: list[int]) -> bytes:
    """Each integer zigzagged (0, -1, 1, -2, ...), then 7 bits a byte, lowest first, the top bit set but in the last."""
    unsigned = [integer << 1 if integer >= 0 else ~(integer << 1) for integer in integers]
    if max(unsigned, default=0) < 0x80:
        return bytes(unsigned)
    packed = bytearray()
    for rest in unsigned:
        while rest > 0x7F:
            packed.append(rest & 0x7F | 0x80)
            rest >>= 7
        packed.append(rest)
    return bytes(packed)


class Reader:
    """Takes one column after the other from a payload. at: the next byte."""

    def __init__(self, payload: bytes, at: int, others: Iterator[list[Any]] | None = None) -> None:
        self.at = at
        self._payload = payload
        self._others = others or iter(())

    def column(self, count: int) -> list[Any]:
        form = self._payload[self.at]
        self.at += 1
        if form == _OTHER:
            column = next(self._others, [])
            if len(column) != count:
                raise ValueError("chunk has a column of the wrong length")
            return column
        if form == _DOUBLES:
            return self.doubles(count)
        scale_number, order = divmod(form - _FIRST_FORM, _ORDERS)
        scale = _SCALES[scale_number]
        integers = self._integers(order, count)
        return [integer / scale for integer in integers] if scale else integers

    def doubles(self, count: int) -> list[float]:
        doubles = struct.unpack_from(f"<{count}d", self._payload, self.at)
        self.at += 8 * count
        return list(doubles)

    def integers(self, count: int) -> list[int]:
        """What ``pack_integers`` made of so many."""
        if not count:
            return []
        form = self._payload[self.at]
        self.at += 1
        return self._integers(form - _FIRST_FORM, count)

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
