"""Watched processes of all hosts, and what agents report of them. Pure.

An agent sends one sample for all of them, ``watched_processes: {name: {count, cpu_percent, memory_percent,
oldest_start_time, oldest_after_boot_seconds}}``. Here it becomes a row for each, and ``restarts`` is added: how often
the process was started anew since the sample before. What has to be remembered for that follows the disk: it is
planned, written and adopted with the samples, as all that is derived from them (``hbd.derived``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from hbd.model import Data, Sample

PLUGIN = "watched_processes"
RESTARTS = "restarts"
METRICS = ("count", RESTARTS, "cpu_percent", "memory_percent")
"""those that may be judged, the worst first"""

_MOST = 10**9  # more is no count, and no percentage


class Watched(Struct, frozen=True, kw_only=True):
    """A process that is watched on a host, as people have set it. The limits are percent; created: Unix seconds.

    id: 0 for one that is not stored yet. user_id: who made it, None where there are no users.
    """

    id: int = 0
    host_id: int
    user_id: int | None
    name: str
    created: float
    enabled: bool = True
    alert_on_down: bool = True
    alert_on_restart: bool = False
    alert_on_cpu: bool = False
    alert_on_memory: bool = False
    cpu_limit: float = 50.0
    memory_limit: float = 25.0


class ProcessSample(Struct, frozen=True, gc=False):
    """What was seen of a watched process at one time (Unix seconds). name: that it had then.

    oldest_start: Unix seconds; after_boot: the same since its machine booted. None: not said, or nothing runs.
    restarts: since the sample before. id: 0 for one that is not stored yet.
    """

    process_id: int
    name: str
    time: float
    count: int
    cpu_percent: float | None
    memory_percent: float | None
    oldest_start: float | None
    after_boot: float | None
    restarts: int = 0
    id: int = 0


class Known(Struct):
    """A watched process with its newest sample, None before the first. last_start: the newest sample that has one."""

    watched: Watched
    newest: ProcessSample | None = None
    last_start: ProcessSample | None = None


class Watches:
    """Every watched process, as far as it is on disk."""

    def __init__(self) -> None:
        self._hosts: dict[int, dict[str, Known]] = {}
        self._sets: dict[int, tuple[Watched, ...]] = {}

    # -------------------------------------------------------------------------------------------------------- answers

    def all(self) -> list[Watched]:
        return [known.watched for of_host in self._hosts.values() for known in of_host.values()]

    def of(self, host_id: int) -> list[Known]:
        """Those of a host, the first made first."""
        return sorted(self._hosts.get(host_id, {}).values(), key=lambda known: known.watched.id)

    def get(self, host_id: int, process_id: int) -> Known | None:
        return next((known for known in self.of(host_id) if known.watched.id == process_id), None)

    def named(self, host_id: int, name: str) -> Known | None:
        return self._hosts.get(host_id, {}).get(name)

    def names(self, host_id: int) -> list[str]:
        """What the agent of a host is to look after."""
        return [watched.name for watched in self.enabled(host_id)]

    def enabled(self, host_id: int) -> tuple[Watched, ...]:
        """Those of a host that are not paused; the same object until one of them is changed."""
        found = self._sets.get(host_id)
        if found is None:
            found = tuple(known.watched for known in self.of(host_id) if known.watched.enabled)
            self._sets[host_id] = found
        return found

    # -------------------------------------------------------------------------------------------------------- changes

    def load(self, rows: Iterable[Known]) -> None:
        """Take over what an earlier run of the daemon left."""
        for known in rows:
            self._hosts.setdefault(known.watched.host_id, {})[known.watched.name] = known

    def put(self, watched: Watched) -> None:
        """It is on disk like this. With another name it is another process, of which nothing was seen."""
        known = self.named(watched.host_id, watched.name)
        if known is not None and known.watched.id == watched.id:
            known.watched = watched
            self._sets.pop(watched.host_id, None)
        else:
            self.remove(watched.host_id, watched.id)
            self._hosts.setdefault(watched.host_id, {})[watched.name] = Known(watched)

    def remove(self, host_id: int, process_id: int) -> None:
        self._sets.pop(host_id, None)
        known = self._hosts.get(host_id, {})
        for name in [name for name, one in known.items() if one.watched.id == process_id]:
            del known[name]

    def forget(self, host_id: int) -> None:
        self._hosts.pop(host_id, None)
        self._sets.pop(host_id, None)

    def begin(self) -> Sightings:
        return Sightings(self)

    def adopt(self, sightings: Sightings) -> None:
        """They are on disk."""
        for known, after in sightings.changed:
            known.newest, known.last_start = after.newest, after.last_start


class Sightings:
    """What the samples of one turn show. Made by ``Watches.begin``."""

    def __init__(self, watches: Watches) -> None:
        self.rows: list[ProcessSample] = []
        self._watches = watches
        self._after: dict[int, tuple[Known, Known]] = {}

    @property
    def changed(self) -> Iterable[tuple[Known, Known]]:
        """(what is known, what it becomes)."""
        return self._after.values()

    def complete(self, host_id: int, sample: Sample) -> Sample:
        """The sample with ``restarts``, and without processes that are not, or no longer, watched."""
        data: Data = {}
        for name, values in sample.data.items():
            known = self._watches.named(host_id, name)
            if known is None or not known.watched.enabled:
                continue
            row = _row(known.watched, sample.time, values)
            if row is not None:
                data[name] = values | {RESTARTS: self._take(known, row).restarts}
        return replace(sample, data=data)

    def _take(self, known: Known, row: ProcessSample) -> ProcessSample:
        _, before = self._after.get(row.process_id, (known, known))
        if before.newest is None or row.time > before.newest.time:  # else it comes late: what followed it was counted
            row = replace(row, restarts=int(_was_restarted(before.last_start, row)))
            last_start = row if row.oldest_start is not None else before.last_start
            self._after[row.process_id] = (known, Known(known.watched, row, last_start))
        self.rows.append(row)
        return row


def _was_restarted(before: ProcessSample | None, now: ProcessSample) -> bool:
    """Whether the oldest process of now was started later than that of before.

    A time of the clock moves when the clock is set. The time since boot does not: where it is the same, so is the
    process, unless it began after the sample before; what is started first takes as long at every boot.
    """
    if before is None or before.oldest_start is None or now.oldest_start is None:
        return False
    if now.after_boot is not None and now.after_boot == before.after_boot and now.oldest_start <= before.time:
        return False
    return now.oldest_start > before.oldest_start


def _row(watched: Watched, at: float, values: Any) -> ProcessSample | None:
    """What an agent says of one process; None when that says nothing."""
    if type(values) is not dict or (count := _number(values, "count")) is None:
        return None
    return ProcessSample(
        process_id=watched.id,
        name=watched.name,
        time=at,
        count=int(count),
        cpu_percent=_number(values, "cpu_percent"),
        memory_percent=_number(values, "memory_percent"),
        oldest_start=_number(values, "oldest_start_time", 1e11) if count else None,
        after_boot=_number(values, "oldest_after_boot_seconds", 1e11) if count else None,
    )


def _number(values: Mapping[str, Any], name: str, most: float = _MOST) -> float | None:
    value: Any = values.get(name)
    if type(value) not in (int, float) or not 0 <= value <= most or not isfinite(value):
        return None
    return float(value)
