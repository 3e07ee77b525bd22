"""The inner parts of a daemon around one host, on a real database. Time is passed in."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Self

from hbd.feed import Feed
from hbd.hosts import Host, Hosts
from hbd.model import Moment
from hbd.pipeline import Pipeline
from hbd.presence import Presence
from hbd.rings import Rings
from hbd.stats import Stats
from hbd.store import Store
from hbd.web.frames import WebSocketFrames
from hbd.web.hostview import HostViews

START = Moment(1_000_000.0, 1_000.0)


def at(seconds: float) -> Moment:
    """So long after the start."""
    return Moment(START.wall + seconds, START.mono + seconds)


class OneHost:
    host: Host
    turns: asyncio.Task[None]

    def __init__(self, path: Path) -> None:
        self.stats = Stats()
        self.store = Store(path, self.stats)
        self.hosts = Hosts()
        self.presence = Presence(3.0, START)
        self.rings = Rings(100)
        views = HostViews(self.hosts, self.presence, self.rings)
        self.feed = Feed(self.hosts, WebSocketFrames(views), self.stats)
        self.pipeline = Pipeline(self.hosts, self.presence, self.rings, self.store, self.feed, self.stats)

    async def open(self) -> Self:
        await self.store.open()
        host_id = await self.store.hosts.enrol("web-1", "agent_1", [], None, START.wall)
        self.host = Host(host_id, "web-1", "agent_1")
        self.hosts.add(self.host)
        self.presence.know(host_id, interval=10.0, now=START)
        self.turns = asyncio.create_task(self.pipeline.run())
        return self

    async def settle(self) -> None:
        """All that came in is written; nothing more is taken."""
        self.pipeline.close()
        await self.turns

    async def close(self) -> None:
        await self.settle()
        await self.store.close()
