"""Several plugins' bytes in one, each to be had without reading the others. Pure.

::

    byte 1, u16 number of parts, then of each part: u8 length of its name, name, u32 length, bytes; little-endian
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

_VERSION = 1
_HEAD, _LENGTH = struct.Struct("<BH"), struct.Struct("<I")


def bundle(parts: Mapping[str, bytes]) -> bytes:
    """Raises ValueError for a name of more than 255 bytes."""
    pieces = [_HEAD.pack(_VERSION, len(parts))]
    for name, data in parts.items():
        encoded = name.encode()
        if len(encoded) > 0xFF:
            raise ValueError("a name is too long for a bundle")
        pieces += (bytes((len(encoded),)), encoded, _LENGTH.pack(len(data)), data)
    return b"".join(pieces)


def unbundle(data: bytes) -> dict[str, bytes]:
    """What ``bundle`` was given. Raises ValueError for anything that no ``bundle`` gave."""
    try:
        version, count = _HEAD.unpack_from(data)
        if version != _VERSION:
            raise ValueError(f"a bundle of version {version} is not known")
        parts: dict[str, bytes] = {}
        at = _HEAD.size
        for _ in range(count):
            end = at + 1 + data[at]
            name = data[at + 1 : end].decode()
            (length,) = _LENGTH.unpack_from(data, end)
            at = end + _LENGTH.size
            parts[name] = data[at : at + length]
            at += length
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ValueError(f"a bundle is damaged: {error}") from None
    if at != len(data) or len(parts) != count:
        raise ValueError("a bundle is cut off or too long")
    return parts
