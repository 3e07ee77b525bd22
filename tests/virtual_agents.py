"""Agents without a machine: they speak the real agent link from one process, cheaply, and keep count of every word.

Used by the process tests as load with a ledger, and by ``tests/bench/load.py`` as load with a stopwatch.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import aiohttp

from hbc import wire

METRICS_PER_REPORT = 60  # in five plugins, some 1,284 bytes of JSON
CONNECT_SECONDS = 10.0
_STAMP = '"@"'  # where a template takes the time of its samples

_METRICS: dict[str, dict[str, Any]] = {
    "cpu_monitor": {
        "cpu_percent": 12.5,
        "user": 8.1,
        "system": 3.9,
        "iowait": 0.4,
        "steal": 0.0,
        "load_1min": 0.52,
        "load_5min": 0.48,
        "load_15min": 0.41,
        "cpu_count": 4,
        "ctx": 1830.2,
        "irq": 912.7,
        "mhz": 2400.0,
    },
    "memory_monitor": {
        "percent": 41.7,
        "total_mb": 15990.2,
        "available_mb": 9321.8,
        "used_mb": 6668.4,
        "free_mb": 1203.1,
        "buffers_mb": 401.4,
        "cached_mb": 7520.9,
        "shared_mb": 88.2,
        "swap_percent": 1.2,
        "swap_mb": 2048.0,
        "swap_used_mb": 24.6,
        "dirty_mb": 3.1,
    },
    "disk_monitor": {
        mount: {
            "percent": 63.4,
            "total_gb": 98.3,
            "used_gb": 62.4,
            "free_gb": 30.9,
            "inodes": 11.2,
            "files": 734003,
        }
        for mount in ("/", "/home")
    },
    "network_monitor": {
        card: {"rx_bps": 48211.3, "tx_bps": 9120.4, "rx_pps": 61.2, "tx_pps": 44.8, "errors": 0, "drops": 0}
        for card in ("eth0", "eth1")
    },
    "process_monitor": {
        "total": 214,
        "running": 2,
        "sleeping": 148,
        "idle": 64,
        "zombies": 0,
        "threads": 611,
        "stopped": 0,
        "top_cpu": 7.3,
        "top_memory": 5.1,
        "users": 3,
        "forks_rate": 1.4,
        "fds": 4211,
    },
}


class _Template(NamedTuple):
    """The samples of a report, cut where the time goes."""

    pieces: tuple[str, ...]

    def filled(self, stamp: str) -> str:
        return stamp.join(self.pieces)


def _vary(value: Any, chance: random.Random) -> Any:
    if isinstance(value, dict):
        return {key: _vary(inner, chance) for key, inner in value.items()}
    return round(value * chance.uniform(0.8, 1.2), 1) if isinstance(value, float) else value


def _templates(count: int = 16) -> Sequence[_Template]:
    chance = random.Random(1)
    made = []
    for _ in range(count):
        samples = [{"plugin": name, "time": "@", "data": _vary(data, chance)} for name, data in _METRICS.items()]
        made.append(_Template(tuple(json.dumps(samples, separators=(",", ":")).split(_STAMP))))
    return made


_TEMPLATES = _templates()


class Tally:
    """What a group of agents has seen. latencies: seconds from sending a report to its acknowledgement."""

    def __init__(self, on_ack: Callable[[str, str, int], None] | None = None) -> None:
        self.sent: int = 0
        """reports; one that was sent again counts once"""
        self.acked = 0
        self.rejected = 0
        self.busy = 0
        self.connections = 0
        self.refusals: list[str] = []
        self.latencies: list[float] = []
        self.on_ack = on_ack
        """called with (agent name, run id, seq) of every report when it is first acknowledged"""


class VirtualAgent:
    """One agent. It keeps every report until it is acknowledged, and sends what it kept again after a reconnect."""

    def __init__(self, name: str, url: str, tally: Tally, *, interval: float, key: str | None = None) -> None:
        """url: of the daemon, ``http://…``. interval: seconds between reports."""
        self.name = name
        self.interval = interval
        self.key = key
        self.run_id = secrets.token_hex(8)
        self.seq = 0
        self.heartbeat_port = 0
        self.connected = asyncio.Event()
        """set when the agent was welcomed for the first time"""
        self.unacked: dict[int, str] = {}
        """seq to frame, in order"""
        self._url = url.rstrip("/") + wire.LINK_PATH
        self._tally = tally
        self._sent_at: dict[int, float] = {}
        self._producing = True
        self._turn = random.randrange(len(_TEMPLATES))
        self._socket: aiohttp.ClientWebSocketResponse | None = None

    async def run(self, http: aiohttp.ClientSession, *, delay: float = 0.0, retry: float = 1.0) -> None:
        """Connect after ``delay`` s, report, and come back ``retry`` s (give or take half) after a lost link."""
        await asyncio.sleep(delay)
        while True:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    socket = await http.ws_connect(self._url, compress=0, max_msg_size=wire.MAX_FRAME_BYTES)
                async with socket:
                    await self._talk(socket)
            except (aiohttp.ClientError, aiohttp.WSMessageTypeError, OSError, TimeoutError):
                pass
            await asyncio.sleep(retry * random.uniform(0.5, 1.5))

    def finish(self) -> None:
        """Make no more reports; what is not acknowledged yet still waits for it."""
        self._producing = False

    async def _talk(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async with asyncio.timeout(CONNECT_SECONDS):
            await socket.send_str(json.dumps(self._hello()))
            answer = json.loads(await socket.receive_str())
        if answer["type"] != "welcome":
            self._tally.refusals.append(f"{self.name}: {answer.get('code')}: {answer.get('reason')}")
            return
        self.key = answer.get("key", self.key)
        self.heartbeat_port = answer["heartbeat_port"]
        self._tally.connections += 1
        self.connected.set()
        ticker = asyncio.create_task(self._report(socket))
        try:
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._hear(json.loads(message.data))
        finally:
            ticker.cancel()

    async def _report(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        try:
            for seq in list(self.unacked):
                await self._send(socket, seq)
            while self._producing:
                await self._send(socket, self._next())
                await asyncio.sleep(self.interval)
        except (aiohttp.ClientError, OSError):
            return  # the reading side sees the end of the link too

    async def _send(self, socket: aiohttp.ClientWebSocketResponse, seq: int) -> None:
        frame = self.unacked.get(seq)
        if frame is not None:
            self._sent_at[seq] = time.perf_counter()
            await socket.send_str(frame)

    def _next(self) -> int:
        self.seq += 1
        self._turn = (self._turn + 1) % len(_TEMPLATES)
        now = f"{time.time():.1f}"
        self.unacked[self.seq] = (
            f'{{"type":"report","run_id":"{self.run_id}","seq":{self.seq},"time":{now},'
            f'"samples":{_TEMPLATES[self._turn].filled(now)}}}'
        )
        self._tally.sent += 1
        return self.seq

    def _hear(self, frame: dict[str, Any]) -> None:
        if frame["type"] == "ack" and frame["run_id"] == self.run_id:
            now = time.perf_counter()
            self._tally.rejected += len(frame.get("rejected", ()))
            for seq in frame["seqs"]:
                if self.unacked.pop(seq, None) is not None:
                    self._tally.acked += 1
                    self._tally.latencies.append(now - self._sent_at.pop(seq))
                    if self._tally.on_ack is not None:
                        self._tally.on_ack(self.name, self.run_id, seq)
        elif frame["type"] == "busy":
            self._tally.busy += len(frame["seqs"])

    def _hello(self) -> wire.Hello:
        hello = wire.Hello(
            type="hello",
            protocol=wire.PROTOCOL,
            version="0.1.0",
            name=self.name,
            boot_id="0" * 16,
            run_id=self.run_id,
            time=time.time(),
            interval=self.interval,
            event="reconnected" if self.connected.is_set() else "started",
            capabilities=[],
            tags=["virtual"],
        )
        if self.key is not None:
            hello["key"] = self.key
        return hello


class Fleet:
    """Virtual agents that run together. ``async with Fleet(…) as fleet`` starts them and ends them with the block."""

    def __init__(
        self,
        url: str,
        count: int,
        *,
        interval: float,
        ramp: float = 0.0,
        retry: float = 1.0,
        prefix: str = "virtual",
        on_ack: Callable[[str, str, int], None] | None = None,
    ) -> None:
        """ramp: seconds over which the first connections are spread. retry: see ``VirtualAgent.run``."""
        self.tally = Tally(on_ack)
        self.agents = [
            VirtualAgent(f"{prefix}-{number:05}", url, self.tally, interval=interval) for number in range(1, count + 1)
        ]
        self._ramp = ramp
        self._retry = retry
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Fleet:
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True))
        step = self._ramp / len(self.agents)
        self._tasks = [
            asyncio.create_task(agent.run(self._http, delay=step * number, retry=self._retry))
            for number, agent in enumerate(self.agents)
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.close()
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def connected(self) -> None:
        """Wait until every agent was welcomed once."""
        for agent in self.agents:
            await agent.connected.wait()

    def unacknowledged(self) -> int:
        return sum(len(agent.unacked) for agent in self.agents)

    async def settled(self) -> bool:
        """Whether every report is acknowledged."""
        return self.unacknowledged() == 0

    def finish(self) -> None:
        """Make no more reports."""
        for agent in self.agents:
            agent.finish()
