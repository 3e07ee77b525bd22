"""Who is told of what, and what holds a message back. Pure: asks the registers of the daemon, changes nothing.

A channel is told of a problem when a host's owner or one of its managers has chosen it, the host's section of the
config names it, or a route does; and when the problem is at least as bad as the channel's ``min_level``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from hbd.alerts import PRESENCE, Alerts
from hbd.config import Config
from hbd.config.names import named_channels
from hbd.hosts import Host, Hosts
from hbd.hushes import Held, Kind
from hbd.matching import Matcher
from hbd.model import Level
from hbd.notices import Routing, Target

LIVES = f"{PRESENCE}.host"
SPARE_SECONDS = 5.0  # for what is on its way
_RANK = {Level.OK: 0, Level.UNKNOWN: 1, Level.WARNING: 1, Level.CRITICAL: 2}


class Route(Struct, frozen=True, kw_only=True):
    """Tells channels of what it matches. after: seconds that a problem has to last, and not be acknowledged, before.

    id: 0 for those of the config.
    """

    name: str
    matcher: Matcher
    channels: tuple[str, ...]
    min_level: Level = Level.WARNING
    after: float = 0.0
    id: int = 0
    author: str = ""
    created: float = 0.0


class Person(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def enabled(self) -> bool: ...
    @property
    def channels(self) -> tuple[str, ...]: ...


class Choice(Protocol):
    """What routing needs to know of a channel."""

    @property
    def min_level(self) -> Level: ...
    @property
    def enabled(self) -> bool: ...


def held(kind: Kind, reason: str, until: float | None = None) -> Held:
    """By nobody, but by how things are."""
    return Held(kind, None, "", until, reason)


def at_least(level: Level, least: Level) -> bool:
    """UNKNOWN counts as WARNING: a check that could not tell is no better than one that complains."""
    return _RANK[level] >= _RANK[least]


class Router(Routing):
    """What the configuration says about notifications. config and routes are replaced when they change."""

    def __init__(
        self,
        config: Config,
        hosts: Hosts,
        person: Callable[[str], Person | None],
        choice: Callable[[str], Choice | None],
        may_use: Callable[[str, str], bool],
    ) -> None:
        """person: the user of a name. choice: the channel of a name. may_use: whether a user may use a channel."""
        self.config = config
        self.stored: Sequence[Route] = ()
        self._hosts = hosts
        self._person = person
        self._choice = choice
        self._may_use = may_use
        self._of_config: tuple[Config | None, tuple[Route, ...]] = (None, ())

    @property
    def routes(self) -> tuple[Route, ...]:
        """Those of the config first."""
        if self._of_config[0] is not self.config:
            self._of_config = (self.config, tuple(routes_of(self.config)))
        return (*self._of_config[1], *self.stored)

    def host_name(self, host_id: int) -> str:
        host = self._hosts.by_id(host_id)
        return host.name if host is not None else ""

    def targets(self, host_id: int, path: str, level: Level) -> list[Target]:
        """Who is to be told of this, each channel once, the one that waits least."""
        host = self._hosts.by_id(host_id)
        if host is None or not host.watched:
            return []
        found: dict[str, Target] = {}
        for target in self._named(host, path, level):
            choice = self._choice(target.channel)
            if choice is None or not choice.enabled or not at_least(level, choice.min_level):
                continue
            known = found.get(target.channel)
            if known is None or target.wait < known.wait:
                found[target.channel] = target
        return list(found.values())

    def _named(self, host: Host, path: str, level: Level) -> Iterable[Target]:
        for role, names in (("owner", [host.owner] if host.owner else []), ("manager", host.managers)):
            for name in names:
                person = self._person(name)
                if person is not None and person.enabled:
                    for channel in person.channels:
                        if self._may_use(person.name, channel):
                            yield Target(channel, f"{role} {person.name}")
        section = self.config.hosts_by_name.get(host.name.lower())
        for channel in section.notification_channels if section is not None else ():
            yield Target(channel, f"host {host.name}")
        for route in self.routes:
            if at_least(level, route.min_level) and route.matcher.matches(host, path, level):
                for channel in route.channels:
                    yield Target(channel, f"route {route.name}", route.after)

    def settling(self, host_id: int, path: str, level: Level) -> float:
        """Who is late is back or down soon; whose upstream may be down too is told apart from it by then."""
        if path != LIVES or level is Level.OK:
            return 0.0
        host = self._hosts.by_id(host_id)
        interval = (host.interval if host is not None else None) or self.config.interval
        if level is Level.WARNING:
            return interval * self.config.grace + SPARE_SECONDS
        parents = self.parents(host) if host is not None else ()
        slowest = max((parent.interval or self.config.interval for parent in parents), default=0.0)
        return slowest * self.config.grace + SPARE_SECONDS if parents else 0.0

    def parents(self, host: Host) -> list[Host]:
        """Hosts without which this one cannot be reached."""
        section = self.config.hosts_by_name.get(host.name.lower())
        found = (self._hosts.get(name) for name in (section.depends_on if section is not None else ()))
        return [parent for parent in found if parent is not None and parent is not host]

    def upstream(self, host: Host) -> list[Host]:
        """All hosts on the way to this one, the nearest first."""
        way: dict[int, Host] = {}
        ahead = self.parents(host)
        while ahead:
            parent = ahead.pop(0)
            if parent.id not in way and parent is not host:
                way[parent.id] = parent
                ahead += self.parents(parent)
        return list(way.values())

    def hidden(self, host: Host, path: str, alerts: Alerts) -> Held | None:
        """Whether a problem is told already by what it follows from."""
        for parent in self.upstream(host):
            if alerts.level(parent.id, LIVES) is Level.CRITICAL:
                return held("dependency", f"a host that {host.name} depends on is down")
        if path != LIVES and alerts.level(host.id, LIVES) is Level.CRITICAL:
            return held("host down", f"{host.name} is down")
        return None


def routes_of(config: Config) -> Iterable[Route]:
    for name, section in config.notification_routes.items():
        matcher = Matcher(hosts=section.hosts, tags=section.tags, metrics=section.metrics)
        level = Level(section.min_level)
        yield Route(name=name, matcher=matcher, channels=section.channels, min_level=level, after=section.after)


def unknown_channels(config: Config, known: Mapping[str, object]) -> list[str]:
    """``key: reason`` of channels that are named and are not there."""
    return [f"{key}: there is no channel {channel}" for key, channel in named_channels(config) if channel not in known]
