"""How much of a time a host, or one family of it, was up. Pure.

What is known are changes of its state and the times in which the daemon could not see. Of a span of time they make
*pieces*, which cover it without a gap; all figures are sums over pieces. All times are Unix seconds, spans hold their
start and not their end.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from copy import copy
from itertools import accumulate, pairwise
from math import floor, inf
from operator import itemgetter
from typing import NamedTuple

from msgspec import Struct

from hbd.model import State

FORMULA = (
    "percent = 100 × (up + overdue) / (up + overdue + down). A host that is late but not given up yet is overdue, which"
    " counts as up. Unknown is left out: the time before the first sign of life, the time in which hbd was stopped or"
    " its machine slept, and from a start of hbd until the host was heard or given up. Maintenance windows are told"
    " beside it and change nothing."
)


class Span(NamedTuple):
    start: float
    end: float


class Change(NamedTuple):
    """From ``at`` on it was in this state. reason: in words."""

    at: float
    state: State
    reason: str = ""


class Unseen(NamedTuple):
    """The daemon could not see. until: not before since. restarted: it began anew then, so states of before say nothing
    of after."""

    since: float
    until: float
    restarted: bool


class Piece(NamedTuple):
    start: float
    end: float
    state: State
    reason: str


class Outage(Struct, frozen=True):
    """Down, perhaps with times between that nothing is known of. seconds: known to be down; planned: of these, within
    maintenance windows, None where that is not known. whole: whether its beginning lies in the span; over: whether it
    is known to have ended there.
    """

    start: float
    end: float
    seconds: float
    planned: float | None
    reason: str
    whole: bool
    over: bool


class Cell(NamedTuple):
    """Seconds in each state, in one of several equal parts of a span."""

    start: float
    end: float
    up: float
    overdue: float
    down: float
    unknown: float


class Sight:
    """When the daemon could see, for timelines of many series of one time. unseen: as in ``timeline``."""

    def __init__(self, unseen: Sequence[Unseen]) -> None:
        events = [_Event(one.since, 1, None, "") for one in unseen]
        events += [_Event(one.until, -1, State.UNKNOWN if one.restarted else None, "") for one in unseen]
        self._events = sorted(events, key=_at)

    def timeline(self, changes: Iterable[Change], first: float, end: float) -> list[Piece]:
        """See ``timeline``."""
        if not first < end:
            return []
        events = [_Event(change.at, 0, change.state, change.reason) for change in _of_one_clock(changes)]
        pieces: list[Piece] = []
        known, because, dark = State.UNKNOWN, "", 0
        began, shown, reason = first, State.UNKNOWN, ""
        # Of one moment a restart comes before a change: sorting keeps the order of equals.
        for at, darker, state, words in sorted([*self._events, *events], key=_at):
            if at >= end:
                break
            dark += darker
            if state is not None:
                known, because = state, words
            state = State.UNKNOWN if dark else known
            if state is not shown:
                if at > began:
                    pieces.append(Piece(began, at, shown, reason))
                    began = at
                if pieces and pieces[-1].state is state:  # nothing lay between
                    last = pieces.pop()
                    began, shown, reason = last.start, last.state, last.reason
                else:
                    shown, reason = state, "" if dark else because
        return [*pieces, Piece(began, end, shown, reason)]


class _Event(NamedTuple):
    """darker: 1 where the daemon begins not to see, -1 where that ends. state: None where it stays as it is known."""

    at: float
    darker: int
    state: State | None
    reason: str


_at = itemgetter(0)


def timeline(changes: Iterable[Change], unseen: Sequence[Unseen], first: float, end: float) -> list[Piece]:
    """The pieces of a span, oldest first; neighbours differ in state.

    changes: in the order in which they were written, with the last one before the span. unseen: those of the span, and
    the last restart before it.
    """
    return Sight(unseen).timeline(changes, first, end)


def _of_one_clock(changes: Iterable[Change]) -> list[Change]:
    """Changes in the order of their times. What lies after a change that was written later, a wrong clock wrote."""
    kept: list[Change] = []
    for change in changes:
        while kept and kept[-1].at > change.at:
            kept.pop()
        kept.append(change)
    return kept


class Planned:
    """Times of maintenance, for figures of many series. What several windows hold counts once."""

    def __init__(self, windows: Iterable[tuple[float, float]] = ()) -> None:
        starts: list[float] = []
        ends: list[float] = []
        for start, end in sorted(windows):
            if ends and start <= ends[-1]:
                ends[-1] = max(ends[-1], end)
            else:
                starts.append(start)
                ends.append(end)
        self._starts, self._ends, self._since = starts, ends, -inf
        self._before = [0.0, *accumulate(end - start for start, end in zip(starts, ends, strict=True))]

    def since(self, at: float) -> Planned:
        """What of it is not before that."""
        later = copy(self)
        later._since = at
        return later

    def seconds(self, first: float, end: float) -> float:
        """How much of a span of time is planned."""
        return max(0.0, self._until(end) - self._until(max(first, self._since)))

    def _until(self, at: float) -> float:
        place = bisect_right(self._starts, at) - 1
        if place < 0:
            return 0.0
        return self._before[place] + min(at, self._ends[place]) - self._starts[place]


_NOTHING_PLANNED = Planned()


def newer(pieces: Sequence[Piece], first: float) -> list[Piece]:
    """The newer part of the pieces."""
    return [piece._replace(start=max(piece.start, first)) for piece in pieces if piece.end > first]


# ------------------------------------------------------------------------------------------------------------- figures


class Figures(Struct, frozen=True):
    """up, overdue, down, unknown: seconds, together the whole span. percent: null where nothing is known; rounded
    down, so that 100 means that there was no outage at all.

    outages: how many. longest: of them, seconds. mean_time_to_repair: seconds, of those that began and ended in the
    span. planned: seconds of the span within maintenance windows of the host, from the first change on that is known;
    planned_down: of these, seconds down. Both null: the windows come back too often to be counted.
    """

    up: float
    overdue: float
    down: float
    unknown: float
    percent: float | None
    outages: int
    longest: float | None
    mean_time_to_repair: float | None
    planned: float | None
    planned_down: float | None


def figures(pieces: Sequence[Piece], planned: Planned | None = _NOTHING_PLANNED) -> Figures:
    """The sums over a timeline. planned: None where it is not known."""
    seconds = dict.fromkeys(State, 0.0)
    for piece in pieces:
        seconds[piece.state] += piece.end - piece.start
    found = outages(pieces, planned)
    repaired = [outage.seconds for outage in found if outage.whole and outage.over]
    good = seconds[State.UP] + seconds[State.OVERDUE]
    known = good + seconds[State.DOWN]
    return Figures(
        up=seconds[State.UP],
        overdue=seconds[State.OVERDUE],
        down=seconds[State.DOWN],
        unknown=seconds[State.UNKNOWN],
        percent=floor(1e6 * good / known + 1e-6) / 1e4 if known else None,
        outages=len(found),
        longest=max((outage.seconds for outage in found), default=None),
        mean_time_to_repair=sum(repaired) / len(repaired) if repaired else None,
        planned=_within(planned, pieces),
        planned_down=_within(planned, [piece for piece in pieces if piece.state is State.DOWN]),
    )


def outages(pieces: Sequence[Piece], planned: Planned | None = _NOTHING_PLANNED) -> list[Outage]:
    """The outages of a timeline, oldest first. What is down before and after an unknown time was down throughout."""
    runs: list[list[Piece]] = []
    going_on = False
    for piece in pieces:
        if piece.state is State.DOWN:
            if not going_on:
                runs.append([])
            runs[-1].append(piece)
            going_on = True
        elif piece.state is not State.UNKNOWN:
            going_on = False
    return [
        Outage(
            start=run[0].start,
            end=run[-1].end,
            seconds=sum(piece.end - piece.start for piece in run),
            planned=_within(planned, run),
            reason=run[0].reason,
            whole=run[0].start > pieces[0].start,
            over=not (going_on and run is runs[-1]),
        )
        for run in runs
    ]


def _within(planned: Planned | None, pieces: Iterable[Piece]) -> float | None:
    return None if planned is None else sum(planned.seconds(piece.start, piece.end) for piece in pieces)


def cells(pieces: Sequence[Piece], count: int) -> list[Cell]:
    """A timeline in so many parts of one length, oldest first."""
    if not pieces:
        return []
    first, end = pieces[0].start, pieces[-1].end
    edges = [first + (end - first) * place / count for place in range(count)] + [end]
    found: list[Cell] = []
    place = 0
    for start, until in pairwise(edges):
        seconds = dict.fromkeys(State, 0.0)
        while place < len(pieces):
            piece = pieces[place]
            seconds[piece.state] += max(0.0, min(piece.end, until) - max(piece.start, start))
            if piece.end > until:
                break
            place += 1
        found.append(
            Cell(start, until, seconds[State.UP], seconds[State.OVERDUE], seconds[State.DOWN], seconds[State.UNKNOWN])
        )
    return found
