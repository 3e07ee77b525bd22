"""What it costs to write down what is shown: time a change, bytes a host and day, time to answer ``?at=``.

python tests/bench/bench_chronicle.py [HOSTS]
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "api"), str(Path(__file__).parents[2])]

from world import World  # noqa: E402

from hbd.hosts import Host  # noqa: E402
from hbd.model import Family, Moment  # noqa: E402

SECONDS = 1_200
INTERVAL = 10


def speak(world: World, host: Host, chance: random.Random) -> None:
    """A report and two heartbeats of a host."""
    beat = chance.random
    for family in (Family.IPV4, Family.IPV6):
        world.beat(host, family=family, rtt=0.0004 + beat() / 10_000, seq=int(world.now.wall))
    world.presence.report(host.id, family=Family.IPV4, address="192.0.2.7", interval=10.0, now=world.now)
    age = beat() / 100
    world.sample(
        host,
        "cpu_monitor",
        {"cpu_percent": round(9 + 5 * beat(), 1), "load_1min": round(beat(), 2), "cpu_count": 4},
        age=age,
    )
    world.sample(host, "memory_monitor", {"percent": round(41 + beat() / 5, 1)}, age=age)
    world.sample(host, "disk_monitor", {"/": {"percent": 61.2}}, age=age)
    world.sample(
        host,
        "network_monitor",
        {"total": {"rx_bytes_per_second": 9_000 * beat(), "tx_bytes_per_second": 900 * beat()}},
        age=age,
    )


async def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder) / "hbd.db")
        await world.open()
        begin = world.now.wall - world.now.wall % 3600
        world.now = Moment(begin, world.now.mono)
        hosts = [await world.enrol(f"host-{number}") for number in range(count)]
        chance = random.Random(1)
        looking = writing = 0.0
        for second in range(SECONDS):
            world.now = Moment(world.now.wall + 1 + chance.gauss(0, 0.001), world.now.mono + 1)
            for place, host in enumerate(hosts):
                if (second + place) % INTERVAL == 0:
                    speak(world, host, chance)
            before = time.process_time()
            await world.recorder.look()
            looking += time.process_time() - before
            if second % 30 == 29:
                before = time.process_time()
                await world.recorder.flush()
                writing += time.process_time() - before
        changes = world.stats.counters["chronicle_changes_total"][()]
        await world.recorder.flush()
        before = time.process_time()
        while await world.store.chronicle.pack(world.now.wall + 7200):
            pass
        packing = time.process_time() - before
        size = await world.store.database.read(
            lambda db: db.execute("SELECT sum(length(data)), count(*) FROM chronicle").fetchone()
        )
        times = []
        for _ in range(20):
            at = int((begin + chance.random() * SECONDS) * 1000)
            started = time.perf_counter()
            for start in range(0, count, 50):
                await world.store.chronicle.at([host.id for host in hosts[start : start + 50]], at)
            times.append(time.perf_counter() - started)
        hosts_hours = count * SECONDS / 3600
        print(f"{count} hosts for {SECONDS} s, {changes:,.0f} changes, {size[1]} rows")
        print(
            f"look  {looking / changes * 1e6:6.1f} us a change,"
            f" {looking / SECONDS / count * 1e5:.3f} % of a core for 1,000 hosts"
        )
        print(f"write {writing / changes * 1e6:6.1f} us a change")
        print(f"pack  {packing / changes * 1e6:6.1f} us a change")
        print(f"disk  {size[0] / changes:6.1f} B a change, {size[0] / hosts_hours * 24 / 1000:,.0f} kB a host and day")
        print(f"?at=  {sorted(times)[len(times) // 2] * 1e3:6.1f} ms for all hosts (median)")
        await world.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100))
