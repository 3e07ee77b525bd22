"""The alerts of a large fleet: python tests/bench/bench_alerts.py [hosts]

Each host has 20 paths in 5 plugins. Prints ``name value unit`` lines: CPU of a verdict that changes nothing, from
judging to adopting, of one that changes its level, of ticks, and memory.
"""

from __future__ import annotations

import gc
import resource
import sys
import time

from hbd.alerts import Alerts
from hbd.config.structs import Threshold
from hbd.model import Level, Moment
from hbd.rules import Rule, Verdict

PLUGINS = 5
METRICS = 4
HOSTS_PER_TURN = 50  # 1,000 reports a second, a turn each 50 ms
ROUNDS = 4
TICKS = 1000
START = Moment(1.7e9, 1000.0)


def rss_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def after(seconds: float) -> Moment:
    return Moment(START.wall + seconds, START.mono + seconds)


class Fleet:
    def __init__(self, hosts: int) -> None:
        self.hosts = hosts
        self.alerts = Alerts()
        self.rules = {
            f"plugin_{plugin}": [
                (
                    f"plugin_{plugin}.metric_{metric}",
                    Rule(("*", f"metric_{metric}"), Threshold(warning=90.0), "default"),
                )
                for metric in range(METRICS)
            ]
            for plugin in range(PLUGINS)
        }

    def samples(self, level: Level, value: float) -> dict[str, list[Verdict]]:
        # A number of its own for each host and metric, as measured values are.
        return {
            plugin: [Verdict(path, level, value + at / 7, rule) for at, (path, rule) in enumerate(rules)]
            for plugin, rules in self.rules.items()
        }

    def round(self, level: Level, now: Moment) -> float:
        """One report of every host; seconds of CPU per verdict, rows and events included."""
        spent = 0.0
        for first in range(0, self.hosts, HOSTS_PER_TURN):
            reports = [(host_id, self.samples(level, host_id / 3)) for host_id in range(first, first + HOSTS_PER_TURN)]
            began = time.process_time()
            plan = self.alerts.begin(now)
            for host_id, samples in reports:
                for plugin, verdicts in samples.items():
                    plan.judge(host_id, plugin, verdicts, now.wall, now)
            plan.tick(now)
            assert len(plan.rows) == len(plan.events) or level is Level.OK
            self.alerts.adopt(plan)
            spent += time.process_time() - began
        return spent / (self.hosts * PLUGINS * METRICS)


def main(hosts: int) -> None:
    hosts -= hosts % HOSTS_PER_TURN
    fleet = Fleet(hosts)
    gc.collect()
    before = rss_bytes()
    new = fleet.round(Level.OK, START)
    paths = hosts * PLUGINS * METRICS
    print(f"alerts.paths {paths} count")
    print(f"alerts.memory {(rss_bytes() - before) / paths:.0f} bytes_per_path")
    print(f"alerts.memory_all {(rss_bytes() - before) / 2**20:.0f} MiB")
    print(f"alerts.new_path {new * 1e6:.2f} us")

    quiet = [fleet.round(Level.OK, after(10.0 * number)) for number in range(1, ROUNDS + 1)]
    print(f"alerts.unchanged {sorted(quiet)[ROUNDS // 2] * 1e6:.2f} us_per_verdict")

    now = after(1000.0)
    print(f"alerts.level_changes {fleet.round(Level.WARNING, now) * 1e6:.2f} us_per_verdict")
    assert fleet.alerts.totals().warning == paths
    began = time.process_time()
    listed = sum(1 for _ in fleet.alerts.open())
    print(f"alerts.not_ok {(time.process_time() - began) / listed * 1e6:.2f} us_per_alert")

    began = time.process_time()
    for number in range(TICKS):
        moment = after(1000.0 + number / 2)
        plan = fleet.alerts.begin(moment)
        plan.tick(moment)
        fleet.alerts.adopt(plan)
    print(f"alerts.tick {(time.process_time() - began) / TICKS * 1e6:.1f} us")

    began = time.process_time()
    fleet.alerts.reconfigure(lambda host_id, path: True)
    print(f"alerts.reconfigure {(time.process_time() - began) / paths * 1e6:.2f} us_per_alert")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
