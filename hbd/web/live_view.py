"""What the live page shows for its URL when the server draws it: which hosts, in which order. Pure.

``static/js/live.js`` does the same in the browser from then on.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlencode

from hbd.model import Family, State
from hbd.web import paint, schemas

SERVER_ROWS = 200  # drawn here; the script draws those that are looked at, whatever their number
MAX_QUERY = 100
VIEWS = ("table", "cards", "messages")
GROUPS = ("tag", "state")
BLANK = schemas.Host(name="", id=0, agent_id="", state=State.UNKNOWN, interval=0.0)

Key = Callable[[schemas.Host], float | None]


def _connection(host: schemas.Host, family: Family) -> float | None:
    """Trouble first, then by latency."""
    for connection in host.connections:
        if connection.family == family:
            return connection.rtt_ms or 0.0 if connection.state is State.UP else paint.SEVERITY[connection.state] - 10.0
    return None


def _network(host: schemas.Host) -> float | None:
    rates = [host.summary.rx_bytes_per_second, host.summary.tx_bytes_per_second]
    known = [rate for rate in rates if rate is not None]
    return sum(known) if known else None


class _Column(NamedTuple):
    name: str
    label: str
    largest_first: bool
    key: Key
    words: str = ""


COLUMNS = (
    _Column("state", "State", False, lambda host: paint.SEVERITY[host.state]),
    _Column("host", "Host", False, lambda host: 0.0),
    _Column("v4", "IPv4", False, lambda host: _connection(host, Family.IPV4)),
    _Column("v6", "IPv6", False, lambda host: _connection(host, Family.IPV6)),
    _Column("cpu", "CPU", True, lambda host: host.summary.cpu_percent),
    _Column("memory", "Memory", True, lambda host: host.summary.memory_percent),
    _Column("disk", "Disk", True, lambda host: host.summary.disk_percent),
    _Column("load", "Load", True, lambda host: host.summary.load_1min),
    _Column("network", "Network ↓ ↑ /s", True, _network, "Network, received and sent a second"),
    _Column("strip", "Last 30 min", True, lambda host: host.strip.count("o") + host.strip.count("d")),
    _Column("seen", "Seen", True, lambda host: host.last_seen),
)
BY_NAME = {column.name: column for column in COLUMNS}


class Asked(NamedTuple):
    """What the URL asks for. descending: from the largest down. at: a moment of the past, as somebody wrote it."""

    q: str
    states: frozenset[str]
    sort: str
    descending: bool
    group: str
    view: str
    at: str = ""

    def parameters(self) -> dict[str, str]:
        """As in the URL; what is usual is left out."""
        usual = self.descending == BY_NAME[self.sort].largest_first
        found = {
            "q": self.q,
            "state": ",".join(state for state in State if state in self.states),
            "sort": self.sort if self.sort != "state" else "",
            "order": "" if usual else "desc" if self.descending else "asc",
            "group": self.group,
            "view": self.view if self.view != "table" else "",
            "at": self.at,
        }
        return {name: value for name, value in found.items() if value}

    def url(self) -> str:
        parameters = self.parameters()
        return f"/live?{urlencode(parameters, safe=',')}" if parameters else "/live"


class Chip(NamedTuple):
    """hosts: how many are in a state; href: the way to see only those."""

    state: str
    mark: str
    word: str
    hosts: int
    chosen: bool
    href: str


class Heading(NamedTuple):
    """words: the label for those who hear it, where it has signs in it."""

    name: str
    label: str
    words: str
    order: str
    href: str


class LiveView(NamedTuple):
    total: int
    matching: int
    rows: list[paint.Row]
    chips: list[Chip]
    headings: list[Heading]
    raised: list[paint.Raised]
    asked: Asked


def asked_by(query: Mapping[str, str]) -> Asked:
    """Reads the URL's parameters; what makes no sense is as if it were not there."""
    sort = query.get("sort", "")
    sort = sort if sort in BY_NAME else "state"
    order, group, view = query.get("order", ""), query.get("group", ""), query.get("view", "")
    return Asked(
        q=query.get("q", "").strip()[:MAX_QUERY],
        states=frozenset(query.get("state", "").upper().split(",")) & frozenset(State),
        sort=sort,
        descending=order == "desc" if order in ("asc", "desc") else BY_NAME[sort].largest_first,
        group=group if group in GROUPS else "",
        view=view if view in VIEWS else "table",
        at=query.get("at", "").strip()[:MAX_QUERY],
    )


def live_view(hosts: Sequence[schemas.Host], query: Mapping[str, str]) -> LiveView:
    asked = asked_by(query)
    words = asked.q.lower().split()
    chosen = _sorted([host for host in hosts if _fits(host, asked, words)], asked)
    counts = Counter(host.state for host in hosts)
    return LiveView(
        total=len(hosts),
        matching=len(chosen),
        rows=[paint.row(host) for host in chosen[:SERVER_ROWS]],
        chips=[_chip(state, counts[state], asked) for state in State],
        headings=[_heading(column, asked) for column in COLUMNS],
        raised=paint.raised(host.alerts for host in hosts),
        asked=asked,
    )


def _fits(host: schemas.Host, asked: Asked, words: Sequence[str]) -> bool:
    if asked.states and host.state not in asked.states:
        return False
    text = "\n".join((host.name, host.label, host.os, *host.tags)).lower()
    return all(word in text for word in words)


def _sorted(hosts: Sequence[schemas.Host], asked: Asked) -> list[schemas.Host]:
    """Hosts with nothing to compare come last; equals go by name."""
    key = BY_NAME[asked.sort].key
    named = sorted(hosts, key=lambda host: _natural(host.name), reverse=asked.sort == "host" and asked.descending)
    known = [(value, host) for host in named if (value := key(host)) is not None]
    known.sort(key=lambda pair: -pair[0] if asked.descending else pair[0])
    return [host for _, host in known] + [host for host in named if key(host) is None]


def _natural(name: str) -> list[tuple[int, str]]:
    """``web-9`` before ``web-10``."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name.lower())]


def _chip(state: State, hosts: int, asked: Asked) -> Chip:
    chosen = state in asked.states
    href = asked._replace(states=asked.states ^ {state}).url()
    return Chip(state, paint.MARKS[state], paint.WORDS[state], hosts, chosen, href)


def _heading(column: _Column, asked: Asked) -> Heading:
    sorted_by_it = asked.sort == column.name
    descending = not asked.descending if sorted_by_it else column.largest_first
    order = ("descending" if asked.descending else "ascending") if sorted_by_it else ""
    href = asked._replace(sort=column.name, descending=descending).url()
    return Heading(column.name, column.label, column.words, order, href)
