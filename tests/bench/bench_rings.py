"""Memory and speed of the rings and the chunk codec, as ``name value unit`` lines.

Run: python tests/bench/bench_rings.py
"""

from __future__ import annotations

import gc
import random
import statistics
import sys
import tracemalloc
import zlib
from array import array
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import msgspec

from hbd import history
from hbd.model import Data, Sample
from hbd.rings import Rings

HOSTS, PLUGINS, SAMPLES = 100, 5, 100


def cpu_samples(count: int, seed: int = 1) -> Iterator[tuple[float, Data]]:
    """12 metrics of a busy machine, with the decimals an agent sends: percents, loads, a rate, counts, constants."""
    chance = random.Random(seed)
    time, loads = 1_700_000_000.0, [0.5, 0.4, 0.3]
    for _ in range(count):
        time = round(time + 10 + chance.uniform(-0.01, 0.02), 3)
        busy = min(100.0, max(0.0, chance.gauss(15, 6)))
        loads = [max(0.0, load + chance.gauss(0, 0.05)) for load in loads]
        yield (
            time,
            {
                "cpu_percent": round(busy, 1),
                "user_percent": round(busy * 0.7, 1),
                "system_percent": round(max(0.0, chance.gauss(4, 1.5)), 1),
                "iowait_percent": round(max(0.0, chance.gauss(0.3, 0.4)), 1),
                "steal_percent": 0.0,
                "load_1m": round(loads[0], 2),
                "load_5m": round(loads[1], 2),
                "load_15m": round(loads[2], 2),
                "cores": 4,
                "frequency_mhz": 2400.0 + chance.choice([0, 0, 0, 100.5, -200]),
                "context_switches_per_s": round(chance.gauss(650, 60), 1),
                "processes": 213 + chance.randint(-2, 2),
            },
        )


def disk_samples(count: int, seed: int = 2, disks: int = 10) -> Iterator[tuple[float, Data]]:
    """6 metrics of each of 10 disks."""
    chance = random.Random(seed)
    time = 1_700_000_000.0
    used = [chance.uniform(10, 400) for _ in range(disks)]
    for _ in range(count):
        time = round(time + 10 + chance.uniform(-0.01, 0.02), 3)
        data: Data = {}
        for disk in range(disks):
            total = 500.0 + disk
            used[disk] += abs(chance.gauss(0, 0.004))
            data["/" if disk == 0 else f"/srv/data{disk}"] = {
                "total_gb": total,
                "used_gb": round(used[disk], 2),
                "free_gb": round(total - used[disk], 2),
                "percent": round(100 * used[disk] / total, 1),
                "read_kb_s": round(max(0.0, chance.gauss(5, 20)), 1),
                "write_kb_s": round(max(0.0, chance.gauss(50, 20)), 1),
            }
        yield time, data


def as_received(samples: Iterator[tuple[float, Data]], plugin: str) -> list[Sample]:
    """Through JSON, as a receiver makes them: every value an object of its own, the names shared."""
    return [Sample(plugin, *msgspec.json.decode(msgspec.json.encode(sample))) for sample in samples]


def show(name: str, value: float, unit: str) -> None:
    print(f"{name} {value:.4g} {unit}")


def microseconds(work: Callable[[], Any], repeat: int = 20) -> float:
    """One run of ``work`` in the quickest of 9 rounds: what it costs when nothing else disturbs."""
    rounds = []
    for _ in range(9):
        start = perf_counter()
        for _ in range(repeat):
            work()
        rounds.append((perf_counter() - start) / repeat * 1e6)
    return min(rounds)


