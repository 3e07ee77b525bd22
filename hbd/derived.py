"""Metrics that the daemon adds to what agents measured: how long until a disk is full, how far a clock is off, which
watched processes were started anew. Pure.

They become part of the sample, before it is judged, written and shown, so that everybody sees the same, also after a
restart. What has to be remembered for them changes with the samples alone, and is planned, written and adopted with
them, as alerts are: a report that comes again after a failed commit comes to the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from hbd.clocks import Clocks
from hbd.model import Data, Report, Sample
from hbd.processes import PLUGIN as PROCESSES
from hbd.processes import RESTARTS, ProcessSample, Watches
from hbd.trends import EMPTY, Name, Trend, follow, pack, unpack

DISKS, AGENT = "disk_monitor", "agent_monitor"
LEFT = {"percent": "hours_to_full", "inodes_percent": "inodes_hours_to_full"}
"""metric of a disk → what is foretold of it"""
SKEW = "clock_skew_seconds"
METRICS = {(DISKS, f"*.{name}") for name in LEFT.values()} | {(AGENT, SKEW), (PROCESSES, f"*.{RESTARTS}")}
"""all of them, as plugin and metric"""

FUTURE_SECONDS = 60.0  # a point later than this was made while the clock was wrong; the trend begins anew


class TrendRow(NamedTuple):
    """A trend as it is stored; see ``hbd.trends.pack``."""

    host_id: int
    trend: bytes


class _Part(Struct):
    """A sample in the body of a report."""

    plugin: str
    time: float
    data: Raw


_split = msgspec.json.Decoder(list[_Part]).decode
_encode = msgspec.json.Encoder().encode


class Derived:
    """What is remembered of all hosts, as far as it is on disk."""

    def __init__(self, watches: Watches | None = None) -> None:
        self.clocks = Clocks()
        self.watches = watches if watches is not None else Watches()
        self._trends: dict[int, Trend] = {}
        self._open: Additions | None = None

    def load(self, rows: Iterable[TrendRow]) -> list[int]:
        """Take over what an earlier run of the daemon left.

        Returns the ids of hosts whose trend is damaged; it begins anew.
        """
        damaged = []
        for row in rows:
            try:
                self._trends[row.host_id] = unpack(row.trend)
            except ValueError:
                damaged.append(row.host_id)
        return damaged

    def begin(self) -> Additions:
        """One at a time is open; an earlier one is thrown away."""
        self._open = Additions(self)
        return self._open

    def adopt(self, additions: Additions) -> None:
        """They are on disk."""
        self._trends.update(additions.changed)
        self.watches.adopt(additions.sightings)

    def forget(self, host_id: int) -> None:
        self.clocks.forget(host_id)
        self.watches.forget(host_id)
        self._trends.pop(host_id, None)
        if self._open is not None:
            self._open.changed.pop(host_id, None)


class Additions:
    """What is added to the reports of one turn. Made by ``Derived.begin``."""

    def __init__(self, derived: Derived) -> None:
        self.changed: dict[int, Trend] = {}
        self.sightings = derived.watches.begin()
        self._derived = derived

    @property
    def rows(self) -> list[TrendRow]:
        return [TrendRow(host_id, pack(trend)) for host_id, trend in self.changed.items()]

    @property
    def processes(self) -> list[ProcessSample]:
        return self.sightings.rows

    def complete(self, report: Report, received: float) -> Report:
        """The report with what can be added. received: Unix seconds. What its agent says itself stays.

        Raises msgspec.MsgspecError, ValueError when its body is not what its samples say.
        """
        samples = [self._complete(report.host_id, sample, received) for sample in report.samples]
        grown = {at for at, (new, old) in enumerate(zip(samples, report.samples, strict=True)) if new is not old}
        if not grown:
            return report
        parts = [
            _Part(part.plugin, part.time, Raw(_encode(sample.data))) if at in grown else part
            for at, (part, sample) in enumerate(zip(_split(report.body), samples, strict=True))
        ]
        return replace(report, samples=tuple(samples), body=_encode(parts))

    def _complete(self, host_id: int, sample: Sample, received: float) -> Sample:
        if sample.plugin == AGENT:
            offset = self._derived.clocks.offset(host_id)
            if offset is not None and SKEW not in sample.data:
                return replace(sample, data=sample.data | {SKEW: round(abs(offset), 2)})
        elif sample.plugin == DISKS:
            data = self._with_time_left(host_id, sample, received)
            if data is not None:
                return replace(sample, data=data)
        elif sample.plugin == PROCESSES:
            return self.sightings.complete(host_id, sample)
        return sample

    def _with_time_left(self, host_id: int, sample: Sample, received: float) -> Data | None:
        """The data of a disk sample, None when there is nothing to add."""
        trend = self.changed.get(host_id) or self._derived._trends.get(host_id, EMPTY)
        if trend.times and trend.times[-1] > received + FUTURE_SECONDS:
            trend = EMPTY
        elif trend.times and sample.time < trend.times[-1]:
            return None  # it comes late
        percents: dict[Name, float] = {
            (mount, metric): percent
            for mount, values in sample.data.items()
            if type(values) is dict
            for metric in LEFT
            if (percent := _percent(values.get(metric))) is not None
        }
        after = follow(trend, sample.time, percents)
        if after is not self._derived._trends.get(host_id, EMPTY):
            self.changed[host_id] = after
        added: Data = {}
        for (mount, metric), percent in percents.items():
            hours = after.hours_left((mount, metric), percent)
            if hours is not None and LEFT[metric] not in sample.data[mount]:
                added.setdefault(mount, dict(sample.data[mount]))[LEFT[metric]] = hours
        return sample.data | added if added else None


def _percent(value: Any) -> float | None:
    if type(value) not in (float, int) or not 0 <= value <= 100:
        return None
    return float(value)
