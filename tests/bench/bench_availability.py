"""What availability and the small lines of the live page cost, as ``name value unit`` lines.

A thousand hosts, each with a hundred changes of state in a year, on itself and on two families, and a daemon that was
restarted every day: far more than most have. Times are medians, over HTTP on loopback.

Run: python tests/bench/bench_availability.py
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "api"))

from aiohttp.test_utils import TestClient
from world import RealServer, World

from hbd.availability import Unseen
from hbd.model import Family, Sample, State, Transition
from hbd.store import Turn
from hbd.web import make_app

HOSTS, CHANGES, TIMES = 1000, 100, 9
STATES = (State.UP, State.DOWN)
YEAR = 365 * 86_400.0
AT_ONCE = 200  # names in one request


async def fill(world: World, chance: random.Random, now: float) -> list[str]:
    """The names of the hosts."""
    names = []
    for number in range(HOSTS):
        host = await world.enrol(f"host-{number:04d}.example.org")
        names.append(host.name)
        for ago in range(3700, 0, -10):
            world.rings.sparks.add(host.id, Sample("cpu_monitor", now - ago, {"cpu_percent": chance.uniform(0, 100)}))
            world.rings.sparks.add(host.id, Sample("memory_monitor", now - ago, {"percent": chance.uniform(0, 100)}))
        changes = [
            Transition(host.id, family, State.UNKNOWN, STATES[place % 2], now - ago, "no report for 31 s")
            for family in (None, *Family)
            for place, ago in enumerate(sorted((chance.uniform(0, YEAR) for _ in range(CHANGES)), reverse=True))
        ]
        await world.store.record(Turn(transitions=changes))
    restarts = [Unseen(now - day * 86_400, now - day * 86_400 + 60, True) for day in range(365, 0, -1)]
    await world.store.record(Turn(unseen=restarts))
    return names


async def main() -> None:
    chance, now = random.Random(1), time.time()
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder) / "hbd.db")
        await world.open()
        empty = world.store.database.size_bytes()
        names = await fill(world, chance, now)
        used = (await world.store.database.usage()).used
        print(f"transitions.bytes {(used - empty) / (HOSTS * CHANGES * 3):.0f} B/change")

        async with TestClient(RealServer(make_app(world.parts))) as client:

            async def took(*urls: str) -> tuple[float, int]:
                """Milliseconds and bytes of some requests in a row."""
                began, size = time.perf_counter(), 0
                for url in urls:
                    async with client.get(url) as answer:
                        assert answer.status == 200, await answer.text()
                        size += len(await answer.read())
                return (time.perf_counter() - began) * 1e3, size

            async def tell(name: str, *urls: str) -> None:
                found = [await took(*urls) for _ in range(TIMES)]
                print(f"{name}.time {statistics.median(ms for ms, _ in found):.1f} ms")
                print(f"{name}.size {found[0][1]} B")

            parts = [names[start : start + AT_ONCE] for start in range(0, HOSTS, AT_ONCE)]
            urls = [f"/api/0/sparklines?hosts={','.join(part)}" for part in parts]
            print(f"sparklines.1000_hosts.first {(await took(*urls))[0]:.1f} ms")
            await tell("sparklines.1000_hosts", *urls)
            await tell("sparklines.40_hosts", f"/api/0/sparklines?hosts={','.join(names[:40])}")
            await tell("availability.host_year", f"/api/0/hosts/{names[0]}/availability?from=now-365d")
            await tell("availability.page", f"/agent/{names[0]}?tab=availability")
            await tell("availability.100_hosts_year", "/api/0/availability?from=now-365d")
            await tell("availability.100_hosts_month", "/api/0/availability")
        await world.close()


if __name__ == "__main__":
    asyncio.run(main())
