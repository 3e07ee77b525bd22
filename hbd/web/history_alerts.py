"""Changes of alerts as spans of time, for charts. Pure; times are Unix seconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from hbd.alerts import Alert, AlertEvent
from hbd.model import Level
from hbd.web.paint import LEVEL_MARKS

SPANS = 500


class AlertSpan(Struct):
    """Something was wrong for a while. open: it still is."""

    start: float
    end: float
    level: Level
    metric: str
    open: bool

    @property
    def mark(self) -> str:
        return LEVEL_MARKS[self.level]


def alert_spans(
    events: Sequence[AlertEvent], alerts: Iterable[Alert], span: tuple[float, float], now: float
) -> list[AlertSpan]:
    """When something was wrong in a span of time, the newest first.

    events: changes of the levels of one host, newest first. alerts: where its paths stand now.
    """
    first, end = span
    found = [
        AlertSpan(max(start, first), min(stop, end), level, path, going)
        for start, stop, level, path, going in (*_past(events, first), *_present(alerts, now))
        if start < end and stop > first
    ]
    found.sort(key=lambda each: -each.start)
    return found[:SPANS]


def _past(events: Sequence[AlertEvent], first: float) -> Iterator[tuple[float, float, Level, str, bool]]:
    """Spans that have ended. What was wrong before the oldest change that is known was so from ``first`` on."""
    begun: dict[str, float] = {}
    for event in reversed(events):
        if event.before is event.after:  # it began or ceased to flap
            continue
        if event.before is not Level.OK:
            yield begun.get(event.path, first), event.at, event.before, event.path, False
        begun[event.path] = event.at


def _present(alerts: Iterable[Alert], now: float) -> Iterator[tuple[float, float, Level, str, bool]]:
    for alert in alerts:
        if alert.level is not Level.OK:
            yield alert.since, now, alert.level, alert.path, True
