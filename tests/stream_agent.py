"""An agent's side of streams, in the process of the test: what hbc does with them, on a policy of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from world import Api, World

from hbc.allow import Allow, Limits
from hbc.policy import Policy
from hbc.streams import Streams, opener_of
from hbc.wire import Unopened
from hbd.hosts import Host
from hbd.remote import frames


class StreamAgent:
    """asked: the frames that came for it. deaf: it takes them and does nothing."""

    def __init__(self, world: World, api: Api, host: Host, policy: Policy) -> None:
        self.host = host
        self.asked: list[dict[str, Any]] = []
        self.deaf = False
        self._world = world
        self.streams = Streams(opener_of(policy), tell=self._tell, linked=lambda: True, most=policy.limits.streams)
        self.streams.server = str(api.make_url("/")).rstrip("/")
        world.links.agents[host.name] = self.take

    def take(self, frame: dict[str, Any]) -> None:
        self.asked.append(frame)
        if not self.deaf:
            self.streams.open(frame)

    def _tell(self, frame: Unopened) -> bool:
        self._world.streams.unopened(self.host, msgspec.convert(frame, frames.Unopened))
        return True

    @property
    def open(self) -> int:
        """How many streams it has."""
        return len(self.streams._tasks)

    async def idle(self) -> None:
        """Wait until it has let go of all streams."""
        async with asyncio.timeout(30):
            while self.open:
                await asyncio.sleep(0.01)


def policy(
    *,
    files: Iterable[Path] = (),
    reading: Iterable[Path] = (),
    logs: Iterable[Path] = (),
    units: Iterable[str] = (),
    protected: Iterable[Path] = (),
    **limits: int,
) -> Policy:
    allow = Allow(
        file_roots=tuple(map(str, files)),
        read_roots=tuple(map(str, reading)),
        log_paths=tuple(map(str, logs)),
        log_units=tuple(units),
        limits=Limits(**limits),
    )
    return Policy(allow, protected=protected)


@asynccontextmanager
async def stream_agent(world: World, api: Api, name: str, allowed: Policy) -> AsyncIterator[StreamAgent]:
    """The agent of a host that is made for it."""
    host = world.hosts.get(name) or await world.enrol(name)
    agent = StreamAgent(world, api, host, allowed)
    host.link = True
    try:
        yield agent
    finally:
        host.link = False
        world.links.agents.pop(name, None)
        await agent.streams.end()
