"""What exporters hbd asks, and how each answers: over HTTP and as a page."""

from __future__ import annotations

from typing import Literal, NamedTuple

from aiohttp import web
from msgspec import Struct, field

from hbd.access import visible
from hbd.scraping.scraper import Exporter
from hbd.web.call import Call
from hbd.web.filtered import ROWS, filtered, fits, words
from hbd.web.layout import page

EXAMPLE = "scrape:\n  node:\n    urls: http://web1.example.org:9100/metrics"
LOOKS = {
    "failing": ("DOWN", "■"),
    "waiting": ("UNKNOWN", "?"),
    "up": ("UP", "●"),
    "off": ("", "–"),
}
"""states as a state, for its colour, and a shape; the worst first"""
_ORDER = {state: place for place, state in enumerate(LOOKS)}


class ScrapeView(Struct, kw_only=True):
    """An exporter. state: waiting, until it was asked first; off: its host is switched off. asked: when last, and
    failing_since; Unix seconds, null: never, it does not. seconds: that the answer took. status: of HTTP, 0: there was
    no answer. series: in the answer, left_out: for which there was no room; unreadable: lines, problems: why."""

    job: str
    url: str
    host: str
    state: Literal["up", "failing", "waiting", "off"]
    interval: float
    timeout: float
    asked: float | None
    seconds: float | None
    status: int
    series: int
    left_out: int
    unreadable: int
    problems: list[str]
    error: str
    failing_since: float | None


class ScrapeList(Struct):
    scrapes: list[ScrapeView] = field(default_factory=list)


class Row(NamedTuple):
    """A line of the page, with the sign of its state."""

    scrape: ScrapeView
    state: str
    mark: str


async def index(call: Call) -> ScrapeList:
    """Of all hosts that the caller sees."""
    hosts = {host.name: host for host in visible(call.identity, call.parts.hosts)}
    found = [(hosts.get(exporter.target.host), exporter) for exporter in call.parts.scraper.exporters]
    return ScrapeList([_view(exporter, host.enabled) for host, exporter in found if host is not None])


async def show(call: Call) -> web.Response:
    """``?q=&from=``: the page of exporters, those that fail first."""
    found = (await index(call)).scrapes
    wanted = words(call)
    fitting = [one for one in found if fits(wanted, (one.host, one.job, one.url, one.state))]
    fitting.sort(key=lambda one: (_ORDER[one.state], one.host.lower(), one.job))
    part = filtered(call, "/scrapes", len(found), len(fitting))
    return await page(
        call,
        "scrapes",
        filtered=part,
        failing=sum(one.state == "failing" for one in found),
        rows=[Row(one, *LOOKS[one.state]) for one in fitting[part.first : part.first + ROWS]],
        example=EXAMPLE,
    )


def _view(exporter: Exporter, enabled: bool) -> ScrapeView:
    target, last = exporter.target, exporter.last
    return ScrapeView(
        job=target.job,
        url=exporter.shown,
        host=target.host,
        state=_state(exporter, enabled),
        interval=target.settings.interval,
        timeout=target.settings.timeout,
        asked=last.at if last else None,
        seconds=last.seconds if last else None,
        status=exporter.status,
        series=last.series if last else 0,
        left_out=last.left_out if last else 0,
        unreadable=last.unreadable if last else 0,
        problems=list(last.problems) if last else [],
        error=last.error if last else "",
        failing_since=exporter.failing_since,
    )


def _state(exporter: Exporter, enabled: bool) -> Literal["up", "failing", "waiting", "off"]:
    if not enabled:
        return "off"
    if exporter.last is None:
        return "waiting"
    return "failing" if exporter.failing else "up"
