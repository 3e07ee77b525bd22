"""A web application over real parts: register, presence, rings, feed and a SQLite file; time stands still."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from hbd.config import Config
from hbd.feed import Feed
from hbd.hosts import Host, Hosts
from hbd.model import Data, Family, Heartbeat, Message, Moment, Sample
from hbd.presence import Presence
from hbd.rings import Rings
from hbd.stats import Stats
from hbd.store import Store, Turn
from hbd.web import schemas
from hbd.web.frames import WebSocketFrames
from hbd.web.hostview import HostViews
from hbd.web.parts import Parts
from hbd.web.server import Runner

WALL = 1_750_000_000.0
RUN = "00112233445566aa"

Api = TestClient[web.Request, web.Application]


class RealServer(TestServer):
    """The application behind the server that the daemon uses."""

    async def _make_runner(self, **_: object) -> Runner:
        return Runner(self.app)


class World:
    """The parts of a daemon, and a hand to move them. now: the moment that everything happens at."""

    def __init__(self, path: Path) -> None:
        self.now = Moment(WALL, 1000.0)
        self.stats = Stats()
        self.store = Store(path, self.stats)
        self.hosts = Hosts()
        self.presence = Presence(3.0, self.now)
        self.rings = Rings(20)
        self.views = HostViews(self.hosts, self.presence, self.rings, clock=lambda: self.now.wall)
        self.feed = Feed(self.hosts, WebSocketFrames(self.views), self.stats, max_subscribers=50)
        self.problems: list[str] = []
        self.parts = Parts(
            config=Config(),
            hosts=self.hosts,
            rings=self.rings,
            presence=self.presence,
            store=self.store,
            feed=self.feed,
            views=self.views,
            stats=self.stats,
            status=self.status,
            unready=lambda: self.problems,
            agent_link=self.agent_link,
        )

    async def enrol(self, name: str) -> Host:
        """A host that is known and was never heard."""
        agent_id = f"agent_{len(self.hosts):012x}"
        host_id = await self.store.hosts.enrol(name, agent_id, [], None, self.now.wall)
        host = Host(host_id, name, agent_id)
        self.hosts.add(host)
        self.presence.know(host.id, interval=10.0, now=self.now)
        self.feed.host(host.id)
        return host

    def beat(self, host: Host, *, family: Family = Family.IPV4, rtt: float | None = None, seq: int = 1) -> None:
        address = "192.0.2.7" if family is Family.IPV4 else "2001:db8::7"
        self.presence.beat(Heartbeat(host.id, family, address, RUN, seq, interval=10.0, rtt=rtt), self.now)
        self.feed.host(host.id)

    def sample(self, host: Host, plugin: str, data: Data, *, age: float = 0.0) -> Sample:
        sample = Sample(plugin, self.now.wall - age, data)
        self.rings.add(host.id, sample)
        self.feed.plugin(host.id, sample)
        return sample

    async def note(self, text: str, host: Host | None = None) -> None:
        message = Message(self.now.wall, host.name if host else "", text)
        await self.store.record(Turn(messages=[(host.id if host else None, message)]))
        self.feed.message(message)

    def status(self) -> schemas.Status:
        return schemas.Status(
            version="0",
            started=WALL,
            uptime_seconds=1.0,
            config_file=None,
            urls=[],
            users=0,
            warnings=[],
            reload=schemas.Reload(None, True, [], []),
            storage="ok",
            database="hbd.db",
            database_bytes=4096,
            hosts={},
            links=0,
            subscribers=len(self.feed),
            loop_lag_p99_ms=0.0,
            commit_p99_ms=0.0,
            counters={},
        )

    async def agent_link(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=426)
