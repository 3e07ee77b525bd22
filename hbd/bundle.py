"""Several plugins' bytes in one, each to be had without reading the others. Pure.

Version 1::

    byte 1, u16 number of parts, then of each part: u8 length of its name, name, u32 length, bytes; little-endian

Version 2 compresses the parts one by one; and since all plugins of a host mostly measure at the same moments, heads of
parts that are alike are kept once::

    byte 2, u16 number of parts, u16 number of heads
    of each part: u16 length of its name, name, u16 number of its head, place of its body
    place of each head
    the blobs; a place is: u8 how it is packed (0 not, 1 deflated, 2 LZMA), u32 its length in here, u32 unpacked length,
                           u32 CRC-32 of it unpacked
"""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple, TypeAlias

_V1, _V2 = 1, 2
_HEAD_V1, _LENGTH = struct.Struct("<BH"), struct.Struct("<I")
_HEAD, _SHORT, _PLACE = struct.Struct("<BHH"), struct.Struct("<H"), struct.Struct("<BIII")
_STORED, _DEFLATED, _LZMA = range(3)
_WORTH = 64  # bytes; what is shorter is not packed
_QUICK, _SMALL = 1, 9  # levels of zlib
_FILTER = [{"id": lzma.FILTER_LZMA1, "preset": 4, "dict_size": 1 << 20, "lc": 0, "lp": 0, "pb": 0}]
_MOST_BYTES = 64 << 20  # of a part

How: TypeAlias = Literal["quick", "small", "least"]
"""quick: for what is soon read and packed anew. small: quick to read. least: the fewest bytes, for what is kept."""


class Part(NamedTuple):
    """head: what may be the same in other parts, and is kept once."""

    head: bytes
    body: bytes

    @property
    def data(self) -> bytes:
        return self.head + self.body


class _Place(NamedTuple):
    how: int
    length: int
    unpacked: int
    checksum: int


class Bundle(Mapping[str, Part]):
    """The parts by name. One that is damaged raises ValueError when it is asked for."""

    def __init__(self, data: bytes, parts: dict[str, tuple[tuple[int, _Place], tuple[int, _Place]]]) -> None:
        self._data = data
        self._parts = parts

    def __getitem__(self, name: str) -> Part:
        return Part(*(_unpacked(self._data[at : at + place.length], place) for at, place in self._parts[name]))

    def __contains__(self, name: object) -> bool:
        return name in self._parts

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)


def bundle(parts: Mapping[str, Part], how: How) -> bytes:
    """Raises ValueError for a name or a part that is too long."""
    heads: dict[bytes, int] = {}
    directory = [b""]
    bodies: list[bytes] = []
    for name, part in parts.items():
        encoded = name.encode(errors="surrogatepass")
        if len(encoded) > 0xFFFF or max(map(len, part)) > _MOST_BYTES:
            raise ValueError("a name or a part is too long for a bundle")
        place, body = _packed(part.body, how)
        directory += (
            _SHORT.pack(len(encoded)),
            encoded,
            _SHORT.pack(heads.setdefault(part.head, len(heads))),
            _PLACE.pack(*place),
        )
        bodies.append(body)
    directory[0] = _HEAD.pack(_V2, len(parts), len(heads))
    blobs = []
    for head in heads:
        place, blob = _packed(head, how)
        directory.append(_PLACE.pack(*place))
        blobs.append(blob)
    return b"".join((*directory, *blobs, *bodies))


def unbundle(data: bytes) -> Mapping[str, Part]:
    """What ``bundle`` was given. Raises ValueError for anything that no ``bundle`` gave."""
    try:
        if data[0] == _V1:
            return _unbundle_v1(data)
        if data[0] != _V2:
            raise ValueError(f"a bundle of version {data[0]} is not known")
        return _directory(data)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ValueError(f"a bundle is damaged: {error}") from None


def _directory(data: bytes) -> Bundle:
    _, count, count_of_heads = _HEAD.unpack_from(data)
    at = _HEAD.size
    found: list[tuple[str, int, _Place]] = []
    for _ in range(count):
        (length,) = _SHORT.unpack_from(data, at)
        at += _SHORT.size
        name = data[at : at + length].decode(errors="surrogatepass")
        (head,) = _SHORT.unpack_from(data, at + length)
        at += length + _SHORT.size
        found.append((name, head, _Place._make(_PLACE.unpack_from(data, at))))
        at += _PLACE.size
    places = [_Place._make(_PLACE.unpack_from(data, at + number * _PLACE.size)) for number in range(count_of_heads)]
    at += count_of_heads * _PLACE.size
    heads = []
    for place in places:
        heads.append((at, place))
        at += place.length
    parts: dict[str, tuple[tuple[int, _Place], tuple[int, _Place]]] = {}
    for name, head, place in found:
        parts[name] = (heads[head], (at, place))
        at += place.length
    if at != len(data) or len(parts) != count:
        raise ValueError("a bundle is cut off or too long")
    return Bundle(data, parts)


def _packed(blob: bytes, how: How) -> tuple[_Place, bytes]:
    method, packed = _STORED, blob
    if len(blob) >= _WORTH:
        if how == "least":
            method, packed = _LZMA, lzma.compress(blob, format=lzma.FORMAT_RAW, filters=_FILTER)
        else:
            method, packed = _DEFLATED, zlib.compress(blob, _QUICK if how == "quick" else _SMALL)
        if len(packed) >= len(blob):
            method, packed = _STORED, blob
    return _Place(method, len(packed), len(blob), zlib.crc32(blob)), packed


def _unpacked(packed: bytes, place: _Place) -> bytes:
    if place.unpacked > _MOST_BYTES:
        raise ValueError("a part of a bundle is too long")
    blob = packed
    try:
        if place.how == _DEFLATED:
            blob = zlib.decompressobj().decompress(packed, place.unpacked + 1)
        elif place.how == _LZMA:
            blob = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_FILTER).decompress(packed, place.unpacked + 1)
    except (zlib.error, lzma.LZMAError, EOFError) as error:
        raise ValueError(f"a part of a bundle is damaged: {error}") from None
    if len(blob) != place.unpacked or zlib.crc32(blob) != place.checksum:
        raise ValueError("a part of a bundle is damaged")
    return blob


def _unbundle_v1(data: bytes) -> dict[str, Part]:
    _, count = _HEAD_V1.unpack_from(data)
    parts: dict[str, Part] = {}
    at = _HEAD_V1.size
    for _ in range(count):
        end = at + 1 + data[at]
        name = data[at + 1 : end].decode()
        (length,) = _LENGTH.unpack_from(data, end)
        at = end + _LENGTH.size
        parts[name] = Part(b"", data[at : at + length])
        at += length
    if at != len(data) or len(parts) != count:
        raise ValueError("a bundle is cut off or too long")
    return parts
