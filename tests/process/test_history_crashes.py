"""Kills while history is being made: afterwards it is what it would have been without them."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from programs import SLOW

from hbd import rollups
from hbd.model import Report, Sample
from hbd.rollups import MINUTE, coarsen, roll
from hbd.stats import Stats
from hbd.store import Store, Turn

BEGAN = 1_750_003_200.0
HOSTS = (1, 2, 3)
HOURS = 9
KILLS = int(os.environ.get("HBD_TEST_KILLS", "25"))

MAKE_HISTORY = """
import asyncio, sys
from pathlib import Path
from hbd.stats import Stats
from hbd.store import Store

async def make():
    store = Store(Path(sys.argv[1]), Stats())
    await store.open()
    print("open", flush=True)
    for hour in range(1, 13):
        now = float(sys.argv[2]) + hour * 3600
        while await store.samples.fold(now, 0, 0):
            pass
        while await store.history.pack(now):
            pass
        while await store.history.prune(86_400, now - 200 * 86_400):
            pass
        await store.database.shrink()
    await store.close()

asyncio.run(make())
"""


def data_at(host_id: int, time: float) -> dict[str, float]:
    rng = random.Random(f"{host_id} {time}")
    return {"cpu_percent": rng.randrange(1000) / 10, "load_1min": rng.randrange(300) / 100}


def times() -> list[float]:
    return [BEGAN + place * 60 for place in range(HOURS * 60)]


async def fill(path: Path) -> None:
    store = Store(path, Stats())
    await store.open()
    for host_id in HOSTS:
        assert await store.hosts.enrol(f"web-{host_id}", f"agent_{host_id}", [], None, 0.0) == host_id
    reports = []
    for host_id in HOSTS:
        for seq, time in enumerate(times(), 1):
            data = data_at(host_id, time)
            body = msgspec.json.encode([{"plugin": "cpu_monitor", "time": time, "data": data}])
            reports.append((Report(host_id, "a" * 16, seq, (Sample("cpu_monitor", time, data),), body), time))
    reports.sort(key=lambda pair: pair[1])
    await store.record(Turn(reports=reports))
    await store.close()


async def made(path: Path, seconds: float) -> bool:
    """Let history be made for so long; whether it was finished before it was killed."""
    maker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", MAKE_HISTORY, str(path), str(BEGAN), stdout=asyncio.subprocess.PIPE
    )
    assert maker.stdout is not None
    assert await maker.stdout.readline() == b"open\n"
    try:
        async with asyncio.timeout(seconds):
            return await maker.wait() == 0
    except TimeoutError:
        with suppress(ProcessLookupError):  # it ended at this very moment
            maker.kill()
        return await maker.wait() == 0


@pytest.mark.timeout(300 * SLOW)
async def test_kills_while_history_is_made_lose_and_double_nothing(tmp_path: Path) -> None:
    path = tmp_path / "hbd.db"
    await fill(path)
    for _ in range(KILLS):
        await made(path, random.uniform(0, 0.2))
    assert await made(path, 120)
    store = Store(path, Stats())
    await store.open()
    for host_id in HOSTS:
        known = [(time, data_at(host_id, time)) for time in times()]
        kept = await store.history.samples(host_id, "cpu_monitor", 0, 4e9, 1_000_000)
        assert [(sample.time, sample.data) for sample in kept] == known
        for tier in rollups.TIERS:
            found = await store.history.rolled(host_id, ["cpu_monitor"], tier, 0, 4e9)
            assert found["cpu_monitor"] == coarsen(roll(known, MINUTE), tier)
    await store.close()
