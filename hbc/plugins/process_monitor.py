"""How many processes there are, and which use the most processor time and memory."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import nlargest
from typing import Any, ClassVar

from hbc.plugins.base import HERE, MIB, Data, Machine, Metric, Plugin
from hbc.plugins.processes import Process, SharedTable, cpu_percents
from hbc.plugins.rates import SHORTEST
from hbc.plugins.settings import whole

_STATES = {
    "R": "running",
    "S": "sleeping",
    "D": "disk_sleep",
    "T": "stopped",
    "t": "stopped",
    "Z": "zombies",
    "I": "idle",
}


class ProcessMonitor(Plugin):
    name = "process_monitor"
    summary = "counts of processes, and those that use the most processor time and memory"
    has_rates = True
    metrics = (
        Metric("total", "count", "Processes there are."),
        Metric("threads", "count", "Threads they have."),
        Metric("running", "count", "Running or ready to."),
        Metric("sleeping", "count", "Waiting for something."),
        Metric("disk_sleep", "count", "Waiting for a disk or an NFS server; cannot be interrupted."),
        Metric("stopped", "count", "Stopped by a signal or a debugger."),
        Metric("zombies", "count", "Ended, but not yet waited for by their parent."),
        Metric("idle", "count", "Idle threads of the kernel."),
        Metric("top_cpu", "list", "Those that used the most processor time since the sample before; see below."),
        Metric("top_memory", "list", "Those with the most memory; see below."),
    )
    options: ClassVar[Mapping[str, str]] = {"top": "how many processes each list holds, 0-50; default 5"}

    def __init__(self, options: Mapping[str, Any], machine: Machine = HERE) -> None:
        super().__init__(options, machine)
        self._top = whole(options, "top", 5, least=0, most=50)
        self._before: tuple[float, dict[int, Process]] | None = None

    def collect(self) -> Data:
        shared = SharedTable.of(self.machine)
        table = shared.table
        now, processes = shared.read()
        counts = dict.fromkeys(_STATES.values(), 0)
        threads = 0
        for process in processes:
            counts[_STATES.get(process.state, "sleeping")] += 1
            threads += process.threads
        data: Data = {"total": len(processes), "threads": threads, **counts}
        if self._top == 0:
            return data

        loads = None
        if self._before is not None and now - self._before[0] >= SHORTEST:
            loads = cpu_percents(self._before[1], processes, now - self._before[0])
        self._before = (now, {process.pid: process for process in processes})

        def entry(process: Process) -> Data:
            cpu = {} if loads is None else {"cpu_percent": loads.get(process.pid, 0.0)}
            return {
                "pid": process.pid,
                "name": table.name(process),
                "user": table.user(process),
                **cpu,
                "memory_percent": round(100 * process.rss / table.memory_bytes, 1),
                "memory_mb": round(process.rss / MIB, 1),
            }

        if loads is not None:
            busy = [process for process in processes if loads.get(process.pid)]
            data["top_cpu"] = [entry(process) for process in nlargest(self._top, busy, key=lambda p: loads[p.pid])]
        data["top_memory"] = [
            entry(process) for process in nlargest(self._top, processes, key=lambda p: p.rss) if process.rss
        ]
        return data
