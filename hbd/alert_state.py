"""What is told of one metric path, and how time and values change it. Pure; ``hbd.alerts`` keeps many of these.

Levels are ordered OK < UNKNOWN < WARNING < CRITICAL, and each but OK is a switch of its own, "at least this bad"::

         ┌──────────────── seen less bad ───────────────┐
         ▼                                              │
        off ──────── seen at least this bad ────────► rising
         ▲                                              │
         │ not seen so for                              │ seen so for
         │ ``keep_firing_for``                          ▼ ``for``
      clearing ◄──────────── seen less bad ──────────── on
         │                                              ▲
         └─────────── seen at least this bad ───────────┘

Off and rising, on and clearing differ in a timer that runs; who leaves them sideways drops it.
The level that is told is the highest that is on. A duration of 0 passes at once. Because "at least WARNING" contains
"at least CRITICAL", a value that swings between the two is told as WARNING after ``for``, CRITICAL has its own ``for``
from the first sample that showed it, and the way back from CRITICAL to WARNING takes ``keep_firing_for``.

A path whose level turns too often is flapping: its problem then stays open, even while the level is OK, until the level
has not changed for a while::

    steady ── level turned ``Flapping.changes`` times ``within`` that long ──► flapping
       ▲                                                                         │
       └──────────────── level did not change for ``calm`` ──────────────────────┘
"""

from __future__ import annotations

import operator
from hashlib import blake2b
from math import inf
from typing import TYPE_CHECKING, Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from hbd.model import Level, Moment

if TYPE_CHECKING:
    from hbd.rules import Rule

ORDER = (Level.OK, Level.UNKNOWN, Level.WARNING, Level.CRITICAL)
TIMED = ORDER[1:]  # the levels that have a switch
RANK = {level: rank for rank, level in enumerate(ORDER)}
LATE = 3600.0  # seconds; what lies further back is no late sample, but a clock that was set
SLACK = 0.001  # seconds; times that went through the wall clock's large numbers and back are not exact

_OK = Level.OK
_BEYOND = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
_FLAPPING: dict[tuple[bool, bool], Literal["", "begins", "goes on", "ends"]] = {
    (False, False): "",
    (False, True): "begins",
    (True, True): "goes on",
    (True, False): "ends",
}


class Flapping(Struct, frozen=True):
    """When a path flaps: its level turned so often within so many seconds, until it kept still for ``calm`` seconds.

    A level turns when it changes in the other direction than before: it got worse and gets better, or the reverse.
    changes: 0 switches it off.
    """

    changes: int = 6
    within: float = 1800.0
    calm: float = 900.0


class Timer(Struct, frozen=True, gc=False):
    """Something that is to happen. wall: Unix seconds, since: monotonic seconds, of the sample that started it."""

    wall: float
    since: float
    span: float

    @property
    def due(self) -> float:
        return self.since + self.span


class Told(Struct, frozen=True, gc=False):
    """What is told of one path. since: Unix seconds; source: the config whose rule it is; reason: in words.

    timers: of UNKNOWN, WARNING and CRITICAL, None where none runs; () when none does at all.
    problem: id of the problem that is open, "" while there is none. number: problems so far; step: events of the last
    of them. worse: whether the last change of level was for the worse. turns: when the level turned lately.
    calm: runs since the last change of level, only while the path is flapping.
    """

    level: Level
    since: float
    source: str = ""
    reason: str = ""
    timers: tuple[Timer | None, ...] = ()
    problem: str = ""
    number: int = 0
    step: int = 0
    worse: bool = False
    turns: tuple[Moment, ...] = ()
    calm: Timer | None = None

    @property
    def due(self) -> float:
        """When the next timer ends, monotonic seconds."""
        first = min(timer.due for timer in self.timers if timer is not None) if self.timers else inf
        return first if self.calm is None else min(first, self.calm.due)

    @property
    def flapping(self) -> bool:
        return self.calm is not None

    @property
    def memorable(self) -> bool:
        """Whether it has to outlive the daemon; one that was never anything but OK comes back with its next sample."""
        return self.level is not _OK or bool(self.timers) or self.number > 0


class Alert(Struct, frozen=True, gc=False):
    """One metric path of one host, judged. path: "disk_monitor./.percent" or "presence.host".

    value, checked (Unix seconds): of the newest sample; value is None where nothing is measured. rule: None for
    liveness, and after a start until the first sample. told: what people are told of it. said: what a check said of
    it when it was not as before.
    """

    host_id: int
    path: str
    plugin: str
    value: float | None
    checked: float
    rule: Rule | None
    told: Told
    said: str = ""

    @property
    def level(self) -> Level:
        return self.told.level

    @property
    def since(self) -> float:
        return self.told.since

    @property
    def reason(self) -> str:
        return self.told.reason

    @property
    def problem(self) -> str:
        return self.told.problem

    @property
    def flapping(self) -> bool:
        """Whether its level turns so often that its problem stays open even while it is OK."""
        return self.told.calm is not None

    @property
    def source(self) -> str:
        return self.told.source

    @property
    def pending(self) -> tuple[Level, float] | None:
        """The worst level that waits for its ``for``, and since when (Unix seconds)."""
        for level, timer in zip(TIMED[::-1], self.told.timers[::-1], strict=False):
            if timer is not None and RANK[level] > RANK[self.level]:
                return level, timer.wall
        return None

    @property
    def clearing(self) -> float | None:
        """Since when the cause of the level that is told is gone (Unix seconds), while ``keep_firing_for`` runs."""
        if self.level is _OK or not self.told.timers:
            return None
        timer = self.told.timers[TIMED.index(self.level)]
        return timer.wall if timer is not None else None


