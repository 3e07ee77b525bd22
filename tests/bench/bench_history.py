"""What history costs: python tests/bench/bench_history.py [hosts] [days]

Prints ``name value unit`` lines. Hosts report every 10 s what a real machine did (tests/data/recorded.jsonl.gz,
repeated, each host at another place in it); all of it is stored, folded and packed as the daemon does, at the pace that
the disk allows, and then asked for. ``bytes_per_point`` is the whole database file, indexes and rollups included,
divided by the numbers in the samples that it holds; ``raw_bytes_per_point`` only the rows of packed samples.
"""

from __future__ import annotations

import asyncio
import gzip
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import msgspec

from hbd.history import flatten
from hbd.model import Report, Sample
from hbd.rollups import DAY, HOUR, MINUTE
from hbd.stats import Stats
from hbd.store import Store, Turn
from hbd.store.history import RAW
from hbd.upkeep import FOLD_DUE_SECONDS, FOLD_KEEP_SECONDS

RECORDED = Path(__file__).parents[1] / "data" / "recorded.jsonl.gz"
BEGAN = 1_750_003_200.0
EVERY = 10.0
KEPT = {RAW: 48 * HOUR, MINUTE: 30 * DAY}
QUESTIONS = 50


def tell(name: str, value: float, unit: str) -> None:
    print(f"history.{name} {value:.6g} {unit}", flush=True)


def recorded() -> list[list[tuple[str, dict[str, Any]]]]:
    """What each round of the recording measured, by plugin."""
    with gzip.open(RECORDED) as lines:
        return [[(sample["plugin"], sample["data"]) for sample in msgspec.json.decode(line)] for line in lines]


def numbers(rounds: list[list[tuple[str, dict[str, Any]]]]) -> float:
    """Of one round, on average."""
    counted = [
        sum(type(value) in (int, float) for _, data in samples for value in flatten(data)[1]) for samples in rounds
    ]
    return sum(counted) / len(counted)


def report(host_id: int, seq: int, at: float, samples: list[tuple[str, dict[str, Any]]]) -> tuple[Report, float]:
    made = tuple(Sample(plugin, at, data) for plugin, data in samples)
    return Report(host_id, "a" * 16, seq, made, msgspec.json.encode(made)), at


async def main(hosts: int, days: float) -> None:
    rounds = recorded()
    per_round = numbers(rounds)
    with tempfile.TemporaryDirectory(prefix="hbd-history-") as folder:
        store = Store(Path(folder) / "hbd.db", Stats())
        await store.open()
        for number in range(hosts):
            await store.hosts.enrol(f"web-{number}", f"agent_{number}", [], None, 0.0)
        folding = packing = pruning = 0.0
        count = int(days * DAY / EVERY)
        jitter = random.Random(1)
        for first in range(0, count, 120):
            turn = []
            for seq in range(first, min(first + 120, count)):
                for host in range(hosts):
                    at = round(BEGAN + seq * EVERY + host * EVERY / hosts + jitter.uniform(0, 0.005), 3)
                    turn.append(report(host + 1, seq + 1, at, rounds[(seq + host * 37) % len(rounds)]))
            await store.record(Turn(reports=turn))
            now = turn[-1][1] + 1
            started = time.process_time()
            while await store.samples.fold(now, FOLD_KEEP_SECONDS, FOLD_DUE_SECONDS):
                pass
            folding += time.process_time() - started
            started = time.process_time()
            while await store.history.pack(now):
                pass
            packing += time.process_time() - started
            started = time.process_time()
            for tier, kept in KEPT.items():
                while await store.history.prune(tier, now - kept):
                    pass
            pruning += time.process_time() - started
        points = count * hosts * per_round
        end = BEGAN + count * EVERY
        while await store.samples.fold(end + DAY, 0, 0):
            pass
        while await store.history.pack(end + DAY):
            pass
        tell("points_per_report", per_round, "numbers")
        tell("points", points, "numbers")
        tell("fold_per_point", folding / points * 1e6, "us")
        tell("pack_per_point", packing / points * 1e6, "us")
        tell("prune_per_point", pruning / points * 1e6, "us")
        await sizes(store, per_round)
        await questions(store, hosts, end, days)
        await store.close()


async def sizes(store: Store, per_round: float) -> None:
    query = "SELECT tier, count(*), sum(length(data)), sum(last - first) FROM history WHERE packed = 1 GROUP BY tier"
    for tier, rows, size, seconds in await store.database.read(lambda db: db.execute(query).fetchall()):
        points = (seconds / EVERY + rows) * per_round if tier == RAW else seconds / tier * per_round
        name = "raw" if tier == RAW else f"rollup_{tier}s"
        tell(f"{name}_rows", rows, "rows")
        tell(f"{name}_bytes_per_point", size / points, "bytes")
        if tier == RAW:
            kept = points
    usage = await store.database.usage()
    tell("database", usage.used / 2**20, "MiB")
    tell("bytes_per_point", usage.used / kept, "bytes")


async def questions(store: Store, hosts: int, end: float, days: float) -> None:
    rng = random.Random(2)
    asked: dict[str, list[float]] = {}
    for name, tier, span in (("month", HOUR, 30 * DAY), ("week", 900, 7 * DAY), ("day_of_minutes", MINUTE, DAY)):
        for _ in range(QUESTIONS):
            started = time.perf_counter()
            await store.history.rolled(rng.randrange(hosts) + 1, ["cpu_monitor"], tier, end - span, end)
            asked.setdefault(name, []).append(time.perf_counter() - started)
    for _ in range(QUESTIONS):
        started = time.perf_counter()
        await store.history.samples(rng.randrange(hosts) + 1, "cpu_monitor", end - DAY, end, 10_000)
        asked.setdefault("day_of_samples", []).append(time.perf_counter() - started)
    for name, seconds in asked.items():
        tell(f"{name}_p50", statistics.median(seconds) * 1e3, "ms")
        tell(f"{name}_p95", statistics.quantiles(seconds, n=20)[-1] * 1e3, "ms")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10, float(sys.argv[2]) if len(sys.argv) > 2 else 3))
