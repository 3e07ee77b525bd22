"""The daemon: builds every part, hands each its slice of the config, starts, reloads and stops them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
import ssl
import time
from collections.abc import Awaitable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any

import msgspec
from aiohttp import web

from hbd import __version__, listen, logs, tls
from hbd import config as configuration
from hbd.agent_register import AgentRegister, Running
from hbd.agents import Agents
from hbd.alerts import Alerts, Flapping
from hbd.backups import Backups
from hbd.channel_register import ChannelRegister
from hbd.channels import configured
from hbd.companion import Companion
from hbd.config import Config
from hbd.control import Control
from hbd.enrolment import Enrolment
from hbd.errors import ConfigError, HbdError
from hbd.explain import Explainer
from hbd.exporters.sender import RemoteWrites
from hbd.feed import Feed
from hbd.hosts import Host, Hosts
from hbd.hushing import Hushing
from hbd.jobs import Jobs
from hbd.matching import Matcher
from hbd.model import Family, Moment, State
from hbd.notifications import Notifications
from hbd.people import People
from hbd.pipeline import Pipeline
from hbd.presence import KnownConnection, Presence
from hbd.process_register import ProcessRegister
from hbd.processes import Watches
from hbd.reach import WITHOUT_USERS, reach
from hbd.receivers.agent_link import AgentLinks
from hbd.receivers.doors import Doors
from hbd.receivers.foreign import ForeignReports
from hbd.receivers.influx import InfluxWrites
from hbd.receivers.nagios import PassiveResults
from hbd.receivers.noba_agents import NobaAgents
from hbd.receivers.noba_sockets import NobaSockets
from hbd.receivers.udp import HeartbeatProtocol, Heartbeats
from hbd.remote.commands import Commands
from hbd.remote.deploy import Deployments
from hbd.remote.deploy_steps import Parts as DeployParts
from hbd.remote.frames import Unopened
from hbd.remote.package import Packages
from hbd.remote.streams import Streams
from hbd.remote.whereabouts import Whereabouts
from hbd.report_log import ReportLog
from hbd.reporting import Reporting
from hbd.rings import Rings
from hbd.rules import RuleBook
from hbd.scraping.scraper import Scraper
from hbd.security import Security
from hbd.settings.register import Running as RunningSettings
from hbd.settings.register import SettingsRegister
from hbd.stats import Stats
from hbd.store import Store
from hbd.store.audit import Entry, Outcome
from hbd.store.database import Room
from hbd.tls import Certificate, Pair
from hbd.upkeep import Upkeep
from hbd.watchdog import Watchdog
from hbd.web import make_app, make_feed_app, schemas
from hbd.web.frames import WebSocketFrames
from hbd.web.hostview import HostViews
from hbd.web.parts import Parts
from hbd.web.recorder import Recorder
from hbd.web.server import Runner
from hbd.web.throttle import Throttle
from hbd.web.tls_site import TlsSite

log = logging.getLogger(__name__)

REVIEW_SECONDS = 0.5  # how often everybody on the feed is asked whether they still may be there
TICK_SECONDS = 0.1  # how often time passes for presence; also how the lag of the loop is measured
SAMPLES_AT_ONCE = 200  # added to the rings before others get their turn on the loop
CHANGES_TOLD = 10
REFILL_SECONDS = 2.0  # how long a start waits for the rings to be filled; the rest fills while it already serves


class Daemon:
    def __init__(self, config: Config, *, with_agent: bool = False, overridden: dict[str, Any] | None = None) -> None:
        """overridden: keys of the config that the command line set; they stay so at a reload.

        Raises HbdError when there is a certificate to serve and it cannot be used.
        """
        self.config = config
        self.certificate = Certificate(tls.load(config.certificate)) if config.certificate else None
        self.urls: list[str] = []
        self.feed_urls: list[str] = []
        self.heartbeat_urls: list[str] = []
        self.stats = Stats()
        self._with_agent = with_agent
        self._started = Moment.now()
        self._reload = schemas.Reload(at=None, ok=True, problems=[], restart_needed=[])
        self._reloading = asyncio.Lock()
        self._started_with = config
        self._overridden = overridden or {}
        self._stopping = False
        self.failed = asyncio.Event()
        """set when a part that nothing works without has ended"""
        self._tasks: set[asyncio.Task[None]] = set()
        self._runners: list[web.AppRunner] = []
        self._sockets: list[socket.socket] = []
        self._datagrams: list[asyncio.DatagramTransport] = []
        self._turns: asyncio.Task[None] | None = None
        self._ready = False
        self._people = -1
        self._last_seen: dict[int, list[KnownConnection]] = {}
        self._lag = self.stats.histogram("loop_lag_seconds", "How late the event loop was for its own clock.")

        self.hosts = Hosts()
        self.store = Store(config.database, self.stats)
        self.rings = Rings(config.samples_per_plugin)
        self.stats.gauge("ring_samples", "Samples in memory.", self.rings.total)
        self.stats.gauge("ring_bytes", "Memory that they take, estimated.", self.rings.memory_bytes)
        self.stats.gauge("ring_refused", "Samples that were too odd or too many to keep.", lambda: self.rings.refused)
        self.presence = Presence(config.grace, self._started)
        self.alerts = Alerts(_flapping(config))
        self.views = HostViews(self.hosts, self.presence, self.rings, self.alerts)
        self.feed = Feed(self.hosts, WebSocketFrames(self.views), self.stats, config.limits.max_subscribers)
        self.security = Security(config, self.store, self.stats)
        self.throttle = Throttle(config.limits.requests_per_second, config.limits.request_burst)
        self.enrolment = Enrolment(self.hosts, self.store, self._know)
        self.hushing = Hushing(self.store, self.alerts)
        self.channels = ChannelRegister(config, self.store, self.security.accounts, self._own_ports)
        self.notifications = Notifications(
            config,
            self.store,
            self.hosts,
            self.alerts,
            self.security.accounts,
            self.hushing,
            self.channels,
            self.stats,
            heard=lambda: self.presence.counts()[State.UP],
        )
        watches = Watches()
        self.processes = ProcessRegister(config, self.store, watches, self.alerts)
        self.processes.changed = self._have_watched
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
        self.pipeline.heard_of = self.hushing.came_to
        self.pipeline.lacks_room = lambda: self.store.database.room is Room.NONE
        self.pipeline.rules = RuleBook(config.threshold_configs)
        self.heartbeats = Heartbeats(self.enrolment, self.pipeline, self.stats)
        self.links = AgentLinks(
            config,
            self.enrolment,
            self.pipeline,
            self.heartbeats,
            self.stats,
            on_facts=self._take_facts,
            closed=lambda: not self.security.accounts.open,
        )
        self.links.watched = lambda host: self.processes.watches.names(host.id)
        self.commands = Commands(self.store, self.hosts, self.stats, self.links.send)
        self.commands.expiry = config.agents.command_expiry
        self.commands.listen(self.links)
        self.streams = Streams(config, self.links, self.stats)
        self.links.on_frame[Unopened] = self.streams.unopened
        self.report_log = ReportLog(self.store, self.stats)
        self.reporting = Reporting(self.store)
        self.doors = Doors(self.enrolment, self.pipeline, self.report_log, limits=lambda: self.config.limits)
        self.influx = InfluxWrites(self.doors.rates, self.rings.latest)
        self.passive = PassiveResults(self.doors.rates, self.rings.latest)
        self.jobs = Jobs(self.store.jobs, self.hosts, ForeignReports(self.pipeline), self.stats)
        self.scraper = Scraper(config, self.hosts, self.pipeline, self.report_log, self.stats)
        self.watchdog = Watchdog(config, self.unready, self.stats)
        self.remote_writes = RemoteWrites(config, self.store.exports, self.hosts, self.stats, self.pipeline.note)
        self.backups = Backups(self.store)
        self.notifications.watch.backup_problem = self._backup_problem
        self.upkeep = Upkeep(config, self.hosts, self.store, self.pipeline, self.backups, self.certificate)
        self.companion = Companion(config.database, self.enrolment, self.hosts)
        if self.certificate is not None:
            self.stats.gauge(
                "certificate_expires_timestamp_seconds",
                "When the TLS certificate expires.",
                partial(_expires, self.certificate),
            )
        self.agents = AgentRegister(
            self.enrolment,
            self.hosts,
            Running(self.pipeline, self.links, self.heartbeats, self.hushing, self._take_facts),
        )
        security = self.security
        people = People(
            security.accounts,
            security.host_access,
            security.second_factors,
            self.hosts,
            lambda: self.config,
            self._apply_access,
        )
        self.noba = NobaAgents(self.doors, self.pipeline, self.rings, self.commands, self._take_facts)
        self.noba_sockets = NobaSockets(self.noba, self.pipeline, self.stats, lambda: self.config.limits)
        self.agents.on_keys.append(self.noba_sockets.drop)
        self.agents.on_removed += [self.noba_sockets.drop, self.noba.forget]
        self.agents.on_removed += [self.doors.forget, self.reporting.forget, self.influx.forget, self.jobs.forget]
        self.agents.on_removed.append(self.passive.forget)
        self.agents.on_removed.append(self.streams.drop)
        self.agents.on_removed.append(self.commands.forget)
        packages = Packages()
        whereabouts = Whereabouts(lambda: self.config, lambda: self.urls, self.certificate)
        self.deployments = Deployments(
            DeployParts(
                lambda: self.config,
                self.store.deployments,
                self.hosts,
                self.enrolment,
                self.agents,
                packages,
                whereabouts,
            )
        )
        self.links.on_linked.append(self.deployments.linked)
        self.agents.on_removed.append(self.deployments.forget)
        self.agents.on_keys.append(self.streams.drop)
        self.explainer = Explainer(
            lambda: self.config, self.hosts, self.rings, self.alerts, self.store, watches, self.hushing
        )
        self.explainer.notices = self.notifications
        self.control = Control(
            config.database,
            Agents(self.agents, self.hosts, self.store, self.presence).commands()
            | people.commands()
            | self.explainer.commands()
            | self._settings().commands()
            | {"reload": self._reload_now, "backup": self.backups.make},
        )
        self.recorder = Recorder(
            self.hosts,
            self.views,
            self.rings,
            self.alerts,
            self.hushing,
            self.notifications,
            self.store.chronicle,
            self.stats,
        )
        self.parts = Parts(
            config=config,
            hosts=self.hosts,
            agents=self.agents,
            noba=self.noba,
            noba_sockets=self.noba_sockets,
            rings=self.rings,
            presence=self.presence,
            alerts=self.alerts,
            hushing=self.hushing,
            explainer=self.explainer,
            channels=self.channels,
            notifications=self.notifications,
            store=self.store,
            feed=self.feed,
            views=self.views,
            stats=self.stats,
            accounts=self.security.accounts,
            host_access=self.security.host_access,
            apply_access=self._apply_access,
            passwords=self.security.passwords,
            sign_in=self.security.sign_in,
            second_factors=self.security.second_factors,
            audit=self.security.audit,
            provider=lambda: self.security.provider,
            throttle=self.throttle,
            status=self.status,
            urls=self._all_urls,
            unready=self.unready,
            agent_link=self.links.serve,
            commands=self.commands,
            streams=self.streams,
            deployments=self.deployments,
            packages=packages,
            whereabouts=whereabouts,
            doors=self.doors,
            influx=self.influx,
            passive=self.passive,
            jobs=self.jobs,
            scraper=self.scraper,
            reporting=self.reporting,
            apply_reporting=self._apply_reporting,
            processes=self.processes,
            recorder=self.recorder,
            told=self.pipeline.told,
        )

    # --------------------------------------------------------------------------------------------------------- start

    async def start(self) -> None:
        """Open the database, listen, serve. Raises HbdError or OSError, with nothing left open, when that fails."""
        try:
            await self.store.open()
            await self._check_channels(self.config)
            await self.security.load(self._started.wall)
            await self.channels.load()
            await self._remember()
            await self.commands.load()
            await self.remote_writes.load()
            self.security.accounts.changed.append(self._people_changed)
            self._turns = self._go(self.pipeline.run(), "writing")
            refill = asyncio.create_task(self._refill(await self.store.samples.last_id()))
            self._tasks.add(refill)
            refill.add_done_callback(self._tasks.discard)
            await asyncio.wait({refill}, timeout=REFILL_SECONDS)
            await self._listen()
            await self.control.start()
            self._go(self.feed.run(), "the live feed")
            self._go(self._pass_time(), "the clock")
            self._go(self.recorder.run(), "writing down what is shown")
            self._go(self.upkeep.run(), "upkeep")
            self._go(self.security.run(), "the audit log")
            self._go(self.report_log.run(), "the log of foreign reports")
            self._go(self.scraper.run(), "scraping")
            self._go(self.jobs.run(), "looking after jobs")
            self._go(self.notifications.run(), "notifications")
            self._go(self.commands.run(), "commands")
            self._go(self.watchdog.run(), "the outside watchdog")
            self._go(self.remote_writes.run(), "remote write")
            if self._with_agent:
                pinned = self.certificate.pem() if self.certificate and self.config.hbd_tls else None
                await self.companion.start(listen.from_here(self.urls[0]), pinned)
        except BaseException:
            await self.stop()
            raise
        self.pipeline.note(f"hbd {__version__} started", Moment.now())
        calm_collector()
        self._ready = True
        for warning in self._lasting_warnings():
            log.warning("%s", warning)
        self.upkeep.warn_of_certificate(Moment.now())

    async def stop(self) -> None:
        """Stop everything in the order in which data flows; what was taken is on disk when this returns."""
        was_ready, self._ready, self._stopping = self._ready, False, True
        await self._try(self.companion.stop())
        for transport in self._datagrams:
            transport.close()
        await asyncio.gather(self._try(self.streams.close()), self._try(self.deployments.close()))
        await self._try(self.links.close())
        await self._try(self.noba_sockets.close())
        self.feed.close()
        for runner in self._runners:
            await self._try(runner.cleanup())
        await self._try(self.control.close())
        for task in self._tasks - {self._turns}:
            task.cancel()
        await asyncio.gather(*(self._tasks - {self._turns}), return_exceptions=True)
        if was_ready:
            await self._try(self.commands.close())
            await self._try(self.channels.close())
            await self._try(self.security.close())
            await self._try(self.report_log.write())
        if self._turns is not None:
            if was_ready:
                self.pipeline.note(f"hbd {__version__} stopped", Moment.now())
            self.pipeline.remember_connections(self.hosts)
            self.pipeline.close()
            await self._try(self._turns)
        await self._try(self.store.close())
        for sock in self._sockets:
            sock.close()

    @staticmethod
    async def _try(step: Awaitable[object]) -> None:
        """One step of the stop: whatever goes wrong in it, the others still come."""
        try:
            await step
        except Exception:
            log.exception("a step of the stop failed")

    def _go(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run a part that the daemon cannot do without."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and not self._stopping:
            log.critical("%s ended; hbd cannot go on without it", task.get_name(), exc_info=task.exception())
            self._ready = False
            self.failed.set()

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
        self.pipeline.resume(await self.store.transitions.watched_until(), self._started)
        await self.reporting.load()
        await self.enrolment.load(self.config)
        for known in await self.store.samples.ranges():
            self.pipeline.sequences.add(known.host_id, known.run_id, known.first, known.last)
        self.heartbeats.load(await self.store.hosts.beats())
        for host_id in self.pipeline.derived.load(await self.store.trends.all()):
            log.error("how the disks of host %d filled up cannot be read and begins anew", host_id)
        await self.processes.load()
        await self.jobs.load()
        await self.deployments.load()
        self.alerts.load(await self.store.alerts.all(), Moment.now(), await self.store.alerts.newest_samples())
        self.pipeline.no_data.load(((alert.host_id, alert.path) for alert in self.alerts.not_ok()), Moment.now())
        self.alerts.reconfigure(self.pipeline.is_judged)
        await self.hushing.load(self.config, self._started.wall)
        await self.notifications.load(Moment.now())

    def _know(self, host: Host) -> None:
        """Hand a host that has just become known to the parts that keep something for each."""
        self._apply_settings(host)
        if self.config.is_dropped(host.name):
            self.hosts.drop(host, True)
        else:
            self._watch(host)

    def _watch(self, host: Host) -> None:
        self.presence.know(
            host.id,
            interval=self.config.interval,
            known=self._last_seen.pop(host.id, ()),
            configured=host.interval,
            now=Moment.now(),
        )
        self.pipeline.changed(host)

    def _take_facts(self, host: Host) -> None:
        """The agent has said anew what it knows of its host; other tags may mean other thresholds."""
        before = host.threshold_config
        self._apply_settings(host)
        if host.threshold_config != before:
            self.alerts.reconfigure(self.pipeline.is_judged)

    def _apply_settings(self, host: Host) -> None:
        settings = configuration.host_settings(self.config, host.name)
        self._apply_access([host])
        host.enabled, host.min_report_interval = self.reporting.of(host, self.config)
        was_watched, host.watched = host.watched, settings.watch and host.enabled
        host.dyn = settings.dyn
        host.interval = settings.interval
        host.tags = list(dict.fromkeys([*host.agent_tags, *host.given_tags, *settings.tags]))
        layers = configuration.threshold_layers(self.config, host)
        host.threshold_config = tuple(layer.config for layer in layers)
        host.version += 1
        if host.watched and not was_watched:  # nobody is blamed for the silence that was asked for, from now on again
            self.pipeline.watched_again(host)

    async def _apply_reporting(self, host: Host) -> None:
        """Put into force whether and how often a host may report."""
        self._apply_settings(host)
        self.alerts.reconfigure(self.pipeline.is_judged)
        self.pipeline.changed(host)
        if not host.enabled:
            self.noba_sockets.drop(host)
            await self.links.drop(host, "this host is switched off")

    def _have_watched(self, host_id: int) -> None:
        """Tell the agent of a host which processes to look after; who is not connected hears it with the welcome."""
        host = self.hosts.by_id(host_id)
        if host is not None:
            self.links.send(host, {"type": "watch", "names": self.processes.watches.names(host_id)})

    def _apply_access(self, hosts: Iterable[Host]) -> None:
        """Put into force who may do what with these hosts."""
        for host in hosts:
            found = self.security.host_access.of(host, self.config)
            if self.hosts.hand(host, found.owner, found.managers, found.monitors):
                self.notifications.reroute()

    def _people_changed(self) -> None:
        """Users, sessions or tokens have changed: who is nobody any more leaves, and the first admin may be another."""
        if self._people != self.security.accounts.version:
            self._people = self.security.accounts.version
            self._apply_access(self.hosts.everyone())
        self.feed.review(time.monotonic())

    def _settings(self) -> SettingsRegister:
        """All that holds settings in memory: the locks in the order in which others take them, what is read again in
        the opposite one, as who has which rights has to be known before hosts come."""
        security = self.security
        rewriting = (
            self.jobs.rewriting,
            self.processes.rewriting,
            lambda: self.hushing.rewriting(time.time()),
            self.notifications.routes.rewriting,
            self.channels.rewriting,
            self.enrolment.rewriting,
            self.reporting.rewriting,
            security.host_access.rewriting,
            security.accounts.rewriting,
        )
        return SettingsRegister(self.store, lambda: self.config, RunningSettings(rewriting, self._settings_changed))

    async def _settings_changed(self) -> None:
        """Put into force what was imported."""
        ending = [end for host in self.hosts.everyone() if (end := self._put_into_force(host)) is not None]
        ending.append(self.security.announce())
        self.alerts.reconfigure(self.pipeline.is_judged)
        self.notifications.reroute()
        for event in self.hushing.look_again(Matcher(), hosts=self.hosts):
            self.feed.alert(event)
        await asyncio.gather(*ending)

    async def _refill(self, last_id: int) -> None:
        """Fill the rings from disk, a host at a time and some samples at once."""
        for host in self.hosts.everyone():
            try:
                samples = await self.store.samples.newest(host.id, self.config.samples_per_plugin, last_id)
            except Exception:
                log.exception("the samples of %s could not be read again", host.name)
                continue
            for start in range(0, len(samples), SAMPLES_AT_ONCE):
                for sample in samples[start : start + SAMPLES_AT_ONCE]:
                    self.rings.add(host.id, sample)
                await asyncio.sleep(0)
            self.pipeline.no_data.recall(host.id, samples, Moment.now())
            self.pipeline.changed(host)

    async def _listen(self) -> None:
        config = self.config
        over_tls = self.certificate.context if self.certificate else None
        if over_tls is None and (config.hbd_tls or config.wss_port is not None):
            raise HbdError("there is no certificate for TLS, and without one nothing is served in its place")
        http = self._opened(listen.tcp(config.hbd_host, config.hbd_port))
        # Who asks for TLS does not want tokens to cross the network in the clear: there only wss_port has the feed.
        feed = self._opened(listen.tcp(None if config.hbd_tls else config.hbd_host, config.ws_port))
        safe_feed = [] if config.wss_port is None else self._opened(listen.tcp(config.hbd_host, config.wss_port))
        beats = self._opened(listen.udp(config.hbd_host, config.hb_port))
        self.links.heartbeat_port = beats[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        for sock in beats:
            family = Family.IPV6 if sock.family == socket.AF_INET6 else Family.IPV4
            protocol = partial(HeartbeatProtocol, self.heartbeats, family)
            transport, _ = await loop.create_datagram_endpoint(protocol, sock=sock)
            self._datagrams.append(transport)
        await self._serve(make_app(self.parts), http, over_tls if config.hbd_tls else None)
        await self._serve(make_feed_app(self.parts), feed)
        if safe_feed:
            await self._serve(make_feed_app(self.parts), safe_feed, over_tls)
        self.urls = [listen.url("https" if config.hbd_tls else "http", sock, "/") for sock in http]
        self.feed_urls = [listen.url("ws", sock, "/hbd") for sock in feed]
        self.feed_urls += [listen.url("wss", sock, "/hbd") for sock in safe_feed]
        self.heartbeat_urls = [listen.url("udp", sock) for sock in beats]

    def _opened(self, sockets: list[socket.socket]) -> list[socket.socket]:
        self._sockets += sockets
        return sockets

    async def _serve(
        self, app: web.Application, sockets: list[socket.socket], over_tls: ssl.SSLContext | None = None
    ) -> None:
        runner = Runner(app, stats=self.stats)
        self._runners.append(runner)
        await runner.setup()
        for sock in sockets:
            kind = web.SockSite if over_tls is None else TlsSite
            await kind(runner, sock, ssl_context=over_tls, backlog=listen.BACKLOG).start()

    async def _pass_time(self) -> None:
        loop = asyncio.get_running_loop()
        review = loop.time()
        while True:
            due = loop.time() + TICK_SECONDS
            await asyncio.sleep(TICK_SECONDS)
            self._lag.observe(max(0.0, loop.time() - due))
            try:
                self.pipeline.tick(Moment.now())
                if due >= review:
                    review = due + REVIEW_SECONDS
                    self.feed.review(loop.time())
                    for key in self.enrolment.expired(time.time()):
                        self.links.cut(key)
                        self.noba_sockets.cut(key)
                    for event in self.hushing.turned(self.hosts, time.time()):
                        self.feed.alert(event)
            except Exception:
                log.exception("a tick of the clock failed")

    # -------------------------------------------------------------------------------------------------------- reload

    async def reload(self) -> schemas.Reload:
        """Read the config file again. Everything that can fail comes first; on failure all stays as it is."""
        async with self._reloading:
            now = Moment.now()
            try:
                fresh = await asyncio.to_thread(configuration.load, self.config.source)
                fresh = msgspec.structs.replace(fresh, **self._overridden)
                pair = await self._renewed(fresh)
                await self._check_channels(fresh)
                await self.enrolment.name_hosts(fresh)
                await self.security.configure(fresh, self.hosts, now.wall)
                await self.reporting.configure(fresh, self.hosts.everyone())
                await self.channels.configure(fresh)
            except HbdError as error:
                problems = error.problems if isinstance(error, ConfigError) else [str(error)]
                self._reload = schemas.Reload(
                    at=now.wall, ok=False, problems=problems, restart_needed=self._reload.restart_needed
                )
                for problem in problems:
                    log.error("reload failed, the old config stays: %s", problem)
                self.pipeline.note(f"reload failed, the old config stays: {problems[0]}", now)
                self._audit_reload(now, "failed", problems[0])
            else:
                links = self._swap(fresh, pair, now)
                await asyncio.gather(*links)
            return self._reload

    @staticmethod
    async def _check_channels(config: Config) -> None:
        """Raises ConfigError. Some types are known to a library that takes a second to load."""
        if config.notification_channels and (problems := await asyncio.to_thread(configured.problems, config)):
            raise ConfigError(problems)

    async def _renewed(self, fresh: Config) -> Pair | None:
        """The certificate as its files have it now; None while none is served, or none is wanted after a restart."""
        if self.certificate is None or fresh.certificate is None:
            return None
        return await asyncio.to_thread(tls.load, fresh.certificate)

    def _swap(self, fresh: Config, pair: Pair | None, now: Moment) -> list[Awaitable[None]]:
        """Put a config into force that is known to work; returns the links that have to end because of it."""
        old, self.config = self.config, fresh
        self.parts.config = self.links.config = self.upkeep.config = self.watchdog.config = fresh
        self.scraper.config = self.processes.config = self.streams.config = fresh
        self.feed.max_subscribers = fresh.limits.max_subscribers
        self.commands.expiry = fresh.agents.command_expiry
        self.throttle.configure(fresh.limits.requests_per_second, fresh.limits.request_burst)
        logs.configure(fresh.log.level, fresh.log.format)
        self.rings.resize(fresh.samples_per_plugin)
        ending = [end for host in self.hosts.everyone() if (end := self._put_into_force(host)) is not None]
        ending.append(self.security.announce())
        self.hushing.configure(fresh)
        self.notifications.configure(fresh)
        self.remote_writes.configure(fresh)
        self.pipeline.rules = RuleBook(fresh.threshold_configs)
        self.alerts.flapping = _flapping(fresh)
        self.alerts.reconfigure(self.pipeline.is_judged)
        intervals = {host.id: host.interval for host in self.hosts}
        self.presence.configure(grace=fresh.grace, intervals=intervals, now=now)
        restart = configuration.restart_needed(self._started_with, fresh)
        self._reload = schemas.Reload(at=now.wall, ok=True, problems=[], restart_needed=restart)
        changed = [key for key in configuration.changes(old, fresh) if key not in restart]
        if self.certificate is not None and pair is not None and self.certificate.replace(pair):
            changed.append("the certificate")
            self.companion.pin(self.certificate.pem())
        told = "config reloaded: " + (_some(changed) or "nothing changed")
        if restart:
            told += f"; takes effect after a restart: {', '.join(restart)}"
        log.info("%s", told)
        self.pipeline.note(told, now)
        self._audit_reload(now, "done", told.removeprefix("config reloaded: "))
        for warning in self._lasting_warnings():
            log.warning("%s", warning)
        self.upkeep.warn_of_certificate(now)
        return ending

    def _audit_reload(self, now: Moment, outcome: Outcome, detail: str) -> None:
        entry = Entry(time=now.wall, user="", via="daemon", action="config.reload", outcome=outcome, detail=detail)
        self.security.audit.note(entry)

    def _put_into_force(self, host: Host) -> Awaitable[None] | None:
        """What the new config says of one host; the end of its link, where that has to end."""
        wanted = host.interval
        self._apply_settings(host)
        drop = self.config.is_dropped(host.name)
        if drop and not host.dropped:
            view = self.presence.view(host.id)
            self._last_seen[host.id] = [
                KnownConnection(link.family, link.address, link.last_seen, link.interval)
                for link in (view.connections if view else ())
            ]
            self.pipeline.lose_sight(host, Moment.now())
            self.presence.forget(host.id)
            self.hosts.drop(host, True)
        elif host.dropped and not drop:
            self.hosts.drop(host, False)
        if drop or not host.enabled:
            self.noba_sockets.drop(host)
        if drop:
            return self.links.drop(host, "this host is in drophosts")
        self._watch(host)
        if not host.enabled:
            return self.links.drop(host, "this host is switched off")
        return self.links.renew(host) if host.interval != wanted else None

    async def _reload_now(self) -> dict[str, Any]:
        source = self.config.source
        answer: dict[str, Any] = msgspec.to_builtins(await self.reload())
        return answer | {"config_file": str(source) if source else None}

    # -------------------------------------------------------------------------------------------------- about itself

    def setup_urls(self) -> list[str]:
        """Where the first user can be made by whoever sees this; none once there was one."""
        if self.security.accounts.setup_done:
            return []
        here = listen.from_here(self.urls[0]).rstrip("/")
        places = dict.fromkeys([*([self.config.base_url] if self.config.base_url else []), here])
        return [f"{place}/setup/{self.security.sign_in.setup_token}" for place in places]

    def unready(self) -> list[str]:
        """Why the daemon cannot do its work, in words; empty when it can."""
        reasons = [] if self._ready else ["starting or stopping"]
        database = self.store.database
        if database.problem is not None:
            reasons.append(f"the database does not take writes: {database.problem}")
        elif database.room is Room.NONE and database.trouble is not None:
            reasons.append(database.trouble)
        return reasons

    def _warnings(self) -> list[str]:
        expiry = self.certificate.pair.warning(time.time()) if self.certificate else None
        of_disk = self.upkeep.disk.warnings()
        return [*self._lasting_warnings(), *self.remote_writes.problems(), *of_disk, *([expiry] if expiry else [])]

    def _lasting_warnings(self) -> list[str]:
        """``key: reason``: what stays so until somebody changes it."""
        unguarded = WITHOUT_USERS.get(reach(self.config, self.urls)) if self.security.accounts.open else None
        told = self.notifications.warnings()
        if (failed := self._backup_problem()) is not None:
            told = [*told, f"backup: {failed}"]
        return [*self.config.warnings, *self.security.warnings(), *told, *([unguarded] if unguarded else [])]

    def _backup_problem(self) -> str | None:
        wanted = self.config.backup.folder is not None
        return f"none could be made: {self.backups.problem}" if wanted and self.backups.problem else None

    def _own_ports(self) -> set[int]:
        return {sock.getsockname()[1] for sock in self._sockets if sock.fileno() >= 0}

    def _all_urls(self) -> list[str]:
        return [*self.urls, *self.feed_urls, *self.heartbeat_urls]

    def status(self) -> schemas.Status:
        stats = self.stats
        return schemas.Status(
            version=__version__,
            started=self._started.wall,
            uptime_seconds=time.monotonic() - self._started.mono,
            config_file=str(self.config.source) if self.config.source else None,
            urls=self._all_urls(),
            users=len(self.security.accounts),
            warnings=self._warnings(),
            reload=self._reload,
            storage=self.store.database.trouble or "ok",
            database=str(self.store.database.path),
            database_bytes=self.store.database.size_bytes(),
            backup=self.backups.last,
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


def _flapping(config: Config) -> Flapping:
    limits = config.flapping
    return Flapping(limits.changes, limits.within, limits.calm)


def _expires(certificate: Certificate) -> float:
    return certificate.pair.expires


def _some(names: Sequence[str]) -> str:
    """names for a line of the log: the first ones, and how many more there are."""
    more = len(names) - CHANGES_TOLD
    return ", ".join(names[:CHANGES_TOLD]) + (f" and {more} more" if more > 0 else "")


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
