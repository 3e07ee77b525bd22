"""Samples ↔ compressed columnar chunks. Exact. Pure.

A chunk's first byte is its version: 1 as ``history_v1`` says; 2 deflated (zlib, with its checksum); 3 the same as it
is, for a bundle, which compresses it; 4, for what is soon packed into such a bundle, deflated MessagePack of a
``Table``. In 2 and 3::

    number of samples (varint), column of the times, column of the data

A column is one byte of form and then::

    0       nothing: each is null
    1       yes or no: integers, 0 or 1
    2       integers, see ``hbd.columns``
    3       doubles, in planes: the lowest bytes of all, then the next ones, ...
    4       texts: number of distinct ones, each with the length of its UTF-8 before it; of each its place among them
    5       integers that are too large for 2: texts of their hexadecimal digits
    6       lists: integers, the length of each; the column of all items
    7       objects: number of shapes, each the number of its names and they themselves; number of runs, each the place
            of its shape and its length; then the column of every name, in the order of first appearance
    8       several kinds: of each its kind (in the order of these forms) as integers, then the column of each kind that
            there is
    17...   floats: integers that are divided by a scale, whose number is this byte less 16
"""

from __future__ import annotations

import struct
import zlib
from array import array
from collections.abc import Sequence
from itertools import pairwise
from sys import byteorder
from typing import Any

import msgspec
from msgspec import Struct

from hbd import history_v1
from hbd.bundle import Part
from hbd.columns import pack, read_varint, unpack, varint
from hbd.model import Data
from hbd.tables import SCALES, Column, Lists, Numbers, Plain, Records, column, each_kind, joined, values

MAX_CELLS = 1 << 20  # values and times in one chunk
MAX_PAYLOAD_BYTES = 8 << 20  # of one chunk before it is compressed

_V1, _DEFLATED, _PLAIN, _QUICK = b"\1", b"\2", b"\3", b"\4"
_LEVEL = 6
_NULLS, _YES_OR_NO, _INTEGERS, _DOUBLES, _TEXTS, _LARGE, _LISTS, _OBJECTS, _MIXED, _SCALED = *range(9), 16
_KINDS = (type(None), bool, int, float, str, list, dict)
_DAMAGES = (zlib.error, struct.error, ArithmeticError, LookupError, TypeError, RecursionError, UnicodeDecodeError)


class Table(Struct, array_like=True):
    """The samples of one plugin, oldest first, as columns. times: Unix seconds."""

    times: list[float]
    data: Column

    def __len__(self) -> int:
        return len(self.times)

    def samples(self) -> list[tuple[float, Data]]:
        return list(zip(self.times, values(self.data), strict=True))


_write_quickly = msgspec.msgpack.Encoder().encode
_read_quickly = msgspec.msgpack.Decoder(Table).decode


def table(samples: Sequence[tuple[float, Data]]) -> Table:
    """samples: (Unix seconds, data), oldest first; data: what JSON can say.

    Raises ValueError when data are nested deeper than the interpreter's stack.
    """
    try:
        return Table([time for time, _ in samples], column([data for _, data in samples]))
    except RecursionError as error:
        raise ValueError(f"nested too deeply: {error}") from error


def in_a_row(tables: Sequence[Table]) -> Table:
    """All samples of them, in the order of time. Raises ValueError for data that are nested too deeply."""
    tables = [each for each in tables if each.times]
    tables.sort(key=lambda each: each.times[0])
    if not tables:
        return Table([], Plain([]))
    times = [time for each in tables for time in each.times]
    try:
        if all(one.times[-1] <= other.times[0] for one, other in pairwise(tables)):
            return Table(times, joined([each.data for each in tables]))
        return table(sorted((pair for each in tables for pair in each.samples()), key=lambda pair: pair[0]))
    except RecursionError as error:
        raise ValueError(f"nested too deeply: {error}") from error


def encode(samples: Sequence[tuple[float, Data]]) -> bytes:
    """One chunk of samples that ``table`` takes; raises what ``table`` and ``write`` raise."""
    return write(table(samples))


def write(of: Table) -> bytes:
    """One chunk. Raises ValueError when there are more than MAX_CELLS values or MAX_PAYLOAD_BYTES, when data are nested
    deeper than the interpreter's stack, or when they hold something that JSON cannot say."""
    return _DEFLATED + zlib.compress(b"".join(_payload(of)), _LEVEL)


def write_quickly(of: Table) -> bytes:
    """One chunk, in little time. Raises as ``write`` does."""
    try:
        packed = _write_quickly(of)
    except (TypeError, ValueError, OverflowError, RecursionError):  # an integer that MessagePack cannot say
        return write(of)
    if len(packed) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"more than {MAX_PAYLOAD_BYTES} bytes in one chunk")
    return _QUICK + zlib.compress(packed, 1)


