"""What Grafana and Prometheus cost the daemon that they ask: python tests/bench/bench_grafana.py [hosts]

Prints ``name value unit`` lines: how long an answer takes on loopback, its size, and the processor time of the daemon
for it, while so many hosts (1,000) report every ten seconds. Six hours of 100 of them are on disk before it starts.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

import aiohttp
import msgspec
import psutil
from programs import Daemon
from virtual_agents import Fleet

from hbd.model import Report, Sample
from hbd.stats import Stats
from hbd.store import Store, Turn
from hbd.upkeep import FOLD_DUE_SECONDS, FOLD_KEEP_SECONDS

STORED_HOSTS = 100
SPAN = 6 * 3600
STEP = 60
TIMES = 10


def tell(name: str, value: float, unit: str) -> None:
    print(f"grafana.{name} {value:.4g} {unit}", flush=True)


async def fill(path: Path) -> None:
    """Six hours of the hosts, a sample a minute, folded as they would be."""
    store = Store(path, Stats())
    await store.open()
    now = time.time()
    ids = [
        await store.hosts.enrol(f"stored-{number:03}", f"agent_{number}", [], None, now)
        for number in range(STORED_HOSTS)
    ]
    for seq in range(SPAN // STEP):
        at = now - SPAN + seq * STEP
        reports = []
        for host_id in ids:
            sample = Sample("cpu_monitor", at, {"cpu_percent": (host_id * 7 + seq) % 1000 / 10, "load_1min": seq % 7})
            body = msgspec.json.encode([msgspec.structs.asdict(sample)])
            reports.append((Report(host_id, "a" * 16, seq + 1, (sample,), body), at))
        await store.record(Turn(reports=reports))
    while await store.samples.fold(now, FOLD_KEEP_SECONDS, FOLD_DUE_SECONDS):
        pass
    await store.close()


async def measure(
    http: aiohttp.ClientSession, daemon: psutil.Process, name: str, method: str, path: str, body: Any
) -> None:
    taken = []
    before = daemon.cpu_times()
    for _ in range(TIMES):
        began = time.perf_counter()
        async with http.request(method, path, json=body) as answer:
            size = len(await answer.read())
            assert answer.status == 200, await answer.text()
        taken.append(time.perf_counter() - began)
    after = daemon.cpu_times()
    tell(f"{name}.p50", statistics.median(taken) * 1000, "ms")
    tell(f"{name}.cpu", (after.user + after.system - before.user - before.system) / TIMES * 1000, "ms")
    tell(f"{name}.size", size / 1024, "KiB")


async def main(hosts: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = Daemon(Path(folder) / "daemon")
        await fill(made.database)
        async with made, Fleet(made.url, hosts, interval=10, ramp=5) as fleet, aiohttp.ClientSession(made.url) as http:
            await asyncio.wait_for(fleet.connected(), 120)
            await asyncio.sleep(15)  # every host has reported
            daemon = psutil.Process(made.pid)
            span = {"from": "now-6h", "to": "now"}
            payload = {"host": "stored-*"}
            panel = {"range": span, "intervalMs": 60_000, "maxDataPoints": 1000}
            one = panel | {"targets": [{"target": "cpu_monitor.cpu_percent", "payload": {"host": "stored-000"}}]}
            many = panel | {"targets": [{"target": "cpu_monitor.cpu_percent", "payload": payload}]}
            top = panel | {"targets": [{"target": "cpu_monitor.cpu_percent", "payload": {"top": 10}}]}
            base = "/api/0/grafana"
            for name, method, path, body in (
                (f"metrics_{hosts}", "GET", "/metrics", None),
                (f"hosts_{hosts}", "GET", f"{base}/hosts", None),
                ("query_of_1_host", "POST", f"{base}/query", one),
                (f"query_of_{STORED_HOSTS}_hosts", "POST", f"{base}/query", many),
                (f"query_of_10_largest_of_{hosts}", "POST", f"{base}/query", top),
                (f"offered_metrics_of_{hosts}", "POST", f"{base}/metrics", {}),
            ):
                await measure(http, daemon, name, method, path, body)
            fleet.finish()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
