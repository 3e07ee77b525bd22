"""What history costs: python tests/bench/bench_history.py [hosts] [days] [folder] [most hours to make it in]

Prints ``name value unit`` lines. Hosts report sixty metrics every 10 s, as ``recording.py`` says. First one host goes
the whole way of the daemon, through the journal of reports, folding and packing: that gives the cost of each. Then that
many hosts and days are made directly (``fleet_history.py``), after both ways were seen to give the same rows, on all
processors, and are asked for as the API asks. A folder that is given is kept, and what is in it then only asked again.

``file`` is the database after its log is written back, indexes and free pages included; ``*_per_number`` is bytes on
disk divided by how many single numbers of single samples they are about.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).parents[2]))

import msgspec
from fleet_history import ROUNDS, WINDOW, Made, Maker
from recording import METRICS

from hbd.config.structs import Retention
from hbd.model import Report, Sample
from hbd.rollups import DAY, HOUR
from hbd.stats import Stats
from hbd.store import Store, Turn
from hbd.store import history as history_rows
from hbd.store.history import RAW
from hbd.web import history as asked

METRIC = "cpu_monitor.cpu_percent"
QUESTIONS = 200
COSTS_WINDOWS, COSTS_PERIOD = 8, 6
FOLD_AT_ONCE = 120

_maker: Maker


def tell(name: str, value: float, unit: str) -> None:
    print(f"history.{name} {value:.6g} {unit}", flush=True)


async def costs(folder: Path) -> None:
    """More than a day of a host the way of the daemon; and whether the short way gives the same."""
    began = 1_750_000_000.0 // DAY * DAY
    store = Store(folder / "costs.db", Stats())
    await store.open()
    folding = packing = 0.0
    host_id = await store.hosts.enrol("web-0", "agent_0", [], None, 0.0)
    assert host_id is not None
    maker = Maker(COSTS_WINDOWS, began, COSTS_WINDOWS, COSTS_PERIOD)
    for window in range(COSTS_WINDOWS):
        measured = list(maker.reports(0, window))
        for first in range(0, ROUNDS, FOLD_AT_ONCE):
            turn = []
            for seq, (at, samples) in enumerate(measured[first : first + FOLD_AT_ONCE], window * ROUNDS + first):
                made = tuple(msgspec.convert(sample, Sample) for sample in samples)
                turn.append((Report(host_id, "a" * 16, seq, made, msgspec.json.encode(samples)), at))
            await store.record(Turn(reports=turn))
            started = time.process_time()
            while await store.samples.fold(began + 30 * DAY, 0, 0):
                pass
            folding += time.process_time() - started
        started = time.process_time()
        while await store.history.pack(began + 30 * DAY):
            pass
        packing += time.process_time() - started
    query = "SELECT tier, start, first, last, packed, data FROM history WHERE host_id = ?"
    rows = await store.database.read(lambda db: db.execute(query, (host_id,)).fetchall())
    if sorted(rows) != sorted(tuple(row) for row in maker.make(0).rows):
        raise SystemExit("the short way does not give what the daemon makes")
    numbers = COSTS_WINDOWS * ROUNDS * METRICS
    tell("fold_per_number", folding / numbers * 1e6, "us")
    tell("pack_per_number", packing / numbers * 1e6, "us")
    tell("fold_and_pack_per_number", (folding + packing) / numbers * 1e6, "us")
    await store.close()


def _begin(maker: Maker) -> None:
    global _maker
    _maker = maker


def _make(host: int) -> Made:
    return _maker.make(host)


async def made(store: Store, hosts: int, maker: Maker, hours: float) -> tuple[int, int]:
    """How many hosts were made within that time, and of how many numbers."""
    deadline = time.monotonic() + hours * HOUR
    whole = numbers = 0
    with ProcessPoolExecutor(os.cpu_count(), initializer=_begin, initargs=(maker,)) as pool:
        waiting = {pool.submit(_make, host) for host in range(hosts)}
        for each in as_completed(waiting):
            if each.cancelled():
                continue
            result = each.result()
            host_id = await store.hosts.enrol(f"web-{result.host}", f"agent_{result.host}", [], None, 0.0)
            rows = result.rows
            await store.database.write(lambda db, host_id=host_id, rows=rows: history_rows.insert(db, host_id, rows))
            whole, numbers = whole + 1, numbers + result.numbers
            if time.monotonic() > deadline:
                for other in waiting:
                    other.cancel()
    return whole, numbers


async def sizes(store: Store, numbers: int, raw_numbers: int) -> None:
    query = "SELECT tier, count(*), sum(length(data)) FROM history GROUP BY tier"
    for tier, rows, size in await store.database.read(lambda db: db.execute(query).fetchall()):
        name = "samples" if tier == RAW else f"rollups_of_{tier}s"
        tell(f"{name}.rows", rows, "rows")
        tell(f"{name}.size", size / 2**20, "MiB")
        tell(f"{name}.bytes_per_number", size / (raw_numbers if tier == RAW else numbers), "bytes")


async def questions(path: Path) -> None:
    """As the API answers them, JSON included."""
    store = Store(path, Stats())
    await store.open()
    query = "SELECT count(DISTINCT host_id), max(last) FROM history WHERE tier = 60"
    hosts, end = await store.database.read_long(lambda db: db.execute(query).fetchone(), 60)
    rng = random.Random(2)
    parts = SimpleNamespace(store=store, config=SimpleNamespace(retention=Retention()))
    call = SimpleNamespace(parts=parts)
    for name, span, step in (
        ("month", 30 * DAY, ""),
        ("week", 7 * DAY, ""),
        ("day_of_minutes", DAY, "1m"),
        ("day_of_samples", DAY, "raw"),
    ):
        seconds = []
        for _ in range(QUESTIONS):
            host = rng.randrange(hosts) + 1
            query = asked.HistoryQuery(metric=METRIC, start=str(end - span), to=str(end), step=step)
            started = time.perf_counter()
            told = await asked.read(call, query, [SimpleNamespace(id=host, name=f"web-{host}")], [METRIC])  # type: ignore[arg-type, list-item]
            msgspec.json.encode(told)
            seconds.append(time.perf_counter() - started)
        tell(f"{name}.points", len(told.series[0].points), "points")
        tell(f"{name}.p50", statistics.median(seconds) * 1e3, "ms")
        tell(f"{name}.p95", statistics.quantiles(seconds, n=20)[-1] * 1e3, "ms")
    await store.close()


async def main(hosts: int, days: float, folder: Path, hours: float) -> None:
    path = folder / "hbd.db"
    if path.exists():
        await questions(path)
        return
    await costs(folder)
    windows = int(days * DAY // WINDOW)
    end = time.time() // WINDOW * WINDOW
    began = end - windows * WINDOW
    raw = min(windows, int(Retention().samples // WINDOW))
    store = Store(path, Stats())
    await store.open()
    whole, numbers = await made(store, hosts, Maker(windows, began, raw), hours)
    tell("hosts", whole, "hosts")
    tell("days", windows * WINDOW / DAY, "days")
    tell("numbers", numbers, "numbers")
    raw_numbers = whole * raw * ROUNDS * METRICS
    await sizes(store, numbers, raw_numbers)
    await store.close()
    tell("file", path.stat().st_size / 2**20, "MiB")
    tell("file_bytes_per_number", path.stat().st_size / numbers, "bytes")
    await questions(path)


if __name__ == "__main__":
    given = sys.argv[1:]
    size = int(given[0]) if given else 10, float(given[1]) if len(given) > 1 else 3
    most = float(given[3]) if len(given) > 3 else 24.0
    if len(given) > 2:
        Path(given[2]).mkdir(parents=True, exist_ok=True)
        asyncio.run(main(*size, Path(given[2]), most))
    else:
        with tempfile.TemporaryDirectory(prefix="hbd-history-") as temporary:
            asyncio.run(main(*size, Path(temporary), most))
