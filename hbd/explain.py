"""Gathers what is known of one metric of a host: for ``GET /api/0/explain`` and ``hbd explain``."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import msgspec

from hbd.alerts import AlertEvent, Alerts
from hbd.config import Config, Layer, host_settings, threshold_layers
from hbd.explanation import (
    Change,
    ConfigLayer,
    DeliveryEntry,
    Explanation,
    NoticeState,
    Seen,
    Standing,
    candidates,
    level_of,
    sentences,
    standing_now,
    standing_then,
    value_in,
    when,
)
from hbd.hosts import Host, Hosts
from hbd.hushing import Hushing
from hbd.model import Moment, Sample
from hbd.processes import PLUGIN as PROCESSES
from hbd.processes import Watches
from hbd.rings import Rings
from hbd.rules import HostRules, RuleBook
from hbd.store import Store
from hbd.store.notices import Delivery
from hbd.watch_rules import rules_of

CHANGES = 20
SIMILAR = 5
PRIVATE = "of somebody"  # in place of the name of a channel that is not for the one who asks
_PAGE = 1_000
_PAGES = 10  # of changes that are looked through for an old time
_NOW_SECONDS = 1.0  # whoever asks for a time that is no older asks for now


class Notices(Protocol):
    """Who was told of what. See ``hbd.notifier``."""

    def explain(self, host_id: int, path: str, at: float) -> list[NoticeState]:
        """Every channel that is or was to be told of the problem that a metric had at that time (Unix seconds)."""


async def offline(config: Config, store: Store, hosts: Hosts) -> Explainer:
    """For commands, where no daemon is running. hosts: as the store knows them."""
    for host in hosts:
        host.tags = list(dict.fromkeys([*host.agent_tags, *host_settings(config, host.name).tags]))
    alerts = Alerts()
    alerts.load(await store.alerts.all(), Moment.now())
    watches = Watches()
    watches.load(await store.processes.all())
    return Explainer(lambda: config, hosts, Rings(), alerts, store, watches)


class Explainer:
    """config: answers with the one that is in force."""

    def __init__(
        self,
        config: Callable[[], Config],
        hosts: Hosts,
        rings: Rings,
        alerts: Alerts,
        store: Store,
        watches: Watches,
        hushing: Hushing | None = None,
    ) -> None:
        self._config = config
        self._hosts = hosts
        self._rings = rings
        self._alerts = alerts
        self._store = store
        self._watches = watches
        self._hushing = hushing
        self.notices: Notices | None = None
        """None where no daemon is running"""

    def commands(self) -> dict[str, Callable[..., Awaitable[Any]]]:
        """By name, as ``control`` knows them."""
        return {"explain": self._explain}

    async def _explain(self, host: str, metric: str, at: float | None = None) -> dict[str, Any]:
        found = await self.explain(self._hosts.require(host), metric, at, Moment.now().wall)
        answer: dict[str, Any] = msgspec.to_builtins(found)
        return answer

    async def explain(
        self, host: Host, path: str, at: float | None, now: float, shows: Callable[[str], bool] = lambda channel: True
    ) -> Explanation:
        """at: Unix seconds, None for now. shows: whether a channel may be named to who asks. Raises StorageError."""
        config, at = self._config(), now if at is None else min(at, now)
        layers = threshold_layers(config, host)
        own = self._own_rules(config, layers, host, path)
        sample = await self._sample(host.id, path, at)
        changes = await self._changes(host.id, path, at)
        found = Explanation(
            hostname=host.name,
            metric_path=path,
            at=at,
            layers=[ConfigLayer(*layer) for layer in layers],
            rules=candidates(config, layers, path, own),
            sample=Seen(sample.time, value_in(sample, path)) if sample is not None else None,
            alert=self._standing(host, path, at, now, changes),
            events=[Change(one.at, one.before, one.after, one.value, one.reason, one.problem) for one in changes],
            notices=self._notices(host.id, path, at, shows) if self.notices is not None else None,
            deliveries=[
                DeliveryEntry(entry.time, entry.channel, entry.outcome, _title(entry, host.id), entry.detail)
                if shows(entry.channel)
                else DeliveryEntry(entry.time, PRIVATE, entry.outcome, "", "")
                for entry in await self._store.notices.log(CHANGES, host_id=host.id, path=path, until=at)
            ],
        )
        if found.alert is None and (found.sample is None or found.sample.value is None):
            found.similar = _alike(path, [alert.path for alert in self._alerts.of(host.id)])
        level = level_of(config, layers, sample, path, own) if sample is not None else None
        found.text = sentences(found, level, now)
        return found

    def _own_rules(self, config: Config, layers: Sequence[Layer], host: Host, path: str) -> HostRules | None:
        """Where people have set what a metric is judged by for this host alone; else None."""
        if not path.startswith(f"{PROCESSES}."):
            return None
        configured = RuleBook(config.threshold_configs).of(tuple(layer.config for layer in layers))
        return rules_of(self._watches.enabled(host.id), configured)

    def _notices(self, host_id: int, path: str, at: float, shows: Callable[[str], bool]) -> list[NoticeState]:
        assert self.notices is not None
        return [
            notice if shows(notice.channel) else msgspec.structs.replace(notice, channel=PRIVATE, why="private")
            for notice in self.notices.explain(host_id, path, at)
        ]

    def _standing(self, host: Host, path: str, at: float, now: float, changes: list[AlertEvent]) -> Standing | None:
        if at < now - _NOW_SECONDS:
            return standing_then(changes[0]) if changes else None
        alert = self._alerts.get(host.id, path)
        if alert is None:
            return None
        standing = standing_now(alert)
        if self._hushing is not None:
            ack = self._hushing.ack_of(alert.problem)
            if ack is not None:
                standing.acknowledged_by, standing.note = ack.user, ack.note
            held = self._hushing.held(host, path, alert.level, alert.problem, now)
            if held is not None and held.kind != "acknowledged":
                until = f", until {when(held.until)}" if held.until is not None else ""
                by = f" by {held.by}" if held.by else ""
                standing.held = f"{held.kind}{by}: {held.reason}{until}"
        return standing

    async def _sample(self, host_id: int, path: str, at: float) -> Sample | None:
        """The newest sample up to a time of the plugin that a metric is of; one that has the metric where possible."""
        newest: Sample | None = None
        for plugin in self._plugins(host_id, path):
            sample = self._in_memory(host_id, plugin, at) or await self._store.samples.newest_before(
                host_id, plugin, at
            )
            if sample is not None and value_in(sample, path) is not None:
                return sample
            newest = newest or sample
        return newest

    def _plugins(self, host_id: int, path: str) -> list[str]:
        """What a path may begin with, names with dots too; the longest first."""
        known = [plugin for plugin in self._rings.plugins(host_id) if path.startswith(f"{plugin}.")]
        return sorted({*known, path.partition(".")[0]}, key=len, reverse=True)

    def _in_memory(self, host_id: int, plugin: str, at: float) -> Sample | None:
        latest = self._rings.latest(host_id, plugin)
        if latest is None or latest.time <= at:
            return latest
        held = self._rings.newest(host_id, plugin, self._rings.count(host_id, plugin))
        return next((sample for sample in held if sample.time <= at), None)

    async def _changes(self, host_id: int, path: str, at: float) -> list[AlertEvent]:
        """Those up to a time, newest first."""
        before: int | None = None
        for _ in range(_PAGES):
            page = await self._store.alerts.history(_PAGE, host_ids=[host_id], path=path, before=before)
            found = [event for _, event in page if event.at <= at]
            if found or len(page) < _PAGE:
                return found[:CHANGES]
            before = page[-1][0]
        return []


def _alike(path: str, known: Sequence[str]) -> list[str]:
    """Of the known paths those that somebody may have meant: they have the text in them, or are a slip away."""
    holding = sorted(one for one in known if path in one)
    return (holding or difflib.get_close_matches(path, known, SIMILAR))[:SIMILAR]


def _title(entry: Delivery, host_id: int) -> str:
    """Of a message; that of one about several hosts may name one that whoever asks does not see."""
    others = {item.host_id for item in entry.items} - {host_id}
    return f"a message about {len(others) + 1} hosts" if others and entry.title else entry.title
