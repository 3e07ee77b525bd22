"""A notifier over a real database, with channels that answer as a script says; time stands still until it is passed.

Its fixture is ``world``; ``store``, the database, is that of the tests.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, tzinfo

import msgspec
import pytest
from msgspec import Struct

from hbd.alert_state import AlertEvent
from hbd.alerts import Alerts
from hbd.channels.base import Message, SendFailed
from hbd.config import Config
from hbd.hosts import Host, Hosts
from hbd.model import Level, Moment
from hbd.notices import Notices
from hbd.notifier import Notifier
from hbd.routing import Router
from hbd.schedule import QuietHours
from hbd.stats import Stats
from hbd.store import Store, Turn

OK, WARNING, CRITICAL = Level.OK, Level.WARNING, Level.CRITICAL
NOON = 1_790_000_000.0 - 1_790_000_000.0 % 86400 + 12 * 3600


class Way(Struct, kw_only=True):
    enabled: bool = True
    min_level: Level = WARNING
    quiet: QuietHours | None = None
    quiet_level: Level = CRITICAL
    fallback: str | None = None
    repeat: float | None = 4 * 3600.0
    zone: tzinfo = UTC


class Scripted:
    """A channel: takes messages, or fails as ``answers`` says, one entry a message."""

    refresh = None

    def __init__(self) -> None:
        self.taken: list[Message] = []
        self.tried: list[Message] = []
        self.answers: list[SendFailed | None] = []
        self.refuses = None
        self.stuck = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, message: Message) -> str:
        self.tried.append(message)
        self.stuck = not self.gate.is_set()
        try:
            await self.gate.wait()
        finally:
            self.stuck = False
        failure = self.answers.pop(0) if self.answers else None
        if failure is None and self.refuses is not None and any(self.refuses(item) for item in message.items):
            failure = SendFailed("status 400", permanent=True, refused=True)
        if failure is not None:
            raise failure
        self.taken.append(message)
        return "200"

    async def close(self) -> None:
        pass


class Ways(dict):
    def __init__(self, **ways: Way) -> None:
        super().__init__(ways)
        self.channels = {name: Scripted() for name in ways}

    async def open(self, name: str) -> Scripted:
        return self.channels[name]


class TellingWorld:
    """A notifier whose time stands still until ``pass_time``."""

    def __init__(self, store: Store, **ways: Way) -> None:
        self.now = Moment(NOON, 1000.0)
        self.store = store
        self.hosts = Hosts()
        for number in (1, 2, 3):
            self.hosts.add(Host(number, f"web{number}", f"agent_{number:012x}"))
        self.ways = Ways(**ways)
        self.alerts = Alerts()
        self.hold = lambda notice: None
        self.restart()

    def restart(self) -> None:
        config = msgspec.convert({"notification_routes": {"all": {"channels": list(self.ways)}}}, Config)
        self.router = Router(config, self.hosts, lambda name: None, self.ways.get, lambda user, name: True)
        self.notices = Notices(self.router)
        self.notifier = Notifier(
            self.notices,
            self.store.notices,
            self.alerts,
            self.hosts,
            self.router,
            self.ways,
            Stats(),
            why_held=lambda notice: self.hold(notice),
            now=lambda: self.now,
            jitter=lambda: 0.5,
        )

    async def happen(self, *events: AlertEvent) -> None:
        plan = self.notices.begin(events, (), self.now)
        await self.store.record(Turn(notices=plan.rows))
        self.notices.adopt(plan)
        await self.settle()

    async def settle(self) -> None:
        """Let everything run that can without time passing; who waits at a gate that is shut is left alone."""
        for _ in range(50):
            self.notifier.round()
            lines = [line for line in self.notifier._lines.values() if line.task is not None]
            busy = [line for line in lines if not self.ways.channels[line.name].stuck]
            if not busy:
                return
            async with asyncio.timeout(30):
                while any(line.task is not None and not self.ways.channels[line.name].stuck for line in busy):
                    await asyncio.sleep(0.001)

    async def pass_time(self, seconds: float) -> None:
        self.now = Moment(self.now.wall + seconds, self.now.mono + seconds)
        await self.settle()

    def event(self, after, before=OK, problem="p1", host_id=1, path="cpu.percent") -> AlertEvent:
        at = self.now.wall
        return AlertEvent(f"{problem}-{at}-{after}", problem, host_id, path, before, after, at, 95.5, "CPU 95.5 > 90")

    def taken(self, name="ops") -> list[list[tuple[str, Level, int]]]:
        return [[(item.id, item.level, item.number) for item in m.items] for m in self.ways.channels[name].taken]


@pytest.fixture(name="world")
async def a_world(store):
    return TellingWorld(store, ops=Way())
