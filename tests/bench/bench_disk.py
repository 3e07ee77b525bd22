"""How many bytes a number takes on disk: python tests/bench/bench_disk.py [hosts]

The recording of a real machine (tests/data/recorded.jsonl.gz, 797 rounds of 10 s), once for each host, each beginning
at another place in it and at moments of its own. A point is one number of one metric of one sample; both get the same.
hbd stores, folds and packs reports as the daemon does, texts included, and ``file`` is the whole SQLite file after its
log is written back and what is free is given back; ``without_rollups`` is the same without the rollups, and
``with_tables`` with the tables of processes, of which the other side has nothing. Where Debian's victoria-metrics is
installed, it is run on loopback, gets the same points under the same names, and merges them into its final form; its
figure is its folder without caches. ``steady`` is VictoriaMetrics with times of whole 10 s, which cost it nothing,
against hbd with the measured ones.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import msgspec
import recording

from hbd.model import Report, Sample
from hbd.rollups import DAY
from hbd.stats import Stats
from hbd.store import Store, Turn
from hbd.store.history import RAW, WINDOWS

BEGAN = 1_750_000_000 // WINDOWS[RAW] * WINDOWS[RAW]
PROGRAM = "victoria-metrics"
SECONDS = 120.0

Samples = list[dict[str, Any]]


def tell(name: str, value: float, unit: str) -> None:
    print(f"disk.{name} {value:.6g} {unit}", flush=True)


def measured(host: int, *, tables: bool = False) -> Iterator[tuple[float, Samples]]:
    """What a host sent: when, and its samples."""
    rounds = recording.rounds()
    times = recording.Recording.times(host, 0, len(rounds), BEGAN)
    for number, at in enumerate(times):
        data = rounds[(number + host * 37) % len(rounds)]
        yield (
            at,
            [
                {"plugin": plugin, "time": at, "data": values if tables else _without_tables(values)}
                for plugin, values in data.items()
            ],
        )


def _without_tables(data: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if type(value) is not list}


async def ours(folder: Path, hosts: int, *, tables: bool = False) -> tuple[int, int, int]:
    """Points, and the size of the file with and without rollups."""
    path = folder / f"hbd-{tables}.db"
    store = Store(path, Stats())
    await store.open()
    points = 0
    for host in range(hosts):
        host_id = await store.hosts.enrol(f"web-{host}", f"agent_{host}", [], None, 0.0)
        assert host_id is not None
        turn = []
        for seq, (at, samples) in enumerate(measured(host, tables=tables), 1):
            points += sum(recording.numbers_in(sample["data"]) for sample in samples)
            made = tuple(msgspec.convert(sample, Sample) for sample in samples)
            turn.append((Report(host_id, "a" * 16, seq, made, msgspec.json.encode(samples)), at))
        await store.record(Turn(reports=turn))
        while await store.samples.fold(BEGAN + DAY, 0, 0):
            pass
        while await store.history.pack(BEGAN + DAY):
            pass
    whole = await closed(store, path)
    store = Store(path, Stats())
    await store.open()
    for tier in WINDOWS:
        if tier != RAW:
            while await store.history.prune(tier, BEGAN + 100 * DAY):
                pass
    return points, whole, await closed(store, path)


async def closed(store: Store, path: Path) -> int:
    """The size of the database file, with everything written to it and nothing free in it."""
    while (free := (await store.database.usage()).free) > 0:
        await store.database.shrink()
        if (await store.database.usage()).free == free:
            break
    await store.close()
    return path.stat().st_size


def theirs(folder: Path, hosts: int, *, steady: bool) -> int:
    """The size of VictoriaMetrics' folder with the same points."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with (folder.parent / f"{folder.name}.log").open("w") as log:
        server = subprocess.Popen(
            [PROGRAM, "-storageDataPath", folder, "-httpListenAddr", address, "-retentionPeriod", "100y"], stderr=log
        )
        try:
            ask(f"http://{address}/health")
            for host in range(hosts):
                ask(f"http://{address}/api/v1/import", "\n".join(series(host, steady=steady)).encode())
            ask(f"http://{address}/internal/force_flush")
            ask(f"http://{address}/internal/force_merge")
            wait_for_merge(address)
        finally:
            server.terminate()
            server.wait(SECONDS)
    # Files alone: folders have no size of their own in SQLite either.
    parts = [folder / "data", folder / "indexdb", folder / "metadata"]
    return sum(file.stat().st_size for part in parts for file in part.rglob("*") if file.is_file())


def series(host: int, *, steady: bool) -> Iterator[str]:
    """A line of JSON for each metric of a host."""
    found: dict[str, tuple[list[float], list[int]]] = defaultdict(lambda: ([], []))
    for number, (at, samples) in enumerate(measured(host)):
        moment = BEGAN * 1000 + number * 10_000 if steady else round(at * 1000)
        for sample in samples:
            for name, value in numbers(sample["plugin"], sample["data"]):
                values, times = found[name]
                values.append(value)
                times.append(moment)
    for name, (values, times) in found.items():
        metric = {"__name__": f"hbd_{re.sub(r'[^a-zA-Z0-9_]', '_', name)}", "host": f"web-{host}"}
        yield json.dumps({"metric": metric, "values": values, "timestamps": times})


def numbers(name: str, value: Any) -> Iterator[tuple[str, float]]:
    if type(value) is dict:
        for below, inner in value.items():
            yield from numbers(f"{name}.{below}", inner)
    elif type(value) in (int, float):
        yield name, value


def ask(url: str, body: bytes | None = None) -> bytes:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, data=body, timeout=SECONDS) as answer:
                return bytes(answer.read())
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def wait_for_merge(address: str) -> None:
    """Until it has begun one and none is under way, and then as long as that stays so for two seconds."""
    deadline = time.monotonic() + SECONDS
    quiet = 0
    while quiet < 20 and time.monotonic() < deadline:
        lines = ask(f"http://{address}/metrics").decode().splitlines()
        busy = sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("vm_active"))
        waiting = sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("vm_pending_rows"))
        quiet = 0 if busy or waiting else quiet + 1
        time.sleep(0.1)


def main(hosts: int) -> None:
    with tempfile.TemporaryDirectory(prefix="hbd-disk-") as temporary:
        folder = Path(temporary)
        points, whole, bare = asyncio.run(ours(folder, hosts))
        _, with_tables, _ = asyncio.run(ours(folder, hosts, tables=True))
        tell("points", points, "numbers")
        figures = {"file": whole, "without_rollups": bare, "with_tables": with_tables}
        for name, size_of in figures.items():
            tell(f"{name}.bytes_per_point", size_of / points, "bytes")
        if shutil.which(PROGRAM) is None:
            return
        for peer, steady in (("victoria_metrics", False), ("victoria_metrics_steady", True)):
            their_size = theirs(folder / peer, hosts, steady=steady)
            tell(f"{peer}.bytes_per_point", their_size / points, "bytes")
            for name, size_of in figures.items():
                tell(f"{name}.ratio_to_{peer}", size_of / their_size, "times")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
