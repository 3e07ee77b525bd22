"""What hbc costs the host it watches, beside Debian's prometheus-node-exporter where that is installed.

    python tests/bench/bench_agent.py                 about a minute; loopback only

A real ``hbc run`` collects and sends to a real ``hbd`` every two seconds, with top processes and heartbeats over both
families; node_exporter is scraped as often, in the same time. CPU is that of the whole process for each collection.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from programs import Agent, Daemon, eventually, free_port

INTERVAL = 2.0
WARM_UP_SECONDS = 8.0
SECONDS = 40.0


def tell(name: str, value: float, unit: str) -> None:
    print(name, f"{value:.4g}", unit, flush=True)


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@asynccontextmanager
async def node_exporter() -> AsyncIterator[psutil.Process | None]:
    """Debian's node_exporter, scraped every INTERVAL seconds; None where it is not installed."""
    program = shutil.which("prometheus-node-exporter")
    if program is None:
        yield None
        return
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        program,
        f"--web.listen-address=127.0.0.1:{port}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    scraping = asyncio.create_task(scrape(f"http://127.0.0.1:{port}/metrics"))
    try:
        yield psutil.Process(process.pid)
    finally:
        scraping.cancel()
        process.terminate()
        await process.wait()


async def scrape(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(url) as answer:
                    await answer.read()
            except aiohttp.ClientError:
                pass  # it is still starting
            await asyncio.sleep(INTERVAL)


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="hbd-bench-") as name:
        folder = Path(name)
        async with (
            Daemon(folder / "hbd") as daemon,
            Agent(folder / "hbc", daemon.url, "bench", interval=INTERVAL) as agent,
            node_exporter() as peer,
        ):
            await eventually(lambda: daemon.host("bench"), 20, "the agent reports")
            await asyncio.sleep(WARM_UP_SECONDS)
            processes = {"agent": psutil.Process(agent.pid)} | ({"node_exporter": peer} if peer else {})
            before = {name: cpu_seconds(process) for name, process in processes.items()}
            started = time.monotonic()
            await asyncio.sleep(SECONDS)
            rounds = (time.monotonic() - started) / INTERVAL
            cpu = {name: (cpu_seconds(process) - before[name]) / rounds for name, process in processes.items()}
            memory = {name: process.memory_info().rss for name, process in processes.items()}
    for name in processes:
        tell(f"{name}.cpu_per_collection", cpu[name] * 1e3, "ms")
        tell(f"{name}.rss", memory[name] / 2**20, "MiB")
    if peer:
        tell("agent.cpu_ratio", cpu["agent"] / cpu["node_exporter"], "of node_exporter")
        tell("agent.rss_ratio", memory["agent"] / memory["node_exporter"], "of node_exporter")


if __name__ == "__main__":
    asyncio.run(main())
