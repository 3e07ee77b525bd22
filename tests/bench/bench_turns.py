"""Ten thousand hosts with twenty rules each: python tests/bench/bench_turns.py [hosts]

Prints ``name value unit`` lines: CPU for each value that a rule is compared with, in the quickest of some rounds.
``judged`` is what alerting costs, from the rules to the notices; ``turn`` is the whole way of a report, from taking it
to answering it, rings included, without the disk and JSON. ``quiet``: no level changes; ``changing``: each hundredth
value does, and a channel is to be told. ``held``: asking whether a notice is silenced, with 200 silences and 20
windows, each about some hosts.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

import msgspec
from virtual_fleet import CHANNEL, NoFeed, Pager, Rows

from hbd.alerts import Alerts
from hbd.config import Config
from hbd.config.structs import Threshold, Thresholds
from hbd.hosts import Host, Hosts
from hbd.hushes import Hushes, MaintenanceWindow, Silence
from hbd.matching import Matcher
from hbd.model import Data, Moment, Report, Sample
from hbd.notices import Notices
from hbd.pipeline import Pipeline
from hbd.presence import Presence
from hbd.rings import Rings
from hbd.routing import Router
from hbd.rules import RuleBook
from hbd.schedule import Window, WindowTexts
from hbd.stats import Stats
from hbd.store import Turn

PLUGINS = 5
METRICS = 4
CHECKS = PLUGINS * METRICS
HOSTS_PER_TURN = 50  # 1,000 reports a second, a turn each 50 ms
ROUNDS = 5
START = Moment(1.7e9, 1000.0)
BODY = b"{}" * 640


def after(seconds: float) -> Moment:
    return Moment(START.wall + seconds, START.mono + seconds)


class Daemon:
    def __init__(self, hosts: int) -> None:
        self.hosts = Hosts()
        for host_id in range(hosts):
            host = Host(host_id, f"host-{host_id}", "")
            host.tags = ["prod" if host_id % 2 else "test"]
            self.hosts.add(host)
        config = msgspec.convert({"notification_routes": {"prod": {"tags": ["prod"], "channels": [CHANNEL]}}}, Config)
        router = Router(config, self.hosts, lambda name: None, lambda name: Pager(), lambda user, name: True)
        self.presence = Presence(3.0, START)
        for host_id in range(hosts):
            self.presence.know(host_id, interval=10.0, now=START)
        self.alerts, self.notices = Alerts(), Notices(router)
        self.pipeline = Pipeline(
            self.hosts, self.presence, Rings(10), Rows(), NoFeed(), Stats(), self.alerts, self.notices
        )
        limits = Thresholds(
            {
                (f"plugin_{plugin}", f"metric_{metric}"): Threshold(warning=80.0, critical=90.0, hysteresis=0.05)
                for plugin in range(PLUGINS)
                for metric in range(METRICS)
            }
        )
        self.pipeline.rules = RuleBook({"default": limits})
        self.hushes = Hushes()
        silences = (
            Silence(
                id=number,
                matcher=Matcher(hosts=(f"host-{number}*",), metrics=("plugin_1.*",)),
                reason="work",
                author="ann",
                created=START.wall,
                starts=START.wall,
                ends=START.wall + 1e6,
            )
            for number in range(200)
        )
        self.hushes.put_silences(silences, START.wall)
        nights = Window.read(WindowTexts("2023-11-14T22:00", 8 * 3600.0, "Europe/Berlin", "daily", (), None))
        for number in range(20):
            matcher = Matcher(hosts=(f"*{number}",))
            window = MaintenanceWindow(
                id=number, name=f"night {number}", matcher=matcher, window=nights, author="ann", source="api"
            )
            self.hushes.put_window(number, window)

    def report(self, host_id: int, seq: int, now: Moment, *, bad: int) -> Report:
        """bad: each so-manieth value is beyond its limit; 0: none."""
        samples = []
        for plugin in range(PLUGINS):
            data: Data = {}
            for metric in range(METRICS):
                number = host_id * CHECKS + plugin * METRICS + metric
                data[f"metric_{metric}"] = 95.5 if bad and number % bad == 0 else 20.0 + number % 50 + seq / 7
            samples.append(Sample(f"plugin_{plugin}", now.wall, data))
        return Report(host_id, "0123456789abcdef", seq, tuple(samples), BODY, 0.0, 10.0)

    def judged(self, seq: int, now: Moment, *, bad: int) -> float:
        """Seconds for each check, of alerting alone."""
        spent = 0.0
        hosts = len(self.hosts)
        for first in range(0, hosts, HOSTS_PER_TURN):
            each = [self.report(host_id, seq, now, bad=bad) for host_id in range(first, first + HOSTS_PER_TURN)]
            turn = Turn(reports=[(report, now.wall) for report in each])
            self.pipeline._now = now
            began = time.process_time()
            plan, _ = self.pipeline._judge(turn, {})
            notices = self.pipeline._told_of(plan)
            rows = (plan.rows, plan.gone, notices.rows)
            self.alerts.adopt(plan)
            self.notices.adopt(notices)
            spent += time.process_time() - began
            del rows
        return spent / (hosts * CHECKS)

    async def turns(self, seq: int, now: Moment, *, bad: int) -> float:
        """Seconds for each check, of the whole way of its report."""
        spent = 0.0
        hosts = len(self.hosts)
        for first in range(0, hosts, HOSTS_PER_TURN):
            each = [self.report(host_id, seq, now, bad=bad) for host_id in range(first, first + HOSTS_PER_TURN)]
            began = time.process_time()
            answers = [self.pipeline.accept(report, now) for report in each]
            await self.pipeline._write_turn()
            spent += time.process_time() - began
            assert all(answer.done() for answer in answers)
        return spent / (hosts * CHECKS)

    def held(self, now: Moment) -> float:
        """Seconds for each notice; the second time, as it is asked once a second."""
        news = list(self.notices.news(CHANNEL))
        for _ in range(2):
            began = time.process_time()
            for notice in news:
                self.hushes.held(self.hosts.by_id(notice.host_id), notice.path, notice.level, notice.problem, now.wall)
            spent = time.process_time() - began
        return spent / len(news)


async def main(hosts: int) -> None:
    hosts -= hosts % HOSTS_PER_TURN
    daemon = Daemon(hosts)
    print(f"turns.checks {hosts * CHECKS} count")
    print(f"turns.new {daemon.judged(1, START, bad=0) * 1e6:.2f} us_per_check")
    quiet = [daemon.judged(1 + number, after(10.0 * number), bad=0) for number in range(1, ROUNDS + 1)]
    print(f"turns.judged.quiet {min(quiet) * 1e6:.2f} us_per_check")
    quiet = [await daemon.turns(10 + number, after(100.0 + 10.0 * number), bad=0) for number in range(1, ROUNDS + 1)]
    print(f"turns.turn.quiet {min(quiet) * 1e6:.2f} us_per_check")
    changing = [
        daemon.judged(20 + number, after(200.0 + 10.0 * number), bad=100 * (number % 2)) for number in (1, 2, 3, 4)
    ]
    print(f"turns.judged.changing {min(changing) * 1e6:.2f} us_per_check")
    whole = [
        await daemon.turns(30 + number, after(900.0 + 10.0 * number), bad=100 * (number % 2)) for number in (1, 2, 3)
    ]
    print(f"turns.turn.changing {min(whole) * 1e6:.2f} us_per_check")
    print(f"turns.notices {len(daemon.notices)} count")
    print(f"turns.held {daemon.held(after(1000.0)) * 1e6:.2f} us_per_notice")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
