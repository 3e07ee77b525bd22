"""A web application over real parts: register, presence, rings, feed and a SQLite file; time stands still. Its
fixtures are those of all tests that call it: ``world`` and ``api``."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import bcrypt
import pytest
from aiohttp import DummyCookieJar, web
from aiohttp.test_utils import TestClient, TestServer

from hbd.accounts import User
from hbd.config import Config
from hbd.hosts import Host
from hbd.model import Data, Family, Heartbeat, Message, Moment, Sample
from hbd.passwords import Passwords
from hbd.recall import recall
from hbd.remote.frames import Frame
from hbd.signin import Visitor
from hbd.store import Turn
from hbd.store.audit import Entry
from hbd.web import make_app, schemas
from hbd.web.server import Runner
from hbd.web.throttle import Throttle
from hbd.works import Memory, Outside, Works

WALL = 1_750_000_000.0
RUN = "00112233445566aa"
PASSWORD = "correct horse"

Api = TestClient[web.Request, web.Application]


class RealServer(TestServer):
    """The application behind the server that the daemon uses."""

    async def _make_runner(self, **_: object) -> Runner:
        return Runner(self.app)


class Links:
    """What would go to agents. agents: whoever is connected, by name of their host."""

    def __init__(self) -> None:
        self.agents: dict[str, Callable[[Frame], None]] = {}

    def send(self, host: Host, frame: Frame) -> bool:
        agent = self.agents.get(host.name)
        if agent is not None:
            agent(frame)
        return agent is not None


class World:
    """The works of a daemon, and a hand to move them. now: the moment that everything happens at."""

    def __init__(self, path: Path) -> None:
        self.now = Moment(WALL, 1000.0)
        self.problems: list[str] = []
        self.own_ports: set[int] = set()
        self.links = Links()
        config = Config(database=path, samples_per_plugin=20)
        outside = Outside(
            clock=lambda: self.now,
            status=self.status,
            unready=lambda: self.problems,
            urls=list,
            page_urls=lambda: ["http://127.0.0.1:50004/"],
            ports=lambda: self.own_ports,
            passwords=Passwords(rounds=4),
            links=self.links,
        )
        self.works = works = Works(config, Memory(config, self.now), outside)
        self.parts, self.stats, self.store, self.hosts = works.parts, works.stats, works.store, works.hosts
        self.presence, self.rings, self.alerts = works.presence, works.rings, works.alerts
        self.pipeline, self.feed, self.views, self.recorder = works.pipeline, works.feed, works.views, works.recorder
        self.security, self.enrolment, self.reporting = works.security, works.enrolment, works.reporting
        self.channels, self.notifications, self.hushing = works.channels, works.notifications, works.hushing
        self.commands, self.streams, self.processes = works.commands, works.streams, works.processes
        self.jobs, self.scraper, self.report_log = works.jobs, works.scraper, works.report_log
        self.apply_access = works.host_settings.apply_access
        self.parts.throttle = Throttle(0, 1)  # tests ask as often as they like, whatever their config says
        self.parts.agent_link = self.agent_link

    async def open(self) -> None:
        await self.store.open()
        await recall(self.works, self.now)
        self._turns = asyncio.create_task(self.pipeline.run())

    async def close(self) -> None:
        await self.commands.close()
        await self.works.deployments.close()
        self.pipeline.close()
        await self._turns
        await self.channels.close()
        await self.security.close()
        await self.store.close()

    async def configure(self, config: Config) -> None:
        """Put a config into force, as a reload does."""
        await self.works.prepare(config, self.now)
        await asyncio.gather(*self.works.put_into_force(config, self.now))

    async def user(self, name: str, role: str = "viewer", password: str = PASSWORD) -> User:
        """A user who is in the store."""
        entry = Entry(time=time.time(), user="", via="cli", action="user.create", object=f"user {name}")
        hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4))
        return await self.security.accounts.add(name, entry, password=hashed, role=role)

    async def session(self, name: str) -> str:
        """The token of a new session of a user."""
        signed_in = await self.security.sign_in.trusted(
            self.security.accounts.require(name), "password", Visitor("192.0.2.9", "tests")
        )
        return signed_in.token

    async def enrol(self, name: str) -> Host:
        """A host that is known and was never heard."""
        agent_id = f"agent_{secrets.token_hex(6)}"
        host_id = await self.store.hosts.enrol(name, agent_id, [], None, self.now.wall)
        host = Host(host_id, name, agent_id)
        self.hosts.add(host)
        self.works.host_settings.know(host)
        return host

    async def key(self, host: Host) -> str:
        """A key for a host, the only one that it has."""
        return await self.enrolment.rotate(host, overlap=0)

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
            backup=None,
            hosts={},
            links=0,
            subscribers=len(self.feed),
            loop_lag_p99_ms=0.0,
            commit_p99_ms=0.0,
            counters={},
        )

    async def agent_link(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=426)


@pytest.fixture(name="world")
async def a_world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path / "hbd.db")
    await made.open()
    yield made
    await made.close()


@pytest.fixture(name="api")
async def a_client(world: World) -> AsyncIterator[Api]:
    """A client of the whole application, with the feed running. It keeps no cookies: each test says who is calling."""
    ticking = asyncio.create_task(world.feed.run())
    async with TestClient(RealServer(make_app(world.parts)), cookie_jar=DummyCookieJar()) as client:
        yield client
        world.feed.close()
    ticking.cancel()
