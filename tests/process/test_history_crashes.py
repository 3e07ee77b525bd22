"""Kills while history is being made: afterwards it is what it would have been without them."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sqlite3
import statistics
import sys
import time
from collections import Counter, defaultdict
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import history_maker
import msgspec
import pytest
from history_maker import WORKS
from programs import SLOW

from hbd import rollups
from hbd.model import Report, Sample
from hbd.rollups import MINUTE, coarsen, roll
from hbd.stats import Stats
from hbd.store import Store, Turn

BEGAN = 1_750_003_200.0
HOSTS = (1, 2, 3, 4, 5, 6)
HOURS = 9
NOW = BEGAN + 30 * 3600
OLD_ROWS, OLD_BYTES = 6_000, 1_500  # that retention takes, and vacuum gives back
KILLS = int(os.environ.get("HBD_TEST_KILLS", "10"))
MANY_KILLS = 100  # from which on each kind of work has to have been hit
KILLS_A_ROUND = 8  # of one database; then the next one begins anew


def data_at(host_id: int, at: float) -> dict[str, float]:
    rng = random.Random(f"{host_id} {at}")
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
        for seq, at in enumerate(times(), 1):
            data = data_at(host_id, at)
            body = msgspec.json.encode([{"plugin": "cpu_monitor", "time": at, "data": data}])
            reports.append((Report(host_id, "a" * 16, seq, (Sample("cpu_monitor", at, data),), body), at))
    reports.sort(key=lambda pair: pair[1])
    await store.record(Turn(reports=reports))
    old, rng = BEGAN - 30 * 86_400, random.Random(1)
    rows = [(1, 0, int(old), old, old, 1, rng.randbytes(OLD_BYTES)) for _ in range(OLD_ROWS)]
    sql = "INSERT INTO history (host_id, tier, start, first, last, packed, data) VALUES (?, ?, ?, ?, ?, ?, ?)"
    await store.database.write(lambda db: db.executemany(sql, rows))
    await store.close()


class Maker:
    """Runs of the program on one database."""

    def __init__(self, folder: Path, filled: Path) -> None:
        self.path, self.copies = folder / "hbd.db", folder / "copies"
        self.copies.mkdir(parents=True)
        shutil.copyfile(filled, self.path)
        self.seconds: dict[str, list[float]] = defaultdict(list)
        """how long the steps of each kind took"""

    async def run(self, aim: str = "", after: float = 0.0, skipped: int = 0) -> str | None:
        """Let history be made. aim: kill it so long after a step of that kind has begun, but for the first ones.

        The kind of the step that was hit, "" for one between two; None when it was not killed, and is through.
        """
        maker = await asyncio.create_subprocess_exec(
            *(sys.executable, history_maker.__file__, str(self.path), str(self.copies), str(NOW)),
            stdout=asyncio.subprocess.PIPE,
        )
        assert maker.stdout is not None
        step, began = "", 0.0
        while line := (await maker.stdout.readline()).decode().strip():
            if line == "-":
                self.seconds[step].append(time.monotonic() - began)
                step = ""
                continue
            step, began = line, time.monotonic()
            if step == aim:
                skipped -= 1
                if skipped < 0:
                    await asyncio.sleep(after)
                    with suppress(ProcessLookupError):
                        maker.kill()
                    left = (await maker.stdout.read()).decode().split()
                    step = next((word if word != "-" else "" for word in reversed(left)), step)
                    break
        code = await maker.wait()
        assert code in (0, -9)
        return step if code else None

    async def content(self) -> list[Any]:
        """All history of the hosts, and how much there is that should be gone."""
        return await content(self.path)

    async def copied(self) -> list[Any]:
        """That of the newest backup; all have to be whole."""
        copies = sorted(self.copies.glob("*.db"), key=lambda path: path.stat().st_mtime)
        for copy in copies:
            with closing(sqlite3.connect(copy)) as db:
                assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return await content(copies[-1])


async def content(path: Path) -> list[Any]:
    store = Store(path, Stats())
    await store.open()
    found: list[Any] = []
    for host_id in HOSTS:
        samples = await store.history.samples(host_id, "cpu_monitor", BEGAN, 4e9, 1_000_000)
        found.append([(sample.time, sample.data) for sample in samples])
        for tier in rollups.TIERS:
            rolled = await store.history.rolled(host_id, ["cpu_monitor"], tier, 0, 4e9)
            found.append(rolled["cpu_monitor"])
    sql = "SELECT tier, count(*) FROM history GROUP BY tier"
    found += [await store.samples.ranges(), await store.database.read(lambda db: db.execute(sql).fetchall())]
    await store.close()
    return found


@pytest.mark.timeout((120 + 6 * KILLS) * SLOW)
async def test_kills_while_history_is_made_lose_and_double_nothing(tmp_path: Path) -> None:
    seed = int(os.environ.get("HBD_TEST_SEED", random.randrange(1 << 32)))
    chance, hits, through = random.Random(seed), Counter[str](), 0
    told = f"seed {seed}"
    filled = tmp_path / "filled.db"
    await fill(filled)
    undisturbed = Maker(tmp_path / "undisturbed", filled)
    assert await undisturbed.run() is None
    expected = await undisturbed.content()
    for place, host_id in enumerate(HOSTS):
        known = [(at, data_at(host_id, at)) for at in times()]
        mine = expected[place * (1 + len(rollups.TIERS)) :]
        assert mine[0] == known
        assert mine[1 : 1 + len(rollups.TIERS)] == [coarsen(roll(known, MINUTE), tier) for tier in rollups.TIERS]

    rounds = 0
    while hits.total() < KILLS:
        maker = Maker(tmp_path / f"round-{rounds}", filled)
        rounds += 1
        for _ in range(min(KILLS_A_ROUND, KILLS - hits.total())):
            aim = WORKS[hits.total() % len(WORKS)]
            lasts = statistics.median(undisturbed.seconds[aim])
            hit = await maker.run(aim, chance.uniform(0, lasts), chance.randrange(3))
            if hit is None:
                through += 1
                break
            hits[hit] += 1
        assert await maker.run() is None
        assert await maker.content() == expected, told
        assert await maker.copied() == expected, told
        shutil.rmtree(maker.path.parent)
    print(f"{KILLS} kills of {rounds} databases, {told}; {through} came too late. Under way was:")
    print(", ".join(f"{name or 'nothing'} {count}" for name, count in sorted(hits.items())))
    if KILLS >= MANY_KILLS:
        assert min(hits[work] for work in WORKS) >= KILLS // 20, hits