def allocated(make: Callable[[], Any]) -> tuple[Any, int]:
    """What ``make`` gives, and the bytes that stay allocated for it."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = make()
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return kept, after - before


def fill(hosts: int, plugins: int, extra: int = 0) -> Rings:
    rings = Rings(SAMPLES)
    for host in range(hosts):
        for plugin in range(plugins):
            for time, data in cpu_samples(SAMPLES + extra, host * plugins + plugin):
                rings.add(host, as_received(iter([(time, data)]), f"plugin{plugin}")[0])
    return rings


def memory() -> None:
    rings, size = allocated(lambda: fill(HOSTS, PLUGINS))
    show("rings.100x5x100", size / 2**20, "MiB")
    show("rings.100x5x100.estimate", rings.memory_bytes() / size, "ratio")
    # How many are in the open segment changes with every sample; this is the mean over its life.
    sizes = [allocated(partial(fill, 10, PLUGINS, extra))[1] for extra in range(0, 20, 4)]
    show("rings.bytes_per_12_metric_sample", statistics.mean(sizes) / (10 * PLUGINS * SAMPLES), "B")
    alternatives()


def alternatives() -> None:
    """Other layouts of one ring of 12-metric samples, per sample."""
    _, dicts = allocated(lambda: as_received(cpu_samples(SAMPLES), "cpu"))
    show("alternative.dicts", dicts / SAMPLES, "B")
    samples = as_received(cpu_samples(SAMPLES), "cpu")
    names = list(samples[0].data)
    _, columns = allocated(
        lambda: (
            [array("d", (sample.time for sample in samples))]
            + [array("d", (sample.data[name] for sample in samples)) for name in names]
        )
    )
    show("alternative.array_columns", columns / SAMPLES, "B")
    texts = [msgspec.json.encode(sample.data) for sample in samples]
    _, lines = allocated(lambda: [bytes(bytearray(text)) for text in texts])
    show("alternative.json_lines", lines / SAMPLES, "B")
    _, sealed = allocated(
        lambda: [zlib.compress(b"\n".join(texts[at : at + 20]), 3, -15) for at in range(0, SAMPLES, 20)]
    )
    show("alternative.json_lines_deflated", sealed / SAMPLES, "B")
    pairs = [(sample.time, sample.data) for sample in samples]
    _, chunks = allocated(lambda: [history.encode(pairs[at : at + 20]) for at in range(0, SAMPLES, 20)])
    show("alternative.history_chunks", chunks / SAMPLES, "B")
    cost = microseconds(lambda: history.encode(pairs[:20])) / 20
    show("alternative.history_chunks.add", cost, "us")


def add_all(rings: Rings, samples: list[Sample]) -> None:
    for sample in samples:
        rings.add(1, sample)


def add_anew(samples: list[Sample]) -> None:
    add_all(Rings(SAMPLES), samples)


def late_add(samples: list[Sample]) -> float:
    """Microseconds of an add when a spool is played back behind 50 samples that came first."""
    rings = Rings(len(samples))
    add_all(rings, samples[-50:])
    start = perf_counter()
    add_all(rings, samples[:-50])
    return (perf_counter() - start) / (len(samples) - 50) * 1e6


def slowest_add(rings: Rings, samples: list[Sample]) -> float:
    """Microseconds of the slowest of 100 adds in a row, each taken at its quickest of several such rows."""
    rows: list[list[float]] = []
    for at in range(0, len(samples), 100):
        row = []
        for sample in samples[at : at + 100]:
            start = perf_counter()
            rings.add(1, sample)
            row.append((perf_counter() - start) * 1e6)
        rows.append(row)
    return float(max(min(same_place) for same_place in zip(*rows, strict=True)))


def speed() -> None:
    for name, samples in (
        ("12", as_received(cpu_samples(3000), "plugin")),
        ("60_nested", as_received(disk_samples(1000), "plugin")),
    ):
        show(f"rings.add.{name}", microseconds(partial(add_anew, samples), 1) / len(samples), "us")
        rings = Rings(SAMPLES)
        show(f"rings.add.{name}.slowest", slowest_add(rings, samples), "us")
        show(f"rings.newest_100.{name}", microseconds(partial(rings.newest, 1, "plugin", 100)), "us")
        show(f"rings.newest_10.{name}", microseconds(partial(rings.newest, 1, "plugin", 10)), "us")
        show(f"rings.latest.{name}", microseconds(partial(rings.latest, 1, "plugin"), 1000), "us")
        show(f"rings.add.{name}.late", min(late_add(samples) for _ in range(9)), "us")


def codec() -> None:
    for name, make, metrics in (("12", cpu_samples, 12), ("60_nested", disk_samples, 60)):
        for count in (20, 120, 180):
            samples = list(make(count))
            chunk = history.encode(samples)
            label = f"history.{count}x{name}"
            show(label, len(chunk) / count / metrics, "B/point")
            show(f"{label}.encode", microseconds(partial(history.encode, samples), 5), "us")
            show(f"{label}.decode", microseconds(partial(history.decode, chunk), 5), "us")


if __name__ == "__main__":
    memory()
    speed()
    codec()
