"""What the daemon adds to reports costs, as ``name value unit`` lines.

10,000 hosts with three disks each that fill up, every ten seconds, is 1,000 reports a second.

Run: python tests/bench/bench_derived.py
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parents[2]))

import msgspec
from bench_rules import CPU, DISK, MEMORY

from hbd.clocks import Clocks
from hbd.derived import Derived
from hbd.model import Data, Moment, Report, Sample
from hbd.trends import EMPTY, follow, pack

WALL = 1_750_000_000.0
HOSTS = 300
MOUNTS = ("/", "/boot", "/srv/data")


def report(host_id: int, at: float, percent: float) -> Report:
    disks: Data = {mount: DISK | {"percent": percent} for mount in MOUNTS}
    data = {"cpu_monitor": CPU, "memory_monitor": MEMORY, "disk_monitor": disks, "agent_monitor": {"rss_mb": 20.1}}
    samples = tuple(Sample(plugin, at, values) for plugin, values in data.items())
    return Report(host_id, "a" * 16, 1, samples, msgspec.json.encode(samples))


def measure(name: str, percent: float, rate: float) -> None:
    """Three hours of a host's reports; the cost of those between two points and of those that make one."""
    derived = Derived()
    between: list[float] = []
    points: list[float] = []
    for host_id in range(HOSTS):
        derived.clocks.heard(host_id, WALL, Moment(WALL, 100.0))
    for seconds in range(0, 3 * 3600, 300):
        for extra in (0, 10):
            at = WALL + seconds + extra
            reports = [report(host_id, at, round(percent + rate * seconds / 3600, 1)) for host_id in range(HOSTS)]
            began = perf_counter()
            additions = derived.begin()
            for each in reports:
                additions.complete(each, at)
            rows = additions.rows
            took = (perf_counter() - began) / HOSTS * 1e6
            derived.adopt(additions)
            (points if extra == 0 else between).append(took)
            assert len(rows) == (HOSTS if percent >= 40 and extra == 0 else 0)
    print(f"derived.{name}.report {sorted(between)[len(between) // 2]:.4g} us")
    print(f"derived.{name}.report_with_a_point {sorted(points)[len(points) // 2]:.4g} us")


def main() -> None:
    measure("empty_disks", 20.0, 0.0)
    measure("quiet_disks", 70.0, 0.0)
    measure("filling_disks", 60.0, 10.0)
    clocks, luck = Clocks(), random.Random(1)
    beats = [(host_id, luck.random()) for host_id in range(10_000)]
    began = perf_counter()
    for host_id, delay in beats:
        clocks.heard(host_id, WALL - delay, Moment(WALL, 100.0))
    print(f"derived.clock.heartbeat {(perf_counter() - began) / len(beats) * 1e6:.4g} us")
    trend = EMPTY
    for seconds in range(0, 48 * 3600, 300):
        trend = follow(trend, WALL + seconds, {(mount, "percent"): 50.0 + seconds / 6_000 for mount in MOUNTS})
    print(f"derived.trend.row {len(pack(trend))} bytes")
    arrays = [trend.times, *(array for one in trend.series.values() for array in (one.values, one.hours, one.peaks))]
    print(f"derived.trend.memory {sum(map(sys.getsizeof, arrays)) + 600} bytes")


if __name__ == "__main__":
    main()
