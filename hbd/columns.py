"""Integers in a row as few bytes that deflate well, made and read at the speed of C. Pure.

Measured values differ little from the one before. So a column becomes differences of the order that makes them
smallest, these are counted from the least of them, and of the numbers all lowest bytes come first, then all next ones:
the higher planes are mostly zeros. In bytes::

    order of differences (0, 1 or 2), number of planes, then as varints the leading integers and the least difference,
    then the planes, lowest first
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate, repeat
from operator import add, sub

MOST_BITS = 60
"""of an integer that can be packed; its second difference has two more"""

_BIG = sys.byteorder == "big"
_MOST_PLANES = 8
_VARINT_BITS = 70


def pack(column: Sequence[int]) -> bytes:
    """column: integers of at most MOST_BITS bits, and a sign."""
    if not column:
        return b""
    median = sorted(column)[len(column) // 2]
    leading: list[int] = []
    rest: Sequence[int] = column
    bits = _bits(map(sub, column, repeat(median)))
    heads, differences = list(column[:1]), list(map(sub, column[1:], column))
    for _ in range(2):
        if not differences:
            break
        if (fewer := _bits(differences)) < bits:
            bits, leading, rest = fewer, heads, differences
        heads, differences = [*heads, differences[0]], list(map(sub, differences[1:], differences))
    least = min(rest)
    offsets = array("Q", map(sub, rest, repeat(least)))
    planes = (max(offsets).bit_length() + 7) // 8
    if _BIG:
        offsets.byteswap()
    raw = offsets.tobytes()
    head = bytes((len(leading), planes)) + b"".join(map(_varint, (*leading, least)))
    return head + b"".join(raw[plane :: offsets.itemsize] for plane in range(planes))


def unpack(data: bytes, at: int, count: int) -> tuple[list[int], int]:
    """The column of so many integers that begins at a place, and the place behind it.

    Raises ValueError or IndexError for bytes that no ``pack`` gave.
    """
    if not count:
        return [], at
    order, planes = data[at], data[at + 1]
    at += 2
    if order > 2 or order >= count or planes > _MOST_PLANES:
        raise ValueError("a column is damaged")
    leading = []
    for _ in range(order):
        number, at = _read_varint(data, at)
        leading.append(number)
    least, at = _read_varint(data, at)
    left = count - order
    end = at + planes * left
    if end > len(data):
        raise ValueError("a column is cut off")
    raw = bytearray(8 * left)
    for plane in range(planes):
        raw[plane::8] = data[at + plane * left : at + (plane + 1) * left]
    offsets = array("Q", bytes(raw))
    if _BIG:
        offsets.byteswap()
    column = list(map(add, offsets, repeat(least)))
    for head in reversed(leading):
        column = list(accumulate(column, initial=head))
    return column, end


def _bits(numbers: Iterable[int]) -> int:
    return sum(map(int.bit_length, numbers))


def _varint(number: int) -> bytes:
    """Zigzagged (0, -1, 1, -2, ...), then 7 bits a byte, lowest first, the top bit set but in the last."""
    rest = number << 1 if number >= 0 else ~(number << 1)
    packed = bytearray()
    while rest > 0x7F:
        packed.append(rest & 0x7F | 0x80)
        rest >>= 7
    packed.append(rest)
    return bytes(packed)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while (byte := data[at]) > 0x7F:
        if shift > _VARINT_BITS:
            raise ValueError("a column has a number too large")
        number |= (byte & 0x7F) << shift
        shift += 7
        at += 1
    number |= byte << shift
    return (number >> 1 if not number & 1 else ~(number >> 1)), at + 1
