"""When something that fills up will be full, from how it filled up to now. Pure.

What a host measures is looked at every few minutes, by the times of its samples: a *point*. Only points change a trend,
so it can be stored with the sample that made one, and is after a crash what it was. For each of some look-backs, the
shortest first, the rate is one that most of the pairs of points in it exceed; so a single jump counts for nothing, and
noise for little. It is believed when

- it foretells no more than ``AHEAD`` times as long as was looked back: what is slow has to be watched for longer,
- it goes on: what has stopped filling will not be full,
- it leads to where nothing was within a day: what fills up and is emptied, over and over, never gets there.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from math import ceil

import msgspec
from msgspec import Struct

POINT_SECONDS = 295.0  # least distance of two points: five minutes, less what clocks jitter
LOOK_BACKS = (1800.0, 3600.0, 7200.0, 14400.0)  # seconds
AHEAD = 8.0
FAR = 1000.0  # hours; stands for "not in sight"

_HOUR = 3600.0
_DAY = 24
_KEPT = 60  # points: all look-backs, and an hour before the longest one
_FEWEST = 4  # points that a rate can be had from
_COMPARED = 13  # points of one look-back at the most, which are 78 pairs
_LOW = 0.4  # of the rates between points, which one counts; below the middle, so that one jump is not most of them
_MOST_SERIES = 64  # of one host
_TRACKED = 400  # tenths of a percent from which something is looked at, so that its past is known when it matters
_MATTERS = 500
_NONE = 0xFFFF  # in place of a value: nothing was measured then

Name = tuple[str, str]
"""A mount point and a metric."""


class Series(Struct, frozen=True, gc=False):
    """One value in tenths of a percent. values: at the newest points, up to the last one of all.

    hours, peaks: Unix hours of the last day, and the most that was seen in each.
    """

    values: array[int]
    hours: array[int]
    peaks: array[int]


class Trend(Struct, frozen=True, gc=False):
    """All that is tracked of one host. times: of the points, Unix seconds, oldest first."""

    times: array[int]
    series: dict[Name, Series]
    _rates: dict[Name, float | None]
    """worked out when somebody asks"""

    def hours_left(self, name: Name, percent: float) -> float | None:
        """How long until this is full; ``FAR`` when that is not in sight, None when nobody can tell, or it is far
        from full. percent: how full it is now."""
        if percent * 10 < _MATTERS or name not in self.series:
            return None
        if name not in self._rates:
            self._rates[name] = _rate(self.times, self.series[name])
        rate = self._rates[name]
        if rate is None:
            return None
        return round(min(FAR, max(0.0, 100.0 - percent) / rate), 2) if rate else FAR


EMPTY = Trend(array("I"), {}, {})


def follow(trend: Trend, at: float, percents: Mapping[Name, float]) -> Trend:
    """The trend with what was measured at that time (Unix seconds); the same one when that makes no point."""
    if not 0 <= at < 1 << 32:
        return trend
    if trend.times and at < trend.times[-1] + POINT_SECONDS:
        return trend
    time, hour = int(at), int(at // _HOUR)
    times = trend.times[-_KEPT + 1 :]
    times.append(time)
    series: dict[Name, Series] = {}
    for name, known in trend.series.items():
        grown = _grown(known, _tenths(percents.get(name)), hour)
        if grown.values[-1] not in (_NONE, *range(_TRACKED)) or max(grown.peaks, default=0) >= _MATTERS:
            series[name] = grown
    for name, percent in percents.items():
        if name not in trend.series and percent * 10 >= _TRACKED and len(series) < _MOST_SERIES:
            series[name] = _grown(_NEW, _tenths(percent), hour)
    if not series:
        return EMPTY
    return Trend(times, series, {})


def _tenths(percent: float | None) -> int:
    return _NONE if percent is None else round(min(max(percent, 0.0), 100.0) * 10)


def _grown(series: Series, value: int, hour: int) -> Series:
    values = series.values[-_KEPT + 1 :]
    values.append(value)
    first = bisect_left(series.hours, hour - _DAY)
    hours, peaks = series.hours[first:], series.peaks[first:]
    if value != _NONE:
        if hours and hours[-1] == hour:
            peaks[-1] = max(peaks[-1], value)
        else:
            hours.append(hour)
            peaks.append(value)
    return Series(values, hours, peaks)


_NEW = Series(array("H"), array("I"), array("H"))


# -------------------------------------------------------------------------------------------------------- the rate


def _rate(times: array[int], series: Series) -> float | None:
    """Percent an hour; 0 when it does not fill up in sight, None when too little is known."""
    offset = len(times) - len(series.values)
    points = [(times[offset + at], value / 10) for at, value in enumerate(series.values) if value != _NONE]
    if not points or points[-1][0] < times[-1] - LOOK_BACKS[0]:
        return None
    now, full = points[-1][0], 100.0 - points[-1][1]
    known = False
    for look_back in LOOK_BACKS:
        first = bisect_left(points, (now - look_back,))
        recent = points[first:]
        if len(recent) < _FEWEST or now - recent[0][0] < look_back * 0.75:
            continue
        known = True
        rate = _low_rate(recent)
        if rate > 0 and full / rate <= AHEAD * look_back / _HOUR:
            goes_on = _goes_on(points, rate)
            return rate if goes_on and _leads_on(points[:first], recent, series, rate) else 0.0
    return 0.0 if known else None


def _low_rate(points: list[tuple[int, float]]) -> float:
    size = ceil(len(points) / _COMPARED)
    # Groups are counted from the end, so that the newest point is in a whole one.
    groups = [points[max(0, end - size) : end] for end in range(len(points), 0, -size)]
    few = [(group[len(group) // 2][0], _middle(value for _, value in group)) for group in groups[::-1]]
    rates = sorted(
        (after - before) / (later - sooner) for at, (sooner, before) in enumerate(few) for later, after in few[at + 1 :]
    )
    return rates[int(len(rates) * _LOW)] * _HOUR


def _goes_on(points: list[tuple[int, float]], rate: float) -> bool:
    """Whether the newest points rise at half of that rate at least, as far as so small a growth can be seen."""
    newest = points[-7:]
    grown = _middle(value for _, value in newest[-3:]) - _middle(value for _, value in newest[:3])
    took = (newest[-2][0] - newest[1][0]) / _HOUR
    return grown + 0.2 >= rate * took / 2


def _leads_on(before: list[tuple[int, float]], recent: list[tuple[int, float]], series: Series, rate: float) -> bool:
    """Whether at least half of the climb led to where it was not within the day before the climb."""
    began = recent[0][0]
    peaks = [value for _, value in before]
    peaks += [peak / 10 for hour, peak in zip(series.hours, series.peaks, strict=True) if (hour + 1) * _HOUR <= began]
    climb = rate * (recent[-1][0] - began) / _HOUR
    return not peaks or _middle(value for _, value in recent[-3:]) - max(peaks) >= climb / 2


def _middle(values: Iterable[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


# ----------------------------------------------------------------------------------------------------------- stored


class _Stored(Struct, array_like=True):
    times: list[int]
    series: list[tuple[str, str, list[int], list[int], list[int]]]


_decode = msgspec.json.Decoder(_Stored).decode


def pack(trend: Trend) -> bytes:
    series = [(*name, list(each.values), list(each.hours), list(each.peaks)) for name, each in trend.series.items()]
    return msgspec.json.encode(_Stored(list(trend.times), series))


def unpack(stored: bytes) -> Trend:
    """What ``pack`` was given. Raises ValueError for anything that it never made."""
    try:
        read = _decode(stored)
        series = {
            (mount, metric): Series(array("H", values), array("I", hours), array("H", peaks))
            for mount, metric, values, hours, peaks in read.series
        }
        times = array("I", read.times)
    except (msgspec.MsgspecError, OverflowError) as error:
        raise ValueError(f"a stored trend is damaged: {error}") from error
    if any(len(each.values) > len(times) or len(each.hours) != len(each.peaks) for each in series.values()):
        raise ValueError("a stored trend is damaged: its parts do not fit together")
    return Trend(times, series, {})