class AlertEvent(Struct, frozen=True, gc=False):
    """One change of what is told. id: unique, the same when it is worked out again; at: Unix seconds.

    problem: of all events from the first level that is not OK to the OK that ends it. flapping: "" for what is steady;
    while it "begins" and "goes on" the problem is open whatever the level; with what "ends" it the level counts again,
    and is mostly the same as before.
    """

    id: str
    problem: str
    host_id: int
    path: str
    before: Level
    after: Level
    at: float
    value: float | None
    reason: str
    flapping: Literal["", "begins", "goes on", "ends"] = ""

    @property
    def is_open(self) -> bool:
        """Whether the problem goes on after this."""
        return self.after is not _OK or self.flapping in ("begins", "goes on")


class AlertRow(Struct, frozen=True, gc=False):
    """An alert as it is stored; times are Unix seconds. timers: level, since when, how many seconds it runs.

    calm: since when, how many seconds; None unless it is flapping. All else as in ``Told``.
    """

    host_id: int
    path: str
    plugin: str
    level: Level
    since: float
    value: float | None
    checked: float
    source: str
    reason: str
    timers: tuple[tuple[Level, float, float], ...]
    problem: str
    number: int
    step: int
    worse: bool
    turns: tuple[float, ...]
    calm: tuple[float, float] | None


class Change(NamedTuple):
    """A timer came due. edge: the switch that speaks for it: the worst that went on, or the least bad that went off;
    None when it flaps no more and that is all. at: Unix seconds; span: seconds that the timer ran.
    """

    told: Told
    edge: Level | None
    at: float
    span: float


def seen(told: Told, level: Level, at: Moment, hold: float, keep: float) -> Told:
    """Start and drop timers for what a sample showed. at: of the sample; hold, keep: seconds."""
    worst, on = RANK[level], RANK[told.level]
    before = told.timers or (None, None, None)
    timers: list[Timer | None] = []
    for rank, timer in enumerate(before, 1):
        if (worst >= rank) is (on >= rank):
            timers.append(None)
        else:
            span = hold if worst >= rank else keep
            timers.append(Timer(timer.wall, timer.since, span) if timer else Timer(at.wall, at.mono, span))
    after = tuple(timers) if any(timers) else ()
    return told if after == told.timers else replace(told, timers=after)


def next_change(told: Told, name: tuple[int, str], flapping: Flapping, now: Moment, until: float) -> Change | None:
    """What the timer that ends first makes of it, if it does by ``until`` (monotonic seconds).

    name: host id and path. now: only for the wall time that the change is dated with.
    """
    first = told.due
    if first > until + SLACK:
        return None
    if told.calm is not None and told.calm.due <= first + SLACK:
        problem = "" if told.level is _OK else told.problem
        calmed = replace(told, problem=problem, step=told.step + 1, calm=None)
        return Change(calmed, None, _ended(told.calm, now), told.calm.span)
    ended = [rank for rank, timer in enumerate(told.timers, 1) if timer is not None and timer.due <= first + SLACK]
    on = RANK[told.level]
    edge = ended[-1] if ended[-1] > on else ended[0]
    after = edge if edge > on else edge - 1
    timer, began = told.timers[edge - 1], told.timers[0]
    assert timer is not None
    timers = tuple(
        None if min(on, after) < rank <= max(on, after) else kept for rank, kept in enumerate(told.timers, 1)
    )
    at = Moment(_dated(_ended(timer, now), told.since), timer.due)
    changed = enter(told, ORDER[after], name, flapping, at=at, began=began.wall if began else timer.wall)
    return Change(replace(changed, timers=timers if any(timers) else ()), ORDER[edge], at.wall, timer.span)


def enter(told: Told, level: Level, name: tuple[int, str], flapping: Flapping, *, at: Moment, began: float) -> Told:
    """Tell another level. A problem has one id from the first level that is not OK to the OK that ends it.

    at: of this change; began: Unix seconds of the sample with which a problem that opens here began.
    """
    worse = RANK[level] > RANK[told.level]
    turns = told.turns
    if worse is not told.worse and flapping.changes:
        turns = (*(turn for turn in turns if turn.mono >= at.mono - flapping.within - SLACK), at)
    # Who flaps goes on with every change, turn or not: it is not calm.
    flaps = flapping.changes > 0 and (told.flapping or len(turns) >= flapping.changes)
    problem, number, step = told.problem, told.number, told.step + 1
    if not problem:
        number, step = number + 1, 1
        # The time keeps apart what is numbered anew after a path was gone, the number what has the same time.
        text = f"{name[0]}\n{name[1]}\n{number}\n{began!r}"
        problem = blake2b(text.encode(errors="surrogatepass"), digest_size=10).hexdigest()
    return replace(
        told,
        level=level,
        since=at.wall,
        problem="" if level is _OK and not flaps else problem,
        number=number,
        step=step,
        worse=worse,
        turns=() if flaps or told.flapping else turns,
        calm=Timer(at.wall, at.mono, flapping.calm) if flaps else None,
    )


