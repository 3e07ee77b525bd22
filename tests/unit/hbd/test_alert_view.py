from __future__ import annotations

import pytest
from msgspec.structs import replace

from hbd.alert_state import Told
from hbd.alerts import Alert
from hbd.config.structs import Threshold
from hbd.model import Level
from hbd.rules import Rule
from hbd.web import schemas
from hbd.web.alert_view import ROWS, Asked, Subject, alerts_view, asked_by, measured, subject

NOW = 1_750_000_000.0


def alert(
    host: str = "web-1", level: Level = Level.CRITICAL, tags: tuple[str, ...] = (), **fields: object
) -> schemas.Alert:
    given = {"metric_path": "disk_monitor./.percent", "since": NOW, "last_value": 96.4, "last_check": NOW} | fields
    return schemas.Alert(hostname=host, level=level, tags=list(tags), **given)  # type: ignore[arg-type]


ACKNOWLEDGED = schemas.Acknowledged("bob", "", NOW)
SILENCE = schemas.Held(kind="silence", id=1, by="bob", until=NOW + 60)
FOUND = [
    alert("web-1", tags=("prod",), name="Disk space", key="/", reason="Disk space 96.4 > 95"),
    alert("web-2", acknowledged=ACKNOWLEDGED, held=schemas.Held(kind="acknowledged", by="bob")),
    alert("db", Level.WARNING, ("prod", "Storage"), held=SILENCE),
    alert("pi", Level.UNKNOWN),
]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["web-1", "web-2", "db", "pi"]),
        ({"level": "critical"}, ["web-1", "web-2"]),
        ({"level": "WARNING,UNKNOWN,OK,nonsense"}, ["db", "pi"]),
        ({"host": "WEB-1"}, ["web-1"]),
        ({"host": "web"}, []),
        ({"tag": "storage"}, ["db"]),
        ({"state": "open"}, ["web-1", "pi"]),
        ({"state": "acknowledged"}, ["web-2"]),
        ({"state": "silenced"}, ["db"]),
        ({"state": "nonsense"}, ["web-1", "web-2", "db", "pi"]),
        ({"q": "space 96"}, ["web-1"]),
        ({"q": "prod"}, ["web-1", "db"]),
        ({"q": "nothing"}, []),
    ],
)
def test_url_chooses_alerts(query: dict[str, str], expected: list[str]) -> None:
    assert [row.hostname for row in alerts_view(FOUND, asked_by(query)).rows] == expected


def test_cards_count_what_the_rest_of_the_url_leaves() -> None:
    view = alerts_view(FOUND, asked_by({"tag": "prod", "level": "WARNING"}))
    assert [(card.word, card.alerts, card.chosen) for card in view.cards] == [
        ("Critical", 1, False),
        ("Warning", 1, True),
        ("Unknown", 0, False),
    ]
    assert (view.affected, view.matching, view.total) == (2, 1, 4)


def test_card_turns_its_level_on_and_off() -> None:
    view = alerts_view(FOUND, asked_by({"q": "a b", "level": "WARNING"}))
    assert [card.href for card in view.cards[:2]] == ["/alerts?q=a+b&level=CRITICAL,WARNING", "/alerts?q=a+b"]


def test_fields_offer_what_there_is_and_what_was_asked_for() -> None:
    view = alerts_view(FOUND, asked_by({"host": "gone", "tag": "old"}))
    assert view.hosts == ["db", "gone", "pi", "web-1", "web-2"]
    assert view.tags == ["old", "prod", "Storage"]


def test_no_more_rows_are_drawn_than_fit() -> None:
    view = alerts_view([alert()] * (ROWS + 5), Asked())
    assert (len(view.rows), view.matching) == (ROWS, ROWS + 5)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"operator": ">", "warning": 85.0, "critical": 95.0, "unit": "%"}, ("96.4 %", "> 95 %")),
        ({"operator": ">", "warning": 85.0, "critical": 95.0, "level": Level.WARNING}, ("96.4", "> 85")),
        ({"operator": ">", "warning": 85.0}, ("96.4", "> 85")),
        ({"operator": "<=", "critical": 100.0, "last_value": 12.0}, ("12", "≤ 100")),
        ({"operator": "!=", "critical": 443.0, "last_value": 80.0}, ("80", "≠ 443")),
        ({"operator": "==", "critical": 1.0, "last_value": 1.0}, ("yes", "")),
        ({"operator": "==", "warning": 0.0, "last_value": 0.0}, ("no", "")),
        ({"operator": "nagios", "last_value": 2.0}, ("answers 2", "")),
        ({"last_value": None, "reason": "no heartbeat for 30 s"}, ("no heartbeat for 30 s", "")),
        ({"operator": "", "reason": "Disk space 96.4 > 95"}, ("Disk space 96.4 > 95", "")),
    ],
)
def test_value_is_told_with_the_limit_of_its_level(fields: dict[str, object], expected: tuple[str, str]) -> None:
    assert measured(alert(**fields)) == expected  # type: ignore[arg-type]


def judged(path: str, plugin: str, pattern: tuple[str, ...] = (), display: str = "") -> Alert:
    rule = Rule(pattern, Threshold(warning=1.0, display=display), "default") if pattern else None
    return Alert(1, path, plugin, 1.0, NOW, rule, Told(Level.WARNING, NOW))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (judged("disk./.percent", "disk", ("disk", "*", "percent"), "Disk space"), Subject("Disk space", "/", "%")),
        (judged("net.eth0.5.up", "net", ("net", "*", "up")), Subject("Up", "eth0.5", "")),
        (judged("net.eth0.rx.now", "net", ("net", "eth0", "rx.now")), Subject("Rx.now", "eth0", "")),
        (judged("cpu.cpu_percent", "cpu", ("cpu", "cpu_percent")), Subject("CPU", "", "%")),
        (judged("exec.a.seconds", "exec", ("exec", "a.seconds")), Subject("A.seconds", "", "")),
        (judged("temperature.cpu.celsius", "temperature"), Subject("Celsius", "cpu", "°C")),
        (judged("presence.host", "presence"), Subject("Heartbeat", "", "")),
        (judged("presence.IPv6", "presence"), Subject("Heartbeat over IPv6", "", "")),
    ],
)
def test_alert_says_what_it_is_about(found: Alert, expected: Subject) -> None:
    assert subject(found) == expected


def test_a_rule_without_a_name_leaves_that_of_the_metric() -> None:
    found = judged("memory.percent", "memory", ("memory", "percent"))
    assert subject(replace(found, rule=None)) == subject(found) == Subject("Percent", "", "%")
