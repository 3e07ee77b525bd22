"""What the page of alerts shows for its URL when the server draws it, and how alerts read. Pure.

``static/js/alerts.js`` does the same in the browser from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlencode

from hbd.alerts import PRESENCE, Alert
from hbd.model import Level
from hbd.rules import ANY
from hbd.web import paint, schemas

ROWS = 200  # drawn at once; a button brings the next ones
MAX_QUERY = 100
SHOWN = (Level.CRITICAL, Level.WARNING, Level.UNKNOWN)
MARKS = {Level.CRITICAL: "■", Level.WARNING: "▲", Level.UNKNOWN: "?", Level.OK: "●"}
STATES = {"open": "Open", "acknowledged": "Acknowledged", "silenced": "Silenced"}
OPERATORS = {">=": "≥", "<=": "≤", "==": "=", "!=": "≠"}
LIVENESS = {"host": "Heartbeat", "IPv4": "Heartbeat over IPv4", "IPv6": "Heartbeat over IPv6"}
SIGNS = (0.0, 1.0)  # how yes and no are counted
JOBS = "jobs"  # the plugin of calls that are late or failed
CHECK_ANSWERS = "nagios"  # the operator of values that are the level itself


class Subject(NamedTuple):
    """What an alert is about: ``Disk space``, ``/``, ``%``. key: the disk, interface ... if there are several."""

    name: str
    key: str
    unit: str


class Asked(NamedTuple):
    """What the URL asks for."""

    q: str = ""
    levels: frozenset[Level] = frozenset()
    host: str = ""
    tag: str = ""
    state: str = ""
    at: str = ""

    def parameters(self) -> dict[str, str]:
        """As in the URL."""
        given = {
            "q": self.q,
            "level": ",".join(level for level in SHOWN if level in self.levels),
            "host": self.host,
            "tag": self.tag,
            "state": self.state,
            "at": self.at,
        }
        return {name: value for name, value in given.items() if value}

    def url(self) -> str:
        text = urlencode(self.parameters(), safe=",")
        return f"/alerts?{text}" if text else "/alerts"

    @property
    def anything(self) -> bool:
        return self != Asked(at=self.at)


class Card(NamedTuple):
    """name: as in the URL; href: the way to see only these, or all again."""

    level: Level
    mark: str
    word: str
    alerts: int
    chosen: bool
    href: str


class AlertsView(NamedTuple):
    """affected: hosts that have an alert; matching: alerts that fit the URL, of which ``rows`` are the first."""

    asked: Asked
    cards: list[Card]
    affected: int
    total: int
    matching: int
    rows: list[schemas.Alert]
    hosts: list[str]
    tags: list[str]


def subject(alert: Alert) -> Subject:
    rest = alert.path.removeprefix(f"{alert.plugin}.")
    if alert.plugin == PRESENCE:
        return Subject(LIVENESS.get(rest, paint.label(rest)), "", "")
    key, _, metric = rest.rpartition(".")
    if alert.rule is not None:
        pattern = alert.rule.pattern
        if len(pattern) == 2:
            key, metric = "", rest
        elif pattern[2] != ANY:  # names may have dots in them
            key, metric = rest[: -len(pattern[2]) - 1], pattern[2]
    display = alert.rule.threshold.display if alert.rule is not None else ""
    return Subject(display or paint.label(metric), key, _unit(metric))


def _unit(metric: str) -> str:
    word = paint.unit_word(metric)
    return word if word not in ("time", "bytes") else {"time": "s", "bytes": "B"}[word]


def measured(alert: schemas.HostAlert) -> tuple[str, str]:
    """The value and the limit of the level that is told: ``96.4 %``, ``> 95 %``. What has none says its reason."""
    if alert.last_value is None or not alert.operator:
        return alert.reason, ""
    if alert.operator == CHECK_ANSWERS and alert.metric_path.startswith(f"{JOBS}."):
        return alert.reason, ""
    if alert.operator == CHECK_ANSWERS:
        return f"answers {paint.plain(alert.last_value)}", ""
    limits = [alert.warning, alert.critical]
    if alert.level is Level.CRITICAL:
        limits.reverse()
    limit = next((limit for limit in limits if limit is not None), None)
    if alert.operator in ("==", "!=") and alert.last_value in SIGNS and limit in SIGNS:
        return "yes" if alert.last_value else "no", ""
    operator = OPERATORS.get(alert.operator, alert.operator)
    return _amount(alert.last_value, alert.unit), "" if limit is None else f"{operator} {_amount(limit, alert.unit)}"


def _amount(value: float, unit: str) -> str:
    return f"{paint.plain(value)} {unit}" if unit else paint.plain(value)


def is_silenced(alert: schemas.HostAlert) -> bool:
    """Whether nothing is sent of it for now, for another reason than that somebody has acknowledged it."""
    return alert.held is not None and alert.held.kind != "acknowledged"


def is_open(alert: schemas.HostAlert) -> bool:
    """Whether it waits for somebody."""
    return alert.acknowledged is None and not is_silenced(alert)


_STATE: dict[str, Callable[[schemas.HostAlert], bool]] = {
    "open": is_open,
    "acknowledged": lambda alert: alert.acknowledged is not None,
    "silenced": is_silenced,
}


def asked_by(query: Mapping[str, str]) -> Asked:
    """Reads the URL's parameters; what makes no sense is as if it were not there."""
    words = {name: query.get(name, "").strip()[:MAX_QUERY] for name in ("q", "host", "tag", "state", "at")}
    levels = frozenset(query.get("level", "").upper().split(",")) & frozenset(SHOWN)
    state = words["state"] if words["state"] in STATES else ""
    return Asked(words["q"], frozenset(map(Level, levels)), words["host"], words["tag"], state, words["at"])


def alerts_view(found: Sequence[schemas.Alert], asked: Asked) -> AlertsView:
    """found: all that the viewer may see, the worst first. A card counts what the rest of the URL leaves."""
    words = asked.q.lower().split()
    of_any_level = [alert for alert in found if _fits(alert, asked, words)]
    matching = [alert for alert in of_any_level if not asked.levels or alert.level in asked.levels]
    return AlertsView(
        asked=asked,
        cards=[_card(level, of_any_level, asked) for level in SHOWN],
        affected=len({alert.hostname for alert in of_any_level}),
        total=len(found),
        matching=len(matching),
        rows=matching[:ROWS],
        hosts=_choices({alert.hostname for alert in found}, asked.host),
        tags=_choices({tag for alert in found for tag in alert.tags}, asked.tag),
    )


def _choices(names: set[str], chosen: str) -> list[str]:
    return sorted(names | {chosen} - {""}, key=str.lower)


def _fits(alert: schemas.Alert, asked: Asked, words: Sequence[str]) -> bool:
    if asked.host and alert.hostname.lower() != asked.host.lower():
        return False
    if asked.tag and asked.tag.lower() not in map(str.lower, alert.tags):
        return False
    if asked.state and not _STATE[asked.state](alert):
        return False
    text = "\n".join((alert.hostname, alert.name, alert.key, alert.metric_path, alert.reason, *alert.tags)).lower()
    return all(word in text for word in words)


def _card(level: Level, alerts: Sequence[schemas.Alert], asked: Asked) -> Card:
    count = sum(1 for alert in alerts if alert.level is level)
    href = asked._replace(levels=asked.levels ^ {level}).url()
    return Card(level, paint.LEVEL_MARKS[level], level.capitalize(), count, level in asked.levels, href)
