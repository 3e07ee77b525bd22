"""What tests and benchmarks of notifications share: an agent that says what it is told, and services that listen."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
from aiohttp import web
from virtual_agents import Tally, VirtualAgent

PATH = "queue.depth"
RULES = {"default": {"queue": {"depth": {"warning": 80, "critical": 90, "display": "Queue"}}}}
VALUES = {"OK": 1, "WARNING": 85, "CRITICAL": 95}
SILENCE = 3600.0  # an agent may be quiet for as long, and nobody calls it late


class Voice(VirtualAgent):
    """An agent whose one metric is at the level that it is told; nothing else is reported of its host."""

    def __init__(self, name: str, url: str, key: str | None = None) -> None:
        super().__init__(name, url, Tally(), interval=SILENCE, key=key)
        self._levels: asyncio.Queue[str] = asyncio.Queue()

    def say(self, *levels: str) -> None:
        for level in levels:
            self._levels.put_nowait(level)

    async def quiet(self) -> bool:
        """Whether all that it said is acknowledged."""
        return self._levels.empty() and not self.unacked

    async def _report(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        try:
            for seq in list(self.unacked):
                await self._send(socket, seq)
            while True:
                await self._send(socket, self._made(await self._levels.get()))
        except (aiohttp.ClientError, OSError):
            return  # the reading side sees the end of the link too

    def _made(self, level: str) -> int:
        self.seq += 1
        now = time.time()
        samples = [{"plugin": "queue", "time": now, "data": {"depth": VALUES[level]}}]
        report = {"type": "report", "run_id": self.run_id, "seq": self.seq, "time": now, "samples": samples}
        self.unacked[self.seq] = json.dumps(report)
        return self.seq


@asynccontextmanager
async def speaking(*agents: Voice, retry: float = 0.2) -> AsyncIterator[None]:
    """Their links, as long as the block runs."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as http:
        tasks = [asyncio.create_task(agent.run(http, retry=retry)) for agent in agents]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class Word(NamedTuple):
    """One problem of a message that a service took. heard: monotonic seconds; time: of the event, Unix seconds.

    answered: as far as the service knows.
    """

    heard: float
    message: str
    host: str
    problem: str
    number: int
    level: str
    time: float
    answered: bool


class Ear:
    """A service for webhooks. answers: what it does with the next requests; then it takes all.

    ``500``, ``429`` and the like: that status. hang: no answer. cut: the connection ends. deaf: it takes the message,
    and the connection ends before the answer.
    """

    def __init__(self, answers: Iterable[str] = ()) -> None:
        self.answers = deque(answers)
        self.words: list[Word] = []
        self.titles: list[str] = []
        """of the messages that it took"""
        self.asked: list[float] = []
        self.retry_after = ""
        self.decide: Callable[[], str] = lambda: self.answers.popleft() if self.answers else "200"
        self.on_word: Callable[[], None] = lambda: None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(time.monotonic())
        match self.decide():
            case "hang":
                await asyncio.Event().wait()
            case "cut":
                _cut(request)
            case "deaf":
                self._take(body, answered=False)
                _cut(request)
            case "200":
                self._take(body)
            case status:
                headers = {"Retry-After": self.retry_after} if self.retry_after else {}
                return web.Response(status=int(status), headers=headers)
        return web.Response()

    def _take(self, body: dict[str, Any], *, answered: bool = True) -> None:
        now = time.monotonic()
        self.titles.append(body["title"])
        for one in body["problems"]:
            self.words.append(
                Word(
                    now,
                    body["id"],
                    one["host"],
                    one["id"],
                    one["number"],
                    one["level"],
                    one["time"],
                    answered,
                )
            )
        self.on_word()

    def told(self) -> list[tuple[int, str]]:
        """Numbers and levels in their order; what came again under its number counts once."""
        return list(dict.fromkeys((word.number, word.level) for word in self.words))

    def of_problem(self) -> dict[str, list[Word]]:
        found: dict[str, list[Word]] = defaultdict(list)
        for word in self.words:
            found[word.problem].append(word)
        return found


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


class Ears:
    """Services for webhooks by name, and the config of the channels that lead to them."""

    def __init__(self, *names: str) -> None:
        self.named = {name: Ear() for name in names}
        self.port = 0

    def __getitem__(self, name: str) -> Ear:
        return self.named[name]

    def channels(self, **more: Any) -> dict[str, dict[str, Any]]:
        """more: settings of each."""
        return {name: {"type": "webhook", "url": f"http://127.0.0.1:{self.port}/{name}"} | more for name in self.named}

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        return await self.named[request.match_info["name"]].handle(request)


@asynccontextmanager
async def listening(*names: str) -> AsyncIterator[Ears]:
    ears = Ears(*names)
    app = web.Application()
    app.router.add_post("/{name}", ears._handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    ears.port = runner.addresses[0][1]
    try:
        yield ears
    finally:
        await runner.cleanup()


def heard(condition: Callable[[], object]) -> Callable[[], Awaitable[bool]]:
    """A condition for ``programs.eventually``."""

    async def asked() -> bool:
        return bool(condition())

    return asked
