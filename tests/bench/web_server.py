"""A web server of its own process for the benchmarks: real parts, many hosts, uvloop where there is one."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from aiohttp import web

sys.path.insert(0, str(Path(__file__).parent.parent / "api"))

from world import World

from hbd.hosts import Host
from hbd.model import Data
from hbd.web import make_app
from hbd.web.server import Runner

try:
    from uvloop import run
except ImportError:
    from asyncio import run

PLUGINS = 5
METRICS = 12


class Server:
    """The other process. ask: have it do something and wait for the answer."""

    def __init__(self, pipe: Connection, port: int) -> None:
        self._pipe = pipe
        self.port = port

    def ask(self, *question: Any) -> Any:
        self._pipe.send(question)
        return self._pipe.recv()

    async def ask_aside(self, *question: Any) -> Any:
        """The same while this process goes on reading."""
        return await asyncio.to_thread(self.ask, *question)


@contextmanager
def server(hosts: int) -> Iterator[Server]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, hosts), daemon=True)
    process.start()
    try:
        yield Server(ours, ours.recv())
        ours.send(None)
        process.join(10)
    finally:
        process.kill()


def _serve(pipe: Connection, hosts: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run(_run(pipe, hosts, Path(folder)))


async def _run(pipe: Connection, hosts: int, folder: Path) -> None:
    world = World(folder / "hbd.db")
    await world.open()
    world.feed.max_subscribers = 10_000
    known = [_known(world, number) for number in range(1, hosts + 1)]
    for host in known:
        report(world, host)
    ticking = asyncio.create_task(world.feed.run())
    runner = Runner(make_app(world.parts))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=4096)
    await site.start()
    pipe.send(runner.addresses[0][1])
    background: list[asyncio.Task[None]] = []
    while (question := await asyncio.to_thread(pipe.recv)) is not None:
        match question:
            case ("churn", per_second):
                background.append(asyncio.create_task(_churn(world, known, per_second)))
                pipe.send(None)
            case ("still",):
                background.pop().cancel()
                pipe.send(None)
            case ("publish", changes, ticks):
                pipe.send(await _publish(world, known, changes, ticks))
            case ("viewers", number, each):
                pipe.send(await _viewers(world, known, number, each))
            case ("subscribers",):
                pipe.send(len(world.feed))
    ticking.cancel()
    world.feed.close()
    await runner.cleanup()
    await world.close()


def _known(world: World, number: int) -> Host:
    host = Host(number, f"host-{number:04}.example.org", f"agent_{number:012x}")
    host.os, host.tags, host.agent_version = "Debian GNU/Linux 12", ["web", "prod"], "0.1.0"
    world.hosts.add(host)
    world.presence.know(host.id, interval=10.0, now=world.now)
    world.beat(host, rtt=0.0012)
    return host


def report(world: World, host: Host) -> None:
    """What one report of a host brings: a sample of each plugin."""
    values: Callable[[], Data] = lambda: {f"metric_{n}": round(random.random() * 100, 1) for n in range(METRICS)}  # noqa: E731
    world.sample(host, "cpu_monitor", values() | {"cpu_percent": 12.5, "cpu_count": 4, "load_1min": 0.42})
    world.sample(host, "memory_monitor", values() | {"percent": 41.0})
    world.sample(host, "disk_monitor", {"/": values() | {"percent": 71.0}})
    world.sample(host, "network_monitor", {"total": {"rx_bytes_per_second": 1e4, "tx_bytes_per_second": 2e4}})
    world.sample(host, "process_monitor", values())


async def _viewers(world: World, known: list[Host], number: int, each: int) -> list[str]:
    """Tokens of users who may see so many hosts each; hosts are shared out in turn."""
    names = [f"viewer-{index}" for index in range(number)]
    for name in names:
        await world.user(name)
    for index, host in enumerate(known):
        turn = (index // each) % number
        world.hosts.hand(host, None, [], [names[turn]])
    return [await world.session(name) for name in names]


async def _churn(world: World, known: list[Host], per_second: int) -> None:
    """Reports as an installation of that size sends them."""
    while True:
        report(world, random.choice(known))
        await asyncio.sleep(1 / per_second)


async def _publish(world: World, known: list[Host], changes: int, ticks: int) -> tuple[float, float]:
    """Change some hosts at each of some ticks. Returns CPU seconds of this process and words delivered."""
    delivered, cpu = world.stats.value("feed_messages_total"), time.process_time()
    for _ in range(ticks):
        for host in known[:changes]:
            world.feed.host(host.id)
        await asyncio.sleep(0.2)
    await asyncio.sleep(0.25)
    return time.process_time() - cpu, world.stats.value("feed_messages_total") - delivered
