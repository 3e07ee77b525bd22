"""Writes in InfluxDB's line protocol, as Telegraf, Glances and scripts send them.

The key decides whose they are; a ``host`` tag is data. What came at one moment is one sample of each plugin, with what
is still true of what came before (``hbd.receivers.pieces``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from hbd.hosts import Host
from hbd.model import Data, Moment, Sample
from hbd.receivers import interfaces
from hbd.receivers.influx_names import DISK_TRAFFIC, Said, translate
from hbd.receivers.line_protocol import MOST_PROBLEMS, Point, Points
from hbd.receivers.pieces import KEPT_SECONDS, Pieces, merge
from hbd.receivers.rates import Rates
from hbd.receivers.sound import sound

NAME = "influx"
INTERVAL_SECONDS = 60.0  # in which such a sender is expected to write again, unless the config says otherwise
OLDEST_SECONDS = 30 * 86_400.0
AHEAD_SECONDS = 30.0  # by which a sender's clock may be ahead of ours; what is later counts as now
MOMENTS_COMPLETED = 8  # the newest of one write; older ones are a backlog, which no alert looks at
LONGEST_PIECE = 1_024
DISK_MOUNTS = 1_000  # of one host


class Written(NamedTuple):
    """A write in our words. moments: Unix seconds → (piece, what is said), in their order.

    points: taken. problems: why the first of the others were not; refused: how many these are.
    """

    moments: dict[float, list[tuple[str, Said]]]
    points: int
    problems: list[str]
    refused: int


def arrange(written: Points, unit: float, now: Moment, most_metrics: int) -> Written:
    """What was written, by moment. unit: seconds in which its times are; most_metrics: of one moment. In any thread."""
    problems, refused, taken = list(written.problems), written.skipped, 0
    moments: dict[float, list[tuple[str, Said]]] = defaultdict(list)
    sizes: dict[float, int] = defaultdict(int)
    for point in written.points:
        try:
            at = _time(point, unit, now)
            sizes[at] += len(point.fields)
            if sizes[at] > most_metrics:
                raise ValueError(f"more than {most_metrics} metrics of one moment")
            moments[at] += [(_piece(point, said), said) for said in translate(point)]
            taken += 1
        except ValueError as problem:
            refused += 1
            if len(problems) < MOST_PROBLEMS:
                problems.append(f"{point.measurement}: {problem}")
    return Written({at: moments[at] for at in sorted(moments)}, taken, problems, refused)


class InfluxWrites:
    """What is known of hosts that write so. rates: counters made into rates. latest: the newest sample of a plugin."""

    def __init__(self, rates: Rates, latest: Callable[[int, str], Sample | None]) -> None:
        self._rates = rates
        self._latest = latest
        self._pieces = Pieces()
        self._mounts: dict[int, dict[str, str]] = {}
        """host id → device → where it is mounted"""

    def samples(self, host: Host, moments: Mapping[float, list[tuple[str, Said]]]) -> Iterator[list[Sample]]:
        """Samples of the moments of one write, one moment after the other, so that others get their turn between."""
        backlog = set(list(moments)[:-MOMENTS_COMPLETED])
        for at, moment in moments.items():
            plugins = self._plugins(host.id, moment, at, alone=at in backlog)
            yield [Sample(plugin, at, data) for plugin, data in plugins.items()]

    def _plugins(self, host_id: int, moment: list[tuple[str, Said]], at: float, *, alone: bool) -> dict[str, Data]:
        """Plugin to data of one moment. alone: without what came before."""
        fresh: dict[str, Data] = {}
        for piece, said in moment:
            self._note_device(host_id, said)
            plugin, key = self._place(host_id, said)
            data = sound(said.data | self._with_rates(host_id, f"{NAME} {piece}", said, at))
            if not data:
                continue
            whole = {key: data} if key is not None else data
            merge(fresh.setdefault(plugin, {}), whole)
            if not alone:
                self._recall(host_id, plugin, at)
                self._pieces.put(host_id, plugin, piece, whole, at)
        if not alone:
            for plugin, data in fresh.items():
                complete = self._pieces.whole(host_id, plugin, at)
                merge(complete, data)
                fresh[plugin] = complete
        network = fresh.get("network_monitor")
        if network is not None and (total := interfaces.total(network)):
            network[interfaces.TOTAL] = sound(total)
        return fresh

    def _recall(self, host_id: int, plugin: str, at: float) -> None:
        """After a start of the daemon, what was known before still holds for a while."""
        if not self._pieces.knows(host_id, plugin):
            latest = self._latest(host_id, plugin)
            if latest is not None and at - latest.time < KEPT_SECONDS:
                self._pieces.put(host_id, plugin, "", latest.data, latest.time, keep=KEPT_SECONDS)

    def _with_rates(self, host_id: int, key: str, said: Said, at: float) -> Data:
        """Its counters, as they were sent, and what is made of them."""
        rates = self._rates.of(host_id, key, said.counters, at) if said.counters else {}
        return dict(said.counters) | {f"{name}_per_second": rate for name, rate in rates.items()}

    def _note_device(self, host_id: int, said: Said) -> None:
        device = said.data.get("device") if said.plugin == "disk_monitor" else None
        if isinstance(device, str) and said.key is not None:
            mounts = self._mounts.setdefault(host_id, {})
            if len(mounts) < DISK_MOUNTS:
                mounts.setdefault(device.removeprefix("/dev/"), said.key)

    def _place(self, host_id: int, said: Said) -> tuple[str, str | None]:
        """Plugin and key; traffic of a device that is mounted goes to its mount."""
        if said.plugin == DISK_TRAFFIC and said.key is not None:
            mount = self._mounts.get(host_id, {}).get(said.key)
            return ("disk_monitor", mount) if mount is not None else (DISK_TRAFFIC, said.key)
        return said.plugin, said.key

    def forget(self, host: Host) -> None:
        """The host is gone."""
        self._pieces.forget(host.id)
        self._mounts.pop(host.id, None)


def _piece(point: Point, said: Said) -> str:
    """Names what a point says of a plugin; the same at every write. Raises ValueError."""
    name = f"{point.measurement} {said.plugin} {said.key} {sorted(point.tags.items())} {sorted(said.counters)}"
    if len(name) > LONGEST_PIECE:
        raise ValueError(f"has more than {LONGEST_PIECE} characters of tags")
    return name


def _time(point: Point, unit: float, now: Moment) -> float:
    """When it was measured, Unix seconds. Raises ValueError."""
    if point.time is None:
        return now.wall
    at = point.time * unit
    if at < now.wall - OLDEST_SECONDS:
        raise ValueError(f"its time is more than {OLDEST_SECONDS / 86_400:.0f} days ago; is the precision right?")
    return at if at <= now.wall + AHEAD_SECONDS else now.wall
