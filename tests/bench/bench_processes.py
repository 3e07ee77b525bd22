"""What watched processes cost the daemon and the agent, as ``name value unit`` lines.

Ten and a hundred processes of a host, in reports with 280 other values; and the agent's look at the processes of this
machine, alone and beside ``process_monitor``, which reads the same table.

Run: python tests/bench/bench_processes.py
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import msgspec

from hbc.plugins.base import Machine
from hbc.plugins.process_monitor import ProcessMonitor
from hbc.plugins.watched_processes import WatchedProcesses
from hbd.derived import Derived
from hbd.model import Data, Level, Report, Sample
from hbd.processes import PLUGIN, Known, ProcessSample, Watched, Watches
from hbd.rules import RuleBook
from hbd.stats import Stats
from hbd.store import Store, Turn
from hbd.store.audit import Entry
from hbd.watch_rules import WatchRules

WALL = 1_750_000_000.0
REPORTS = 500
REPORTS_PER_TURN = 50
OTHERS = [Sample(f"plugin_{number}", WALL, {f"m{metric}": 1.5 for metric in range(40)}) for number in range(7)]
SEEN: Data = {
    "count": 3,
    "cpu_percent": 1.5,
    "memory_percent": 2.5,
    "oldest_start_time": WALL,
    "oldest_after_boot_seconds": 100.0,
}
ENTRY = Entry(time=WALL, user="", via="cli", action="process.create")


def spent(work: Callable[[], object], times: int) -> float:
    """Processor time of one call, seconds."""
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / times


def names(count: int) -> list[str]:
    return [f"program-{number}" for number in range(count)]


async def daemon(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "hbd.db", Stats())
        await store.open()
        host_id = await store.hosts.enrol("web-1", "agent_1", [], None, WALL)
        watches = Watches()
        for name in names(count):
            wanted = Watched(host_id=host_id, user_id=None, name=name, created=WALL, alert_on_cpu=True)
            watches.load([Known(await store.processes.add(wanted, ENTRY))])
        rows = derive(watches, host_id, count)
        began = time.process_time()
        for start in range(0, REPORTS, REPORTS_PER_TURN):
            turn = rows[start : start + REPORTS_PER_TURN]
            await store.record(Turn(processes=[row for report in turn for row in report]))
        writing = (time.process_time() - began) / REPORTS
        print(f"written.{count} {writing * 1e6:.0f} us/report")
        print(f"on_disk.{count} {store.database.size_bytes() / (REPORTS * count):.0f} B/sample")
        await store.close()


def derive(watches: Watches, host_id: int, count: int) -> list[list[ProcessSample]]:
    """The rows of so many reports."""
    derived, rows = Derived(watches), []
    data = dict.fromkeys(names(count), SEEN)
    seconds = iter(range(10 * REPORTS))

    def complete() -> None:
        samples = (*OTHERS, Sample(PLUGIN, WALL + next(seconds), data))
        additions = derived.begin()
        additions.complete(Report(host_id, "a" * 16, 1, samples, body), WALL)
        derived.adopt(additions)
        rows.append(additions.processes)

    body = msgspec.json.encode([*OTHERS, Sample(PLUGIN, WALL, data)])
    print(f"derived.{count} {spent(complete, REPORTS) * 1e6:.0f} us/report")
    rules, configured = WatchRules(watches), RuleBook({}).of()
    judging = spent(lambda: rules.of(host_id, configured).judge(PLUGIN, data, lambda path: Level.OK), REPORTS)
    print(f"judged.{count} {judging * 1e6:.0f} us/report")
    return rows


def agent() -> None:
    seconds = iter(range(0, 10**9, 10))
    machine = Machine(clock=lambda: float(next(seconds)))
    watched, monitor = WatchedProcesses({}, machine), ProcessMonitor({}, machine)
    watched.watch(["nginx", "python3", "sshd", "cron", "postgres"])
    for plugin in (watched, monitor):
        plugin.collect()
    both = Machine(clock=lambda: 0.25 * (next(seconds) // 20))  # two readings of the clock are one moment
    together = WatchedProcesses({}, both), ProcessMonitor({}, both)
    together[0].watch(["nginx", "python3", "sshd", "cron", "postgres"])
    pids = sum(1 for entry in os.scandir("/proc") if entry.name.isdigit())
    print(f"machine.processes {pids} count")
    print(f"agent.process_monitor {spent(monitor.collect, 200) * 1e3:.2f} ms/round")
    print(f"agent.watched_processes {spent(watched.collect, 200) * 1e3:.2f} ms/round")
    print(f"agent.both {spent(lambda: [plugin.collect() for plugin in together], 200) * 1e3:.2f} ms/round")


if __name__ == "__main__":
    for number in (10, 100):
        asyncio.run(daemon(number))
    agent()
