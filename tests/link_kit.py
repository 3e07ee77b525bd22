"""The link of an agent, and servers on the other end of it that answer as the test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve

from hbc.link import Backoff, Link
from hbc.outbox import Outbox
from hbc.spool import Spool
from hbc.wire import PROTOCOL, Hello, Welcome, daemon_proof, key_hash

RUN = "00112233445566aa"
KEY, NONCE = "5f" * 32, "0" * 32
Frame = dict[str, Any]
Answer = Callable[[ServerConnection, Frame], Awaitable[None]]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


class Daemon:
    """A WebSocket server that keeps what it is told and answers as the test says."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.paths: list[str] = []
        self.sockets: list[ServerConnection] = []
        self.closed = 0
        self.welcome: Frame = {"type": "welcome", "protocol": 1, "version": "9", "host": "web1", "heartbeat_port": 0}
        self.welcome_text = ""
        self.answer: Answer = self.ack
        self.hashed: bytes | None = None
        """of the key that this server knows"""
        self.server: Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def of(self, kind: str) -> list[Frame]:
        return [frame for frame in self.frames if frame["type"] == kind]

    async def start(self, **options: Any) -> None:
        self.server = await serve(self._talk, "127.0.0.1", self.port, **options)
        self.port = next(iter(self.server.sockets)).getsockname()[1]

    async def stop(self) -> None:
        if self.server is not None:
            self.server.close()
            await self.server.wait_closed()
            self.server = None

    async def ack(self, socket: ServerConnection, frame: Frame) -> None:
        await socket.send(json.dumps({"type": "ack", "run_id": frame["run_id"], "seqs": [frame["seq"]]}))

    async def _talk(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        self.paths.append(socket.request.path)
        self.sockets.append(socket)
        async for text in socket:
            frame = json.loads(text)
            self.frames.append(frame)
            if frame["type"] == "hello" and self.hashed is not None:
                proof = daemon_proof(self.hashed, frame["nonce"], NONCE)
                await socket.send(json.dumps({"type": "challenge", "nonce": NONCE, "proof": proof}))
            elif frame["type"] in ("hello", "proof"):
                await socket.send(self.welcome_text or json.dumps(self.welcome))
            elif frame["type"] == "report":
                await self.answer(socket, frame)
        self.closed += 1


class Agent:
    """A link with its outbox, and what it told us."""

    def __init__(self, path: Path, *servers: str, key: str | None = None) -> None:
        self.spool = Spool(path, max_bytes=1 << 24, max_age=1e6)
        self.spool.open(now=0.0, wall=0.0)
        self.outbox = Outbox(self.spool)
        self.welcomes: list[tuple[str, Welcome]] = []
        self.link = Link(
            servers,
            self.outbox,
            hello=self.hello,
            on_welcome=lambda server, welcome: self.welcomes.append((server, welcome)),
            backoff=Backoff(lambda low, high: min(high, 0.02)),
            hashed=lambda: None if key is None else key_hash(key),
        )
        self.seq = 0

    def hello(self) -> Hello:
        return Hello(
            type="hello", protocol=PROTOCOL, version="1", name="web1", boot_id="b", run_id=RUN, time=1.0, interval=10.0,
            event="started", capabilities=[], tags=[],
        )  # fmt: skip

    def measure(self, payload: bytes = b"[]") -> None:
        self.seq += 1
        self.outbox.put(self.spool.append(RUN, self.seq, 0.0, payload, 0.0))
        self.link.wake()


@asynccontextmanager
async def running(agent: Agent) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(agent.link.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        agent.spool.close()


async def first_pause(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> float:
    """How many seconds its link waits after the first try."""
    asked: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def pause(seconds: float) -> None:
        asked.set_result(seconds)
        await asyncio.Event().wait()

    monkeypatch.setattr(agent.link, "_pause", pause)
    async with running(agent), asyncio.timeout(30):
        return await asked


@pytest.fixture(name="daemon")
async def a_daemon() -> AsyncIterator[Daemon]:
    daemon = Daemon()
    await daemon.start()
    yield daemon
    await daemon.stop()


@pytest.fixture(name="other")
async def another_daemon() -> AsyncIterator[Daemon]:
    daemon = Daemon()
    await daemon.start()
    yield daemon
    await daemon.stop()
