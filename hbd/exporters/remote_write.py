"""Samples as the message of Prometheus remote write 1.0: protobuf in snappy's block format. Pure.

https://prometheus.io/docs/specs/remote_write_spec

    WriteRequest {1: TimeSeries {1: Label {1: name, 2: value}, 2: Sample {1: double value, 2: int64 milliseconds}}}
"""

from __future__ import annotations

import importlib
import importlib.util
import struct
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from hbd.exporters import names
from hbd.model import Data, Sample

HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
_double = struct.Struct("<d").pack
_LITERAL_BYTES = 1 << 16  # the most that one literal with a length of two bytes holds
_INT64 = (1 << 64) - 1
_TOO_LARGE = 1 << 1000  # for a double


class Point(NamedTuple):
    """One value of one series. time: milliseconds since 1970. labels: as they stand in the message."""

    time: int
    labels: bytes
    value: float


def points(samples: Iterable[tuple[str, Sample]]) -> list[Point]:
    """Every number of samples that come with the name of their host, oldest first.

    A series has one value a millisecond, the first that came: two metrics may differ in signs alone that names
    elsewhere cannot have.
    """
    found: dict[int, dict[bytes, float]] = {}
    for host, sample in samples:
        _take(found.setdefault(round(sample.time * 1000), {}), host, sample.plugin, sample.data)
    return [Point(time, series, value) for time in sorted(found) for series, value in found[time].items()]


def _take(values: dict[bytes, float], host: str, plugin: str, data: Data, above: tuple[str, ...] = ()) -> None:
    """What ``names.series`` gives, in a third of its time, without what is too large for a double."""
    for name, value in data.items():
        kind = type(value)
        if kind is float or kind is bool or (kind is int and abs(value) < _TOO_LARGE):
            series, factor = _series(host, plugin, name, above)
            values.setdefault(series, value * factor)
        elif kind is dict:
            _take(values, host, plugin, value, (*above, name))


@lru_cache(maxsize=100_000)
def _series(host: str, plugin: str, name: str, above: tuple[str, ...]) -> tuple[bytes, float]:
    found = names.named(plugin, name)
    return labels(found.name, host, ".".join(above)), found.factor


def labels(name: str, host: str, key: str) -> bytes:
    """The labels of a series, sorted by name; without a key there is no label for it."""
    pairs = [("__name__", name), ("host", host), *([("key", key)] if key else [])]
    encoded = b""
    for pair in pairs:
        label = b"".join(_field(number, text.encode("utf-8", "replace")) for number, text in enumerate(pair, 1))
        encoded += _field(1, label)
    return encoded


def write_request(batch: Sequence[Point]) -> bytes:
    """batch: oldest first."""
    series: dict[bytes, list[bytes]] = {}
    encoded = None
    before = after = b""
    for time, known, value in batch:
        if time != encoded:  # the same for all that was measured at once
            encoded, after = time, b"\x10" + _varint(time & _INT64)
            before = b"\x12" + _varint(9 + len(after)) + b"\x09"
        parts = series.get(known)
        if parts is None:
            parts = series[known] = [known]
        parts += (before, _double(value), after)
    return b"".join(_field(1, b"".join(parts)) for parts in series.values())


def compressor() -> Callable[[bytes], bytes]:
    """Snappy of the library for it where that is installed, else ``stored``."""
    if importlib.util.find_spec("cramjam") is None:
        return stored
    snappy = importlib.import_module("cramjam").snappy
    return lambda data: bytes(snappy.compress_raw(data))


def stored(data: bytes) -> bytes:
    """Snappy's block format of nothing but literals: any reader takes it, though it saves no byte."""
    parts = [_varint(len(data))]
    for start in range(0, len(data), _LITERAL_BYTES):
        literal = data[start : start + _LITERAL_BYTES]
        parts += (struct.pack("<BH", 61 << 2, len(literal) - 1), literal)
    return b"".join(parts)


def _field(number: int, content: bytes) -> bytes:
    """A field of protobuf whose content has its length before it."""
    return bytes((number << 3 | 2,)) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
