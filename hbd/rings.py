"""The last N samples of every host's plugin, in memory, in time order. Pure.

A ring is a row of segments, oldest first. The last one takes new samples: each becomes one line of JSON, its time and
its values without their names. When it is full it is sealed: its lines are deflated. A late sample lands in a sealed
segment by opening it again; that one then stays open for the next, so that a spool played back costs little more than
new samples. The newest sample is also kept as it came. docs/decisions/0002-ring-layout.md has the numbers.
"""

from __future__ import annotations

import sys
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from itertools import islice
from math import isfinite
from typing import Any

import msgspec

from hbd.model import Data, Sample
from hbd.shapes import Shape, flatten, unflatten
from hbd.sparks import Sparks

MAX_PLUGINS = 256  # of one host
MAX_VALUES = 4096  # in one sample
MAX_HOST_BYTES = 16 << 20  # some 200,000 ordinary samples; only large texts come near
MAX_DEPTH = 32  # of lists and objects within each other in one sample

_SEGMENT_SAMPLES = 20
_SEGMENT_BYTES = 16 << 10  # large samples are sealed fewer at a time, so that no add takes long
_HEAVY_SEGMENTS = 16  # after so many of one ring the host is weighed
_ZLIB_LEVEL = 3
_RAW_DEFLATE = -15  # no header, no checksum: it never leaves the process
_RINGS_WEIGHED = 2048  # memory_bytes() looks at no more than about twice as many
_OBJECT_BYTES = 56  # of a small object, and the place in a list or dict that refers to it

_json = msgspec.json.Encoder().encode
_from_json = msgspec.json.Decoder().decode


