"""Every known host: who it is, what the config says of it, what its agent said of itself. Its state is presence's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from hbd.errors import NotFound


class Host:
    """One host. ``version`` grows with every change that a reader of the host could see."""

    __slots__ = (
        "agent_id",
        "agent_tags",
        "agent_version",
        "clock_offset",
        "created",
        "dropped",
        "dyn",
        "enabled",
        "given_tags",
        "id",
        "interval",
        "label",
        "link",
        "managers",
        "min_report_interval",
        "monitors",
        "name",
        "os",
        "owner",
        "tags",
        "threshold_config",
        "version",
        "watched",
    )

    def __init__(self, id: int, name: str, agent_id: str, created: float = 0.0) -> None:
        self.id = id
        self.name = name
        self.agent_id = agent_id
        self.created = created
        self.label = ""
        self.agent_tags: list[str] = []
        """what its agent says"""
        self.given_tags: list[str] = []
        """what people gave it over the API"""
        self.tags: list[str] = []
        """those and the config's"""
        self.os = ""
        self.agent_version = ""
        self.link = False
        self.clock_offset: float | None = None
        self.owner: str | None = None
        self.managers: list[str] = []
        self.monitors: list[str] = []
        self.dyn = False
        self.watched = True
        self.enabled = True
        self.dropped = False
        """in drophosts: refused and not shown, though what is stored of it stays"""
        self.interval: float | None = None
        """what the config wants between signs of life, seconds; None: as the agent says"""
        self.min_report_interval = 0.0
        """the least seconds between two reports of an agent of another system"""
        self.threshold_config: tuple[str, ...] = ()
        """names of the threshold configs that hold for it, the weakest first; none: the default"""
        self.version = 0

    def people(self) -> set[str]:
        """Names of all who have a part in it."""
        return {*([self.owner] if self.owner else ()), *self.managers, *self.monitors}


class Hosts:
    """The register of hosts, by id and by name (any case), listed in the order of their names.

    Hosts in drophosts are only found by ``known`` and ``everyone``.
    """

    def __init__(self) -> None:
        self._by_id: dict[int, Host] = {}
        self._by_name: dict[str, Host] = {}
        self._by_agent_id: dict[str, Host] = {}
        self._dropped = 0
        self._sorted: list[Host] | None = None
        self._of_person: dict[str, set[int]] = {}
        self.on_people: Callable[[Host], None] = lambda host: None
        """called when a host came or went, or when others may see it than before"""

    def add(self, host: Host) -> None:
        self._by_id[host.id] = host
        self._by_name[host.name.lower()] = host
        self._by_agent_id[host.agent_id] = host
        self._dropped += host.dropped
        self._sorted = None
        self._index(host)
        self.on_people(host)

    def remove(self, host: Host) -> None:
        if self._by_id.pop(host.id, None) is None:
            return
        self._dropped -= host.dropped
        self._by_name.pop(host.name.lower(), None)
        self._by_agent_id.pop(host.agent_id, None)
        self._sorted = None
        self._unindex(host)
        self.on_people(host)

    def drop(self, host: Host, dropped: bool) -> None:
        """Hide a host from everybody, or show it again."""
        self._dropped += dropped - host.dropped
        host.dropped = dropped
        self._sorted = None
        self.on_people(host)

    def hand(self, host: Host, owner: str | None, managers: Sequence[str], monitors: Sequence[str]) -> bool:
        """Set who may do what with a host; whether anything is different now."""
        if (host.owner, host.managers, host.monitors) == (owner, list(managers), list(monitors)):
            return False
        self._unindex(host)
        host.owner, host.managers, host.monitors = owner, list(managers), list(monitors)
        host.version += 1
        if self._by_id.get(host.id) is host:
            self._index(host)
            self.on_people(host)
        return True

    def of_person(self, name: str) -> list[Host]:
        """The hosts that somebody owns, manages or monitors, in the order of their names."""
        found = (self.by_id(host_id) for host_id in self._of_person.get(name, ()))
        return sorted((host for host in found if host is not None), key=lambda host: host.name.lower())

    def _index(self, host: Host) -> None:
        for name in host.people():
            self._of_person.setdefault(name, set()).add(host.id)

    def _unindex(self, host: Host) -> None:
        for name in host.people():
            hosts = self._of_person.get(name)
            if hosts is not None:
                hosts.discard(host.id)
                if not hosts:
                    del self._of_person[name]

    def known(self, name: str) -> Host | None:
        """The host of that name, in drophosts or not."""
        return self._by_name.get(name.lower())

    def everyone(self) -> list[Host]:
        """All hosts, those in drophosts too."""
        return list(self._by_id.values())

    def get(self, name: str) -> Host | None:
        return _shown(self._by_name.get(name.lower()))

    def by_id(self, host_id: int) -> Host | None:
        return _shown(self._by_id.get(host_id))

    def agent(self, text: str) -> Host | None:
        """The host with that agent id, else of that name."""
        return _shown(self._by_agent_id.get(text)) or self.get(text)

    def server(self, text: str) -> Host | None:
        """The host with that number, else of that name."""
        number = int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0
        return self.by_id(number) or self.get(text)

    def require(self, name: str) -> Host:
        """The host of that name. Raises NotFound in the contract's words."""
        host = self.get(name)
        if host is None:
            raise NotFound(f"Host '{name}' not found")
        return host

    def __iter__(self) -> Iterator[Host]:
        return iter(self._shown())

    def __len__(self) -> int:
        return len(self._by_id) - self._dropped

    def _shown(self) -> list[Host]:
        if self._sorted is None:
            shown = (host for host in self._by_id.values() if not host.dropped)
            self._sorted = sorted(shown, key=lambda host: host.name.lower())
        return self._sorted


def _shown(host: Host | None) -> Host | None:
    return None if host is None or host.dropped else host
