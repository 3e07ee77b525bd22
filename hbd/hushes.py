"""What keeps alerts from being told: silences, maintenance windows and acknowledgements, all in memory. Pure.

A silence or a window holds back every word of what it is about, but for the end of what was told before. An
acknowledgement holds back repeats and escalations alone; it belongs to one problem, and ends with it or when that gets
worse.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Literal, NamedTuple

from msgspec import Struct

from hbd.alert_state import RANK, AlertEvent
from hbd.hosts import Host
from hbd.matching import Matcher
from hbd.model import Level
from hbd.schedule import Span, Window

MOST_LATELY = 1_000  # changes of silences that are followed one by one

Kind = Literal[
    "silence",
    "window",
    "acknowledged",
    "dependency",
    "host down",
    "isolated",
    "quiet hours",
    "escalation",
    "settling",
    "level",
    "off",
]
State = Literal["pending", "active", "ended"]
Source = Literal["config", "api"]


class Held(NamedTuple):
    """Why something is not told. id: None where it has none, as windows of the config. by: a user, "" for the config.

    until: Unix seconds; None: until the problem is over. reason: in words; of a window its name.
    """

    kind: Kind
    id: int | None
    by: str
    until: float | None
    reason: str


class Silence(Struct, frozen=True, kw_only=True):
    """Times are Unix seconds. author: a user, "" where there are none."""

    id: int
    matcher: Matcher
    reason: str
    author: str
    created: float
    starts: float
    ends: float

    def state(self, now: float) -> State:
        return "ended" if self.ends <= now else "pending" if self.starts > now else "active"


class MaintenanceWindow(Struct, frozen=True, kw_only=True):
    """id: None for one of the config, which has no author either."""

    id: int | None
    name: str
    matcher: Matcher
    window: Window
    author: str
    source: Source


class Ack(Struct, frozen=True, kw_only=True):
    """Somebody looks after a problem. level: the worst that this is about; time: Unix seconds."""

    problem: str
    host_id: int
    path: str
    level: Level
    user: str
    note: str
    time: float


def is_worse(level: Level, ack: Ack) -> bool:
    """Whether a problem at that level is worse than what was acknowledged."""
    return RANK[level] > RANK[ack.level]


def is_over(event: AlertEvent) -> bool:
    """Whether the problem is over with this; what flaps is not, even while it is OK."""
    return event.after is Level.OK and event.flapping not in ("begins", "goes on")


class _Clocked:
    """A window, and its span now, which is worked out anew only when it may be another."""

    __slots__ = ("_since", "_span", "_until", "maintenance", "seen")

    def __init__(self, maintenance: MaintenanceWindow) -> None:
        self.maintenance = maintenance
        self.seen: Span | None = None
        """what it was when somebody last looked whether it turned"""
        self._since, self._until = inf, -inf
        self._span: Span | None = None

    def active(self, now: float) -> Span | None:
        if not self._since <= now < self._until:
            window = self.maintenance.window
            self._span, following = window.active(now), window.next(now)
            ends = (self._span.end if self._span else inf, following.start if following else inf)
            self._since, self._until = now, min(ends)
        return self._span


class _About:
    """What there is about one host. stamp: of what it was made from: a version of all there is, and of the host."""

    __slots__ = ("_fitting", "_silences", "_windows", "stamp")

    def __init__(self, stamp: tuple[int, int], silences: tuple[Silence, ...], windows: tuple[_Clocked, ...]) -> None:
        self.stamp = stamp
        self._silences = silences
        self._windows = windows
        self._fitting: dict[tuple[str, Level], tuple[list[Silence], list[_Clocked]]] = {}

    def follow(self, stamp: tuple[int, int], changed: Iterable[Silence], host: Host) -> None:
        """These silences are new, or in place of those with their ids."""
        self.stamp = stamp
        for silence in changed:
            left = tuple(one for one in self._silences if one.id != silence.id)
            fits = silence.matcher.about_host(host)
            if fits or len(left) < len(self._silences):
                self._silences = (*left, silence) if fits else left
                self._fitting.clear()

    def fitting(self, path: str, level: Level) -> tuple[list[Silence], list[_Clocked]]:
        """Of these, what is about a path at that level."""
        found = self._fitting.get((path, level))
        if found is None:
            found = (
                [one for one in self._silences if one.matcher.about_metric(path, level)],
                [one for one in self._windows if one.maintenance.matcher.about_metric(path, level)],
            )
            if level is not Level.OK:  # of those there are too many, and they are seldom asked for
                self._fitting[path, level] = found
        return found


class Hushes:
    """Asked for every problem once a second, so what is about it is looked for only when that may have changed."""

    def __init__(self) -> None:
        self._silences: dict[int, Silence] = {}
        self._windows: dict[int, _Clocked] = {}
        self._configured: tuple[_Clocked, ...] = ()
        self._acks: dict[str, Ack] = {}
        self._version = 0
        self._lately: list[Silence] = []
        """those that changed last, each with a version of its own"""
        self._named: dict[str, list[Silence]] = {}
        """by lower-case host name, the silences that name all their hosts"""
        self._unnamed: list[Silence] = []
        self._about: dict[int, _About] = {}
        self._looked = inf

    # ------------------------------------------------------------------------------------------------------- answers

    def held(self, host: Host, path: str, level: Level, problem: str, now: float) -> Held | None:
        """What holds back a path of a host at that level, of several the one that lasts longest.

        problem: its id, "" while it is OK. now: Unix seconds.
        """
        found, last = None, now
        silences, windows = self._about_host(host).fitting(path, level)
        for silence in silences:
            if silence.starts <= now and silence.ends > last:
                found = Held("silence", silence.id, silence.author, silence.ends, silence.reason)
                last = silence.ends
        for clocked in windows:
            span, maintenance = clocked.active(now), clocked.maintenance
            if span is not None and span.end > last:
                found = Held("window", maintenance.id, maintenance.author, span.end, maintenance.name)
                last = span.end
        ack = self._acks.get(problem)
        if found is None and ack is not None and not is_worse(level, ack):
            found = Held("acknowledged", None, ack.user, None, ack.note)
        return found

    def ack_of(self, problem: str) -> Ack | None:
        return self._acks.get(problem)

    def _about_host(self, host: Host) -> _About:
        stamp = (self._version, host.version)
        known = self._about.get(host.id)
        if known is None or known.stamp[1] != host.version or known.stamp[0] < self._version - len(self._lately):
            named = self._named.get(host.name.lower(), ())
            known = self._about[host.id] = _About(
                stamp,
                tuple(one for one in (*named, *self._unnamed) if one.matcher.about_host(host)),
                tuple(one for one in self._every_window() if one.maintenance.matcher.about_host(host)),
            )
        elif known.stamp != stamp:  # to go through all silences for all hosts takes seconds where there are many
            known.follow(stamp, self._lately[known.stamp[0] - self._version :], host)
        return known

    def silences(self, now: float) -> list[Silence]:
        """Those that have not ended, the next to end first."""
        return sorted((one for one in self._silences.values() if one.ends > now), key=lambda one: (one.ends, one.id))

    def silence(self, silence_id: int) -> Silence | None:
        return self._silences.get(silence_id)

    def windows(self) -> list[MaintenanceWindow]:
        """All of them by name, those of the config among them."""
        found = (clocked.maintenance for clocked in self._every_window())
        return sorted(found, key=lambda one: (one.name.lower(), one.id or 0))

    def window(self, window_id: int) -> MaintenanceWindow | None:
        clocked = self._windows.get(window_id)
        return clocked.maintenance if clocked is not None else None

    def turned(self, now: float) -> list[Matcher]:
        """What that is about which by itself began or ended to hold since this was last asked."""
        since, self._looked = self._looked, now
        silences = self._silences.values()
        found = [one.matcher for one in silences if since < one.starts <= now or since < one.ends <= now]
        for clocked in self._every_window():
            before, clocked.seen = clocked.seen, clocked.active(now)
            if before != clocked.seen:
                found.append(clocked.maintenance.matcher)
        return found

    def _every_window(self) -> list[_Clocked]:
        return [*self._configured, *self._windows.values()]

    # ------------------------------------------------------------------------------------------------------- changes

    def put_silences(self, silences: Iterable[Silence], now: float) -> None:
        """Take these in, or in place of those with their ids; what has ended goes."""
        changed = {silence.id: silence for silence in silences}
        known = self._silences | changed
        self._silences = {silence.id: silence for silence in known.values() if silence.ends > now}
        self._named, self._unnamed = {}, []
        for silence in self._silences.values():
            names = silence.matcher.exact_hosts
            for name in names or ():
                self._named.setdefault(name, []).append(silence)
            if names is None:
                self._unnamed.append(silence)
        if len(self._lately) + len(changed) > MOST_LATELY:
            self._look_anew()
        else:
            self._lately += changed.values()
            self._version += len(changed)

    def put_window(self, window_id: int, maintenance: MaintenanceWindow | None) -> None:
        """None: it is deleted."""
        if maintenance is None:
            self._windows.pop(window_id, None)
        else:
            self._windows[window_id] = _Clocked(maintenance)
        self._look_anew()

    def configure(self, windows: Iterable[MaintenanceWindow]) -> None:
        """Take these in place of those that the config had before."""
        self._configured = tuple(map(_Clocked, windows))
        self._look_anew()

    def _look_anew(self) -> None:
        """What there is about a host is to be looked for among all there is."""
        self._lately.clear()
        self._version += 1

    def put_ack(self, ack: Ack) -> None:
        self._acks[ack.problem] = ack

    def drop_ack(self, problem: str) -> None:
        self._acks.pop(problem, None)

    def came_to(self, event: AlertEvent) -> None:
        """A problem has another level: over or worse, nobody has acknowledged it any more."""
        ack = self._acks.get(event.problem)
        if ack is not None and (is_over(event) or is_worse(event.after, ack)):
            del self._acks[event.problem]

    def forget(self, host_id: int) -> None:
        """The host is deleted."""
        self._about.pop(host_id, None)
        self._acks = {problem: ack for problem, ack in self._acks.items() if ack.host_id != host_id}