class Rings:
    """refused: samples not kept, or not for as long as they should be, because they break a limit of this module.

    sparks: what the same samples come to by the minute.
    """

    def __init__(self, per_plugin: int = 100) -> None:
        self.refused = 0
        self.sparks = Sparks()
        self._per_plugin = per_plugin
        self._hosts: dict[int, dict[str, _Ring]] = {}
        self._total = 0

    def add(self, host_id: int, sample: Sample) -> bool:
        """Keep a sample in its place; those of one time stay in the order they came in.

        False when it is not kept: it is older than all in a full ring, or it is refused (then counted in ``refused``).
        Its data are kept by reference and must not be changed afterwards.
        """
        self.sparks.add(host_id, sample)
        rings = self._hosts.get(host_id, {})
        ring = rings.get(sample.plugin)
        try:
            if ring is None:
                if len(rings) >= MAX_PLUGINS:
                    self._drop_stalest(rings)
                ring = _Ring(sample)
                self._hosts.setdefault(host_id, rings)[sample.plugin] = ring
                self._total += 1
                return True
            before = ring.count
            kept = ring.add(sample, self._per_plugin)
        except (ValueError, TypeError, RecursionError):
            self.refused += 1
            return False
        self._total += ring.count - before
        if ring.heavy >= _HEAVY_SEGMENTS:
            ring.heavy = 0
            self._keep_within(rings)
        return kept

    def _keep_within(self, rings: dict[str, _Ring]) -> None:
        """See that one host does not take more memory than it may: of the heaviest rings the older half goes."""
        weights = {plugin: ring.memory_bytes() for plugin, ring in rings.items()}
        while sum(weights.values()) > MAX_HOST_BYTES:
            heaviest = max(weights, key=lambda plugin: weights[plugin])
            ring = rings[heaviest]
            if ring.count == 1:
                return
            gone = (ring.count + 1) // 2
            ring.drop_oldest(gone)
            self._total -= gone
            self.refused += gone
            weights[heaviest] = ring.memory_bytes()

    def _drop_stalest(self, rings: dict[str, _Ring]) -> None:
        """Make room: the plugin that has been silent for longest goes."""
        stalest = min(rings, key=lambda plugin: rings[plugin].latest.time)
        self._total -= rings.pop(stalest).count
        self.refused += 1

    def latest(self, host_id: int, plugin: str) -> Sample | None:
        """The newest sample, at no cost."""
        ring = self._ring(host_id, plugin)
        return ring.latest if ring else None

    def newest(self, host_id: int, plugin: str, limit: int) -> list[Sample]:
        """Up to ``limit`` samples, newest first."""
        ring = self._ring(host_id, plugin)
        return list(islice(ring.newest_first(), max(limit, 0))) if ring else []

    def plugins(self, host_id: int) -> list[str]:
        """Names of the plugins that have samples, sorted."""
        return sorted(self._hosts.get(host_id, ()))

    def count(self, host_id: int, plugin: str) -> int:
        ring = self._ring(host_id, plugin)
        return ring.count if ring else 0

    def total(self) -> int:
        """Samples in all rings."""
        return self._total

    def drop(self, host_id: int) -> None:
        """Forget all of a host."""
        self.sparks.drop(host_id)
        for ring in self._hosts.pop(host_id, {}).values():
            self._total -= ring.count

    def resize(self, per_plugin: int) -> None:
        """From now on keep so many samples in a ring; where there are more, the oldest go."""
        self._per_plugin = per_plugin
        for rings in self._hosts.values():
            for ring in rings.values():
                excess = ring.count - per_plugin
                if excess > 0:
                    ring.drop_oldest(excess)
                    self._total -= excess

    def memory_bytes(self) -> int:
        """An estimate of the memory all this takes, good to a quarter; with many rings, from an even choice of them."""
        every = [ring for rings in self._hosts.values() for ring in rings.values()]
        step = len(every) // _RINGS_WEIGHED or 1
        weighed = every[::step]
        weight = sum(ring.memory_bytes() for ring in weighed)
        maps = sum(sys.getsizeof(rings) + _OBJECT_BYTES for rings in self._hosts.values()) + sys.getsizeof(self._hosts)
        return maps + (weight * len(every) // len(weighed) if weighed else 0)

    def _ring(self, host_id: int, plugin: str) -> _Ring | None:
        rings = self._hosts.get(host_id)
        return rings.get(plugin) if rings else None


class _Ring:
    """One plugin of one host.

    segments: oldest first, the last one open; no sample is older than one in a segment before. skip: samples at the
    start of the first segment that are gone already; 0 when it is open. last: the last segment. late: the other open
    one, if any.
    """

    __slots__ = ("count", "heavy", "last", "late", "latest", "segments", "skip")

    def __init__(self, first: Sample) -> None:
        """Raises what ``_Open.insert`` raises."""
        shape = flatten(first.data)[0]
        _check_depth(first.data)
        segment = _Open(shape)
        segment.insert(first)
        self.count = 1
        self.latest = first
        self.segments: list[_Sealed | _Open] = [segment]
        self.last = segment
        self.skip = 0
        self.late: _Open | None = None
        self.heavy = 0
        """segments sealed for their bytes since somebody looked at what they weigh"""

    def add(self, sample: Sample, most: int) -> bool:
        """Keep no more than ``most``, this one included. Raises what ``_Open.insert`` raises."""
        if sample.time >= self.latest.time:
            self.last.insert(sample)
            self.latest = sample
        else:
            segment = self._segment_at(sample.time, full=self.count >= most)
            if segment is None:
                return False
            segment.insert(sample)
            if segment is self.late and segment.is_full(2):
                self._split_late()
        if self.last.is_full():
            self.heavy += self.last.size >= _SEGMENT_BYTES
            self._seal_last()
        self.count += 1
        if self.count > most:
            self.drop_oldest(self.count - most)
        return True

    def newest_first(self) -> Iterator[Sample]:
        for segment in reversed(self.segments):
            skip = self.skip if segment is self.segments[0] else 0
            yield from reversed(segment.samples(self.latest.plugin)[skip:])

    def drop_oldest(self, count: int) -> None:
        """count: fewer than there are."""
        self.count -= count
        while count:
            first = self.segments[0]
            held = first.count - self.skip
            if count >= held and len(self.segments) > 1:
                del self.segments[0]
                if first is self.late:
                    self.late = None
                self.skip = 0
                count -= held
            elif isinstance(first, _Sealed):
                self.skip += count
                count = 0
            else:
                first.drop_oldest(count)
                count = 0

    def memory_bytes(self) -> int:
        segments = sum(segment.memory_bytes() for segment in self.segments)
        return (
            sys.getsizeof(self)
            + sys.getsizeof(self.segments)
            + segments
            + _weight(self.latest.data)
            + 2 * _OBJECT_BYTES
        )

    def _segment_at(self, time: float, *, full: bool) -> _Open | None:
        """The segment, open, where a late sample belongs; None when it is older than all in a full ring."""
        last = self.last
        if len(self.segments) == 1:
            return None if full and time < last.first else last
        if last.count and time >= last.first:
            return last
        if full and time < self.segments[0].first:
            return None
        index = len(self.segments) - 2
        while index and time < self.segments[index].first:
            index -= 1
        segment = self._opened(index)
        return None if full and index == 0 and time < segment.first else segment

    def _opened(self, index: int) -> _Open:
        segment = self.segments[index]
        if isinstance(segment, _Open):
            return segment
        self._seal_late()
        self.segments[index] = self.late = segment.opened()
        if index == 0 and self.skip:
            self.late.drop_oldest(self.skip)
            self.skip = 0
        return self.late

    def _seal_last(self) -> None:
        self._seal_late()
        self.segments[-1] = self.last.sealed()
        shape = flatten(self.latest.data)[0]
        # Equal shapes are one object, for it takes more memory than a sample.
        self.last = _Open(self.last.shape if self.last.shape == shape else shape)
        self.segments.append(self.last)

    def _seal_late(self) -> None:
        if self.late:
            self.segments[self.segments.index(self.late)] = self.late.sealed()
            self.late = None

    def _split_late(self) -> None:
        """Seal its older half; the newer one stays open, for a spool is played back in order."""
        assert self.late
        half = self.late.count // 2
        if half:
            self.segments.insert(self.segments.index(self.late), self.late.split_oldest(half).sealed())
        else:
            self._seal_late()


class _Sealed(msgspec.Struct, frozen=True, gc=False, eq=False):
    """first: time of the oldest sample. packed: the lines of an open segment, deflated."""

    first: float
    count: int
    shape: Shape
    packed: bytes

    def opened(self) -> _Open:
        segment = _Open(self.shape)
        segment.lines = self._text().split(b"\n")
        segment.times = array("d", (sample.time for sample in self.samples("")))
        segment.size = sum(map(len, segment.lines))
        return segment

    def samples(self, plugin: str) -> list[Sample]:
        return _samples(plugin, self.shape, self._text().replace(b"\n", b","))

    def memory_bytes(self) -> int:
        return len(self.packed) + 3 * _OBJECT_BYTES

    def _text(self) -> bytes:
        return zlib.decompress(self.packed, _RAW_DEFLATE)


class _Open:
    """times, lines: of each sample, oldest first. shape: of most of them. size: bytes of all lines.

    A line is ``[time, value, ...]``, or ``{"time": ..., "data": {...}}`` when its sample has another shape.
    """

    __slots__ = ("lines", "shape", "size", "times")

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.times = array("d")
        self.lines: list[bytes] = []
        self.size = 0

    @property
    def count(self) -> int:
        return len(self.lines)

    @property
    def first(self) -> float:
        """Time of the oldest sample. Raises IndexError when there is none."""
        return self.times[0]

    def insert(self, sample: Sample) -> None:
        """Raises ValueError, TypeError or RecursionError when it breaks a limit or JSON cannot say it."""
        if not isfinite(sample.time):
            raise ValueError("time is not a number")
        line = self._line(sample)
        index = bisect_right(self.times, sample.time)
        self.times.insert(index, sample.time)
        self.lines.insert(index, line)
        self.size += len(line)

    def _line(self, sample: Sample) -> bytes:
        data = sample.data
        # The common case, made short: the names that are expected, none of them nested.
        if tuple(data) == self.shape and len(data) <= MAX_VALUES:
            line = _json([sample.time, *data.values()])
            if b"{" not in line and line.count(b"[") <= MAX_DEPTH:
                return line
        shape, values = flatten(data)
        if len(values) > MAX_VALUES:
            raise ValueError("too many values")
        if shape == self.shape:  # how deep its names lie was checked when it was new
            line = _json([sample.time, *values])
            if line.count(b"{") + line.count(b"[") <= MAX_DEPTH:
                return line
        _check_depth(data)
        return _json([sample.time, *values] if shape == self.shape else {"time": sample.time, "data": data})

    def is_full(self, times: int = 1) -> bool:
        """times: how often as much as usual it may hold."""
        return len(self.lines) >= _SEGMENT_SAMPLES * times or self.size >= _SEGMENT_BYTES * times

    def split_oldest(self, count: int) -> _Open:
        """A segment with the oldest samples, which this one no longer has."""
        oldest = _Open(self.shape)
        oldest.times = self.times[:count]
        oldest.lines = self.lines[:count]
        oldest.size = sum(map(len, oldest.lines))
        self.drop_oldest(count)
        return oldest

    def drop_oldest(self, count: int) -> None:
        self.size -= sum(map(len, self.lines[:count]))
        del self.times[:count], self.lines[:count]

    def sealed(self) -> _Sealed:
        return _Sealed(
            self.first, self.count, self.shape, zlib.compress(b"\n".join(self.lines), _ZLIB_LEVEL, _RAW_DEFLATE)
        )

    def samples(self, plugin: str) -> list[Sample]:
        return _samples(plugin, self.shape, b",".join(self.lines))

    def memory_bytes(self) -> int:
        return self.size + self.count * (2 * _OBJECT_BYTES - 8) + 3 * _OBJECT_BYTES


def _samples(plugin: str, shape: Shape, lines: bytes) -> list[Sample]:
    """lines: see ``_Open``, joined by commas."""
    samples = []
    for row in _from_json(b"[" + lines + b"]"):
        if type(row) is dict:
            samples.append(Sample(plugin, row["time"], row["data"]))
        else:
            values = iter(row)
            samples.append(Sample(plugin, next(values), unflatten(shape, values)))
    return samples


def _check_depth(value: Any, most: int = MAX_DEPTH) -> None:
    """Raises ValueError when lists and objects lie deeper within each other than ``most``."""
    if isinstance(value, dict | list):
        if most == 0:
            raise ValueError("nested too deeply")
        for inner in value.values() if isinstance(value, dict) else value:
            _check_depth(inner, most - 1)


def _weight(data: Data) -> int:
    """Bytes of a sample's data; names are not counted, all samples share them."""
    return sys.getsizeof(data) + sum(
        _weight(value) if isinstance(value, dict) else sys.getsizeof(value) for value in data.values()
    )
