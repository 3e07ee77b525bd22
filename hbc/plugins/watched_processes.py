"""The processes that the daemon wants watched: how many there are of each name, what they use, since when they run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hbc.plugins.base import HERE, Data, Machine, Metric, Plugin, Unavailable
from hbc.plugins.processes import Process, ProcTable, PsutilTable, Reading, SharedTable, cpu_percents
from hbc.wire import MAX_WATCHED

_NAME_CHARACTERS = 100
_ENDED = frozenset("ZXx")  # they wait for their parent to notice


class WatchedProcesses(Plugin):
    """A process has a name when the kernel calls it so or when it was started by that name, as ``pgrep -x`` has it;
    those that have ended and were not waited for do not count."""

    name = "watched_processes"
    summary = "the processes that the daemon has watched: how many there are, what they use, when they started"
    metrics = (
        Metric("*.count", "count", "Processes of that name."),
        Metric("*.cpu_percent", "percent", "Processor time of all of them, of one core."),
        Metric("*.memory_percent", "percent", "Memory of all of them; what they share counts for each."),
        Metric("*.oldest_start_time", "seconds", "When the oldest of them started, Unix time."),
        Metric(
            "*.oldest_after_boot_seconds",
            "seconds",
            "The same, since the machine booted.",
        ),
    )

    def __init__(self, options: Mapping[str, Any], machine: Machine = HERE) -> None:
        super().__init__(options, machine)
        self._names: tuple[str, ...] = ()
        self._reading: Reading | None = None
        self._loads: dict[int, float] = {}
        self._called: dict[int, tuple[Process, str]] = {}  # by pid; to be read once, not in every round

    def watch(self, names: object) -> bool:
        """Look after these from now on; whether that is anything new. Raises ValueError for what cannot be names."""
        if not isinstance(names, list) or len(names) > MAX_WATCHED:
            raise ValueError(f"processes to watch are a list of at most {MAX_WATCHED} names")
        wanted = tuple(name for name in names if isinstance(name, str) and 0 < len(name) <= _NAME_CHARACTERS)
        if len(wanted) != len(names):
            raise ValueError(f"names of processes are texts of 1 to {_NAME_CHARACTERS} characters")
        before, self._names = self._names, wanted
        return wanted != before

    def collect(self) -> Data:
        names = self._names
        if not names:
            self._reading, self._called = None, {}
            raise Unavailable("the daemon has no process of this host watched")
        shared = SharedTable.of(self.machine)
        table, reading = shared.table, shared.read()
        self._measure_loads(table, reading)
        found: dict[str, list[Process]] = {name: [] for name in names}
        for process, called in self._with_names(table, reading.processes):
            for name in {process.title, called}:
                if name in found:
                    found[name].append(process)
        origin = table.origin()
        return {name: self._sums(table, processes, origin) for name, processes in found.items()}

    def _measure_loads(self, table: ProcTable | PsutilTable, reading: Reading) -> None:
        """Processor time since the reading before; at the first, over the life of each process, as ps has it."""
        before, self._reading = self._reading, reading
        if before is None:
            present = table.present()
            ages = ((process, present - process.started * table.tick) for process in reading.processes)
            self._loads = {process.pid: 100 * process.cpu_seconds / age for process, age in ages if age > 0}
        elif before is not reading:
            known = {process.pid: process for process in before.processes}
            self._loads = cpu_percents(known, reading.processes, reading.at - before.at)

    def _with_names(self, table: ProcTable | PsutilTable, processes: list[Process]) -> list[tuple[Process, str]]:
        """The living, each with the name it was called by."""
        known, self._called = self._called, {}
        for process in processes:
            if process.state not in _ENDED:
                last = known.get(process.pid)
                # A process that runs another program has another title, as a rule; its start is the same.
                same = last is not None and (last[0].started, last[0].title) == (process.started, process.title)
                called = last[1] if same and last is not None else table.called(process)
                self._called[process.pid] = (process, called)
        return list(self._called.values())

    def _sums(self, table: ProcTable | PsutilTable, processes: list[Process], origin: float) -> Data:
        data: Data = {
            "count": len(processes),
            "cpu_percent": round(sum(self._loads.get(process.pid, 0.0) for process in processes), 2),
            "memory_percent": round(100 * sum(process.rss for process in processes) / table.memory_bytes, 2),
        }
        if processes:
            oldest = min(process.started for process in processes) * table.tick
            data |= {"oldest_start_time": round(origin + oldest, 2), "oldest_after_boot_seconds": round(oldest, 2)}
        return data
