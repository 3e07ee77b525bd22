"""Counters that only grow, turned into rates. Pure: the time is passed in."""

from __future__ import annotations

from collections.abc import Mapping

SHORTEST = 0.01  # seconds between two readings; below, a rate would be noise
_ABSURD = 1 << 62  # a step no counter makes; a wrong sign read as unsigned does


def per_second(before: float, after: float, seconds: float) -> float | None:
    """The mean rate between two readings of a counter, or None when they tell none.

    A counter that went down was reset or wrapped (at 2^32 or 2^64); which of the two cannot be known, so that
    interval is a gap, never a negative rate or a guess.
    """
    if seconds < SHORTEST or before < 0 or not 0 <= after - before < _ABSURD:
        return None
    return (after - before) / seconds


class Rates:
    """The rates of a set of counters, each against its own reading before."""

    def __init__(self, digits: int = 1) -> None:
        self.digits = digits
        self._before: dict[str, tuple[float, Mapping[str, float]]] = {}

    def of(self, key: str, counters: Mapping[str, float], now: float) -> dict[str, float]:
        """Name to rate per second; without the names that have none now. key: what the counters belong to."""
        last = self._before.get(key)
        if last is not None and now - last[0] < SHORTEST:
            return {}
        self._before[key] = (now, counters)
        if last is None:
            return {}
        then, before = last
        rates = {}
        for name, value in counters.items():
            if name in before:
                rate = per_second(before[name], value, now - then)
                if rate is not None:
                    rates[name] = round(rate, self.digits)
        return rates

    def keep(self, keys: set[str]) -> None:
        """Forget the counters of everything else (an interface that is gone, a mount that was taken away)."""
        for key in self._before.keys() - keys:
            del self._before[key]
