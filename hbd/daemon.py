"""The daemon: builds every part, hands each its slice of the config, starts, reloads and stops them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
import time
from collections.abc import Coroutine
from functools import partial
from typing import Any

import msgspec
from aiohttp import web

from hbd import __version__, agents, listen, logs
from hbd import config as configuration
from hbd.companion import Companion
from hbd.config import Config
from hbd.control import Control
from hbd.enrolment import Enrolment
from hbd.errors import ConfigError
from hbd.feed import Feed
from hbd.hosts import Host, Hosts
from hbd.model import Family, Moment, State
from hbd.pipeline import Pipeline
from hbd.presence import KnownConnection, Presence
from hbd.receivers.agent_link import AgentLinks
from hbd.receivers.udp import HeartbeatProtocol, Heartbeats
from hbd.rings import Rings
from hbd.stats import Stats
from hbd.store import Store
from hbd.upkeep import Upkeep
from hbd.web import make_app, make_feed_app, schemas
from hbd.web.frames import WebSocketFrames
from hbd.web.hostview import HostViews
from hbd.web.parts import Parts
from hbd.web.server import Runner

log = logging.getLogger(__name__)

TICK_SECONDS = 0.1  # how often time passes for presence; also how the lag of the loop is measured
REFILL_SECONDS = 2.0  # how long a start waits for the rings to be filled; the rest fills while it already serves


class Daemon:
    def __init__(self, config: Config, *, with_agent: bool = False) -> None:
        self.config = config
        self.urls: list[str] = []
        self.feed_urls: list[str] = []
        self.heartbeat_urls: list[str] = []
        self.stats = Stats()
        self._with_agent = with_agent
        self._started = Moment.now()
        self._reload = schemas.Reload(at=None, ok=True, problems=[], restart_needed=[])
        self._reloading = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._runners: list[web.AppRunner] = []
        self._sockets: list[socket.socket] = []
        self._datagrams: list[asyncio.DatagramTransport] = []
        self._turns: asyncio.Task[None] | None = None
        self._ready = False
        self._last_seen: dict[int, list[KnownConnection]] = {}
        self._lag = self.stats.histogram("loop_lag_seconds", "How late the event loop was for its own clock.")

        self.hosts = Hosts()
        self.store = Store(config.database, self.stats)
        self.rings = Rings(config.samples_per_plugin)
        self.stats.gauge("ring_samples", "Samples in memory.", self.rings.total)
        self.stats.gauge("ring_bytes", "Memory that they take, estimated.", self.rings.memory_bytes)
        self.stats.gauge("ring_refused", "Samples that were too odd or too many to keep.", lambda: self.rings.refused)
        self.presence = Presence(config.grace, self._started)
        self.views = HostViews(self.hosts, self.presence, self.rings)
        self.feed = Feed(self.hosts, WebSocketFrames(self.views), self.stats, config.limits.max_subscribers)
        self.enrolment = Enrolment(self.hosts, self.store, self._know)
        self.pipeline = Pipeline(self.hosts, self.presence, self.rings, self.store, self.feed, self.stats)
        self.heartbeats = Heartbeats(self.enrolment, self.pipeline, self.stats)
        self.links = AgentLinks(config, self.hosts, self.enrolment, self.pipeline, self.heartbeats, self.stats)
        self.upkeep = Upkeep(config, self.hosts, self.store, self.pipeline)
        self.companion = Companion(config.database, self.enrolment, self.hosts)
        self.control = Control(
            config.database,
            agents.commands(self.enrolment, self.hosts, self.store, self.presence, self.links)
            | {"reload": self._reload_now},
        )
        self.parts = Parts(
            config=config,
            hosts=self.hosts,
            rings=self.rings,
            presence=self.presence,
            store=self.store,
            feed=self.feed,
            views=self.views,
            stats=self.stats,
            status=self.status,
            unready=self.unready,
            agent_link=self.links.serve,
        )

    # --------------------------------------------------------------------------------------------------------- start

    async def start(self) -> None:
        """Open the database, listen, serve. Raises HbdError or OSError, with nothing left open, when that fails."""
        try:
            await self.store.open()
            await self._remember()
            self._turns = asyncio.create_task(self.pipeline.run())
            refill = self._go(self._refill(await self.store.samples.last_id()))
            await asyncio.wait({refill}, timeout=REFILL_SECONDS)
            await self._listen()
            await self.control.start()
            self._go(self.feed.run())
            self._go(self._pass_time())
            self._go(self.upkeep.run())
            if self._with_agent:
                await self.companion.start(self.urls[0])
        except BaseException:
            await self.stop()
            raise
        self.pipeline.note(f"hbd {__version__} started", Moment.now())
        calm_collector()
        self._ready = True
        for warning in self.config.warnings:
            log.warning("%s", warning)

    async def stop(self) -> None:
        """Stop everything in the order in which data flows; what was taken is on disk when this returns."""
        self._ready = False
        await self.companion.stop()
        for transport in self._datagrams:
            transport.close()
        await self.links.close()
        self.feed.close()
        for runner in self._runners:
            await runner.cleanup()
        await self.control.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._turns is not None:
            self.pipeline.note(f"hbd {__version__} stopped", Moment.now())
            self.pipeline.remember_connections(self.hosts)
            self.pipeline.close()
            await self._turns
            self._turns = None
        await self.store.close()
        for sock in self._sockets:
            sock.close()

    def _go(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("a part of the daemon died", exc_info=error)

    async def _remember(self) -> None:
        """Know again what was known before the restart: hosts, keys, which reports are here, when hosts were seen."""
        for row in await self.store.hosts.connections():
            self._last_seen.setdefault(row.host_id, []).append(
                KnownConnection(row.family, row.address, row.last_seen, row.interval)
            )
            if row.state is State.DOWN:
                self.pipeline.lost_families.add((row.host_id, row.family))
        for host in await self.store.hosts.all():
            self.pipeline.told[host.id] = host.state
        await self.enrolment.load(self.config)
        for known in await self.store.samples.ranges():
            self.pipeline.sequences.add(known.host_id, known.run_id, known.first, known.last)
        self.heartbeats.load(await self.store.hosts.beats())

    def _know(self, host: Host) -> None:
        """Hand a host that has just become known to the parts that keep something for each."""
        self._apply_settings(host)
        self.presence.know(
            host.id,
            interval=self.config.interval,
            known=self._last_seen.pop(host.id, ()),
            configured=host.interval,
            now=Moment.now(),
        )
        self.pipeline.changed(host)

    def _apply_settings(self, host: Host) -> None:
        settings = configuration.host_settings(self.config, host.name)
        host.owner = settings.owner
        host.managers = list(settings.managers or ())
        host.monitors = list(settings.monitors or ())
        host.watched = settings.watch
        host.dyn = settings.dyn
        host.enabled = settings.enabled
        host.interval = settings.interval
        host.tags = list(dict.fromkeys([*host.agent_tags, *settings.tags]))
        host.version += 1

    async def _refill(self, last_id: int) -> None:
        """Fill the rings from disk, a host at a time."""
        for host in list(self.hosts):
            for sample in await self.store.samples.newest(host.id, self.config.samples_per_plugin, last_id):
                self.rings.add(host.id, sample)
            self.pipeline.changed(host)

    async def _listen(self) -> None:
        config = self.config
        http = self._opened(listen.tcp(config.hbd_host, config.hbd_port))
        feed = self._opened(listen.tcp(config.hbd_host, config.ws_port))
        beats = self._opened(listen.udp(config.hbd_host, config.hb_port))
        self.links.heartbeat_port = beats[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        for sock in beats:
            family = Family.IPV6 if sock.family == socket.AF_INET6 else Family.IPV4
            protocol = partial(HeartbeatProtocol, self.heartbeats, family)
            transport, _ = await loop.create_datagram_endpoint(protocol, sock=sock)
            self._datagrams.append(transport)
        await self._serve(make_app(self.parts), http)
        await self._serve(make_feed_app(self.parts), feed)
        self.urls = [listen.url("http", sock, "/") for sock in http]
        self.feed_urls = [listen.url("ws", sock, "/hbd") for sock in feed]
        self.heartbeat_urls = [listen.url("udp", sock) for sock in beats]

    def _opened(self, sockets: list[socket.socket]) -> list[socket.socket]:
        self._sockets += sockets
        return sockets

    async def _serve(self, app: web.Application, sockets: list[socket.socket]) -> None:
        runner = Runner(app)
        self._runners.append(runner)
        await runner.setup()
        for sock in sockets:
            await web.SockSite(runner, sock).start()

    async def _pass_time(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK_SECONDS
            await asyncio.sleep(TICK_SECONDS)
            self._lag.observe(max(0.0, loop.time() - due))
            self.pipeline.tick(Moment.now())

    # -------------------------------------------------------------------------------------------------------- reload

    async def reload(self) -> schemas.Reload:
        """Read the config file again. Everything that can fail comes first; on failure all stays as it is."""
        async with self._reloading:
            now = Moment.now()
            try:
                fresh = await asyncio.to_thread(configuration.load, self.config.source)
            except ConfigError as error:
                self._reload = schemas.Reload(at=now.wall, ok=False, problems=error.problems, restart_needed=[])
                for problem in error.problems:
                    log.error("reload failed, the old config stays: %s", problem)
                self.pipeline.note(f"reload failed, the old config stays: {error.problems[0]}", now)
            else:
                await self._swap(fresh, now)
            return self._reload

    async def _swap(self, fresh: Config, now: Moment) -> None:
        old, restart = self.config, configuration.restart_needed(self.config, fresh)
        self.config = self.parts.config = self.links.config = self.upkeep.config = fresh
        logs.configure(fresh.log.level, fresh.log.format)
        if old.drophosts != fresh.drophosts or old.hosts != fresh.hosts or old.watchhosts != fresh.watchhosts:
            for host in [host for host in self.hosts if fresh.is_dropped(host.name)]:
                await self.links.drop(host, "this host is in drophosts now")
                self.enrolment.forget(host)
                self.heartbeats.forget(host.id)
                self.pipeline.forget(host)
                self.hosts.remove(host)
            await self.enrolment.load(fresh)
        for host in self.hosts:
            self._know(host)
            if not host.enabled:
                await self.links.drop(host, "this host is switched off in the config")
        intervals = {host.id: host.interval for host in self.hosts}
        self.presence.configure(grace=fresh.grace, intervals=intervals, now=now)
        self.rings.resize(fresh.samples_per_plugin)
        self.feed.max_subscribers = fresh.limits.max_subscribers
        self._reload = schemas.Reload(at=now.wall, ok=True, problems=[], restart_needed=restart)
        changed = configuration.changes(old, fresh)
        told = "config reloaded: " + (", ".join(changed) if changed else "nothing changed")
        if restart:
            told += f"; takes effect after a restart: {', '.join(restart)}"
        log.info("%s", told)
        self.pipeline.note(told, now)
        for warning in fresh.warnings:
            log.warning("%s", warning)

    async def _reload_now(self) -> dict[str, Any]:
        answer: dict[str, Any] = msgspec.to_builtins(await self.reload())
        return answer

    # -------------------------------------------------------------------------------------------------- about itself

    def unready(self) -> list[str]:
        """Why the daemon cannot do its work, in words; empty when it can."""
        reasons = [] if self._ready else ["starting or stopping"]
        if self.store.database.problem is not None:
            reasons.append(f"the database does not take writes: {self.store.database.problem}")
        return reasons

    def status(self) -> schemas.Status:
        stats = self.stats
        return schemas.Status(
            version=__version__,
            started=self._started.wall,
            uptime_seconds=time.monotonic() - self._started.mono,
            config_file=str(self.config.source) if self.config.source else None,
            urls=[*self.urls, *self.feed_urls, *self.heartbeat_urls],
            users=0,
            warnings=list(self.config.warnings),
            reload=self._reload,
            storage=self.store.database.problem or "ok",
            database=str(self.store.database.path),
            database_bytes=self.store.database.size_bytes(),
            hosts={str(state): count for state, count in self.presence.counts().items()},
            links=len(self.links),
            subscribers=len(self.feed),
            loop_lag_p99_ms=self._lag.quantile(0.99) * 1e3,
            commit_p99_ms=stats.histogram("commit_seconds").quantile(0.99) * 1e3,
            counters={
                name + "".join(f"[{value}]" for _, value in labels): count
                for name, series in sorted(stats.counters.items())
                for labels, count in (series or {(): 0.0}).items()
            },
        )


def calm_collector() -> None:
    """Have Python look for cyclic garbage seldom: what flows through here has none, and a look at all costs the loop
    100 ms once ten thousand agents are connected. What was built at the start it need not look at at all."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def open_offline(config: Config) -> tuple[Store, Enrolment, Hosts]:
    """The database without a daemon, for commands; the caller closes the store. Raises HbdError."""
    store, hosts = Store(config.database, Stats()), Hosts()
    enrolment = Enrolment(hosts, store)
    try:
        await store.open()
        await enrolment.load(config)
    except BaseException:
        with contextlib.suppress(Exception):
            await store.close()
        raise
    return store, enrolment, hosts