def _ended(timer: Timer, now: Moment) -> float:
    """When a timer ended, Unix seconds."""
    return timer.wall if not timer.span else round(now.wall - (now.mono - timer.due), 3)


def _dated(at: float, since: float) -> float:
    """What a sample shows that comes late is dated no earlier than what was told before it came."""
    return since if at < since <= at + LATE else at


def event_of(alert: Alert, told: Told, reason: str, at: float) -> AlertEvent:
    """What to say of an alert that comes to be told otherwise."""
    problem = told.problem or alert.problem
    return AlertEvent(
        id=f"{problem}-{told.step}",
        problem=problem,
        host_id=alert.host_id,
        path=alert.path,
        before=alert.level,
        after=told.level,
        at=at,
        value=alert.value,
        reason=reason,
        flapping=_FLAPPING[alert.flapping, told.flapping],
    )


# --------------------------------------------------------------------------------------------------------------- rows


def moment_of(wall: float, now: Moment) -> Moment:
    """When a time of the wall clock was. What lies in the future counts as now."""
    age = max(0.0, now.wall - wall)
    return Moment(min(wall, now.wall), now.mono - age)


def to_row(alert: Alert) -> AlertRow:
    told = alert.told
    timers = zip(TIMED, told.timers, strict=False)
    return AlertRow(
        host_id=alert.host_id,
        path=alert.path,
        plugin=alert.plugin,
        level=told.level,
        since=told.since,
        value=alert.value,
        checked=alert.checked,
        source=told.source,
        reason=told.reason,
        timers=tuple((level, timer.wall, timer.span) for level, timer in timers if timer is not None),
        problem=told.problem,
        number=told.number,
        step=told.step,
        worse=told.worse,
        turns=tuple(turn.wall for turn in told.turns),
        calm=(told.calm.wall, told.calm.span) if told.calm else None,
    )


def from_row(row: AlertRow, now: Moment) -> Alert:
    """As the row was written; timers have run on since then."""
    running = {level: Timer(wall, moment_of(wall, now).mono, span) for level, wall, span in row.timers}
    told = Told(
        level=row.level,
        since=row.since,
        source=row.source,
        reason=row.reason,
        timers=tuple(running.get(level) for level in TIMED) if running else (),
        problem=row.problem,
        number=row.number,
        step=row.step,
        worse=row.worse,
        turns=tuple(moment_of(wall, now) for wall in row.turns),
        calm=Timer(row.calm[0], moment_of(row.calm[0], now).mono, row.calm[1]) if row.calm else None,
    )
    return Alert(row.host_id, row.path, row.plugin, row.value, row.checked, None, told)


# -------------------------------------------------------------------------------------------------------------- words


def in_words(alert: Alert, change: Change) -> str:
    """Why a change was told: ``CPU 95.5 > 90 for 5 min``, ``CPU 40, no longer > 90``."""
    value, rule = alert.value, alert.rule
    if change.edge is None:
        return alert.reason
    lasted = f" for {spell(change.span)}" if change.span else ""
    if value is None or rule is None:
        return f"{'the last value' if value is None else _number(value)}{lasted}"
    threshold = rule.threshold
    shown = f"{threshold.display} {_number(value)}" if threshold.display else _number(value)
    if threshold.operator == "nagios":
        if alert.said:
            return f"{threshold.display or 'check'}: {alert.said}{lasted and f' ({lasted.strip()})'}"
        return f"{threshold.display or 'check'} answers {_number(value)}{lasted}"
    limits = [threshold.warning, threshold.critical]
    if change.edge is Level.CRITICAL:
        limits.reverse()
    limit = next((limit for limit in limits if limit is not None), None)
    if limit is None:
        return f"{shown}{lasted}"
    if RANK[change.told.level] >= RANK[change.edge]:
        return f"{shown} {threshold.operator} {_number(limit)}{lasted}"
    if _BEYOND[threshold.operator](value, limit):  # the rule was changed while it was clearing
        return f"{shown}{lasted}"
    return f"{shown}, no longer {threshold.operator} {_number(limit)}{lasted}"


def _number(value: float) -> str:
    if value and not 0.01 <= abs(value) < 1e15:
        return f"{value:.4g}"
    return f"{value:.2f}".rstrip("0").rstrip(".")


def spell(seconds: float) -> str:
    """A duration as people set it: ``90 s``, ``5 min``, ``1 h``."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:.0f} {unit}"
    return f"{_number(seconds)} s"
