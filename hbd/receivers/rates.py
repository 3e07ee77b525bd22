"""Counters that only grow, as foreign agents send them, turned into rates. Pure: the time is passed in."""

from __future__ import annotations

from collections.abc import Mapping

SHORTEST = 0.01  # seconds between two readings; below, a rate would be noise
MAX_KEYS = 1_000  # of one host: what is not remembered has no rates, and that is all
_ABSURD = 1 << 62  # a step no counter makes; a wrong sign read as unsigned does

Reading = tuple[float, Mapping[str, float]]


class Rates:
    """The rates of the counters of all hosts, each against its own reading before.

    What is sent stays beside what is made of it: receivers put both into their samples.
    """

    def __init__(self, digits: int = 1) -> None:
        self._digits = digits
        self._before: dict[int, dict[str, Reading]] = {}

    def of(self, host_id: int, key: str, counters: Mapping[str, float], at: float) -> dict[str, float]:
        """Name to rate per second; without the names that have none now, as at the first reading or after a reset.

        key: what the counters belong to (``eth0``). at: seconds, of whichever clock; the same one for every reading of
        a key. A reading that is older than the one before changes nothing.
        """
        readings = self._before.setdefault(host_id, {})
        last = readings.get(key)
        if last is None:
            if len(readings) < MAX_KEYS:
                readings[key] = (at, counters)
            return {}
        then, before = last
        if at - then < SHORTEST:
            return {}
        readings[key] = (at, counters)
        return {
            name: round(rate, self._digits)
            for name, value in counters.items()
            if name in before and (rate := per_second(before[name], value, at - then)) is not None
        }

    def forget(self, host_id: int) -> None:
        """The host is gone."""
        self._before.pop(host_id, None)


def per_second(before: float, after: float, seconds: float) -> float | None:
    """The mean rate between two readings of a counter, or None when they tell none.

    A counter that went down was reset or wrapped; which of the two cannot be known, so that interval is a gap, never a
    negative rate or a guess.
    """
    if seconds < SHORTEST or before < 0 or not 0 <= after - before < _ABSURD:
        return None
    return (after - before) / seconds
