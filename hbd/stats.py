"""Self-metrics: what the daemon counts about itself, shown at ``/metrics`` and ``/api/0/status``.

Everything that is dropped, refused or late is counted here under a name ending in ``_total``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

Labels = tuple[tuple[str, str], ...]

# Seconds; fine enough to tell a 5 ms loop from a 50 ms one.
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Histogram:
    """Cumulative histogram of seconds over ``BUCKETS``."""

    __slots__ = ("counts", "highest", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0
        self.highest = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds
        if seconds > self.highest:
            self.highest = seconds

    @property
    def count(self) -> int:
        return sum(self.counts)

    def quantile(self, q: float) -> float:
        """The upper edge of the bucket that holds the q-th part (0-1) of what was observed; 0.0 when nothing was."""
        wanted, seen = q * self.count, 0
        if wanted == 0:
            return 0.0
        for edge, count in zip(BUCKETS, self.counts, strict=False):
            seen += count
            if seen >= wanted:
                return min(edge, self.highest)
        return self.highest


class Stats:
    """Counters, gauges and histograms by name and labels. Names carry no prefix here; ``/metrics`` adds ``hbd_``."""

    def __init__(self) -> None:
        self.help: dict[str, str] = {}
        self.counters: dict[str, dict[Labels, float]] = {}
        self.gauges: dict[str, Callable[[], float]] = {}
        self.histograms: dict[str, Histogram] = {}

    def describe(self, name: str, text: str) -> None:
        """One line of help for a metric; a counter that is described shows as 0 before its first count."""
        self.help[name] = text
        if name.endswith("_total"):
            self.counters.setdefault(name, {})

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        series = self.counters.setdefault(name, {})
        key = tuple(sorted(labels.items()))
        series[key] = series.get(key, 0) + amount

    def value(self, name: str, **labels: str) -> float:
        """What a counter stands at; over all labels when none are given."""
        series = self.counters.get(name, {})
        return series.get(tuple(sorted(labels.items())), 0) if labels else sum(series.values())

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A value that is read when somebody asks."""
        self.help[name] = text
        self.gauges[name] = read

    def histogram(self, name: str, text: str = "") -> Histogram:
        """The histogram of that name, made at the first call."""
        if name not in self.histograms:
            self.histograms[name] = Histogram()
        if text:
            self.help[name] = text
        return self.histograms[name]
