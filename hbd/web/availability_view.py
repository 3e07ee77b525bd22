"""What the page of a host says of its availability: spans with bars, and its outages. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import floor
from typing import NamedTuple

from hbd.availability import Cell, Figures, Outage, Piece, Planned, cells, figures, newer, outages
from hbd.model import Family, State
from hbd.web.paint import NOTHING, WORDS, long_span

DAY = 86_400.0
SPANS = (("24 hours", DAY, 48), ("7 days", 7 * DAY, 56), ("30 days", 30 * DAY, 60), ("1 year", 365 * DAY, 73))
"""what it is called, seconds, bars"""
LONGEST = SPANS[-1][1]
MAX_OUTAGES = 50
HEIGHT = 10.0
LEAST = 2.5  # of what was short, so that it can be seen
FINE_PERCENT = 99.9  # above it, what is left to 100 is what matters


class Bar(NamedTuple):
    """start, end: Unix seconds. words: what was in that time. parts: class, top and height, in a box HEIGHT high."""

    start: float
    end: float
    words: str
    parts: list[tuple[str, float, float]]


class Row(NamedTuple):
    """A span of time up to now. percent: of the host; families: of those it was seen on, in the order of the page's
    columns. words: for those who do not see the bars.
    """

    name: str
    percent: str
    families: list[str]
    bars: list[Bar]
    words: str
    outages: int
    down: str
    longest: str
    repair: str
    unknown: str
    planned: str


class ShownOutage(NamedTuple):
    """of: the host, or one family of it. lasted: how long it was down, in words, as far as that is known."""

    of: str
    outage: Outage
    lasted: str
    planned: str


class AvailabilityView(NamedTuple):
    """families: the columns beside the host's. left: how many more outages there were."""

    families: list[Family]
    rows: list[Row]
    outages: list[ShownOutage]
    left: int


def availability_view(pieces: Mapping[Family | None, Sequence[Piece]], planned: Planned | None) -> AvailabilityView:
    """pieces: of the LONGEST span, by family, None for the host as a whole. planned: its maintenance windows; None:
    they come back too often to be counted."""
    families = [family for family in Family if family in pieces]
    found = [
        ShownOutage(str(family or "host"), one, _lasted(one), long_span(one.planned) if one.planned else "")
        for family, series in pieces.items()
        for one in outages(series, planned)
    ]
    found.sort(key=lambda shown: (-shown.outage.start, shown.of != "host", shown.of))
    return AvailabilityView(
        families,
        [_row(name, seconds, bars, pieces, families, planned) for name, seconds, bars in SPANS],
        found[:MAX_OUTAGES],
        max(0, len(found) - MAX_OUTAGES),
    )


def _row(
    name: str,
    seconds: float,
    bars: int,
    pieces: Mapping[Family | None, Sequence[Piece]],
    families: Sequence[Family],
    planned: Planned | None,
) -> Row:
    now = pieces[None][-1].end
    parts = {family: newer(pieces[family], now - seconds) for family in (None, *families)}
    told = figures(parts[None], planned)
    return Row(
        name=name,
        percent=percent(told),
        families=[percent(figures(parts[family])) for family in families],
        bars=[_bar(cell) for cell in cells(parts[None], bars)],
        words=_words(name, told),
        outages=told.outages,
        down=_span(told.down),
        longest=_span(told.longest),
        repair=_span(told.mean_time_to_repair),
        unknown=_span(told.unknown),
        planned="not counted" if planned is None else _span(told.planned_down),
    )


def percent(told: Figures) -> str:
    """``97.34 %``, ``99.9987 %``: never rounded up."""
    if told.percent is None:
        return NOTHING
    digits = 4 if told.percent > FINE_PERCENT else 2
    cut = floor(told.percent * 10**digits + 1e-6) / 10**digits
    return f"{cut:.{digits}f}".rstrip("0").rstrip(".") + " %"


def _span(seconds: float | None) -> str:
    return long_span(seconds) if seconds else NOTHING


def _lasted(outage: Outage) -> str:
    return long_span(outage.seconds) if outage.whole else f"more than {long_span(outage.seconds)}"


def _words(name: str, told: Figures) -> str:
    if told.percent is None:
        return f"last {name}: nothing is known"
    down = f"down {long_span(told.down)} in {told.outages} {_outages(told.outages)}" if told.outages else "never down"
    return f"last {name}: {percent(told)}, {down}"


def _outages(number: int) -> str:
    return "outage" if number == 1 else "outages"


def _bar(cell: Cell) -> Bar:
    """Green as far as it was well; below it the worst that there was, by its share of what is known."""
    known = cell.up + cell.overdue + cell.down
    if not known:
        return Bar(cell.start, cell.end, "nothing is known", [("n", HEIGHT - 1, 1)])
    name, worst = ("d", cell.down) if cell.down else ("o", cell.overdue)
    height = round(max(LEAST, HEIGHT * worst / known), 2) if worst else 0.0
    parts = [("u", 0.0, HEIGHT - height), (name, HEIGHT - height, height)]
    told = {State.UP: cell.up, State.OVERDUE: cell.overdue, State.DOWN: cell.down, State.UNKNOWN: cell.unknown}
    words = ", ".join(f"{WORDS[state]} {long_span(seconds)}" for state, seconds in told.items() if seconds)
    return Bar(cell.start, cell.end, words, [part for part in parts if part[2]])
