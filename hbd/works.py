"""The works: every part that reports and requests reach, built here and wired to each other. Listening, and the clock,
are the daemon's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from hbd.agent_register import AgentRegister, Running
from hbd.alerts import Alerts, Flapping
from hbd.channel_register import ChannelRegister
from hbd.config import Config
from hbd.enrolment import Enrolment
from hbd.explain import Explainer
from hbd.feed import Feed
from hbd.host_settings import HostSettings
from hbd.hosts import Hosts
from hbd.hushing import Hushing
from hbd.jobs import Jobs
from hbd.matching import Matcher
from hbd.model import Moment, State
from hbd.notifications import Notifications
from hbd.passwords import Passwords
from hbd.people import People
from hbd.pipeline import Pipeline
from hbd.presence import Presence
from hbd.process_register import ProcessRegister
from hbd.processes import Watches
from hbd.receivers.agent_link import AgentLinks
from hbd.receivers.doors import Doors
from hbd.receivers.foreign import ForeignReports
from hbd.receivers.influx import InfluxWrites
from hbd.receivers.nagios import PassiveResults
from hbd.receivers.noba_agents import NobaAgents
from hbd.receivers.noba_sockets import NobaSockets
from hbd.receivers.udp import Heartbeats
from hbd.remote.commands import Commands
from hbd.remote.deploy import Deployments
from hbd.remote.deploy_steps import Parts as DeployParts
from hbd.remote.frames import Unopened
from hbd.remote.package import Packages
from hbd.remote.streams import Links, Streams
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
from hbd.store.database import Room
from hbd.tls import Certificate
from hbd.web import schemas
from hbd.web.frames import WebSocketFrames
from hbd.web.hostview import HostViews
from hbd.web.parts import Parts
from hbd.web.recorder import Recorder
from hbd.web.throttle import Throttle


class Memory:
    """What the works go by: the database, and what is known of hosts at the moment."""

    def __init__(self, config: Config, now: Moment) -> None:
        self.stats = Stats()
        self.store = Store(config.database, self.stats)
        self.hosts = Hosts()
        self.presence = Presence(config.grace, now)
        self.rings = Rings(config.samples_per_plugin)
        self.alerts = Alerts(_flapping(config))
        self.stats.gauge("ring_samples", "Samples in memory.", self.rings.total)
        self.stats.gauge("ring_bytes", "Memory that they take, estimated.", self.rings.memory_bytes)
        self.stats.gauge("ring_refused", "Samples that were too odd or too many to keep.", lambda: self.rings.refused)


@dataclass(frozen=True, kw_only=True)
class Outside:
    """What the works are told of the world around them.

    status: the daemon about itself. unready: why it cannot do its work now, in words; empty when it can. urls: all that
    it listens at. page_urls: those of them that serve pages and the agents' links, wildcards as they are. ports: those
    that it listens on. certificate: the one that it serves. links: what carries frames to agents of ours; None: the
    links that they open.
    """

    clock: Callable[[], Moment]
    status: Callable[[], schemas.Status]
    unready: Callable[[], list[str]]
    urls: Callable[[], list[str]]
    page_urls: Callable[[], list[str]]
    ports: Callable[[], set[int]]
    certificate: Certificate | None = None
    passwords: Passwords | None = None
    links: Links | None = None


class Works:
    def __init__(self, config: Config, memory: Memory, outside: Outside) -> None:
        self.clock = clock = outside.clock
        self.stats = stats = memory.stats
        self.store = store = memory.store
        self.hosts = hosts = memory.hosts
        self.presence = presence = memory.presence
        self.rings = rings = memory.rings
        self.alerts = alerts = memory.alerts

        def config_now() -> Config:
            return self.config

        def wall() -> float:
            return clock().wall

        # Who may see what, and who is told.
        self.views = HostViews(hosts, presence, rings, alerts, clock=wall)
        self.feed = Feed(hosts, WebSocketFrames(self.views), stats, config.limits.max_subscribers)
        self.security = security = Security(config, store, stats, outside.passwords)
        self.throttle = Throttle(config.limits.requests_per_second, config.limits.request_burst)
        self.hushing = Hushing(store, alerts)
        self.channels = ChannelRegister(config, store, security.accounts, outside.ports)
        self.notifications = Notifications(
            config,
            store,
            hosts,
            alerts,
            security.accounts,
            self.hushing,
            self.channels,
            stats,
            heard=lambda: presence.counts()[State.UP],
        )

        # The one way through, and what our own agents come in by.
        watches = Watches()
        self.pipeline = pipeline = Pipeline(
            hosts, presence, rings, store, self.feed, stats, alerts, self.notifications.notices, watches
        )
        pipeline.heard_of = self.hushing.came_to
        pipeline.lacks_room = lambda: store.database.room is Room.NONE
        pipeline.rules = RuleBook(config.threshold_configs)
        self.enrolment = Enrolment(hosts, store)
        self.heartbeats = Heartbeats(self.enrolment, pipeline, stats)
        self.links = AgentLinks(
            config, self.enrolment, pipeline, self.heartbeats, stats, closed=lambda: not security.accounts.open
        )
        self._carrier = carrier = self.links if outside.links is None else outside.links

        # What is said of hosts.
        self.reporting = Reporting(store)
        self.host_settings = HostSettings(
            config_now,
            hosts,
            presence,
            alerts,
            self.feed,
            security,
            self.notifications,
            pipeline,
            self.links,
            self.reporting,
            clock,
        )
        self.enrolment.on_new = self.host_settings.know
        self.links.on_facts = self.host_settings.take_facts
        security.accounts.changed.append(self.host_settings.people_changed)
        self.agents = AgentRegister(
            self.enrolment,
            hosts,
            Running(pipeline, self.links, self.heartbeats, self.hushing, self.host_settings.take_facts),
        )
        self.processes = ProcessRegister(config, store, watches, alerts)
        self.processes.is_judged = pipeline.is_judged
        self.processes.changed = self._have_watched
        self.links.watched = lambda host: watches.names(host.id)

        # What is asked of agents.
        self.commands = Commands(store, hosts, stats, carrier.send, wall=wall)
        self.commands.expiry = config.agents.command_expiry
        self.commands.listen(self.links)
        self.streams = Streams(config, carrier, stats)
        self.links.on_frame[Unopened] = self.streams.unopened
        packages = Packages()
        whereabouts = Whereabouts(config_now, outside.page_urls, outside.certificate)
        self.deployments = Deployments(
            DeployParts(config_now, store.deployments, hosts, self.enrolment, self.agents, packages, whereabouts)
        )
        self.links.on_linked.append(self.deployments.linked)

        # Other ways in.
        self.report_log = ReportLog(store, stats)
        self.doors = Doors(self.enrolment, pipeline, self.report_log, clock, lambda: self.config.limits)
        influx = InfluxWrites(self.doors.rates, rings.latest)
        passive = PassiveResults(self.doors.rates, rings.latest)
        self.noba = NobaAgents(self.doors, pipeline, rings, self.commands, self.host_settings.take_facts)
        self.noba_sockets = NobaSockets(self.noba, pipeline, stats, lambda: self.config.limits)
        self.jobs = Jobs(store.jobs, hosts, ForeignReports(pipeline), stats, clock)
        self.scraper = Scraper(config, hosts, pipeline, self.report_log, stats, clock)

        # Who keeps something for each host.
        self.host_settings.on_barred.append(self.noba_sockets.drop)
        self.agents.on_keys += [self.noba_sockets.drop, self.streams.drop]
        self.agents.on_removed += [
            self.noba_sockets.drop,
            self.noba.forget,
            self.doors.forget,
            self.reporting.forget,
            influx.forget,
            self.jobs.forget,
            passive.forget,
            self.streams.drop,
            self.commands.forget,
            self.deployments.forget,
        ]

        # What people ask.
        self.explainer = Explainer(config_now, hosts, rings, alerts, store, watches, self.hushing)
        self.explainer.notices = self.notifications
        self.people = People(
            security.accounts,
            security.host_access,
            security.second_factors,
            hosts,
            config_now,
            self.host_settings.apply_access,
        )
        self.settings = SettingsRegister(store, config_now, self._running_settings())
        self.recorder = Recorder(
            hosts,
            self.views,
            rings,
            alerts,
            self.hushing,
            self.notifications,
            store.chronicle,
            stats,
            clock=wall,
        )
        self.parts = Parts(
            config=config,
            hosts=hosts,
            agents=self.agents,
            noba=self.noba,
            noba_sockets=self.noba_sockets,
            rings=rings,
            presence=presence,
            alerts=alerts,
            hushing=self.hushing,
            explainer=self.explainer,
            channels=self.channels,
            notifications=self.notifications,
            store=store,
            feed=self.feed,
            views=self.views,
            stats=stats,
            accounts=security.accounts,
            host_access=security.host_access,
            apply_access=self.host_settings.apply_access,
            passwords=security.passwords,
            sign_in=security.sign_in,
            second_factors=security.second_factors,
            audit=security.audit,
            provider=lambda: security.provider,
            throttle=self.throttle,
            status=outside.status,
            urls=outside.urls,
            unready=outside.unready,
            agent_link=self.links.serve,
            commands=self.commands,
            streams=self.streams,
            deployments=self.deployments,
            packages=packages,
            whereabouts=whereabouts,
            doors=self.doors,
            influx=influx,
            passive=passive,
            jobs=self.jobs,
            scraper=self.scraper,
            reporting=self.reporting,
            apply_reporting=self.host_settings.apply_reporting,
            processes=self.processes,
            recorder=self.recorder,
            told=pipeline.told,
        )

    @property
    def config(self) -> Config:
        """The one that is in force."""
        return self.parts.config

    def _have_watched(self, host_id: int) -> None:
        """Tell the agent of a host which processes to look after; who is not connected hears it with the welcome."""
        host = self.hosts.by_id(host_id)
        if host is not None:
            self._carrier.send(host, {"type": "watch", "names": self.processes.watches.names(host_id)})

    async def prepare(self, fresh: Config, now: Moment) -> None:
        """Everything about a fresh config that can fail. Raises HbdError, with all as it was."""
        await self.enrolment.name_hosts(fresh)
        await self.security.configure(fresh, self.hosts, now.wall)
        await self.reporting.configure(fresh, self.hosts.everyone())
        await self.channels.configure(fresh)

    def put_into_force(self, fresh: Config, now: Moment) -> list[Awaitable[None]]:
        """Go by a config that was prepared; returns what has to end because of it."""
        self.parts.config = self.links.config = self.scraper.config = fresh
        self.processes.config = self.streams.config = fresh
        self.feed.max_subscribers = fresh.limits.max_subscribers
        self.commands.expiry = fresh.agents.command_expiry
        self.throttle.configure(fresh.limits.requests_per_second, fresh.limits.request_burst)
        self.rings.resize(fresh.samples_per_plugin)
        ending = [*self.host_settings.put_into_force(), self.security.announce()]
        self.hushing.configure(fresh)
        self.notifications.configure(fresh)
        self.pipeline.rules = RuleBook(fresh.threshold_configs)
        self.alerts.flapping = _flapping(fresh)
        self.alerts.reconfigure(self.pipeline.is_judged)
        intervals = {host.id: host.interval for host in self.hosts}
        self.presence.configure(grace=fresh.grace, intervals=intervals, now=now)
        return ending

    def _running_settings(self) -> RunningSettings:
        """All that holds settings in memory: the locks in the order in which others take them, what is read again in
        the opposite one, as who has which rights has to be known before hosts come."""
        rewriting = (
            self.jobs.rewriting,
            self.processes.rewriting,
            lambda: self.hushing.rewriting(self.clock().wall),
            self.notifications.routes.rewriting,
            self.channels.rewriting,
            self.enrolment.rewriting,
            self.reporting.rewriting,
            self.security.host_access.rewriting,
            self.security.accounts.rewriting,
        )
        return RunningSettings(rewriting, self._settings_changed)

    async def _settings_changed(self) -> None:
        """Put into force what was imported."""
        ending = [*self.host_settings.put_into_force(), self.security.announce()]
        self.alerts.reconfigure(self.pipeline.is_judged)
        self.notifications.reroute()
        for event in self.hushing.look_again(Matcher(), hosts=self.hosts):
            self.feed.alert(event)
        await asyncio.gather(*ending)


def _flapping(config: Config) -> Flapping:
    limits = config.flapping
    return Flapping(limits.changes, limits.within, limits.calm)
