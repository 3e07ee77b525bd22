"""A daemon, an agent, and a link between them that breaks when it is told to: the real register of commands, the real
runner and both databases, without a socket."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from hbc.allow import Allow
from hbc.commands.journal import Journal
from hbc.commands.runner import Runner
from hbc.commands.works import Afterwards, SayText
from hbc.policy import Policy
from hbd.hosts import Host, Hosts
from hbd.receivers.agent_frames import decode_frame
from hbd.remote.commands import Commands
from hbd.remote.frames import Frame
from hbd.stats import Stats
from hbd.store import Store
from hbd.store.audit import Entry

NOW = 1_750_000_000.0
DEADLINE = 60.0
Loss = Literal["before it arrives", "after it arrived"]


class Site:
    """A daemon, an agent, and a link between them. breaks: the numbers of the messages at which it breaks.

    runs: how often each command ran, by its parameter.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hosts = Hosts()
        self.runs: Counter[int] = Counter()
        self.breaks: dict[int, Loss] = {}
        self.messages = 0
        self._transit: deque[tuple[str, str]] = deque()
        self._came = asyncio.Event()
        self.on_arrival: dict[type, Any] = {}

    async def open(self) -> None:
        await self._open_daemon()
        id = await self.store.hosts.enrol("web-1", "agent_0123456789ab", [], None, NOW)
        self.host = Host(id, "web-1", "agent_0123456789ab")
        self.hosts.add(self.host)
        self._open_agent()
        self._carrying = asyncio.create_task(self._carry())

    async def close(self) -> None:
        self._carrying.cancel()
        await self._close_agent()
        await self._close_daemon()

    async def _open_daemon(self) -> None:
        self.store = Store(self.folder / "hbd.db", Stats())
        await self.store.open()
        self.commands = Commands(self.store, self.hosts, Stats(), self._to_agent, wall=lambda: NOW)
        self.on_linked: list[Any] = []
        self.on_frame: dict[type, Any] = {}
        self.commands.listen(self)
        await self.commands.load()

    async def _close_daemon(self) -> None:
        await self.commands.close()
        await self.store.close()

    def _open_agent(self) -> None:
        self.journal = Journal(self.folder, "boot-1", lambda: NOW)
        self.journal.open()
        self.runner = Runner(
            Policy(Allow(commands=("ping",))),
            self.journal,
            self._to_daemon,
            works={"ping": self._work},
            wall=lambda: NOW,
            clock=lambda: 0.0,
        )

    async def _close_agent(self) -> None:
        await self.runner.close()
        self.journal.close()

    async def restart_daemon(self) -> None:
        self.unlink()
        await self._close_daemon()
        await self._open_daemon()

    async def restart_agent(self) -> None:
        self.unlink()
        await self._close_agent()
        self._open_agent()

    async def _work(self, params: Mapping[str, Any], say: SayText) -> Afterwards:
        self.runs[params["number"]] += 1
        say("working\n")
        await asyncio.sleep(0)
        return None

    # ----------------------------------------------------------------------------------------------------- the link

    def link(self) -> None:
        self.host.link = True
        for listener in self.on_linked:
            listener(self.host)
        self.runner.linked(NOW)

    def unlink(self) -> None:
        self.host.link = False
        self._transit.clear()

    def _to_agent(self, host: Host, frame: Frame) -> bool:
        return self._send("agent", json.dumps(frame))

    def _to_daemon(self, frame: object) -> bool:
        return self._send("daemon", json.dumps(frame))

    def _send(self, to: str, text: str) -> bool:
        if self.host.link:
            self._transit.append((to, text))
            self._came.set()
        return self.host.link

    async def _carry(self) -> None:
        while True:
            while not self._transit:
                self._came.clear()
                await self._came.wait()
            await asyncio.sleep(0)
            if not self._transit:
                continue
            to, text = self._transit.popleft()
            loss = self.breaks.get(self.messages)
            self.messages += 1
            if loss == "before it arrives":
                self.unlink()
                continue
            if to == "agent":
                frame = json.loads(text)
                (self.runner.command if frame["type"] == "command" else self.runner.cancel)(frame)
            else:
                answer = decode_frame(text)
                self.on_frame[type(answer)](self.host, answer)
            if loss == "after it arrived":
                self.unlink()

    # -------------------------------------------------------------------------------------------------- the commands

    async def ask(self, number: int) -> str:
        entry = Entry(time=NOW, user="alice", via="session", action="command.queue")
        return (await self.commands.queue(self.host, "ping", {"number": number}, entry)).id

    async def ended(self, ids: list[str]) -> list[str]:
        """What became of all of these, while the link comes back again and again."""
        async with asyncio.timeout(DEADLINE):
            while True:
                found = [await self.commands.get(self.host, id) for id in ids]
                if all(command.finished_at for command in found):
                    return [command.status for command in found]
                if not self.host.link:
                    self.link()
                await asyncio.sleep(0.001)