def write_part(of: Table) -> Part:
    """The same, not compressed and with the times apart, for a bundle. Raises as ``write`` does."""
    times, data = _payload(of)
    return Part(_PLAIN + times, data)


def decode(chunk: bytes) -> list[tuple[float, Data]]:
    """What ``encode`` was given. Raises ValueError for anything that no ``encode`` gave."""
    if chunk[:1] == _V1:
        try:
            return history_v1.decode_payload(_inflated(chunk), MAX_CELLS)
        except _DAMAGES as error:
            raise ValueError(f"chunk is damaged: {error}") from error
    try:
        return read(chunk).samples()
    except RecursionError as error:
        raise ValueError(f"chunk is damaged: {error}") from error


def read(chunk: bytes) -> Table:
    """What ``write`` was given, of any version. Raises ValueError for anything that no ``write`` gave."""
    version = chunk[:1]
    if version == _V1:
        return table(decode(chunk))
    if version == _QUICK:
        try:
            return _read_quickly(_inflated(chunk))
        except (*_DAMAGES, msgspec.MsgspecError) as error:
            raise ValueError(f"chunk is damaged: {error}") from error
    if version not in (_DEFLATED, _PLAIN):
        raise ValueError(f"chunk version {version.hex() or 'missing'} is not known")
    try:
        reader = _Reader(_inflated(chunk) if version == _DEFLATED else chunk[1:])
        count = reader.number()
        times = values(reader.column(count))
        data = reader.column(count)
    except _DAMAGES as error:
        raise ValueError(f"chunk is damaged: {error}") from error
    if reader.at != len(reader.payload):
        raise ValueError("chunk has bytes too many")
    if not {*map(type, times)} <= {float, int} or (count and not isinstance(data, Records)):
        raise ValueError("chunk is of no samples")
    return Table(times, data)


def _payload(of: Table) -> tuple[bytes, bytes]:
    """The times, and the data."""
    writer = _Writer()
    try:
        writer.add(varint(len(of)))
        writer.column(column(of.times))
        times, writer.pieces = b"".join(writer.pieces), []
        writer.column(of.data)
    except (KeyError, RecursionError) as error:
        raise ValueError(f"not JSON, or nested too deeply: {error}") from error
    return times, b"".join(writer.pieces)


def _inflated(chunk: bytes) -> bytes:
    inflater = zlib.decompressobj()
    payload = inflater.decompress(memoryview(chunk)[1:], MAX_PAYLOAD_BYTES + 1)
    if not inflater.eof or inflater.unused_data:
        raise ValueError("chunk is cut off, too long or too large")
    return payload


