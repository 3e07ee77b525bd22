"""Which rollups answer a question about a span of time, and what is made of them. Pure; times are Unix seconds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Literal

from msgspec import Struct

from hbd.rollups import TIERS, Bucket

STEPS = (60, 120, 300, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400, 604_800)
"""seconds between the points of an answer, where nobody says how many they want"""
POINTS = 500  # of one metric, about, where nobody says

Aggregate = Literal["mean", "sum", "min", "max"]


class Plan(Struct, frozen=True):
    """tier: whose rollups are read. step: seconds of a point, a whole number of tiers. first, end: of whole steps."""

    tier: int
    step: int
    first: int
    end: int


def plan(first: float, end: float, step: float | None, kept: Mapping[int, float], now: float) -> Plan:
    """How to answer about the time from first until before end. kept: tier → for how many seconds it is kept.

    step: how long the caller wants a point to be; None: some hundred points. It becomes longer where what is older is
    not kept that fine.
    """
    wanted = step or next((each for each in STEPS if (end - first) / each <= POINTS), STEPS[-1])
    fitting = [tier for tier in TIERS if tier <= wanted] or [TIERS[0]]
    tier = fitting[-1]
    if first < now - kept[tier]:
        tier = next((each for each in TIERS if each >= tier and first >= now - kept[each]), TIERS[-1])
    whole = max(1, math.ceil(wanted / tier)) * tier
    begin = math.floor(first / whole) * whole
    return Plan(tier, whole, begin, max(begin + whole, math.ceil(end / whole) * whole))


def points(buckets: Iterable[Bucket], step: int) -> list[Bucket]:
    """Buckets, oldest first, as points of that many seconds; a point that nothing is known of is left out."""
    found: list[Bucket] = []
    for bucket in buckets:
        start = bucket.start - bucket.start % step
        if found and found[-1].start == start:
            found[-1] = _together(found[-1], bucket, start)
        else:
            found.append(bucket if bucket.start == start else Bucket(start, *_values(bucket)))
    return found


def rates(buckets: Sequence[Bucket]) -> list[Bucket]:
    """Per second what a counter grew, from each bucket to the next; a counter that began anew has no rate there."""
    found = []
    for before, after in pairwise(buckets):
        grown = after.last - before.last
        if grown >= 0:
            rate = grown / (after.start - before.start)
            found.append(Bucket(after.start, after.count, rate, rate, rate, rate))
    return found


def aggregated(series: Sequence[Sequence[Bucket]], how: Aggregate) -> list[Bucket]:
    """Points of several hosts as one: in each, of the hosts that have it. sum: of means, and of least and most."""
    by_start: dict[float, list[Bucket]] = {}
    for buckets in series:
        for bucket in buckets:
            by_start.setdefault(bucket.start, []).append(bucket)
    add = _WAYS[how]
    low, high = (add, add) if how == "sum" else (min, max)
    found = []
    for start in sorted(by_start):
        parts = by_start[start]
        found.append(
            Bucket(
                start,
                sum(part.count for part in parts),
                low([part.low for part in parts]),
                high([part.high for part in parts]),
                add([part.mean for part in parts]),
                add([part.last for part in parts]),
            )
        )
    return found


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


_WAYS: dict[Aggregate, Callable[[list[float]], float]] = {"mean": _mean, "sum": math.fsum, "min": min, "max": max}


def _values(bucket: Bucket) -> tuple[int, float, float, float, float]:
    return bucket.count, bucket.low, bucket.high, bucket.mean, bucket.last


def _together(a: Bucket, b: Bucket, start: float) -> Bucket:
    count = a.count + b.count
    mean = (a.mean * a.count + b.mean * b.count) / count
    return Bucket(start, count, min(a.low, b.low), max(a.high, b.high), mean, b.last)
