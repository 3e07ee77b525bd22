"""A web application over real parts: register, presence, rings, feed and a SQLite file; time stands still. Its
fixtures are those of all tests that call it: ``world`` and ``api``."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import bcrypt
import pytest
from aiohttp import DummyCookieJar, web
from aiohttp.test_utils import TestClient, TestServer

from hbd.accounts import User
from hbd.agent_register import AgentRegister
from hbd.alerts import Alerts
from hbd.channel_register import ChannelRegister
from hbd.config import Config
from hbd.enrolment import Enrolment
from hbd.explain import Explainer
from hbd.feed import Feed
from hbd.hosts import Host, Hosts
from hbd.hushing import Hushing
from hbd.jobs import Jobs
from hbd.model import Data, Family, Heartbeat, Message, Moment, Sample
from hbd.notifications import Notifications
from hbd.passwords import Passwords
from hbd.pipeline import Pipeline
from hbd.presence import Presence
from hbd.process_register import ProcessRegister
from hbd.processes import Watches
from hbd.receivers.doors import Doors
from hbd.receivers.foreign import ForeignReports
from hbd.receivers.influx import InfluxWrites
from hbd.receivers.nagios import PassiveResults
from hbd.receivers.noba_agents import NobaAgents
from hbd.receivers.noba_sockets import NobaSockets
from hbd.remote.commands import Commands
from hbd.remote.deploy import Deployments
from hbd.remote.deploy_steps import Parts as DeployParts
from hbd.remote.frames import Frame
from hbd.remote.package import Packages
from hbd.remote.streams import Streams
from hbd.remote.whereabouts import Whereabouts
from hbd.report_log import ReportLog
from hbd.reporting import Reporting
from hbd.rings import Rings
from hbd.scraping.scraper import Scraper
from hbd.security import Security
from hbd.signin import Visitor
from hbd.stats import Stats
from hbd.store import Store, Turn
from hbd.store.audit import Entry
from hbd.web import make_app, schemas
from hbd.web.frames import WebSocketFrames
from hbd.web.hostview import HostViews
from hbd.web.parts import Parts
from hbd.web.recorder import Recorder
from hbd.web.server import Runner
from hbd.web.throttle import Throttle

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
    """The parts of a daemon, and a hand to move them. now: the moment that everything happens at."""

    def __init__(self, path: Path) -> None:
        self.now = Moment(WALL, 1000.0)
        self.stats = Stats()
        self.store = Store(path, self.stats)
        self.hosts = Hosts()
        self.presence = Presence(3.0, self.now)
        self.alerts = Alerts()
        self.hushing = Hushing(self.store, self.alerts)
        self.rings = Rings(20)
        self.views = HostViews(self.hosts, self.presence, self.rings, self.alerts, clock=lambda: self.now.wall)
        self.feed = Feed(self.hosts, WebSocketFrames(self.views), self.stats, max_subscribers=50)
        self.problems: list[str] = []
        self.security = Security(Config(), self.store, self.stats, Passwords(rounds=4))
        self.security.accounts.changed.append(self.people_changed)
        self.own_ports: set[int] = set()
        self.channels = ChannelRegister(Config(), self.store, self.security.accounts, lambda: self.own_ports)
        self.notifications = Notifications(
            Config(),
            self.store,
            self.hosts,
            self.alerts,
            self.security.accounts,
            self.hushing,
            self.channels,
            self.stats,
            heard=lambda: len(self.hosts),
        )
        self.enrolment = Enrolment(self.hosts, self.store, self.know)
        self.agents = AgentRegister(self.enrolment, self.hosts)
        watches = Watches()
        self.processes = ProcessRegister(Config(), self.store, watches, self.alerts)
        self.pipeline = Pipeline(
            self.hosts,
            self.presence,
            self.rings,
            self.store,
            self.feed,
            self.stats,
            self.alerts,
            self.notifications.notices,
            watches,
        )
        self.processes.is_judged = self.pipeline.is_judged
        self.links = Links()
        self.commands = Commands(self.store, self.hosts, self.stats, self.links.send, wall=lambda: self.now.wall)
        self.streams = Streams(Config(), self.links, self.stats)
        packages = Packages()
        whereabouts = Whereabouts(lambda: self.parts.config, lambda: ["http://127.0.0.1:50004/"])
        self.deployments = Deployments(
            DeployParts(
                lambda: self.parts.config,
                self.store.deployments,
                self.hosts,
                self.enrolment,
                self.agents,
                packages,
                whereabouts,
            )
        )
        self.report_log = ReportLog(self.store, self.stats)
        self.reporting = Reporting(self.store)
        self.jobs = Jobs(self.store.jobs, self.hosts, ForeignReports(self.pipeline), self.stats, clock=lambda: self.now)
        self.scraper = Scraper(Config(), self.hosts, self.pipeline, self.report_log, self.stats, clock=lambda: self.now)
        self.doors = Doors(
            self.enrolment, self.pipeline, self.report_log, lambda: self.now, lambda: self.parts.config.limits
        )
        self.noba = NobaAgents(self.doors, self.pipeline, self.rings, self.commands)
        self.recorder = Recorder(
            self.hosts,
            self.views,
            self.rings,
            self.alerts,
            self.hushing,
            self.notifications,
            self.store.chronicle,
            self.stats,
            clock=lambda: self.now.wall,
        )
        self.parts = Parts(
            config=Config(),
            hosts=self.hosts,
            agents=self.agents,
            noba=self.noba,
            noba_sockets=NobaSockets(self.noba, self.pipeline, self.stats, lambda: self.parts.config.limits),
            rings=self.rings,
            presence=self.presence,
            alerts=self.alerts,
            hushing=self.hushing,
            explainer=Explainer(
                lambda: self.parts.config, self.hosts, self.rings, self.alerts, self.store, watches, self.hushing
            ),
            channels=self.channels,
            notifications=self.notifications,
            store=self.store,
            feed=self.feed,
            views=self.views,
            stats=self.stats,
            accounts=self.security.accounts,
            host_access=self.security.host_access,
            apply_access=self.apply_access,
            passwords=self.security.passwords,
            sign_in=self.security.sign_in,
            second_factors=self.security.second_factors,
            audit=self.security.audit,
            provider=lambda: self.security.provider,
            throttle=Throttle(0, 1),
            status=self.status,
            urls=list,
            unready=lambda: self.problems,
            agent_link=self.agent_link,
            commands=self.commands,
            streams=self.streams,
            deployments=self.deployments,
            packages=packages,
            whereabouts=whereabouts,
            doors=self.doors,
            influx=InfluxWrites(self.doors.rates, self.rings.latest),
            passive=PassiveResults(self.doors.rates, self.rings.latest),
            jobs=self.jobs,
            scraper=self.scraper,
            reporting=self.reporting,
            apply_reporting=self.apply_reporting,
            processes=self.processes,
            recorder=self.recorder,
            told=self.pipeline.told,
        )

    async def open(self) -> None:
        await self.store.open()
        await self.security.load(self.now.wall)
        await self.channels.load()
        await self.notifications.load(self.now)
        self._turns = asyncio.create_task(self.pipeline.run())

    async def close(self) -> None:
        await self.commands.close()
        await self.deployments.close()
        self.pipeline.close()
        await self._turns
        await self.channels.close()
        await self.security.close()
        await self.store.close()

    async def configure(self, config: Config) -> None:
        """Put a config into force, as a reload does."""
        await self.security.configure(config, self.hosts, self.now.wall)
        await self.channels.configure(config)
        self.notifications.configure(config)
        self.parts.config = self.streams.config = self.processes.config = config
        self.apply_access(self.hosts)
        await self.security.announce()

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

    def apply_access(self, hosts: Iterable[Host]) -> None:
        for host in hosts:
            found = self.security.host_access.of(host, self.parts.config)
            self.hosts.hand(host, found.owner, found.managers, found.monitors)

    async def apply_reporting(self, host: Host) -> None:
        host.enabled, host.min_report_interval = self.reporting.of(host, self.parts.config)

    def people_changed(self) -> None:
        self.apply_access(self.hosts)
        self.feed.review(asyncio.get_running_loop().time())

    async def enrol(self, name: str) -> Host:
        """A host that is known and was never heard."""
        agent_id = f"agent_{secrets.token_hex(6)}"
        host_id = await self.store.hosts.enrol(name, agent_id, [], None, self.now.wall)
        host = Host(host_id, name, agent_id)
        self.hosts.add(host)
        self.know(host)
        return host

    def know(self, host: Host) -> None:
        """Hand a host that has just become known to the parts that keep something for each."""
        self.apply_access([host])
        self.presence.know(host.id, interval=10.0, now=self.now)
        self.feed.host(host.id)

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