class _Writer:
    """pieces: the payload so far."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self._cells = 0
        self._bytes = 0

    def add(self, *pieces: bytes) -> None:
        self.pieces += pieces
        self._bytes += sum(map(len, pieces))
        if self._bytes > MAX_PAYLOAD_BYTES:
            raise ValueError(f"more than {MAX_PAYLOAD_BYTES} bytes in one chunk")

    def column(self, of: Column) -> None:
        match of:
            case Numbers():
                self._count(len(of.integers))
                form = _SCALED + SCALES.index(of.scale) if of.scale else _INTEGERS
                self.add(bytes((form,)), pack(of.integers))
            case Plain():
                self._plain(of.values)
            case Lists():
                self._count(len(of.lengths))
                self.add(bytes((_LISTS,)), pack(of.lengths))
                self.column(of.items)
            case Records():
                self._records(of)

    def _count(self, cells: int) -> None:
        self._cells += cells
        if self._cells > MAX_CELLS:
            raise ValueError(f"more than {MAX_CELLS} values in one chunk")

    def _plain(self, of: list[Any]) -> None:
        self._count(len(of))
        kinds = set(map(type, of))
        if len(kinds) > 1:
            codes, parts = each_kind(of, _KINDS)
            self.add(bytes((_MIXED,)), pack(codes))
            for part in filter(None, parts):
                self.column(column(part))
        elif not kinds or kinds == {type(None)}:
            self.add(bytes((_NULLS,)))
        elif kinds == {bool}:
            self.add(bytes((_YES_OR_NO,)), pack(list(map(int, of))))
        elif kinds == {float}:
            self.add(bytes((_DOUBLES,)), *_planes(of))
        elif kinds == {int}:
            self.add(bytes((_LARGE,)))
            self._texts([f"{number:x}" for number in of])
        elif kinds == {str}:
            self.add(bytes((_TEXTS,)))
            self._texts(of)
        else:
            raise KeyError(f"a value is {kinds.pop().__name__}")

    def _texts(self, texts: list[str]) -> None:
        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        self.add(varint(len(places)), *map(_text, places), pack(list(map(places.__getitem__, texts))))

    def _records(self, of: Records) -> None:
        self._count(sum(length for _, length in of.runs))
        self.add(bytes((_OBJECTS,)), varint(len(of.shapes)))
        for shape in of.shapes:
            self.add(varint(len(shape)), *map(_text, shape))
        self.add(varint(len(of.runs)), *(varint(number) + varint(length) for number, length in of.runs))
        for below in of.columns.values():
            self.column(below)


class _Reader:
    """Takes one column after the other from a payload. at: the next byte."""

    def __init__(self, payload: bytes) -> None:
        self.at = 0
        self.payload = payload
        self._cells = 0

    def number(self) -> int:
        number, self.at = read_varint(self.payload, self.at)
        if number < 0:
            raise ValueError("chunk has a negative number")
        return number

    def column(self, count: int) -> Column:
        self._cells += count
        if self._cells > MAX_CELLS:
            raise ValueError("chunk has too many values")
        form = self.payload[self.at]
        self.at += 1
        if form > _SCALED:
            return Numbers(SCALES[form - _SCALED], self._integers(count))
        match form:
            case 0:
                return Plain([None] * count)
            case 1:
                return Plain(list(map(bool, self._integers(count))))
            case 2:
                return Numbers(0, self._integers(count))
            case 3:
                return Plain(self._doubles(count))
            case 4:
                return Plain(self._texts(count))
            case 5:
                return Plain([int(digits, 16) for digits in self._texts(count)])
            case 6:
                lengths = self._integers(count)
                if min(lengths, default=0) < 0:
                    raise ValueError("chunk has a list of negative length")
                return Lists(lengths, self.column(sum(lengths)))
            case 7:
                return self._records(count)
            case 8:
                return self._mixed(count)
            case _:
                raise ValueError(f"chunk has a column of form {form}")

    def _integers(self, count: int) -> list[int]:
        integers, self.at = unpack(self.payload, self.at, count)
        return integers

    def _cut(self, length: int) -> bytes:
        if self.at + length > len(self.payload):
            raise ValueError("chunk is cut off")
        self.at += length
        return self.payload[self.at - length : self.at]

    def _doubles(self, count: int) -> list[float]:
        raw = bytearray(8 * count)
        for plane in range(8):
            raw[plane::8] = self._cut(count)
        doubles = array("d")
        doubles.frombytes(raw)
        if byteorder == "big":
            doubles.byteswap()
        return doubles.tolist()

    def _texts(self, count: int) -> list[str]:
        texts = [self._text() for _ in range(self._few())]
        places = self._integers(count)
        if min(places, default=0) < 0:
            raise ValueError("chunk has an impossible place")
        return list(map(texts.__getitem__, places))

    def _text(self) -> str:
        return self._cut(self.number()).decode(errors="surrogatepass")

    def _few(self) -> int:
        """A number of things of which each has a byte at least."""
        number = self.number()
        if number > len(self.payload):
            raise ValueError("chunk is cut off")
        return number

    def _records(self, count: int) -> Records:
        shapes = [tuple(self._text() for _ in range(self._few())) for _ in range(self._few())]
        runs = [(self.number(), self.number()) for _ in range(self._few())]
        if sum(length for _, length in runs) != count or any(len(set(shape)) != len(shape) for shape in shapes):
            raise ValueError("chunk has another number of objects than it says")
        names = dict.fromkeys(name for number, _ in runs for name in shapes[number])
        records = Records(shapes, runs, dict.fromkeys(names, Plain([])))
        for name, rows in records.parts().items():
            records.columns[name] = self.column(rows)
        return records

    def _mixed(self, count: int) -> Plain:
        kinds = self._integers(count)
        parts = {}
        for kind in sorted(set(kinds)):
            part = values(self.column(kinds.count(kind)))
            if {*map(type, part)} != {_KINDS[kind]} or kind < 0:
                raise ValueError("chunk has a value of another kind than it says")
            parts[kind] = iter(part)
        return Plain([next(parts[kind]) for kind in kinds])


def _text(text: str) -> bytes:
    encoded = text.encode(errors="surrogatepass")
    return varint(len(encoded)) + encoded


def _planes(floats: list[float]) -> list[bytes]:
    doubles = array("d", floats)
    if byteorder == "big":
        doubles.byteswap()
    raw = doubles.tobytes()
    return [raw[plane::8] for plane in range(8)]
