"""When something will be full, in days, from what it was hour by hour for weeks. Pure.

``hbd.trends`` foretells hours, from the last few, and alerts go by it. Here the same is asked of a day and more. For
each of some look-backs, the shortest first, the rate is one that most of the pairs of points in it exceed. What it
comes to is told when

- it is no more than ``AHEAD`` times as long as was looked back: what is slow has to be watched for longer,
- it goes on: what has stopped filling will not be full,
- it leads to where nothing was before in all that is looked at: what is emptied over and over never gets there.

Where a look-back foretells an end that the other two doubt, nothing is told at all.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from math import ceil, floor
from statistics import median

from msgspec import Struct

DAY = 86_400.0
YEAR = 365 * DAY
LOOK_BACKS = (DAY, 3 * DAY, 10 * DAY, 46 * DAY)  # seconds
LOOKED_AT = 60 * DAY  # seconds of points that are of use
AHEAD = 8.0

_COVERED = 0.75  # of a look-back, for it to say anything
_FEWEST = 8  # points of one
_GROUPS = 13  # of points that are compared, which are 78 pairs
_NEWEST = 5  # of these, which tell whether it goes on
_LOW = 0.4  # of the rates between groups, which one counts; below the middle, so that one jump is not most of them
_FRESH = DAY / 4  # an older newest point says nothing of now
_GRAIN = 0.2  # percent; growth below it cannot be told from none

Points = Sequence[tuple[float, float]]
"""(Unix seconds, percent), oldest first"""


class Forecast(Struct, frozen=True):
    """One of the two is null. full_in: seconds until it is full, about. not_within: seconds in which it will not be."""

    full_in: float | None
    not_within: float | None


def forecast(points: Points, now: float) -> Forecast | None:
    """None when nobody can tell. points: of LOOKED_AT before now, about one an hour."""
    if not points or points[-1][0] < now - _FRESH:
        return None
    left, sure = 100.0 - points[-1][1], 0.0
    if left <= 0:
        return Forecast(0.0, None)
    for look_back in LOOK_BACKS:
        first = bisect_left(points, (now - look_back,))
        recent = points[first:]
        if len(recent) < _FEWEST or recent[-1][0] - recent[0][0] < look_back * _COVERED:
            continue
        groups = _grouped(recent)
        rate = _low_rate(groups)
        if rate > 0 and left <= rate * AHEAD * look_back:
            if _goes_on(groups, rate) and _leads_on(points[:first], groups, rate):
                return Forecast(left / rate, None)
            return None
        sure = min(YEAR, AHEAD * look_back)
    return Forecast(None, sure) if sure else None


def _grouped(points: Points) -> list[tuple[float, float]]:
    """The middle of some neighbours each, counted from the end, so that the newest are a whole group."""
    size = ceil(len(points) / _GROUPS)
    groups = [points[max(0, end - size) : end] for end in range(len(points), 0, -size)]
    return [(group[len(group) // 2][0], median(value for _, value in group)) for group in groups[::-1]]


def _low_rate(groups: Points) -> float:
    """Percent a second."""
    rates = sorted(
        (after - before) / (later - sooner)
        for place, (sooner, before) in enumerate(groups)
        for later, after in groups[place + 1 :]
    )
    return rates[int(len(rates) * _LOW)]


def _goes_on(groups: Points, rate: float) -> bool:
    """Whether the newest rise at half of that rate at least, as far as so small a growth can be seen."""
    newest = groups[-_NEWEST:]
    grown = median(value for _, value in newest[-2:]) - median(value for _, value in newest[:2])
    took = (newest[-1][0] + newest[-2][0] - newest[0][0] - newest[1][0]) / 2
    return grown + _GRAIN >= rate * took / 2


def _leads_on(before: Points, groups: Points, rate: float) -> bool:
    """Whether at least half of the climb led to where it was not before the climb."""
    climb = rate * (groups[-1][0] - groups[0][0])
    return not before or groups[-1][1] - max(value for _, value in before) >= climb / 2


def words(told: Forecast | None) -> str:
    """``in about 12 days``, ``not within a year``; "" when nobody can tell."""
    if told is None:
        return ""
    if told.full_in is not None:
        return f"in {about(told.full_in)}" if told.full_in >= 60 else "now"
    return f"not within {'a year' if told.not_within == YEAR else _count(told.not_within or 0.0, floor)}"


def about(seconds: float) -> str:
    """``about 12 days``: in no finer unit than anybody can know."""
    return f"about {_count(seconds, round)}"


def _count(seconds: float, whole: Callable[[float], int]) -> str:
    for length, unit, most in ((3600.0, "hour", 48), (DAY, "day", 21), (7 * DAY, "week", 10)):
        count = max(1, whole(seconds / length))
        if count < most:
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{whole(seconds / (YEAR / 12))} months"
