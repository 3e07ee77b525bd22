"""What it costs to judge a report by the shipped thresholds and by more of them, as ``name value unit`` lines.

A check is one value that a rule is compared with. The reports are those of ``hbc once``. A check of a flat metric is to
cost 200 ns at most, and none more than 5 us.

Run: python tests/bench/bench_rules.py
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import msgspec

from hbd.config.structs import Threshold, Thresholds
from hbd.model import Data, Level
from hbd.rules import HostRules, RuleBook

CPU: Data = {
    "cpu_percent": 50.7, "user_percent": 49.8, "system_percent": 1.0, "iowait_percent": 0.0, "steal_percent": 0.0,
    "load_1min": 0.88, "load_5min": 2.34, "load_15min": 4.51, "load_per_core": 1.17, "cpu_count": 2,
    "frequency_mhz": 2445, "interrupts_per_second": 361.1, "context_switches_per_second": 178.6,
    "forks_per_second": 1.0,
}  # fmt: skip
MEMORY: Data = {
    "percent": 2.3, "swap_percent": 0.0, "swap_total_mb": 0.0, "total_mb": 24105.6, "free_mb": 22584.4,
    "available_mb": 23549.6, "buffers_mb": 22.7, "cached_mb": 1254.8, "shared_mb": 8.6, "used_mb": 555.9,
    "swap_used_mb": 0.0, "swap_in_bytes_per_second": 0.0, "swap_out_bytes_per_second": 0.0,
}  # fmt: skip
DISK: Data = {
    "percent": 23.8, "total_gb": 251.97, "used_gb": 24.18, "free_gb": 77.28, "inodes_percent": 2.7,
    "inodes_total": 16777216, "inodes_free": 16322382, "read_only": False, "hanging": False, "device": "/dev/vda",
    "fstype": "ext4", "reads_per_second": 0.0, "read_bytes_per_second": 0.0, "writes_per_second": 0.0,
    "write_bytes_per_second": 0.0, "busy_percent": 0.0,
}  # fmt: skip
INTERFACE: Data = {
    f"{way}_{what}_per_second": 0.0 for way in ("rx", "tx") for what in ("bytes", "packets", "errors", "drops")
}
PLUGINS = ("cpu", "memory", "disk", "network", "process", "agent")
REPORT: dict[str, Data] = {
    "cpu_monitor": CPU,
    "memory_monitor": MEMORY,
    "disk_monitor": {"/": DISK, "/boot": DISK, "/srv/data": DISK},
    "network_monitor": {"lo": INTERFACE, "eth0": INTERFACE, "total": INTERFACE, "tcp_sockets": 11},
    "process_monitor": {"total": 84, "threads": 114, "running": 1, "sleeping": 47, "zombies": 0, "top_cpu": [{}]},
    "agent_monitor": {"threads": 3, "cpu_percent": 0.46, "rss_mb": 24.4, "spool_records": 0}
    | {f"{plugin}_monitor": {"ok": True, "seconds": 0.0004} for plugin in PLUGINS},
}
HOT: Data = CPU | {"cpu_percent": 89.0, "iowait_percent": 39.0, "steal_percent": 9.5, "load_per_core": 1.9}
DISKS: Data = {f"/mnt/a.b{number}": DISK | {"percent": 84.0} for number in range(100)}


def as_received(data: Data) -> Data:
    """Through JSON, as a receiver makes it."""
    received: Data = msgspec.json.decode(msgspec.json.encode(data))
    return received


def level_of(path: str) -> Level:
    return LEVELS.get(path, Level.OK)


LEVELS: dict[str, Level] = {}


def microseconds(work: Callable[[], Any], repeat: int) -> float:
    """One run of ``work`` in the quickest of 50 rounds: what it costs when nothing else disturbs."""
    rounds = []
    for _ in range(50):
        start = perf_counter()
        for _ in range(repeat):
            work()
        rounds.append((perf_counter() - start) / repeat * 1e6)
    return min(rounds)


def measure(name: str, rules: HostRules, report: dict[str, Data], repeat: int = 500) -> None:
    """Prints what judging a report costs for each check in it."""
    report = {plugin: as_received(data) for plugin, data in report.items()}

    samples = list(report.items())

    def judge() -> None:
        for plugin, data in samples:
            rules.judge(plugin, data, level_of)

    checks = sum(len(rules.judge(plugin, data, level_of)) for plugin, data in samples)
    took = microseconds(judge, repeat)
    print(f"rules.{name}.checks {checks} count")
    print(f"rules.{name}.report {took:.4g} us")
    print(f"rules.{name}.check {took / checks * 1000:.4g} ns")


def main() -> None:
    shipped = RuleBook({}).of()
    measure("report", shipped, REPORT)
    measure("flat", shipped, {"cpu_monitor": CPU})
    measure("flat.within_hysteresis", shipped, {"cpu_monitor": HOT})
    measure("nested", shipped, {"disk_monitor": {"/": DISK}})
    measure("nested.100_keys", shipped, {"disk_monitor": DISKS}, 5)

    any_metric = RuleBook({"x": Thresholds({("cpu_monitor", "*"): Threshold(warning=1e9)})}).of(("x",))
    measure("any_metric", any_metric, {"cpu_monitor": CPU})

    many = Thresholds(
        {("disk_monitor", f"/mnt/a.b{number}", "percent"): Threshold(warning=90) for number in range(100)}
    )
    layered = RuleBook({f"layer{number}": many for number in range(10)})
    names = ("default", *(f"layer{number}" for number in range(10)))
    measure("layers.1000_rules", layered.of(names), {"disk_monitor": DISKS}, 5)

    strange = RuleBook({"x": many}).of(("default", "x"))
    fresh = ({f"/{number}.{each}": DISK for each in range(10)} for number in range(10_000))
    took = microseconds(lambda: strange.judge("disk_monitor", next(fresh), level_of), 100)
    print(f"rules.new_keys.check {took / 30 * 1000:.4g} ns")
    took = microseconds(lambda: RuleBook({}).of().judge("cpu_monitor", CPU, level_of), 100)
    print(f"rules.compile_plugin {took:.4g} us")


if __name__ == "__main__":
    main()
