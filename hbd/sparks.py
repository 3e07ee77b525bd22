"""The last hour of two numbers of each host, a mean for each minute: what the small lines of the live page show. Pure.

A minute has a place by its number modulo their number, and what comes for it takes the place over from the hour before.
So a host costs two kilobytes, a sample some microseconds, and what comes late is still put where it belongs.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from msgspec import Struct

from hbd.model import Sample

MINUTES = 60
METRICS = {"cpu_monitor": "cpu_percent", "memory_monitor": "percent"}
"""plugin → the number of its samples"""

MOST = 1e6
"""What is further from 0 is no percent of anything: it is passed over, lest it outweigh all else of its minute."""

_PLACES = MINUTES + 2  # the minute that runs has one, and the next: clocks differ
_MOST = 255  # values of one minute that its mean is weighed by

Values = list[int | None]


class Line(Struct, frozen=True):
    """Whole percents of the last 60 whole minutes, oldest first; null where nothing came."""

    cpu_percent: Values
    memory_percent: Values


class Sparks:
    def __init__(self) -> None:
        self._hosts: dict[int, _Host] = {}

    def add(self, host_id: int, sample: Sample) -> None:
        """Take what a sample has for a line, if anything."""
        metric = METRICS.get(sample.plugin)
        if metric is None:
            return
        value, minute = sample.data.get(metric), sample.time // 60
        if not isinstance(value, int | float) or isinstance(value, bool):
            return
        if not 0 < minute < 1 << 32:
            return
        host = self._hosts.get(host_id)
        if host is None:
            host = self._hosts[host_id] = _Host()
        host.series[sample.plugin].add(int(minute), value, 1)

    def is_whole(self, host_id: int, minute: int) -> bool:
        """Whether all is here that there is of the hour before a minute: it reaches back so far, or was filled."""
        host = self._hosts.get(host_id)
        return host is not None and (
            host.filled or any(series.value(minute - MINUTES) is not None for series in host.series.values())
        )

    def fill(self, host_id: int, means: Iterable[tuple[str, int, float, int]]) -> None:
        """Take what an earlier run of the daemon saw, for minutes of which nothing is here.

        means: plugin, minute, mean, of how many.
        """
        host = self._hosts.setdefault(host_id, _Host())
        host.filled, host.told = True, None
        for plugin, minute, mean, count in means:
            series = host.series[plugin]
            if series.value(minute) is None:
                series.add(minute, mean, count)

    def line(self, host_id: int, minute: int) -> Line | None:
        """The hour before a minute (Unix minutes); None when nothing came in it."""
        host = self._hosts.get(host_id)
        if host is None:
            return None
        if host.told is None or host.told[0] != minute:
            cpu, memory = (series.values(minute) for series in host.series.values())
            known = any(value is not None for value in (*cpu, *memory))
            host.told = minute, Line(cpu, memory) if known else None
        return host.told[1]

    def drop(self, host_id: int) -> None:
        """Forget a host."""
        self._hosts.pop(host_id, None)


class _Host:
    __slots__ = ("filled", "series", "told")

    def __init__(self) -> None:
        self.series = {plugin: _Series() for plugin in METRICS}
        self.filled = False
        self.told: tuple[int, Line | None] | None = None
        """the line that was made last, and for which minute"""


class _Series:
    """minutes: which minute a place is of. means, counts: of what came for it."""

    __slots__ = ("counts", "means", "minutes")

    def __init__(self) -> None:
        self.minutes = array("I", bytes(4 * _PLACES))
        self.means = array("f", bytes(4 * _PLACES))
        self.counts = array("B", bytes(_PLACES))

    def add(self, minute: int, mean: float, count: int) -> None:
        if not -MOST <= mean <= MOST:  # nor is it nan
            return
        place = minute % _PLACES
        if self.minutes[place] != minute:
            if self.minutes[place] > minute:
                return
            self.minutes[place], self.counts[place] = minute, 0
        known = self.counts[place]
        self.means[place] += (mean - self.means[place]) * count / (known + count) if known else mean - self.means[place]
        self.counts[place] = min(_MOST, known + count)

    def value(self, minute: int) -> int | None:
        place = minute % _PLACES
        return round(self.means[place]) if self.minutes[place] == minute and self.counts[place] else None

    def values(self, minute: int) -> Values:
        """The hour before a minute. What a wrong clock put into times to come is thrown away."""
        for place in range(_PLACES):
            if self.minutes[place] > minute + 1:
                self.minutes[place] = self.counts[place] = 0
        return [self.value(each) for each in range(minute - MINUTES, minute)]
