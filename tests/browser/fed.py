"""The web side of a daemon in this process, fed by hand: no agents, no clock of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bcrypt
from aiohttp import web
from msgspec.structs import replace

from hbd.accounts import User
from hbd.config import Config
from hbd.config.default_thresholds import DEFAULT
from hbd.hosts import Host
from hbd.model import Beat, Family, Heartbeat, Message, Moment, Sample
from hbd.remote.frames import Frame
from hbd.rules import HostRules, Rule
from hbd.store import Turn
from hbd.store.audit import Entry
from hbd.web import make_app, schemas
from hbd.web.throttle import Throttle
from hbd.works import Memory, Outside, Works

INTERVAL = 10.0
PASSWORD = "correct horse"  # of every user
CHEAPEST = 4  # rounds of bcrypt: tests sign in often
ADDRESSES = {Family.IPV4: "192.0.2.7", Family.IPV6: "2001:db8::7"}

RULES = HostRules(Rule(pattern, replace(each, hold=0.0), "default (shipped)") for pattern, each in DEFAULT.items())
"""the thresholds that ship, without their ``for``"""


class FedDaemon:
    """``now`` is the time of everything that is fed in; it moves only by hand."""

    def __init__(self, folder: Path) -> None:
        self.now = Moment.now()
        self.config = Config()
        self._memory = memory = Memory(Config(database=folder / "hbd.db"), self.now)
        self.store: Any = memory.store
        self.store.messages = self
        self.hosts, self.presence, self.rings, self.alerts = memory.hosts, memory.presence, memory.rings, memory.alerts
        self.messages: list[Message] = []
        self.urls: list[str] | None = None  # what it says it listens at, when that is not the truth
        self.counters = {"reports_total": 12.0}
        self.sent: list[Frame] = []  # to agents
        self.origin = ""
        self._beats = 0
        self._runner: web.AppRunner | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serve, on the same port as before when there was one. All but the memory is built anew, as config says."""
        outside = Outside(
            clock=Moment.now,
            status=self.status,
            unready=list,
            urls=self.told_urls,
            page_urls=self.told_urls,
            ports=set,
            links=self,
        )
        self._works = works = Works(self.config, self._memory, outside)
        works.parts.throttle = Throttle(0, 0)
        works.parts.agent_link = self._no_agent
        self.security, self.channels, self.notifications = works.security, works.channels, works.notifications
        self.feed, self.hushing, self.recorder = works.feed, works.hushing, works.recorder
        self.enrolment, self.commands, self.processes = works.enrolment, works.commands, works.processes
        self.jobs, self.scraper, self.report_log = works.jobs, works.scraper, works.report_log
        if not self.origin:
            await self.store.open()
        await self.security.load(self.now.wall)
        await self.channels.load()
        await self.hushing.load(self.config, self.now.wall)
        await self.notifications.load(self.now)
        self._runner = web.AppRunner(make_app(works.parts), shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", int(self.origin.rpartition(":")[2]) if self.origin else 0)
        await site.start()
        self.origin = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self._task = asyncio.create_task(self.feed.run())
        self._turns = asyncio.create_task(works.pipeline.run())

    async def stop(self) -> None:
        if self._task and self._runner:
            self.feed.close()
            await self.commands.close()
            self._task.cancel()
            self._works.pipeline.close()
            await self._turns
            await self._runner.cleanup()
            await self.channels.close()
            await self.security.close()
            self._task = self._runner = None

    async def close(self) -> None:
        await self.stop()
        await self.store.close()

    async def recent(
        self, limit: int, host_ids: Sequence[int] | None = None, until: float | None = None
    ) -> list[Message]:
        """What the store would say of the journal."""
        names = {host.name for host in self.hosts if host_ids is None or host.id in host_ids}
        heard = [message for message in self.messages if until is None or message.time <= until]
        return [message for message in heard if not message.host or message.host in names][:limit]

    async def user(self, name: str, role: str = "viewer", **fields: Any) -> User:
        """Make a user, who signs in with ``PASSWORD``."""
        entry = Entry(time=time.time(), user="", via="cli", action="user.create", object=f"user {name}")
        hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(CHEAPEST))
        return await self.security.accounts.add(name, entry, password=hashed, role=role, **fields)

    async def enrol(self, name: str, *, owner: str, monitors: Sequence[str] = ()) -> Host:
        """A host that has been heard and that the store knows, too."""
        agent_id = f"agent_{len(self.hosts):012x}"
        host_id = await self.store.hosts.enrol(name, agent_id, [], None, self.now.wall)
        host = self.add(name, id=host_id)
        entry = Entry(time=time.time(), user="", via="cli", action="host.access", object=f"host {name}")
        await self.security.host_access.change(host, entry, owner=owner, monitors=tuple(monitors))
        self._works.host_settings.apply_access([host])
        return host

    def send(self, host: Host, frame: Frame) -> bool:
        """Stands in for the link of an agent."""
        self.sent.append(frame)
        return host.link

    async def _no_agent(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=426)

    def told_urls(self) -> list[str]:
        return [self.origin] if self.urls is None else self.urls

    def status(self) -> schemas.Status:
        return schemas.Status(
            version="1.2.3",
            started=self.now.wall - 3600,
            uptime_seconds=3600.0,
            config_file=None,
            urls=self.told_urls(),
            users=len(self.security.accounts),
            warnings=["a warning"],
            reload=schemas.Reload(
                at=self.now.wall, ok=False, problems=["hbd.yaml:3: intervall: unknown"], restart_needed=[]
            ),
            storage="ok",
            database="/tmp/hbd.sqlite",
            database_bytes=4096,
            backup=None,
            hosts={str(state): count for state, count in self.presence.counts().items()},
            links=0,
            subscribers=0,
            loop_lag_p99_ms=0.1,
            commit_p99_ms=1.0,
            counters=self.counters,
        )

    def add(self, name: str, *tags: str, heard: bool = True, id: int | None = None) -> Host:
        """A host that has just been heard on IPv4, unless told otherwise."""
        host = Host(id or len(self.hosts) + 1, name, f"agent_{len(self.hosts):012x}")
        host.tags = list(tags)
        self.hosts.add(host)
        self.presence.know(host.id, interval=INTERVAL, now=self.now)
        if heard:
            self.beat(host)
        self.feed.host(host.id)
        return host

    def beat(self, host: Host, family: Family = Family.IPV4, rtt: float | None = 0.0123) -> None:
        self._beats += 1
        heartbeat = Heartbeat(host.id, family, ADDRESSES[family], "run", self._beats, interval=INTERVAL, rtt=rtt)
        self._tell(self.presence.beat(heartbeat, self.now))
        self.feed.host(host.id)

    def farewell(self, host: Host, kind: Beat) -> None:
        self._tell(self.presence.farewell(host.id, kind, self.now))

    def sample(self, host: Host, plugin: str, data: dict[str, Any], age: float = 0.0) -> None:
        sample = Sample(plugin, self.now.wall - age, data)
        self.rings.add(host.id, sample)
        self.feed.plugin(host.id, sample)

    async def judge(self, host: Host, plugin: str, data: dict[str, Any], age: float = 0.0) -> None:
        """Have the alerts hear of a sample. The store keeps what comes of it for hosts that it knows."""
        now = Moment(self.now.wall - age, self.now.mono - age)
        plan = self.alerts.begin(now)
        verdicts = RULES.judge(plugin, data, lambda path: self.alerts.level(host.id, path))
        plan.judge(host.id, plugin, verdicts, now.wall, now)
        plan.tick(now)
        await self.store.record(Turn(alerts=plan.rows, gone=plan.gone, events=plan.events))
        self.alerts.adopt(plan)
        for event in plan.events:
            self.feed.alert(event)

    def wait(self, seconds: float) -> None:
        """Let time pass in small steps, as a daemon's clock does; whoever is not heard goes overdue, then down."""
        for _ in range(int(seconds)):
            self.now = Moment(self.now.wall + 1, self.now.mono + 1)
            self._tell(self.presence.tick(self.now))

    def _tell(self, transitions: list[Any]) -> None:
        for transition in transitions:
            host = self.hosts.by_id(transition.host_id)
            assert host is not None
            self.feed.host(host.id)
            if transition.family is None:
                message = Message(transition.at, host.name, f"{transition.after}: {transition.reason}")
                self.messages.insert(0, message)
                self.feed.message(message)


def machine(daemon: FedDaemon, name: str, cpu: float, *tags: str) -> Host:
    """A host with the samples that the live table shows."""
    host = daemon.add(name, *tags)
    daemon.beat(host, Family.IPV6, 0.0045)
    daemon.sample(host, "cpu_monitor", {"cpu_percent": cpu, "cpu_count": 4, "load_1min": cpu / 25})
    daemon.sample(host, "memory_monitor", {"percent": 43.2, "total_mb": 16384})
    daemon.sample(host, "disk_monitor", {"/": {"percent": 93.5, "free_gb": 12.5}, "/boot": {"percent": 12.0}})
    daemon.sample(host, "network_monitor", {"total": {"rx_bytes_per_second": 1234567.0, "tx_bytes_per_second": 999.4}})
    return host
