"""The daemon: starts, reloads and stops the works, listens for them, lets time pass, and tells how it is."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import sqlite3
import ssl
import time
from collections.abc import Awaitable, Coroutine, Sequence
from functools import partial
from typing import Any

import msgspec
from aiohttp import web

from hbd import __version__, listen, logs, tls
from hbd import config as configuration
from hbd.agents import Agents
from hbd.backups import Backups
from hbd.channels import configured
from hbd.companion import Companion
from hbd.config import Config
from hbd.control import Control
from hbd.errors import ConfigError, HbdError
from hbd.exporters.sender import RemoteWrites
from hbd.model import Family, Moment
from hbd.reach import WITHOUT_USERS, reach
from hbd.recall import recall, refill
from hbd.receivers.udp import HeartbeatProtocol
from hbd.store.audit import Entry, Outcome
from hbd.store.database import Room, may_lose_commits
from hbd.tls import Certificate, Pair
from hbd.upkeep import Upkeep
from hbd.watchdog import Watchdog
from hbd.web import make_app, make_feed_app, schemas
from hbd.web.server import Runner
from hbd.web.tls_site import TlsSite
from hbd.works import Memory, Outside, Works

log = logging.getLogger(__name__)

REVIEW_SECONDS = 0.5  # how often everybody on the feed is asked whether they still may be there
TICK_SECONDS = 0.1  # how often time passes for presence; also how the lag of the loop is measured
CHANGES_TOLD = 10
REFILL_SECONDS = 2.0  # how long a start waits for the rings to be filled; the rest fills while it already serves


class Daemon:
    def __init__(self, config: Config, *, with_agent: bool = False, overridden: dict[str, Any] | None = None) -> None:
        """overridden: keys of the config that the command line set; they stay so at a reload.

        Raises HbdError when there is a certificate to serve and it cannot be used.
        """
        self.certificate = Certificate(tls.load(config.certificate)) if config.certificate else None
        self.urls: list[str] = []
        self.feed_urls: list[str] = []
        self.heartbeat_urls: list[str] = []
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
        memory = Memory(config, self._started)
        outside = Outside(
            clock=Moment.now,
            status=self.status,
            unready=self.unready,
            urls=self._all_urls,
            page_urls=lambda: self.urls,
            ports=self._ports,
            certificate=self.certificate,
        )
        self.works = works = Works(config, memory, outside)
        self.stats, self.store, self.hosts = works.stats, works.store, works.hosts
        self.presence, self.rings, self.alerts = works.presence, works.rings, works.alerts
        self.pipeline, self.feed, self.recorder = works.pipeline, works.feed, works.recorder
        self.enrolment, self.links, self.noba_sockets = works.enrolment, works.links, works.noba_sockets
        self.security, self.channels, self.notifications = works.security, works.channels, works.notifications
        self.hushing, self.processes, self.streams = works.hushing, works.processes, works.streams
        self.agents, self.explainer, self.report_log = works.agents, works.explainer, works.report_log

        self._lag = self.stats.histogram("loop_lag_seconds", "How late the event loop was for its own clock.")
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
        self.control = Control(
            config.database,
            Agents(self.agents, self.hosts, self.store, self.presence).commands()
            | works.people.commands()
            | self.explainer.commands()
            | works.settings.commands()
            | {"reload": self._reload_now, "backup": self.backups.make},
        )

    @property
    def config(self) -> Config:
        """The one that is in force."""
        return self.works.config

    # --------------------------------------------------------------------------------------------------------- start

    async def start(self) -> None:
        """Open the database, listen, serve. Raises HbdError or OSError, with nothing left open, when that fails."""
        works = self.works
        try:
            await self.store.open()
            if may_lose_commits(sqlite3.sqlite_version_info):
                log.info(
                    "SQLite %s: open %s with no other program while hbd runs",
                    sqlite3.sqlite_version,
                    self.config.database.name,
                )
            await self._check_channels(self.config)
            await recall(works, self._started)
            await self.remote_writes.load()
            self._turns = self._go(self.pipeline.run(), "writing")
            refilling = asyncio.create_task(refill(works, await self.store.samples.last_id()))
            self._tasks.add(refilling)
            refilling.add_done_callback(self._tasks.discard)
            await asyncio.wait({refilling}, timeout=REFILL_SECONDS)
            await self._listen()
            await self.control.start()
            self._go(self.feed.run(), "the live feed")
            self._go(self._pass_time(), "the clock")
            self._go(self.recorder.run(), "writing down what is shown")
            self._go(self.upkeep.run(), "upkeep")
            self._go(self.security.run(), "the audit log")
            self._go(self.report_log.run(), "the log of foreign reports")
            self._go(works.scraper.run(), "scraping")
            self._go(works.jobs.run(), "looking after jobs")
            self._go(self.notifications.run(), "notifications")
            self._go(works.commands.run(), "commands")
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
        await asyncio.gather(self._try(self.streams.close()), self._try(self.works.deployments.close()))
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
            await self._try(self.works.commands.close())
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
            protocol = partial(HeartbeatProtocol, self.works.heartbeats, family)
            transport, _ = await loop.create_datagram_endpoint(protocol, sock=sock)
            self._datagrams.append(transport)
        await self._serve(make_app(self.works.parts), http, over_tls if config.hbd_tls else None)
        await self._serve(make_feed_app(self.works.parts), feed)
        if safe_feed:
            await self._serve(make_feed_app(self.works.parts), safe_feed, over_tls)
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
                await self.works.prepare(fresh, now)
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
        old = self.config
        ending = self.works.put_into_force(fresh, now)
        self.upkeep.config = self.watchdog.config = fresh
        self.remote_writes.configure(fresh)
        logs.configure(fresh.log.level, fresh.log.format)
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

    def _ports(self) -> set[int]:
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
