"""What config, people and agents say of hosts, put into force: when one becomes known, at a reload, at every change."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable

from hbd import config as configuration
from hbd.alerts import Alerts
from hbd.config import Config
from hbd.feed import Feed
from hbd.hosts import Host, Hosts
from hbd.model import Moment
from hbd.notifications import Notifications
from hbd.pipeline import Pipeline
from hbd.presence import KnownConnection, Presence
from hbd.receivers.agent_link import AgentLinks
from hbd.reporting import Reporting
from hbd.security import Security


class HostSettings:
    def __init__(
        self,
        config: Callable[[], Config],
        hosts: Hosts,
        presence: Presence,
        alerts: Alerts,
        feed: Feed,
        security: Security,
        notifications: Notifications,
        pipeline: Pipeline,
        links: AgentLinks,
        reporting: Reporting,
        clock: Callable[[], Moment],
    ) -> None:
        """config: as it is now."""
        self.last_seen: defaultdict[int, list[KnownConnection]] = defaultdict(list)
        """by host id, until the host is watched again; filled from the store at the start"""
        self.on_barred: list[Callable[[Host], None]] = []
        """called with every host that may not report, by those who hold connections of others than our agents"""
        self._config = config
        self._hosts = hosts
        self._presence = presence
        self._alerts = alerts
        self._feed = feed
        self._security = security
        self._notifications = notifications
        self._pipeline = pipeline
        self._links = links
        self._reporting = reporting
        self._clock = clock
        self._people = -1

    def know(self, host: Host) -> None:
        """Hand a host that has just become known to the parts that keep something for each."""
        self._apply(host)
        if self._config().is_dropped(host.name):
            self._hosts.drop(host, True)
        else:
            self._watch(host)

    def take_facts(self, host: Host) -> None:
        """The agent has said anew what it knows of its host; other tags may mean other thresholds."""
        before = host.threshold_config
        self._apply(host)
        if host.threshold_config != before:
            self._alerts.reconfigure(self._pipeline.is_judged)

    def apply_access(self, hosts: Iterable[Host]) -> None:
        """Put into force who may do what with these hosts."""
        config = self._config()
        for host in hosts:
            found = self._security.host_access.of(host, config)
            if self._hosts.hand(host, found.owner, found.managers, found.monitors):
                self._notifications.reroute()

    async def apply_reporting(self, host: Host) -> None:
        """Put into force whether and how often a host may report."""
        self._apply(host)
        self._alerts.reconfigure(self._pipeline.is_judged)
        self._pipeline.changed(host)
        if not host.enabled:
            self._bar(host)
            await self._links.drop(host, "this host is switched off")

    def people_changed(self) -> None:
        """Users, sessions or tokens have changed: who is nobody any more leaves, and the first admin may be another."""
        version = self._security.accounts.version
        if self._people != version:
            self._people = version
            self.apply_access(self._hosts.everyone())
        self._feed.review(time.monotonic())

    def put_into_force(self) -> list[Awaitable[None]]:
        """All that is said of hosts now; returns the ends of the links that have to end because of it."""
        return [end for host in self._hosts.everyone() if (end := self._put_into_force(host)) is not None]

    def _put_into_force(self, host: Host) -> Awaitable[None] | None:
        wanted = host.interval
        self._apply(host)
        drop = self._config().is_dropped(host.name)
        if drop and not host.dropped:
            view = self._presence.view(host.id)
            self.last_seen[host.id] = [
                KnownConnection(link.family, link.address, link.last_seen, link.interval)
                for link in (view.connections if view else ())
            ]
            self._pipeline.lose_sight(host, self._clock())
            self._presence.forget(host.id)
            self._hosts.drop(host, True)
        elif host.dropped and not drop:
            self._hosts.drop(host, False)
        if drop or not host.enabled:
            self._bar(host)
        if drop:
            return self._links.drop(host, "this host is in drophosts")
        self._watch(host)
        if not host.enabled:
            return self._links.drop(host, "this host is switched off")
        return self._links.renew(host) if host.interval != wanted else None

    def _bar(self, host: Host) -> None:
        for listener in self.on_barred:
            listener(host)

    def _watch(self, host: Host) -> None:
        self._presence.know(
            host.id,
            interval=self._config().interval,
            known=self.last_seen.pop(host.id, ()),
            configured=host.interval,
            now=self._clock(),
        )
        self._pipeline.changed(host)

    def _apply(self, host: Host) -> None:
        config = self._config()
        settings = configuration.host_settings(config, host.name)
        self.apply_access([host])
        host.enabled, host.min_report_interval = self._reporting.of(host, config)
        was_watched, host.watched = host.watched, settings.watch and host.enabled
        host.dyn = settings.dyn
        host.interval = settings.interval
        host.tags = list(dict.fromkeys([*host.agent_tags, *host.given_tags, *settings.tags]))
        layers = configuration.threshold_layers(config, host)
        host.threshold_config = tuple(layer.config for layer in layers)
        host.version += 1
        if host.watched and not was_watched:  # nobody is blamed for the silence that was asked for, from now on again
            self._pipeline.watched_again(host)
