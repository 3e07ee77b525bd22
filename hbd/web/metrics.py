"""The daemon's own numbers and the presence of its hosts for Prometheus, in its text format or as OpenMetrics."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Iterator

import hbd
from hbd.access import Action, Identity, may, visible
from hbd.exporters import names
from hbd.exporters.names import Named
from hbd.model import State
from hbd.stats import BUCKETS, Histogram, Labels, Stats
from hbd.web.hostview import NOT_HEARD
from hbd.web.parts import Parts

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PREFIX = "hbd_"
HOSTS_AT_ONCE = 20
HEARD = frozenset((State.UP, State.OVERDUE))
TOLD_LEVELS = ("critical", "warning", "unknown")

Series = Iterable[tuple[Labels, float]]


class _Page:
    """The lines of one exposition."""

    def __init__(self, openmetrics: bool) -> None:
        self._openmetrics = openmetrics
        self.lines: list[str] = []
        self.families: set[str] = set()

    def head(self, name: str, kind: str, text: str) -> None:
        # OpenMetrics names a counter without the ending that its samples carry.
        family = name.removesuffix("_total") if self._openmetrics and kind == "counter" else name
        self.families.add(name)
        self.lines += (f"# HELP {family} {_escape_help(text or name)}", f"# TYPE {family} {kind}")

    def series(self, name: str, kind: str, text: str, series: Series) -> None:
        self.head(name, kind, text)
        self.lines += [f"{name}{_labels(labels)} {_number(value)}" for labels, value in series]

    def histogram(self, name: str, text: str, histogram: Histogram) -> None:
        self.head(name, "histogram", text)
        seen = 0
        for edge, count in zip((*BUCKETS, math.inf), histogram.counts, strict=True):
            seen += count
            self.lines.append(f'{name}_bucket{{le="{_number(edge)}"}} {seen}')
        self.lines += (f"{name}_sum {_number(histogram.total)}", f"{name}_count {seen}")

    def lines_of(self, name: str, kind: str, text: str, lines: list[str]) -> None:
        self.head(name, kind, text)
        self.lines += lines

    def text(self) -> str:
        end = ["# EOF"] if self._openmetrics else []
        return "\n".join([*self.lines, *end, ""])


def describe(parts: Parts) -> None:
    """What requests count, and what is read when somebody asks."""
    stats, accounts = parts.stats, parts.accounts
    stats.describe("http_requests_total", "Requests, by route, method and status.")
    stats.describe("requests_limited_total", "Requests that were sent away because their sender asks too often.")
    stats.describe("sign_ins_total", "Attempts to sign in, by outcome.")
    stats.describe("login_limited_total", "Passwords and codes that were not looked at, after too many wrong ones.")
    stats.gauge("users", "Users.", lambda: len(accounts))
    stats.gauge("sessions", "Sessions of users.", accounts.session_count)
    stats.gauge("api_tokens", "API tokens of users.", accounts.token_count)
    stats.gauge("passwords_waiting", "Passwords that wait to be checked or hashed.", lambda: parts.passwords.waiting)


async def exposition(parts: Parts, identity: Identity, *, openmetrics: bool) -> str:
    """Everything that identity may see: its hosts with their newest samples, and for those who look after it the daemon
    itself. Others get their turn on the loop in between."""
    page = _Page(openmetrics)
    page.series(f"{PREFIX}build_info", "gauge", "The version of the daemon.", [((("version", hbd.__version__),), 1)])
    for name, kind, text, series in _hosts(parts, identity):
        page.series(PREFIX + name, kind, text, series)
    await _samples(page, parts, identity, openmetrics=openmetrics)
    if may(identity, Action.INSPECT).allowed:
        _daemon(page, parts.stats, {spec.name for spec in parts.channels.visible(identity)})
    return page.text()


def _daemon(page: _Page, stats: Stats, channels: set[str]) -> None:
    """channels: those that may be named; what concerns others is counted together."""
    for name in sorted(stats.counters):
        series_of: dict[Labels, float] = {}
        for labels, value in (stats.counters[name] or {(): 0.0}).items():
            known = tuple((key, "" if key == "channel" and text not in channels else text) for key, text in labels)
            series_of[known] = series_of.get(known, 0.0) + value
        page.series(PREFIX + name, "counter", stats.help.get(name, ""), sorted(series_of.items()))
    for name in sorted(stats.gauges):
        page.series(PREFIX + name, "gauge", stats.help.get(name, ""), [((), stats.gauges[name]())])
    for name in sorted(stats.histograms):
        page.histogram(PREFIX + name, stats.help.get(name, ""), stats.histograms[name])


def _hosts(parts: Parts, identity: Identity) -> Iterator[tuple[str, str, str, Series]]:
    up, seen, rtt, alerts = [], [], [], []
    counts = dict.fromkeys(State, 0)
    for host in visible(identity, parts.hosts):
        view = parts.presence.view(host.id) or NOT_HEARD
        counts[view.state] += 1
        labels = (("host", host.name),)
        up.append((labels, float(view.state is State.UP)))
        told = parts.alerts.counts(host.id)
        alerts += [((*labels, ("level", level)), float(getattr(told, level))) for level in TOLD_LEVELS]
        if view.last_seen is not None:
            seen.append((labels, view.last_seen))
        rtt += [
            ((*labels, ("family", connection.family)), connection.rtt)
            for connection in view.connections
            if connection.rtt is not None
        ]
    yield "hosts", "gauge", "Hosts by state.", [((("state", state),), counts[state]) for state in State]
    yield "host_up", "gauge", "Whether the host is up.", up
    yield "host_alerts", "gauge", "Alerts of the host, by level.", alerts
    yield "host_last_seen_timestamp_seconds", "gauge", "When the host last gave a sign of life.", seen
    yield "host_rtt_seconds", "gauge", "Round trip of the last heartbeat.", rtt


def _kinds(stats: Stats) -> tuple[Iterable[str], ...]:
    return stats.counters, stats.gauges, stats.histograms


async def _samples(page: _Page, parts: Parts, identity: Identity, *, openmetrics: bool) -> None:
    """The newest sample of every plugin of the hosts that are heard: of others it is no news."""
    families: dict[str, tuple[Named, str, list[str]]] = {}
    seen: set[tuple[str, str]] = set()
    for number, host in enumerate(visible(identity, parts.hosts)):
        if number % HOSTS_AT_ONCE == HOSTS_AT_ONCE - 1:
            await asyncio.sleep(0)
        view = parts.presence.view(host.id) or NOT_HEARD
        if view.state not in HEARD:
            continue
        label = f'host="{_escape(host.name)}"'
        labels_of = {"": f"{{{label}}}"}
        seen.clear()
        for plugin in parts.rings.plugins(host.id):
            newest = parts.rings.latest(host.id, plugin)
            if newest is None:
                continue
            for named, (name, key, value) in names.series(plugin, newest.data):
                if (name, key) in seen:  # two metrics whose names differ in signs alone
                    continue
                seen.add((name, key))
                labels = labels_of.get(key)
                if labels is None:
                    labels = labels_of[key] = f'{{{label},key="{_escape(key)}"}}'
                family = families.get(name)
                if family is None:
                    family = families[name] = (named, plugin, [])
                family[2].append(f"{name}{labels} {value!r}")
    ours = page.families | {PREFIX + name for kind in _kinds(parts.stats) for name in kind}
    taken = families.keys() | ours
    for name in sorted(families.keys() - ours):
        named, plugin, lines = families[name]
        kind = "counter" if named.counter else "gauge"
        if openmetrics and kind == "counter" and name.removesuffix("_total") in taken:
            kind = "unknown"  # as a counter it would be a second family of that name
        page.lines_of(name, kind, f"Newest value of {plugin}.", lines)


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _escape_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', "'").replace("\n", "\\n")


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(float(value))
