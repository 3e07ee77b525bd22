"""What the URL of the page of history asks for, and where to go from there: other ranges, earlier, closer. Pure.

Times are Unix seconds.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote, urlencode

from multidict import MultiMapping

from hbd.web.history import History

RANGES = {
    "1h": 3600,
    "6h": 6 * 3600,
    "24h": 86_400,
    "7d": 7 * 86_400,
    "30d": 30 * 86_400,
    "90d": 90 * 86_400,
    "1y": 365 * 86_400,
    "5y": 5 * 365 * 86_400,
}
RANGE_LABELS = {name: f"{name[:-1]} {name[-1]}" for name in RANGES}
DEFAULT_RANGE = "6h"
NEAR = 0.02  # of a range; a time that differs by less from it is that range
SHORTEST = 120  # seconds; a closer look has nothing more to show
LONGEST = 20 * 365 * 86_400
LONGEST_AGO = 366 * 86_400  # what the API takes as ``now-…``
HOUR = 3600.0
SAMPLES_SPAN = 3600  # so short a time is shown sample by sample, while these are kept

MAX_METRICS = 20
MAX_NAME = 1000


class Asked(NamedTuple):
    """What the URL asks for. start, to: as somebody wrote them; they come before ``range``."""

    host: str = ""
    metrics: tuple[str, ...] = ()
    range: str = ""
    start: str = ""
    to: str = ""

    def url(self) -> str:
        pairs = [("host", self.host), *(("metric", metric) for metric in self.metrics)]
        pairs += [("range", self.range), ("from", self.start), ("to", self.to)]
        return "/history?" + urlencode([(name, value) for name, value in pairs if value])

    @property
    def live(self) -> bool:
        """Whether the time that is asked for goes on."""
        return not self.to

    def times(self, now: float, samples_kept: float) -> tuple[str, str, str]:
        """from, to and step as the API takes them. samples_kept: for how many seconds single samples are there."""
        if self.start or self.to:
            return self.start, self.to, ""
        span = RANGES[self.range or DEFAULT_RANGE]
        return str(now - span), "", "raw" if span <= min(SAMPLES_SPAN, samples_kept) else ""


class Link(NamedTuple):
    label: str
    href: str
    chosen: bool = False


class Ways(NamedTuple):
    """Where to go from the time that is shown; None where there is no more."""

    ranges: list[Link]
    earlier: str | None
    later: str | None
    closer: str | None
    further: str | None


def asked_by(query: MultiMapping[str]) -> Asked:
    """Reads the URL's parameters; a range that there is not is as if it were not there."""
    metrics = dict.fromkeys(name for name in query.getall("metric", []) if 0 < len(name) <= MAX_NAME)
    host, chosen, start, to = (query.get(name, "").strip()[:MAX_NAME] for name in ("host", "range", "from", "to"))
    range_ = chosen if chosen in RANGES and not (start or to) else ""
    return Asked(host, tuple(metrics)[:MAX_METRICS], range_, start, to)


def ways(asked: Asked, span: tuple[float, float] | None, now: float) -> Ways:
    """span: from when until when is shown; None where nothing could be."""
    chosen = "" if asked.start or asked.to else asked.range or DEFAULT_RANGE
    ranges = [Link(RANGE_LABELS[name], _at(asked, range=name), name == chosen) for name in RANGES]
    if span is None:
        return Ways(ranges, None, None, None, None)
    first, end = span
    length = end - first
    half, quarter = length / 2, length / 4

    def around(start: float, stop: float) -> str:
        return _around(asked, start, stop, now)

    live = asked.live
    return Ways(
        ranges,
        earlier=around(first - half, end - half) if first - half > 0 else None,
        later=None if live else around(first + half, end + half),
        closer=around(end - half if live else first + quarter, end if live else end - quarter)
        if half >= SHORTEST
        else None,
        further=around(end - 2 * length if live else first - half, end if live else end + half)
        if 2 * length <= LONGEST
        else None,
    )


def _around(asked: Asked, first: float, end: float, now: float) -> str:
    """The page about that time; what would end in the future ends now, and goes on."""
    if end < now:
        return _at(asked, start=str(round(first)), to=str(round(end)))
    seconds = max(60, round((end - first) / 60) * 60)
    # What is shown begins with a whole point, so a little before what was asked for.
    named = next((name for name, length in RANGES.items() if abs(seconds - length) <= NEAR * length), "")
    if named:
        return _at(asked, range=named)
    return _at(asked, start=f"now-{seconds}s" if seconds <= LONGEST_AGO else str(round(now - seconds)))


def _at(asked: Asked, *, range: str = "", start: str = "", to: str = "") -> str:
    return asked._replace(range=range, start=start, to=to).url()


def around(asked: Asked, at: float, now: float) -> str:
    """The page about the hour around a moment of the past, or about the last hour."""
    first = max(0.0, min(at + HOUR / 2, now) - HOUR)
    return _around(asked, first, first + HOUR, now)


def csv_url(host: str, asked: Asked, told: History) -> str:
    """Where the same is to be had as a table."""
    # The API parts metrics at commas; in a name, "?" stands for any letter.
    names = ",".join(metric.replace(",", "?") for metric in asked.metrics)
    wanted = {"metric": names, "from": told.start, "to": told.to, "step": told.step or "raw", "format": "csv"}
    return f"/api/0/hosts/{quote(host, safe='')}/history?{urlencode(wanted)}"
