"""Plugins that had been reporting and are silent although their host is up. Pure: plain values in, what to tell out.

Heartbeats and reports come over different ways, and plugins fail one at a time: a host that is up may have gone blind.

    plugin ── two samples ──► expected ── silent for 5 of its intervals, at least 5 min ──► told: UNKNOWN
                                 ▲                                                              │
                                 └──────────────────────── next sample ─────────────────────────┘

When all are silent that is told once, of the host. Silence counts only while the host is up and the daemon could hear:
after a DOWN, a blindness or a restart of either the whole span runs anew. How long a plugin may be silent follows its
own samples, so that one that measures once an hour, or a foreign agent with a pace of its own, is not late.
The reasons are in docs/decisions/0007-alert-machine.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import ceil, inf
from typing import NamedTuple

from msgspec import Struct

from hbd.alert_state import SLACK, spell
from hbd.alerts import PRESENCE
from hbd.model import Data, Level, Moment, Sample, State
from hbd.wheel import Timer, Wheel

REPORTS = f"{PRESENCE}.reports"
PLUGIN = f"{PRESENCE}.data."  # and the plugin

QUICK = 60.0  # seconds; an interval that is shorter counts as this
INTERVALS = 5  # of silence
GAPS = 5  # between the newest samples of a plugin; the longest is its interval
MOST_PLUGINS = 256  # of one host
UNTIMED = frozenset(("jobs", "nagios_passive"))  # plugins that report when something happens

RESTARTED = "the agent was started anew"
DOWN = "the host is down"
NOTHING_THERE = "there is nothing to measure any more"

_QUICK = (QUICK,)


def is_of_data(path: str) -> bool:
    """Whether this module tells of a path."""
    return path == REPORTS or path.startswith(PLUGIN)


class Telling(NamedTuple):
    """What the alerts are to hear of a path."""

    host_id: int
    path: str
    level: Level
    reason: str


class _Plugin(Struct, gc=False):
    """newest: monotonic seconds when its newest sample was measured; heard: when it came.

    gaps: seconds between its newest samples; () before the second one. told: that it is silent.
    """

    newest: float = -inf
    heard: float = -inf
    gaps: tuple[float, ...] = ()
    told: bool = False

    def sample(self, newest: float, heard: float) -> bool:
        """Take a sample; False when it is no news: sent again, or of a backlog that is older than what is here."""
        gap = newest - self.newest
        if gap <= SLACK:
            return False
        self.newest, self.heard = newest, heard
        if gap <= QUICK and self.gaps is _QUICK:
            return True
        if gap < inf:
            gaps = (*self.gaps[1 - GAPS :], max(gap, QUICK))
            self.gaps = _QUICK if max(gaps) <= QUICK else gaps
        return True


class _Host(Timer):
    __slots__ = (
        "agent",
        "begun",
        "counted_from",
        "down",
        "id",
        "interval",
        "plugins",
        "reported",
        "reports",
        "told",
        "up",
    )

    def __init__(self, id: int, now: Moment) -> None:
        super().__init__()
        self.id = id
        self.plugins: dict[str, _Plugin] = {}
        self.interval = 0.0
        """seconds between its reports as the agent or the config says, 0: neither does"""
        self.begun = False
        """whether it said anything in this run of the daemon"""
        self.reports = False
        """whether it ever sent a report that we remember"""
        self.reported = -inf
        """monotonic seconds of its last report"""
        self.counted_from = now.mono
        """silence before this is not held against it"""
        self.up = False
        self.down = True
        """whether it has to be UP before silence counts again; OVERDUE alone is no break"""
        self.told = False
        """that there are no reports"""
        self.agent: Data = {}
        """what its agent says of its plugins"""


class NoData:
    """expects: whether it is to be told when a path of a host has no data. Asked when it is silent, and only then."""

    def __init__(self, expects: Callable[[int, str], bool]) -> None:
        self._expects = expects
        self._hosts: dict[int, _Host] = {}
        self._wheel: Wheel[_Host] = Wheel(0.0)
        self._blind_until = -inf

    # ------------------------------------------------------------------------------------------------------- what comes

    def report(self, host_id: int, samples: Sequence[Sample], interval: float | None, now: Moment) -> list[Telling]:
        """A report came in. samples: of the agent's present run; interval: seconds until the next report, if known."""
        host = self._host(host_id, now)
        told: list[Telling] = []
        host.begun = host.reports = True
        host.reported = now.mono
        host.interval = interval or host.interval
        if host.told:
            host.told = False
            host.counted_from = now.mono  # what a plugin has to say may be in the next report only
            told.append(Telling(host_id, REPORTS, Level.OK, "reports arrive again"))
        for sample in samples:
            if sample.plugin in UNTIMED:
                continue
            plugin = host.plugins.get(sample.plugin)
            if plugin is None:
                if len(host.plugins) >= MOST_PLUGINS:
                    continue
                plugin = host.plugins[sample.plugin] = _Plugin()
            if plugin.sample(_measured(sample, now), now.mono) and plugin.told:
                plugin.told = False
                told.append(Telling(host_id, PLUGIN + sample.plugin, Level.OK, "data arrive again"))
            if sample.plugin == "agent_monitor":
                host.agent = sample.data
                told += self._without_purpose(host)
        if host.slot is None:
            self._look_after(host, now)
        return told

    def _look_after(self, host: _Host, now: Moment) -> None:
        if host.up:
            self._wheel.arm(host, now.mono + INTERVALS * QUICK)

    def _without_purpose(self, host: _Host) -> list[Telling]:
        """The end of what is silent because it has nothing to measure any more."""
        told: list[Telling] = []
        for name, plugin in host.plugins.items():
            if plugin.told and _has_nothing(host, name):
                plugin.told = False
                told.append(Telling(host.id, PLUGIN + name, Level.OK, NOTHING_THERE))
        return told

    def hello(self, host_id: int, interval: float, started: bool, now: Moment) -> list[Telling]:
        """An agent opened its link. interval: of its reports, seconds.

        started: anew. Its config may be another then: only plugins that report from now on are expected.
        """
        host = self._host(host_id, now)
        host.begun = True
        host.interval = interval
        told: list[Telling] = []
        if started:
            told = self._end(host, RESTARTED)
            host.plugins.clear()
            host.agent = {}
            host.counted_from = now.mono
        return told

    def lives(self, host_id: int, state: State, now: Moment) -> list[Telling]:
        """The state of a host changed."""
        host = self._host(host_id, now)
        host.up = state is State.UP
        if host.up:
            if host.down:
                host.down = False
                host.counted_from = now.mono
            self._look_after(host, now)
            return []
        if state is not State.DOWN:
            return []
        host.down = True
        told = self._end(host, DOWN)
        if host.told:
            host.told = False
            told.append(Telling(host.id, REPORTS, Level.OK, DOWN))
        return told

    def _end(self, host: _Host, reason: str) -> list[Telling]:
        """Take back what was told of plugins."""
        silent = [name for name, plugin in host.plugins.items() if plugin.told]
        for name in silent:
            host.plugins[name].told = False
        return [Telling(host.id, PLUGIN + name, Level.OK, reason) for name in silent]

    def blind(self, now: Moment) -> None:
        """The daemon could not hear until now: nobody's silence in that time counts."""
        self._blind_until = now.mono

    def forget(self, host_id: int) -> None:
        host = self._hosts.pop(host_id, None)
        if host is not None:
            self._wheel.disarm(host)

    def _host(self, host_id: int, now: Moment) -> _Host:
        host = self._hosts.get(host_id)
        if host is None:
            host = self._hosts[host_id] = _Host(host_id, now)
        return host

    # ------------------------------------------------------------------------------------------------------------ start

    def load(self, silent: Iterable[tuple[int, str]], now: Moment) -> None:
        """What an earlier run of the daemon told and did not take back: host id and path (others are passed over)."""
        for host_id, path in silent:
            if not is_of_data(path):
                continue
            host = self._host(host_id, now)
            if path == REPORTS:
                host.told = True
            else:
                host.plugins[path.removeprefix(PLUGIN)] = _Plugin(told=True)

    def recall(self, host_id: int, samples: Iterable[Sample], now: Moment) -> None:
        """What a host sent to an earlier run of the daemon, of each plugin the oldest first.

        A plugin that had stopped before its host did is not expected again. Ignored once the host itself was heard.
        """
        host = self._host(host_id, now)
        if host.begun:
            return
        for sample in samples:
            if sample.plugin in UNTIMED:
                continue
            host.reports = True
            plugin = host.plugins.setdefault(sample.plugin, _Plugin())
            plugin.sample(_measured(sample, now), now.mono)
            if sample.plugin == "agent_monitor":
                host.agent = sample.data
        newest = max((plugin.newest for plugin in host.plugins.values()), default=-inf)
        for plugin in host.plugins.values():
            if newest - plugin.newest > _span(host, plugin):
                plugin.gaps = ()

    # ------------------------------------------------------------------------------------------------------------- time

    def tick(self, now: Moment) -> Iterator[Telling]:
        """Let time pass: what is silent for too long by now. It may be told again while it lasts."""
        for host in self._wheel.due(now.mono):
            if host.up:  # else it is armed again when it comes up
                yield from self._look(host, now)

    def _look(self, host: _Host, now: Moment) -> Iterator[Telling]:
        expected = {name: plugin for name, plugin in host.plugins.items() if plugin.gaps}
        if not expected and not (host.reports and host.interval):
            return  # how often anything would come is not known; the next report has it looked at again
        since = max(host.counted_from, self._blind_until)
        usual = max(host.interval, min((max(plugin.gaps) for plugin in expected.values()), default=QUICK))
        last = max(host.reported, since)
        next_look = last + _allowed(usual)
        if now.mono >= next_look - SLACK:
            if self._expects(host.id, REPORTS):
                host.told = True
                yield Telling(host.id, REPORTS, Level.UNKNOWN, f"no reports for {spell(_allowed(usual))}")
            next_look = now.mono + _allowed(usual)
        elif now.mono - last <= 1.5 * usual:  # else they may all be silent, and that is told once
            for name, plugin in expected.items():
                span = _span(host, plugin)
                due = max(plugin.heard, since) + span
                if now.mono < due - SLACK:
                    next_look = min(next_look, due)
                elif not _has_nothing(host, name) and self._expects(host.id, PLUGIN + name):
                    plugin.told = True
                    yield Telling(host.id, PLUGIN + name, Level.UNKNOWN, f"no {name} data for {spell(span)}")
        # Later intervals may be shorter; five minutes after a sample is the earliest that can then be due.
        self._wheel.arm(host, min(next_look, now.mono + INTERVALS * QUICK))


def _measured(sample: Sample, now: Moment) -> float:
    """When it was measured by the monotonic clock. What lies in the future counts as now."""
    return now.mono - max(0.0, now.wall - sample.time)


def _span(host: _Host, plugin: _Plugin) -> float:
    """Seconds that a plugin may be silent."""
    return _allowed(max(host.interval, *plugin.gaps, QUICK))


def _allowed(interval: float) -> float:
    """In whole minutes, so that what is told of it reads well and stays the same."""
    return 60.0 * ceil(INTERVALS * interval / 60 - SLACK)


def _has_nothing(host: _Host, plugin: str) -> bool:
    """Whether the agent says that the plugin works, and has a reason to be silent: what it measured is not there."""
    word = host.agent.get(plugin)
    return isinstance(word, dict) and word.get("ok") is True and bool(word.get("reason"))
