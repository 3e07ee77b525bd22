"""What every notification channel is to know of every problem, and what it was told of it. Pure.

There is no queue of messages. For every problem and channel there is one notice with two sides::

    alert event ── written with it, in one transaction ──► wanted: level, value, reason
                                                              │  differs?  then the notifier sends, and after
    the channel took a message ──────────────────────────► told:   level, when, how often

A channel that was away therefore gets things as they are, not as they were; nothing overtakes anything; and whoever was
told of a problem is told its end, as the notice stays until then. A crash between the channel's answer and the disk
repeats one message, with the same number.

The wanted side changes in turns of the pipeline (``begin``, write ``plan.rows``, ``adopt``), the told side by what the
notifier reports (``tell``, ``owe``, ``give_up``, ``close``). Neither writes what belongs to the other.
Reasons are in docs/decisions/0008-notifications.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from hbd.alert_state import RANK, AlertEvent
from hbd.alerts import Alert
from hbd.model import Level, Moment

HOST_GONE = "the host was removed"
DISMISSED = "dismissed"  # in place of the reason why a notice was given up, once nobody wants to see it any more
MOST_OPEN = 200_000  # notices; beyond this new problems are on the pages and in the journal alone

Key = tuple[str, str]
"""problem id, name of the channel"""


class Target(NamedTuple):
    """A channel that is to be told. why: in words; wait: seconds from the beginning of the problem (escalation)."""

    channel: str
    why: str
    wait: float = 0.0


class Notice(Struct, frozen=True, kw_only=True):
    """One problem for one channel.

    host: its name, as the host may be gone before the end is told. opened, at, told_at: Unix seconds; of the problem,
    of the newest event, and of the last message that was taken. worst: level of the problem so far.
    due, after: monotonic seconds; nothing is told before both: until then it may look different, or it is a later step
    of an escalation. told: None before the first message that was taken. count: number of the last message whose
    outcome is known. tried: what a message said whose outcome is not known, "" without one; it may have been taken.
    owed: it is told even when the problem is over before. dead: why no more is tried, "" as long as it is.
    """

    problem: str
    channel: str
    host_id: int
    host: str
    path: str
    why: str
    opened: float
    worst: Level
    level: Level
    at: float
    value: float | None
    reason: str
    flapping: bool = False
    due: float = 0.0
    after: float = 0.0
    told: Level | None = None
    told_flapping: bool = False
    told_at: float = 0.0
    told_mono: float = 0.0
    count: int = 0
    tried: str = ""
    owed: bool = False
    dead: str = ""

    @property
    def key(self) -> Key:
        return self.problem, self.channel

    @property
    def over(self) -> bool:
        """Whether the problem has ended."""
        return self.level is Level.OK and not self.flapping

    @property
    def heard(self) -> bool:
        """Whether the channel knows of the problem, as far as can be known."""
        return self.told is not None or self.tried != ""

    @property
    def settled(self) -> bool:
        """Whether nothing is left to tell of it as it is now."""
        if self.told is None:
            return self.over and not self.owed
        return self.told is self.level and self.told_flapping == self.flapping and self.tried in ("", self.said)

    @property
    def said(self) -> str:
        """What a message about it says."""
        return f"{self.level} flapping" if self.flapping else str(self.level)

    @property
    def number(self) -> int:
        """Of the next message. One that may have been taken and said something else keeps its own."""
        return self.count + (1 if self.tried in ("", self.said) else 2)

    @property
    def closed(self) -> bool:
        """Whether nothing will ever be left to tell."""
        return self.over and self.settled


class NoticeRow(NamedTuple):
    """The wanted side as it is stored. due, after: Unix seconds."""

    problem: str
    channel: str
    host_id: int
    host: str
    path: str
    why: str
    opened: float
    worst: str
    level: str
    at: float
    value: float | None
    reason: str
    flapping: bool
    due: float
    after: float


class Routing:
    """What notices ask of the configuration, here of one that tells nobody. ``hbd.routing`` has the real one."""

    def targets(self, host_id: int, path: str, level: Level) -> Sequence[Target]:
        """Who is to be told of this, the same channel at most once."""
        return ()

    def host_name(self, host_id: int) -> str:
        return ""

    def settling(self, host_id: int, path: str, level: Level) -> float:
        """Seconds to wait before this is told, as it may soon look different."""
        return 0.0


class Plan:
    """What a turn does to the wanted sides, before it is done."""

    def __init__(self, now: Moment) -> None:
        self.now = now
        self.wanted: dict[Key, Notice] = {}
        self.of_problem: dict[str, dict[str, None]] = {}
        self.rerouted = False
        self.asked: set[tuple[str, str, str]] = set()
        self.removed: set[int] = set()

    def want(self, notice: Notice) -> None:
        self.wanted[notice.key] = notice
        self.of_problem.setdefault(notice.problem, {})[notice.channel] = None

    @property
    def rows(self) -> list[NoticeRow]:
        """The wanted sides to write."""
        now = self.now
        return [
            NoticeRow(
                notice.problem,
                notice.channel,
                notice.host_id,
                notice.host,
                notice.path,
                notice.why,
                notice.opened,
                notice.worst,
                notice.level,
                notice.at,
                notice.value,
                notice.reason,
                notice.flapping,
                now.wall + notice.due - now.mono,
                now.wall + notice.after - now.mono,
            )
            for notice in self.wanted.values()
        ]


class Notices:
    """All notices, as far as they are on disk."""

    def __init__(self, routing: Routing | None = None) -> None:
        """routing None: nobody is told of anything."""
        self._routing = routing or Routing()
        self._all: dict[Key, Notice] = {}
        self._of_problem: dict[str, dict[str, None]] = {}
        self._of_channel: dict[str, dict[str, None]] = {}
        self._news: dict[str, dict[str, None]] = {}
        """channel → problems of which something is left to tell, the oldest news first"""
        self._reroute = False
        self._asked: set[tuple[str, str, str]] = set()
        """(problem, channel, why): a channel that is to be told too"""
        self._removed: set[int] = set()
        self.refused = 0
        """notices that were not made because there are too many"""
        self.on_news: Callable[[set[str]], None] = lambda channels: None
        """called with the channels for which there is something to tell"""

    def __len__(self) -> int:
        return len(self._all)

    # ------------------------------------------------------------------------------------------------- the wanted side

    def load(self, notices: Iterable[Notice]) -> None:
        """What an earlier run of the daemon left."""
        for notice in notices:
            self._put(notice)

    def reroute(self) -> None:
        """Who is told may have changed: with the next turn every open problem is given to all who are to know of it."""
        self._reroute = True

    def ask(self, problem: str, channel: str, why: str) -> None:
        """With the next turn tell this channel of a problem too."""
        if (problem, channel) not in self._all:
            self._asked.add((problem, channel, why))

    def forget_host(self, host_id: int) -> None:
        """The host is deleted: with the next turn its problems are over."""
        self._removed.add(host_id)

    @property
    def has_wishes(self) -> bool:
        """Whether a turn is needed though no alert changed."""
        return self._reroute or bool(self._asked) or bool(self._removed)

    def begin(self, events: Sequence[AlertEvent], still_open: Iterable[Alert], now: Moment) -> Plan:
        """What these events make of the notices. still_open: all problems that are open; only asked when rerouting."""
        plan = Plan(now)
        if self._reroute:
            plan.rerouted = True
            for alert in still_open:
                self._offer(plan, alert)
        for event in events:
            self._event(plan, event)
        for problem, channel, why in self._asked:
            plan.asked.add((problem, channel, why))
            self._ask(plan, problem, channel, why)
        if self._removed:
            plan.removed = set(self._removed)
            for notice in [*self._all.values()]:
                if notice.host_id in plan.removed and not notice.over:
                    ended = replace(notice, level=Level.OK, flapping=False, reason=HOST_GONE, at=now.wall, due=now.mono)
                    plan.want(ended)
        return plan

    def _event(self, plan: Plan, event: AlertEvent) -> None:
        goes_on = event.flapping == "goes on"
        over = not event.is_open
        targets = {} if over else self._targets(event.host_id, event.path, event.after)
        wait = 0.0 if over else self._routing.settling(event.host_id, event.path, event.after)
        due = plan.now.mono + wait
        known = self._of_problem.get(event.problem, {}) | plan.of_problem.get(event.problem, {})
        for channel in known | dict.fromkeys(targets):
            notice = plan.wanted.get((event.problem, channel)) or self._all.get((event.problem, channel))
            if notice is None:
                target = targets[channel]
                notice = self._new(plan, event.problem, event.host_id, event.path, target, event.at)
                if notice is None:
                    continue
            elif goes_on and RANK[event.after] <= RANK[notice.worst]:
                continue  # what flaps is told when it begins, when it ends, and when it is worse than it ever was
            changed = replace(
                notice,
                level=event.after,
                worst=max(notice.worst, event.after, key=RANK.__getitem__),
                at=event.at,
                value=event.value,
                reason=event.reason,
                flapping=goes_on or event.flapping == "begins",
                due=due,
                dead="",
            )
            plan.want(changed)

    def _targets(self, host_id: int, path: str, level: Level) -> dict[str, Target]:
        return {target.channel: target for target in reversed(self._routing.targets(host_id, path, level))}

    def _new(self, plan: Plan, problem: str, host_id: int, path: str, target: Target, opened: float) -> Notice | None:
        if len(self._all) + len(plan.wanted) >= MOST_OPEN:
            self.refused += 1
            return None
        passed = max(0.0, plan.now.wall - opened)
        return Notice(
            problem=problem,
            channel=target.channel,
            host_id=host_id,
            host=self._routing.host_name(host_id),
            path=path,
            why=target.why,
            opened=opened,
            worst=Level.OK,
            level=Level.OK,
            at=opened,
            value=None,
            reason="",
            after=plan.now.mono + max(0.0, target.wait - passed),
        )

    def _offer(self, plan: Plan, alert: Alert) -> None:
        """Give an open problem to all who are to know of it and do not yet."""
        if not alert.problem:
            return
        for channel, target in self._targets(alert.host_id, alert.path, alert.level).items():
            if (alert.problem, channel) in self._all:
                continue
            notice = self._new(plan, alert.problem, alert.host_id, alert.path, target, alert.since)
            if notice is not None:
                wait = self._routing.settling(alert.host_id, alert.path, alert.level)
                found = replace(
                    notice,
                    level=alert.level,
                    worst=alert.level,
                    at=alert.since,
                    value=alert.value,
                    reason=alert.reason,
                    flapping=alert.flapping,
                    due=plan.now.mono + wait,
                )
                plan.want(found)

    def _ask(self, plan: Plan, problem: str, channel: str, why: str) -> None:
        if (problem, channel) in self._all or (problem, channel) in plan.wanted:
            return
        for other in self._of_problem.get(problem, ()):
            notice = plan.wanted.get((problem, other)) or self._all[problem, other]
            if not notice.over:
                asked = replace(
                    notice,
                    channel=channel,
                    why=why,
                    due=plan.now.mono,
                    after=plan.now.mono,
                    told=None,
                    told_flapping=False,
                    told_at=0.0,
                    told_mono=0.0,
                    count=0,
                    tried="",
                    owed=False,
                    dead="",
                )
                plan.want(asked)
            return

    def adopt(self, plan: Plan) -> None:
        """The plan is on disk."""
        for key, wanted in plan.wanted.items():
            here = self._all.get(key)
            if here is not None:
                wanted = replace(
                    wanted,
                    told=here.told,
                    told_flapping=here.told_flapping,
                    told_at=here.told_at,
                    told_mono=here.told_mono,
                    count=here.count,
                    tried=here.tried,
                    owed=here.owed,
                )
            self._put(wanted)
        if plan.rerouted:
            self._reroute = False
        self._asked -= plan.asked
        self._removed -= plan.removed
        if plan.wanted:
            self.on_news({channel for _, channel in plan.wanted})

    # --------------------------------------------------------------------------------------------------- the told side

    def attempt(self, tried: Iterable[Notice]) -> None:
        """A message about these, as they are, is about to be sent; whatever comes of it, what it says may be known."""
        for notice in tried:
            here = self._all.get(notice.key)
            if here is not None:
                self._put(replace(here, tried=notice.said, count=notice.number - 1, owed=True))

    def tell(self, told: Iterable[Notice], now: Moment) -> None:
        """A channel took a message about these, as they were then."""
        for notice in told:
            here = self._all.get(notice.key)
            if here is not None:
                self._put(
                    replace(
                        here,
                        told=notice.level,
                        told_flapping=notice.flapping,
                        told_at=now.wall,
                        told_mono=now.mono,
                        count=notice.number,
                        tried="",
                        owed=False,
                    )
                )

    def owe(self, keys: Iterable[Key]) -> None:
        """These are to be told even when they are over before."""
        for key in keys:
            here = self._all.get(key)
            if here is not None and not here.owed:
                self._put(replace(here, owed=True))

    def give_up(self, keys: Mapping[Key, str]) -> None:
        """No more is tried; with the reasons."""
        for key, reason in keys.items():
            here = self._all.get(key)
            if here is not None:
                self._put(replace(here, dead=reason))

    def revive(self, key: Key, now: Moment) -> None:
        """Try again what was given up."""
        here = self._all.get(key)
        if here is not None and here.dead:
            self._put(replace(here, dead="", owed=True, due=now.mono))
            self.on_news({here.channel})

    def close(self, keys: Iterable[Key]) -> None:
        """These are done with."""
        for problem, channel in keys:
            if self._all.pop((problem, channel), None) is None:
                continue
            for index, first, second in (
                (self._of_problem, problem, channel),
                (self._of_channel, channel, problem),
                (self._news, channel, problem),
            ):
                found = index.get(first)
                if found is not None:
                    found.pop(second, None)
                    if not found:
                        del index[first]

    def _put(self, notice: Notice) -> None:
        problem, channel = key = notice.key
        self._all[key] = notice
        self._of_problem.setdefault(problem, {})[channel] = None
        self._of_channel.setdefault(channel, {})[problem] = None
        if (notice.settled and not notice.closed) or notice.dead:
            news = self._news.get(channel)
            if news is not None:
                news.pop(problem, None)
                if not news:
                    del self._news[channel]
        else:
            self._news.setdefault(channel, {})[problem] = None

    # --------------------------------------------------------------------------------------------------------- answers

    def get(self, key: Key) -> Notice | None:
        return self._all.get(key)

    def concern(self, channel: str) -> bool:
        """Whether any notice is for a channel."""
        return channel in self._of_channel

    def channels(self) -> list[str]:
        """Those that any notice is for."""
        return list(self._of_channel)

    def news(self, channel: str) -> Iterator[Notice]:
        """What is left to tell a channel, or to clear away; what is given up is not among it."""
        for problem in tuple(self._news.get(channel, ())):
            yield self._all[problem, channel]

    def of_channel(self, channel: str) -> Iterator[Notice]:
        for problem in tuple(self._of_channel.get(channel, ())):
            yield self._all[problem, channel]

    def of_problem(self, problem: str) -> list[Notice]:
        return [self._all[problem, channel] for channel in self._of_problem.get(problem, ())]

    def dead(self) -> list[Notice]:
        """What was given up, the newest first."""
        return sorted(
            (notice for notice in self._all.values() if notice.dead not in ("", DISMISSED)),
            key=lambda notice: -notice.at,
        )

    def times_told(self, problem: str) -> int:
        """How often people were told of a problem: by the channel that told it most often."""
        return max((self._all[problem, channel].count for channel in self._of_problem.get(problem, ())), default=0)
