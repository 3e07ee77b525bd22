from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from channel_kit import NOW, item, message, serving, tools

from hbd.channels.alertmanager import KEPT_SECONDS, Alertmanager, alerts
from hbd.model import Level


def moment(text: str) -> float:
    parsed = datetime.fromisoformat(text)
    assert parsed.tzinfo is not None
    return parsed.timestamp()


def labels(alert: dict[str, Any]) -> tuple[str, str, str]:
    found = alert["labels"]
    return found["alertname"], found["instance"], found["severity"]


async def test_alerts_are_posted_as_an_array() -> None:
    async with serving() as service:
        settings = {"url": service.url("/am/"), "authorization": "Bearer x", "labels": ("team=ops",)}
        assert Alertmanager().check(settings) == []
        assert await Alertmanager().open("am", settings, tools()).send(message()) == "200"
        ((method, path, headers, body),) = service.asked
    assert (method, path, headers["Authorization"]) == ("POST", "/am/api/v2/alerts", "Bearer x")
    (alert,) = json.loads(body)
    assert alert["labels"] == {
        "alertname": "cpu_monitor.cpu_percent",
        "instance": "web1",
        "severity": "critical",
        "team": "ops",
    }
    assert alert["generatorURL"] == "https://hbd.example.org/alerts?host=web1"


def test_an_open_problem_lasts_some_rounds_longer_than_the_next_message() -> None:
    (alert,) = alerts(message(), {}, NOW)
    assert (moment(alert["startsAt"]), moment(alert["endsAt"])) == (NOW - 300, NOW + KEPT_SECONDS)


def test_what_is_open_has_to_be_sent_again() -> None:
    refresh = Alertmanager().open("am", {"url": "http://am:9093"}, tools()).refresh
    assert refresh is not None and 2 * refresh < KEPT_SECONDS


def test_an_end_is_told_under_the_labels_it_was_told_with() -> None:
    ended = item(Level.OK, before=Level.WARNING, at=NOW - 5)
    (alert,) = alerts(message(ended), {}, NOW)
    assert (labels(alert), moment(alert["endsAt"])) == (("cpu_monitor.cpu_percent", "web1", "warning"), NOW - 5)


def test_a_new_level_ends_the_old_one_and_begins_another() -> None:
    old, new = alerts(message(item(before=Level.WARNING)), {}, NOW)
    assert (labels(old)[2], moment(old["endsAt"]) <= NOW) == ("warning", True)
    assert (labels(new)[2], moment(new["endsAt"]) > NOW) == ("critical", True)


def test_a_problem_told_again_keeps_its_identity() -> None:
    (first,), (again,) = alerts(message(), {}, NOW), alerts(message(item(before=Level.CRITICAL)), {}, NOW + 60)
    assert first["labels"] == again["labels"] and first["startsAt"] == again["startsAt"]


def test_every_value_is_text_and_none_is_empty() -> None:
    (alert,) = alerts(message(item(value="", note="", url="")), {}, NOW)
    values = [*alert["labels"].values(), *alert["annotations"].values()]
    assert all(isinstance(value, str) and value for value in values) and "generatorURL" not in alert


def test_a_test_message_is_an_alert_that_soon_ends() -> None:
    what = message(kind="test", items=(), level=Level.OK)
    (alert,) = alerts(what, {}, NOW)
    assert (labels(alert), moment(alert["endsAt"])) == (("hbd_test", "hbd", "none"), NOW + 60)


@pytest.mark.parametrize("label", ["a-b=c", "1a=b", "a=", "=b", "a", "severity=x", "alertname=x", "a=b\nc"])
def test_a_label_that_alertmanager_would_refuse_is_refused(label: str) -> None:
    assert [key for key, _ in Alertmanager().check({"url": "http://am:9093", "labels": (label,)})] == ["labels"]


@pytest.mark.parametrize("odd", ["Bearer x\r\nHost: y", "Bearer é"])
def test_an_authorization_that_is_no_header_is_refused(odd: str) -> None:
    assert [key for key, _ in Alertmanager().check({"url": "http://am:9093", "authorization": odd})] == [
        "authorization"
    ]
