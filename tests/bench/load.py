"""Load for a daemon: virtual agents on the real agent link, each reporting 60 metrics in 5 plugins (some 1,284 bytes).

    python tests/bench/load.py                                                      a daemon of its own, 1,000 agents
    python tests/bench/load.py --url http://127.0.0.1:50004 --pid 4711 --agents 200        one that runs already

Prints ``name value unit`` lines. The daemon's CPU, lag and commits are of the time when all agents report: from the end
of the ramp to the end of the load. Enrolment must be open. Talks to loopback addresses and to no others.
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import json
import math
import re
import resource
import socket
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import aiohttp
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from programs import Daemon
from virtual_agents import METRICS_PER_REPORT, Fleet

from hbc import wire

try:
    from uvloop import new_event_loop
except ImportError:
    from asyncio import new_event_loop  # type: ignore[assignment]

MAX_AGENTS = 20_000
MAX_SECONDS = 3_600.0
SETTLE_SECONDS = 15.0  # how long the last acknowledgements are waited for


class Beats(asyncio.DatagramProtocol):
    """Heartbeats of all agents of one address family, through one socket. Counts what goes out and comes back."""

    def __init__(self, family: int) -> None:
        self.family = family
        self.sent = 0
        self.echoed = 0
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self.echoed += 1

    async def beat(self, fleet: Fleet, address: str, interval: float) -> None:
        """One heartbeat of every agent an interval, spread over it; runs until cancelled."""
        assert self._transport is not None
        step = interval / len(fleet.agents)
        due, seq = time.monotonic(), 0
        while True:
            seq += 1
            for agent in fleet.agents:
                if agent.key is not None:
                    beat = wire.Beat(agent.run_id, seq, time.time(), None, interval, "alive", self.family)
                    datagram = wire.pack_beat(wire.key_hash(agent.key), beat)
                    self._transport.sendto(datagram, (address, agent.heartbeat_port))
                    self.sent += 1
                due += step
                if (ahead := due - time.monotonic()) > 0.01:
                    await asyncio.sleep(ahead)


@asynccontextmanager
async def beating(fleet: Fleet, interval: float) -> AsyncIterator[list[Beats]]:
    """Heartbeats over IPv4 and IPv6 while the block runs."""
    loop = asyncio.get_running_loop()
    senders, tasks, transports = [], [], []
    for family, number, address in ((socket.AF_INET, 4, "127.0.0.1"), (socket.AF_INET6, 6, "::1")):
        transport, sender = await loop.create_datagram_endpoint(partial(Beats, number), (address, 0), family=family)
        transports.append(transport)
        senders.append(sender)
        tasks.append(asyncio.create_task(sender.beat(fleet, address, interval)))
    try:
        yield senders
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for transport in transports:
            transport.close()


class Usage:
    """What a process has used between two looks at it."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._cpu, self._time = self._look(), time.monotonic()

    def _look(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system

    def since(self) -> tuple[float, float, int]:
        """CPU seconds and seconds since the first look, and the memory of now in bytes."""
        return self._look() - self._cpu, time.monotonic() - self._time, self._process.memory_info().rss


def tell(name: str, value: float, unit: str) -> None:
    print(name, f"{value:.6g}", unit, flush=True)


def quantile(values: Sequence[float], part: float) -> float:
    """values: sorted, at least one."""
    return values[min(len(values) - 1, int(part * len(values)))]


async def fetch(url: str, token: str = "") -> str:
    """token: where the daemon has users."""
    async with aiohttp.request("GET", url, headers={"X-Auth-Token": token}) as answer:
        answer.raise_for_status()
        return await answer.text()


async def histograms(url: str, token: str = "") -> dict[str, Counter[float]]:
    """The daemon's histograms of seconds: name to (upper edge of a bucket to how many are at or below it)."""
    found: dict[str, Counter[float]] = defaultdict(Counter)
    for name, edge, count in re.findall(
        r'^hbd_(\w+)_bucket\{le="([^"]+)"\} (\d+)$', await fetch(url + "/metrics", token), re.M
    ):
        found[name][float(edge)] = int(count)
    return found


def edge_of(part: float, before: Counter[float], after: Counter[float]) -> float:
    """Upper edge of the bucket that holds this part of what was observed between two looks; 0.0 when nothing was."""
    wanted = part * (after[math.inf] - before[math.inf])
    return min((edge for edge in after if after[edge] - before[edge] >= wanted), default=0.0) if wanted else 0.0


async def load(
    options: argparse.Namespace, url: str, pid: int | None, on_ack: Callable[[str, str, int], None] | None
) -> bool:
    """Load the daemon at url and print the figures. Returns whether every report was acknowledged."""
    ramp = min(options.interval, options.seconds / 4)
    fleet = Fleet(url, options.agents, interval=options.interval, ramp=ramp, on_ack=on_ack)
    tally = fleet.tally
    beats: list[Beats] = []
    async with fleet:
        async with asyncio.timeout(ramp + 60):
            await fleet.connected()
        usage, acked_before = Usage(pid) if pid is not None else None, tally.acked
        before = await histograms(url)
        started = time.monotonic()
        async with AsyncExitStack() as stack:
            if options.heartbeats:
                beats = await stack.enter_async_context(beating(fleet, options.interval))
            await asyncio.sleep(options.seconds - ramp)
        acked, elapsed = tally.acked - acked_before, time.monotonic() - started
        used = usage.since() if usage is not None else None
        after = await histograms(url)
        fleet.finish()
        deadline = time.monotonic() + SETTLE_SECONDS
        while fleet.unacknowledged() and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        status = json.loads(await fetch(url + "/api/0/status"))

    tell("agents", options.agents, "")
    tell("reports_sent", tally.sent, "reports")
    tell("reports_acked", tally.acked, "reports")
    tell("unacknowledged", fleet.unacknowledged(), "reports")
    tell("rejected", tally.rejected, "samples")
    tell("busy", tally.busy, "reports")
    tell("reconnects", tally.connections - options.agents, "connections")
    for refusal in tally.refusals[:5]:
        print("# refused:", refusal)
    tell("rate", acked / elapsed, "reports/s")
    if latencies := sorted(tally.latencies):
        tell("ack_p50", quantile(latencies, 0.5) * 1e3, "ms")
        tell("ack_p99", quantile(latencies, 0.99) * 1e3, "ms")
        tell("ack_max", latencies[-1] * 1e3, "ms")
    for sender in beats:
        tell(f"heartbeats_ipv{sender.family}_sent", sender.sent, "datagrams")
        tell(f"heartbeats_ipv{sender.family}_echoed", sender.echoed, "datagrams")
    if used is not None and acked:
        cpu, seconds, memory = used
        tell("daemon_cpu_per_report", cpu / acked * 1e6, "us")
        tell("daemon_cpu_per_point", cpu / acked / METRICS_PER_REPORT * 1e6, "us")
        tell("daemon_cpu", cpu / seconds * 100, "% of a core")
        tell("daemon_rss", memory / 2**20, "MiB")
    for name in ("loop_lag", "commit"):
        edge = edge_of(0.99, before[f"{name}_seconds"], after[f"{name}_seconds"])
        tell(f"daemon_{name}_p99", edge * 1e3, "ms at the most")
    tell("database", status["database_bytes"] / 2**20, "MiB")
    return fleet.unacknowledged() == 0


async def run(options: argparse.Namespace) -> bool:
    with Path(options.ledger).open("w", buffering=1) if options.ledger else nullcontext() as ledger:

        def note(agent: str, run_id: str, seq: int) -> None:
            assert ledger is not None
            ledger.write(f"{agent} {run_id} {seq} {time.time():.3f}\n")

        on_ack = note if ledger is not None else None
        if options.url:
            return await load(options, options.url.rstrip("/"), options.pid, on_ack)
        with tempfile.TemporaryDirectory(prefix="hbd-load-") as folder:
            limits = {"max_hosts": MAX_AGENTS, "max_links": MAX_AGENTS}
            async with Daemon(Path(folder), limits=limits) as daemon:
                return await load(options, daemon.url, daemon.pid, on_ack)


def loopback_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme != "http" or parts.hostname is None:
        raise argparse.ArgumentTypeError("http://ADDRESS:PORT is needed")
    addresses = {
        str(info[4][0]) for info in socket.getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_STREAM)
    }
    if not all(ipaddress.ip_address(address).is_loopback for address in addresses):
        raise argparse.ArgumentTypeError("only loopback addresses are loaded")
    return text


def bounded(kind: Callable[[str], float], low: float, high: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = kind(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{low:g} to {high:g}")
        return value

    return number


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", type=loopback_url, help="the daemon to load; left out: start one")
    parser.add_argument("--pid", type=int, help="its process, to see what it uses")
    parser.add_argument("--agents", type=bounded(int, 1, MAX_AGENTS), default=1_000)
    parser.add_argument(
        "--interval", type=bounded(float, 0.1, 3_600), default=10.0, help="seconds between reports of an agent"
    )
    parser.add_argument(
        "--seconds", type=bounded(float, 1, MAX_SECONDS), default=120.0, help="length of the load, ramp included"
    )
    parser.add_argument(
        "--heartbeats", action="store_true", help="UDP heartbeats too, over IPv4 and IPv6, at the same interval"
    )
    parser.add_argument("--ledger", help="a file for one line an acknowledged report: agent, run id, number, time")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return 0 if runner.run(run(options)) else 1


if __name__ == "__main__":
    sys.exit(main())
