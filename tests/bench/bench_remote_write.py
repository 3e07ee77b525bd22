"""What remote write costs: python tests/bench/bench_remote_write.py [hosts]

Prints ``name value unit`` lines. A receiver on loopback, in a process of its own, takes everything unread. First hosts
of 60 metrics send what is new, then what was folded and packed while the receiver was away for six hours.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

import aiohttp
import msgspec
from virtual_agents import _METRICS, _vary

from hbd.config.structs import RemoteWrite
from hbd.exporters.sender import BREATH_SECONDS, Writer
from hbd.hosts import Host, Hosts
from hbd.model import Report, Sample
from hbd.stats import Stats
from hbd.store import Store, Turn

BEGAN = 1_750_003_200.0
AWAY_SECONDS = 6 * 3600
RECEIVER = """
import asyncio
from aiohttp import web

async def take(request):
    await request.read()
    return web.Response(status=204)

async def serve():
    app = web.Application(client_max_size=1 << 26)
    app.router.add_post("/", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()

asyncio.run(serve())
"""


def tell(name: str, value: float, unit: str) -> None:
    print(f"remote_write.{name} {value:.4g} {unit}", flush=True)


def report(host_id: int, seq: int, chance: random.Random) -> tuple[Report, float]:
    at = BEGAN + seq * 10 + host_id / 1000
    made = tuple(Sample(plugin, at, _vary(data, chance)) for plugin, data in _METRICS.items())
    return Report(host_id, "a" * 16, seq, made, msgspec.json.encode([msgspec.structs.asdict(one) for one in made])), at


class Lag:
    """How late the event loop was for its own clock, seconds."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    async def watch(self) -> None:
        while True:
            due = time.perf_counter() + 0.01
            await asyncio.sleep(0.01)
            self.seen.append(time.perf_counter() - due)

    def p99(self) -> float:
        return sorted(self.seen)[len(self.seen) * 99 // 100]


async def drain(name: str, writer: Writer, stats: Stats) -> None:
    before = stats.value("remote_write_samples_total")
    lag = Lag()
    watching = asyncio.create_task(lag.watch())
    async with aiohttp.ClientSession() as session:
        started, cpu = time.perf_counter(), time.process_time()
        while await writer.step(session) == BREATH_SECONDS:
            pass
    watching.cancel()
    values = stats.value("remote_write_samples_total") - before
    tell(f"{name}_values", values, "values")
    tell(f"{name}_rate", values / (time.perf_counter() - started), "values/s")
    tell(f"{name}_cpu", (time.process_time() - cpu) / values * 1e6, "us/value")
    tell(f"{name}_loop_lag_p99", lag.p99() * 1e3, "ms")


async def main(count: int) -> None:
    receiver = await asyncio.create_subprocess_exec(sys.executable, "-c", RECEIVER, stdout=asyncio.subprocess.PIPE)
    assert receiver.stdout is not None
    port = int(await receiver.stdout.readline())
    chance, stats, hosts = random.Random(1), Stats(), Hosts()
    with tempfile.TemporaryDirectory(prefix="hbd-remote-write-") as folder:
        store = Store(Path(folder) / "hbd.db", Stats())
        await store.open()
        for number in range(1, count + 1):
            await store.hosts.enrol(f"web-{number}", f"agent_{number}", [], None, 0.0)
            hosts.add(Host(number, f"web-{number}", f"agent_{number}"))
        await store.exports.begin(["there"])
        settings = RemoteWrite(url=f"http://127.0.0.1:{port}/")
        writer = Writer("there", settings, store.exports, hosts, stats, lambda text, now: None)
        ids = range(1, count + 1)
        await store.record(Turn(reports=[report(host, seq, chance) for seq in range(120) for host in ids]))
        await drain("new", writer, stats)
        for first in range(120, AWAY_SECONDS // 10, 120):
            turn = [report(host, seq, chance) for seq in range(first, first + 120) for host in ids]
            await store.record(Turn(reports=turn))
            while await store.samples.fold(turn[-1][1] + 1, 1200, 2400):
                pass
            while await store.history.pack(turn[-1][1] + 1):
                pass
        await drain("owed", writer, stats)
        await store.close()
    receiver.kill()
    await receiver.wait()


asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
