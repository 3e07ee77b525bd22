"""Every alert of every host: metrics judged by rules, and whether hosts live. Pure: plain values in, plain values out.

How one path goes from level to level is in ``hbd.alert_state``, with its diagram. Here is when::

    sample of a plugin ── late, or old: changes nothing
                       ── new path: starts at OK
                       ── known path: timers that ended before the sample turn first, then the sample counts
                       ── path that it does not have any more: ends
    tick               ── timers that ended by now turn; what kept still flaps no more; paths without a rule end
    liveness           ── acts at once

Changes are planned, written, and only then adopted::

    plan = alerts.begin(now)
    plan.judge(...); plan.liveness(...); plan.tick(now)
    write plan.rows, plan.gone and plan.events in the transaction of the reports that caused them
    alerts.adopt(plan)

A plan that is thrown away leaves no trace: judging the same reports again comes to the same levels. One plan is open
at a time; ``begin`` throws the one before away. Within a turn the reports go first and the tick last, so that what a
report shows counts before the time that passed since. Durations are by ``Moment.mono``: a sample is as old as it was by
the wall clock when it came in, so a wall clock that jumps moves no timer. Reasons are in
docs/decisions/0007-alert-machine.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import heapify, heappop, heappush
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from hbd.alert_state import (
    SLACK,
    Alert,
    AlertEvent,
    AlertRow,
    Change,
    Flapping,
    Told,
    enter,
    event_of,
    from_row,
    in_words,
    moment_of,
    next_change,
    seen,
    to_row,
)
from hbd.model import Level, Moment

if TYPE_CHECKING:
    from hbd.rules import Verdict

__all__ = ["Alert", "AlertEvent", "AlertRow", "Alerts", "Counts", "Flapping", "Plan"]

PRESENCE = "presence"  # what liveness stands under; no sample of this name is judged
HOST = f"{PRESENCE}.host"
MOST_PATHS = 5_000  # of one host; what comes on top of them is not kept
MOST_PLUGINS = 256  # of one host, without alerts of their own
PAST = 120.0  # seconds; a sample that came later than this, and after the next one was due, says nothing of now

NOT_REPORTED = "no longer reported"
NO_RULE = "no rule any more"
NOT_WATCHED = "no longer watched"

_STEADY = Flapping(changes=0)  # for what ends, whatever it did before
_OK = Level.OK  # an attribute of an enumeration costs more than a name
_COUNTED = {Level.OK: 0, Level.WARNING: 1, Level.CRITICAL: 2, Level.UNKNOWN: 3}

Path = tuple[int, str]


class Counts(NamedTuple):
    """Paths by the level that is told of them."""

    ok: int
    warning: int
    critical: int
    unknown: int


class _Plugin(Struct, gc=False):
    """newest: monotonic seconds of the newest sample; paths: how many alerts it has."""

    newest: float = -inf
    paths: int = 0


class _Host:
    __slots__ = ("alerts", "counts", "plugins")

    def __init__(self) -> None:
        self.alerts: dict[str, Alert] = {}
        self.plugins: dict[str, _Plugin] = {}
        self.counts = [0, 0, 0, 0]


class Alerts:
    """What is told of everything, as far as it is on disk. flapping: counts from the next change of a level on."""

    def __init__(self, flapping: Flapping = Flapping()) -> None:  # noqa: B008 - it is frozen
        self.flapping = flapping
        self._hosts: dict[int, _Host] = {}
        self._counts = [0, 0, 0, 0]
        self._open: dict[Path, None] = {}
        self._timed: dict[Path, None] = {}
        self._due: list[tuple[float, int, str]] = []
        """heap; has for every path in ``_timed`` an entry at its first deadline, and entries that are out of date"""
        self._lent: list[tuple[float, int, str]] = []
        """taken from the heap by the open plan"""
        self._without_rule: frozenset[Path] = frozenset()
        self._plan: Plan | None = None

    # ------------------------------------------------------------------------------------------------------- plans

    def begin(self, now: Moment) -> Plan:
        for entry in self._lent:
            heappush(self._due, entry)
        self._lent.clear()
        self._plan = Plan(self, now)
        return self._plan

    def adopt(self, plan: Plan) -> None:
        """The plan is on disk: it is what is told from now on. plan: the one that was begun last."""
        assert plan is self._plan
        self._plan = None
        self._lent.clear()
        self._without_rule -= plan.ended_without_rule
        for host_id, path in plan.touched:
            self._account(host_id, path, plan.changed[host_id][path])
        for host_id, changed in plan.changed.items():
            self._host(host_id).alerts.update(changed)  # type: ignore[arg-type]  # those that are gone go below
        for host_id, path in plan.touched:
            if plan.changed[host_id][path] is None:
                self._hosts[host_id].alerts.pop(path)
        for (host_id, plugin), newest in plan.newest.items():
            self._plugin(host_id, plugin).newest = newest
        if len(self._due) > 1000 + 4 * len(self._timed):
            timed = (self._hosts[host_id].alerts[path] for host_id, path in self._timed)
            self._due = [(alert.told.due, alert.host_id, alert.path) for alert in timed]
            heapify(self._due)

    def _account(self, host_id: int, path: str, after: Alert | None) -> None:
        """Keep everything that is derived from the alerts in step with the change of one. after: None when it ends."""
        host = self._host(host_id)
        before = host.alerts.get(path)
        for alert, step in ((before, -1), (after, 1)):
            if alert is not None:
                self._plugin(host_id, alert.plugin).paths += step
                host.counts[_COUNTED[alert.level]] += step
                self._counts[_COUNTED[alert.level]] += step
        key = (host_id, path)
        if after is None or not after.told.problem:
            self._open.pop(key, None)
        else:
            self._open[key] = None
        if after is None or not (after.told.timers or after.told.calm):
            self._timed.pop(key, None)
        else:
            self._timed[key] = None
            if before is None or before.told.due != after.told.due:
                heappush(self._due, (after.told.due, host_id, path))

    def _plugin(self, host_id: int, plugin: str) -> _Plugin:
        plugins = self._host(host_id).plugins
        known = plugins.get(plugin)
        if known is None:
            if len(plugins) >= MOST_PLUGINS:
                for name in [name for name, other in plugins.items() if not other.paths]:
                    del plugins[name]
            known = plugins[plugin] = _Plugin()
        return known

    def _host(self, host_id: int) -> _Host:
        host = self._hosts.get(host_id)
        if host is None:
            host = self._hosts[host_id] = _Host()
        return host

    # ---------------------------------------------------------------------------------------- start, reload, removal

    def load(self, rows: Iterable[AlertRow], now: Moment, newest: Iterable[tuple[int, str, float]] = ()) -> None:
        """Take over what an earlier run of the daemon left. Timers go on as if it had not been stopped.

        newest: host id, plugin, Unix seconds of the newest sample in the store; what is older stays late.
        """
        for row in rows:
            alert = from_row(row, now)
            self._account(row.host_id, row.path, alert)
            self._hosts[row.host_id].alerts[row.path] = alert
        for host_id, plugin, at in newest:
            self._plugin(host_id, plugin).newest = moment_of(at, now).mono

    def reconfigure(self, applies: Callable[[int, str], bool]) -> None:
        """After a start or a reload: what no rule applies to any more ends with the next tick or sample.

        applies: whether there is a rule for a path of a host; of liveness, whether the host is watched. It is asked
        for what is open, or may become so by time alone. All else ends when its plugin's next sample is judged.
        """
        self._without_rule = frozenset(key for key in self._open | self._timed if not applies(*key))

    def end_paths(self, paths: Iterable[Path]) -> None:
        """What was judged under these ends with the next tick, whether or not a sample comes that lacks it."""
        self._without_rule |= frozenset(paths)

    def forget(self, host_id: int) -> None:
        """The host is deleted. A plan that is being written loses it too."""
        if self._plan is not None:
            self._plan.forget(host_id)
        host = self._hosts.pop(host_id, None)
        if host is None:
            return
        for at, count in enumerate(host.counts):
            self._counts[at] -= count
        for path in host.alerts:
            self._open.pop((host_id, path), None)
            self._timed.pop((host_id, path), None)

    # ------------------------------------------------------------------------------------------------------ answers

    def has_due(self, now: Moment) -> bool:
        """Whether time alone may change something by now."""
        return bool(self._without_rule) or bool(self._due and self._due[0][0] <= now.mono + SLACK)

    def get(self, host_id: int, path: str) -> Alert | None:
        host = self._hosts.get(host_id)
        return host.alerts.get(path) if host is not None else None

    def level(self, host_id: int, path: str) -> Level:
        """What is told of a path; OK when nothing is."""
        alert = self.get(host_id, path)
        return alert.told.level if alert is not None else _OK

    def is_down(self, host_id: int) -> bool:
        """Whether it is told that this host is down. All else that is told of it is of the past then."""
        return self.level(host_id, HOST) is Level.CRITICAL

    def of(self, host_id: int) -> list[Alert]:
        """All of a host, OK or not, by path."""
        host = self._hosts.get(host_id)
        return [host.alerts[path] for path in sorted(host.alerts)] if host is not None else []

    def open(self) -> Iterator[Alert]:
        """All problems, in the order in which they began: what is not OK, and what is flapping."""
        for host_id, path in self._open:
            yield self._hosts[host_id].alerts[path]

    def not_ok(self) -> Iterator[Alert]:
        """Those of the problems that are not OK at the moment."""
        return (alert for alert in self.open() if alert.told.level is not _OK)

    def counts(self, host_id: int) -> Counts:
        host = self._hosts.get(host_id)
        return Counts(*host.counts) if host is not None else _NONE

    def totals(self) -> Counts:
        return Counts(*self._counts)


class Plan:
    """What a turn does to the alerts, before it is done. Made by ``Alerts.begin``."""

    def __init__(self, alerts: Alerts, now: Moment) -> None:
        self.now = now
        self.events: list[AlertEvent] = []
        self.changed: dict[int, dict[str, Alert | None]] = {}
        """by host id and path; None: it ended"""
        self.touched: dict[Path, None] = {}
        """where more changed than value and time"""
        self.newest: dict[tuple[int, str], float] = {}
        self.ended_without_rule: set[Path] = set()
        self._alerts = alerts
        self._reshaped: set[tuple[int, str]] = set()
        """host id and plugin whose paths are not those that are adopted"""

    # ----------------------------------------------------------------------------------------------------- what comes

    def judge(self, host_id: int, plugin: str, verdicts: Sequence[Verdict], at: float, now: Moment) -> None:
        """A sample was judged. verdicts: all there are of it; at: Unix seconds, when it was measured."""
        taken = moment_of(at, now)
        host = self._alerts._hosts.get(host_id) or _NOBODY
        key = (host_id, plugin)
        previous = self._previous(host, key)
        if plugin == PRESENCE or taken.mono < previous - SLACK:
            return
        self.newest[key] = max(taken.mono, previous)
        age = now.mono - taken.mono
        if age > PAST and (previous == -inf or age > taken.mono - previous):
            return
        known = host.plugins.get(plugin)
        unlike = len(verdicts) != (known.paths if known is not None else 0) or key in self._reshaped
        if unlike:  # names with dots in them may make one path twice
            verdicts = list({verdict.path: verdict for verdict in reversed(verdicts)}.values())[::-1]
        changed = self.changed.setdefault(host_id, {})
        wall, before, first = taken.wall, host.alerts, not changed
        for verdict in verdicts:
            path = verdict.path
            alert = before.get(path) if first or path not in changed else changed[path]
            if alert is None or alert.plugin != plugin:
                unlike = True
                continue
            told, rule = alert.told, verdict.rule
            if alert.rule is rule and told.level is verdict.level and not told.timers:
                changed[path] = Alert(host_id, path, plugin, verdict.value, wall, rule, told)
            else:
                self._show(alert, verdict, taken, now)
        if unlike:
            self._reshaped.add(key)
            if taken.mono > previous + SLACK:  # else they are of one moment, and what one of them has is there
                self._end_missing(host, host_id, plugin, {verdict.path for verdict in verdicts}, taken, now)
            self._add_new(host, host_id, plugin, verdicts, taken, now)

    def _previous(self, host: _Host, key: tuple[int, str]) -> float:
        """When the newest sample of a plugin was measured up to now, monotonic seconds; -inf: there was none."""
        newest = self.newest.get(key)
        if newest is None:
            known = host.plugins.get(key[1])
            newest = known.newest if known is not None else -inf
        return newest

    def _end_missing(self, host: _Host, host_id: int, plugin: str, here: set[str], at: Moment, now: Moment) -> None:
        """here: the paths of a sample. What its plugin had beside them ends."""
        for alert in (host.alerts | self.changed[host_id]).values():
            if alert is not None and alert.plugin == plugin and alert.path not in here:
                without_rule = (host_id, alert.path) in self._alerts._without_rule
                self._end(self._let_pass(alert, now, at.mono), NO_RULE if without_rule else NOT_REPORTED, now)

    def _add_new(
        self, host: _Host, host_id: int, plugin: str, verdicts: Sequence[Verdict], at: Moment, now: Moment
    ) -> None:
        alerts = (host.alerts | self.changed[host_id]).values()
        room = MOST_PATHS - sum(1 for alert in alerts if alert is not None)
        quiet: dict[str, Told] = {}
        for verdict in verdicts:
            source = verdict.rule.source
            if room > 0 and self._get(host_id, verdict.path) is None:
                room -= 1
                told = quiet.setdefault(source, Told(_OK, at.wall, source))
                alert = Alert(host_id, verdict.path, plugin, verdict.value, at.wall, verdict.rule, told)
                self._show(alert, verdict, at, now)

    def _show(self, alert: Alert, verdict: Verdict, at: Moment, now: Moment) -> None:
        """A sample of a path that is not as it was, or of which timers run."""
        threshold = verdict.rule.threshold
        alert = self._let_pass(alert, now, at.mono)
        told = alert.told
        if told.source != verdict.rule.source:
            told = replace(told, source=verdict.rule.source)
        told = seen(told, verdict.level, at, threshold.hold, threshold.keep_firing_for)
        alert = replace(alert, value=verdict.value, checked=at.wall, rule=verdict.rule, told=told, said=verdict.said)
        self._put(self._let_pass(alert, now, at.mono))

    def liveness(self, host_id: int, path: str, level: Level, reason: str, now: Moment) -> None:
        """What presence says of a watched host. path: presence.host, presence.IPv4 or presence.IPv6.

        It may be said as often as one likes; only what differs from what is told changes anything.
        """
        alert = self._get(host_id, path)
        if alert is None:
            alert = Alert(host_id, path, PRESENCE, None, now.wall, None, Told(_OK, now.wall))
        elif alert.level is level and alert.reason == reason:
            return
        alert = self._let_pass(alert, now, now.mono)
        told = replace(alert.told, reason=reason)
        if told.level is not level:
            told = enter(told, level, (host_id, path), self._alerts.flapping, at=now, began=now.wall)
            self.events.append(event_of(alert, told, reason, now.wall))
        self._put(replace(alert, checked=now.wall, told=told))

    def tick(self, now: Moment) -> None:
        """Let time pass. To be called after what came in, with the same ``now`` or a later one."""
        due, lent = self._alerts._due, self._alerts._lent
        candidates = dict.fromkeys(self.touched)
        while due and due[0][0] <= now.mono + SLACK:
            entry = heappop(due)
            lent.append(entry)
            candidates[entry[1], entry[2]] = None
        for host_id, path in candidates:
            alert = self._get(host_id, path)
            if alert is not None and alert.told.due <= now.mono + SLACK:
                self._put(self._let_pass(alert, now, now.mono))
        for host_id, path in self._alerts._without_rule - self.ended_without_rule:
            self.ended_without_rule.add((host_id, path))
            alert = self._get(host_id, path)
            if alert is not None:
                self._end(alert, NOT_WATCHED if alert.plugin == PRESENCE else NO_RULE, now)

    # ------------------------------------------------------------------------------------------------ what it leads to

    @property
    def rows(self) -> list[AlertRow]:
        """The alerts to write. One that was never anything but OK needs no row."""
        return [to_row(after) for before, after in self._changes() if after is not None and after.told.memorable]

    @property
    def gone(self) -> list[Path]:
        """The alerts whose rows are to be deleted."""
        return [
            (before.host_id, before.path)
            for before, after in self._changes()
            if before is not None and before.told.memorable and (after is None or not after.told.memorable)
        ]

    def level(self, host_id: int, path: str) -> Level:
        """What is told of a path if this plan is adopted."""
        alert = self._get(host_id, path)
        return alert.told.level if alert is not None else _OK

    def forget(self, host_id: int) -> None:
        self.changed.pop(host_id, None)
        self.touched = {key: None for key in self.touched if key[0] != host_id}
        self.newest = {key: newest for key, newest in self.newest.items() if key[0] != host_id}

    def _changes(self) -> Iterator[tuple[Alert | None, Alert | None]]:
        """Before and after, of all whose row may differ."""
        for host_id, path in self.touched:
            before, after = self._alerts.get(host_id, path), self.changed[host_id][path]
            if before is None or after is None or before.told != after.told:
                yield before, after

    def _get(self, host_id: int, path: str) -> Alert | None:
        changed = self.changed.get(host_id)
        if changed is not None and path in changed:
            return changed[path]
        return self._alerts.get(host_id, path)

    def _put(self, alert: Alert) -> None:
        self.changed.setdefault(alert.host_id, {})[alert.path] = alert
        self.touched[alert.host_id, alert.path] = None

    def _let_pass(self, alert: Alert, now: Moment, until: float) -> Alert:
        """Tell what timers turn by ``until`` (monotonic seconds), in the order of their ends."""
        name, flapping = (alert.host_id, alert.path), self._alerts.flapping
        while change := next_change(alert.told, name, flapping, now, until):
            alert = self._turn(alert, change)
        return alert

    def _turn(self, alert: Alert, change: Change) -> Alert:
        reason = in_words(alert, change)
        told = replace(change.told, reason=reason)
        self.events.append(event_of(alert, told, reason, change.at))
        return replace(alert, told=told)

    def _end(self, alert: Alert, reason: str, now: Moment) -> None:
        if alert.problem:
            told = enter(alert.told, _OK, (alert.host_id, alert.path), _STEADY, at=now, began=now.wall)
            self.events.append(event_of(alert, told, reason, now.wall))
        self.changed.setdefault(alert.host_id, {})[alert.path] = None
        self.touched[alert.host_id, alert.path] = None


_NONE = Counts(0, 0, 0, 0)
_NOBODY = _Host()
