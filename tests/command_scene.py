"""The register of commands on a real database, and the agent of one host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hbd.hosts import Host, Hosts
from hbd.remote.commands import Commands
from hbd.remote.frames import Frame, Offers, Policy, Result, Started
from hbd.stats import Stats
from hbd.store import Store
from hbd.store.audit import Entry
from hbd.store.commands import Command

NOW = 1_750_000_000.0
DEADLINE = 10.0


class Scene:
    """The register on a real database, and the agent of one host. sent: the frames that went to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = NOW
        self.sent: list[Frame] = []
        self.hosts = Hosts()
        self.host = Host(1, "web-1", "agent_0123456789ab")

    async def open(self) -> None:
        self.store = Store(self.path, Stats())
        await self.store.open()
        if not len(self.hosts):
            id = await self.store.hosts.enrol(self.host.name, self.host.agent_id, [], None, NOW)
            self.host = Host(id, self.host.name, self.host.agent_id)
            self.hosts.add(self.host)
        self.host.link = False
        self.commands = Commands(self.store, self.hosts, Stats(), self._send, wall=lambda: self.now)
        await self.commands.load()

    async def close(self) -> None:
        await self.commands.close()
        await self.store.close()

    async def restart(self) -> None:
        """Of the daemon."""
        await self.close()
        await self.open()

    def _send(self, host: Host, frame: Frame) -> bool:
        if host.link:
            self.sent.append(frame)
        return host.link

    async def link(self, journal: str = "one", **policy: Any) -> None:
        self.host.link = True
        self.commands.linked(self.host)
        self.commands.offers(self.host, Offers(journal, Policy(**policy)))
        await self.settle()

    def unlink(self) -> None:
        self.host.link = False

    async def ask(self, type: str = "shell", **params: Any) -> Command:
        command = await self.commands.queue(self.host, type, params, entry("command.queue"))
        await self.settle()
        return command

    async def settle(self) -> None:
        """Until nothing is under way."""
        async with asyncio.timeout(DEADLINE):
            while self.commands._under_way:
                await asyncio.sleep(0.001)

    async def start(self, id: str) -> None:
        self.commands.started(self.host, Started(id))
        await self.settle()

    async def answer(self, id: str, **result: Any) -> None:
        self.commands.answered(self.host, Result(**{"id": id, "status": "done", "exit_code": 0, **result}))
        await self.settle()

    async def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.commands.look(self.now)
        await self.settle()

    async def state(self, id: str) -> tuple[str, str]:
        """Status and reason, which memory and disk agree upon."""
        command = await self.commands.get(self.host, id)
        assert command == await self.store.commands.find(self.host.id, id)
        return command.status, command.reason

    async def audit(self) -> list[tuple[str, str, str, str]]:
        """The oldest first."""
        entries = await self.store.audit.recent(100)
        return [(each.action, each.user, each.outcome, each.detail) for each in reversed(entries)]


def entry(action: str, user: str = "alice") -> Entry:
    return Entry(time=NOW, user=user, via="session", action=action, object="host web-1")


@pytest.fixture(name="scene")
async def a_scene(tmp_path: Path) -> AsyncIterator[Scene]:
    made = Scene(tmp_path / "hbd.db")
    await made.open()
    yield made
    await made.close()


def kinds(scene: Scene) -> list[tuple[str, str]]:
    return [(frame["type"], frame["id"]) for frame in scene.sent]
