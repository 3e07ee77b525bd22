"""Integers in a row as few bytes that deflate well, made and read at the speed of C. Pure.

Measured values differ little from the one before. So a column becomes differences of the order that makes them
smallest, these are zigzagged (0, -1, 1, -2, ... become 0, 1, 2, 3, ...), and of the numbers all lowest bytes come
first, then all next ones: the higher planes are mostly zeros. In bytes, by the first one::

    3        all the same: a varint
    4, 5, 6  order of differences 0, 1 or 2: number of planes, as varints the leading integers, then the planes,
             lowest first. The one leading integer of order 0 is what was taken from each.
    7        few different ones: u8 how many less one, the different ones as a column, the place among them of each
    0, 1, 2  what earlier versions wrote: as 4, 5 and 6, but counted from the least difference, a varint behind the
             leading integers, of which order 0 has none
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from contextlib import suppress
from itertools import accumulate, repeat
from operator import add, sub

MOST_BITS = 60
"""of an integer that can be packed; its second difference has two more"""

_CONSTANT, _ORDERED, _CHOSEN = 3, 4, 7
_BIG = sys.byteorder == "big"
_WIDTHS = ((1, "b"), (2, "h"), (4, "i"), (8, "q"))
_MOST_PLANES = 8
_VARINT_BITS = 70
_PROBE = 32  # neighbours that are looked at in three places to find the order
_FEW = 256
_REPEATED = 8  # times that each of few different integers is there on average, at least


def pack(column: Sequence[int], *, scattered: bool = False) -> bytes:
    """column: integers of at most MOST_BITS bits, and a sign. scattered: they are known not to follow one another."""
    if not column:
        return b""
    count, first = len(column), column[0]
    if column.count(first) == count:
        return bytes((_CONSTANT,)) + varint(first)
    order, middle = (0, min(column)) if scattered else _best_order(column)
    if order == 0:
        leading, rest = [middle], list(map(sub, column, repeat(middle)))
    else:
        leading, rest = [first], list(map(sub, column[1:], column))
        if order == 2:
            leading.append(rest[0])
            rest = list(map(sub, rest[1:], rest))
    planes = _planes(rest)
    if len(planes) > 1 and count >= 2 * _REPEATED:
        different = set(column) if len(set(column[:_FEW])) <= count // _REPEATED else ()
        if 0 < len(different) <= min(_FEW, count // _REPEATED):
            chosen = sorted(different)
            places = {number: place for place, number in enumerate(chosen)}
            return bytes((_CHOSEN, len(chosen) - 1)) + pack(chosen) + bytes(map(places.__getitem__, column))
    return b"".join((bytes((_ORDERED + order, len(planes))), *map(varint, leading), *planes))


def unpack(data: bytes, at: int, count: int) -> tuple[list[int], int]:
    """The column of so many integers that begins at a place, and the place behind it.

    Raises ValueError or IndexError for bytes that no ``pack`` gave. The caller sees to it that count is not too large.
    """
    if not count:
        return [], at
    form = data[at]
    if form == _CONSTANT:
        number, at = read_varint(data, at + 1)
        return [number] * count, at
    if form == _CHOSEN:
        if data[at + 2] == _CHOSEN:
            raise ValueError("a column is damaged")
        chosen, at = unpack(data, at + 2, data[at + 1] + 1)
        places = _cut(data, at, count)
        return list(map(chosen.__getitem__, places)), at + count
    order, planes, zigzagged = _form(data, at, count)
    at += 2
    leading = []
    for _ in range(order or zigzagged):
        number, at = read_varint(data, at)
        leading.append(number)
    base = 0
    if not zigzagged:
        base, at = read_varint(data, at)
    elif not order:
        base = leading.pop()
    left = count - order
    end = at + planes * left
    column: list[int] = _numbers(_cut(data, at, planes * left), planes, left, zigzagged)
    if base:
        column = list(map(add, column, repeat(base)))
    for head in reversed(leading):
        column = list(accumulate(column, initial=head))
    return column, end


def skip(data: bytes, at: int, count: int) -> int:
    """The place behind the column that begins there; raises what ``unpack`` raises, if not always."""
    if not count:
        return at
    form = data[at]
    if form == _CONSTANT:
        return read_varint(data, at + 1)[1]
    if form == _CHOSEN:
        if data[at + 2] == _CHOSEN:
            raise ValueError("a column is damaged")
        return skip(data, at + 2, data[at + 1] + 1) + count
    order, planes, zigzagged = _form(data, at, count)
    at += 2
    for _ in range(max(order, 1) if zigzagged else order + 1):
        at = read_varint(data, at)[1]
    return at + planes * (count - order)


def _form(data: bytes, at: int, count: int) -> tuple[int, int, bool]:
    """Order of differences, number of planes, and whether they are zigzagged."""
    form, planes = data[at], data[at + 1]
    order = form & 3
    if form > _CHOSEN or order > 2 or order >= count or planes > _MOST_PLANES:
        raise ValueError("a column is damaged")
    return order, planes, form >= _ORDERED


def varint(number: int) -> bytes:
    """Zigzagged, then 7 bits a byte, lowest first, the top bit set but in the last."""
    rest = number << 1 if number >= 0 else ~(number << 1)
    if rest < 0x80:
        return bytes((rest,))
    packed = bytearray()
    while rest > 0x7F:
        packed.append(rest & 0x7F | 0x80)
        rest >>= 7
    packed.append(rest)
    return bytes(packed)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """What ``varint`` was given, and the place behind it. Raises ValueError or IndexError for anything else."""
    number = shift = 0
    while (byte := data[at]) > 0x7F:
        if shift > _VARINT_BITS:
            raise ValueError("a column has a number too large")
        number |= (byte & 0x7F) << shift
        shift += 7
        at += 1
    number |= byte << shift
    return (number >> 1 if not number & 1 else ~(number >> 1)), at + 1


def _cut(data: bytes, at: int, length: int) -> bytes:
    if at + length > len(data):
        raise ValueError("a column is cut off")
    return data[at : at + length]


def _best_order(column: Sequence[int]) -> tuple[int, int]:
    """The order of differences with the fewest bits, and about the median; both as some parts of the column say."""
    count = len(column)
    some = sorted(column[:: count // _PROBE + 1])
    middle = some[len(some) // 2]
    if count < 3:
        return 0, middle
    bits = [0, 0, 0]
    starts = (0, (count - _PROBE) // 2, count - _PROBE) if count > 3 * _PROBE else (0,)
    for start in starts:
        probe = column[start : start + _PROBE] if len(starts) > 1 else column
        differences = list(map(sub, probe[1:], probe))
        bits[0] += sum(map(int.bit_length, map(sub, probe, repeat(middle))))
        bits[1] += sum(map(int.bit_length, differences))
        bits[2] += sum(map(int.bit_length, map(sub, differences[1:], differences)))
    return bits.index(min(bits)), middle


def _planes(numbers: list[int]) -> list[bytes]:
    """Zigzagged, the lowest bytes of all, then the next ones, without planes of zeros at the end."""
    signed = _fitting(numbers)
    width = signed.itemsize
    if _BIG:
        signed.byteswap()
    raw = _zigzag(signed.tobytes(), width)
    planes = [raw[plane::width] for plane in range(width)]
    while planes and not any(planes[-1]):
        planes.pop()
    return planes


def _fitting(numbers: list[int]) -> array[int]:
    for _, code in _WIDTHS:
        with suppress(OverflowError):
            return array(code, numbers)
    raise ValueError("an integer is too large for a column")


def _numbers(planes: bytes, count_of_planes: int, count: int, zigzagged: bool) -> list[int]:
    width, code = next((width, code) for width, code in _WIDTHS if width >= count_of_planes)
    raw = bytearray(width * count)
    for plane in range(count_of_planes):
        raw[plane::width] = planes[plane * count : (plane + 1) * count]
    numbers = array(code if zigzagged else code.upper())
    numbers.frombytes(_unzigzag(bytes(raw), width) if zigzagged else raw)
    if _BIG:
        numbers.byteswap()
    return numbers.tolist()


# All numbers of a column lie one behind the other in one long integer and are worked on at once. ``ones``: the lowest
# bit of each.


def _ones(width: int, length: int) -> int:
    return int.from_bytes((b"\1" + bytes(width - 1)) * (length // width), "little")


def _zigzag(raw: bytes, width: int) -> bytes:
    whole = int.from_bytes(raw, "little")
    top = 8 * width - 1
    negative = whole >> top & _ones(width, len(raw))
    doubled = (whole ^ negative << top) << 1
    return (doubled ^ negative * ((1 << 8 * width) - 1)).to_bytes(len(raw), "little")


def _unzigzag(raw: bytes, width: int) -> bytes:
    whole = int.from_bytes(raw, "little")
    negative = whole & _ones(width, len(raw))
    halved = (whole ^ negative) >> 1
    return (halved ^ negative * ((1 << 8 * width) - 1)).to_bytes(len(raw), "little")
