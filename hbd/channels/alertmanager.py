"""Alerts for Prometheus' Alertmanager, which has grouping, silences and receivers of its own.

An alert ends there by itself, so what is open is sent again and again. Its labels are its identity, and the severity is
one of them: a problem that changes its level is resolved under the old one and begins under the new one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from hbd.channels import http
from hbd.channels.base import Channel, Field, Flaw, Item, Message, Settings, Tools
from hbd.channels.guard import flaw_of_url, target_of
from hbd.channels.words import headline
from hbd.model import Level

REFRESH_SECONDS = 60.0
KEPT_SECONDS = 300.0  # how long Alertmanager goes on when nothing more is heard of an alert
TEST_SECONDS = 60.0
MAX_LABELS = 30

_LABEL = re.compile(r"([a-zA-Z_][a-zA-Z0-9_]{0,99})=([^\x00-\x1f\x7f]{1,500})")
_OURS = ("alertname", "instance", "severity")


class Alertmanager:
    key = "alertmanager"
    label = "Alertmanager"
    fields = (
        Field("url", "URL", "url", required=True, help="http://alertmanager:9093"),
        Field("authorization", "Authorization", "secret", help="Value of that header, such as “Bearer …”."),
        Field("labels", "More labels", "list", help="One “name=value” each."),
    )

    def check(self, settings: Settings) -> list[Flaw]:
        flaws = [("url", flaw_of_url(settings["url"]))]
        flaws += [("labels", _flaw_of_label(text)) for text in settings.get("labels", ())]
        if len(settings.get("labels", ())) > MAX_LABELS:
            flaws.append(("labels", f"must be {MAX_LABELS} at most"))
        secret = settings.get("authorization", "")
        if not secret.isascii() or (secret and not secret.isprintable()):
            flaws.append(("authorization", "must be one line of ASCII"))
        return [flaw for flaw in flaws if flaw[1]]

    def targets(self, settings: Settings) -> Sequence[tuple[str, int]]:
        return [target_of(settings["url"])]

    def open(self, name: str, settings: Settings, tools: Tools) -> Channel:
        return _Open(settings, tools)


class _Open:
    refresh = REFRESH_SECONDS

    def __init__(self, settings: Settings, tools: Tools) -> None:
        self._url = settings["url"].rstrip("/") + "/api/v2/alerts"
        self._labels = dict(text.split("=", 1) for text in settings.get("labels", ()))
        self._authorization = settings.get("authorization", "")
        self._tools = tools

    async def send(self, message: Message) -> str:
        headers = {"Authorization": self._authorization} if self._authorization else {}
        body = msgspec.json.encode(alerts(message, self._labels, self._tools.clock()))
        return await http.request(self._tools, self._url, body, headers=headers)

    async def close(self) -> None:
        pass


def alerts(message: Message, labels: dict[str, str], now: float) -> list[dict[str, Any]]:
    if not message.items:
        return [_about_itself(message, labels, now)]
    return [alert for item in message.items for alert in _of_item(item, labels, now)]


def _of_item(item: Item, labels: dict[str, str], now: float) -> Iterator[dict[str, Any]]:
    told = item.before if item.before is not Level.OK else None
    if told is not None and told is not item.level:
        yield _alert(item, told, labels, ends=min(item.at, now))
    if not item.ended:
        yield _alert(item, item.level, labels, ends=now + KEPT_SECONDS)


def _alert(item: Item, level: Level, labels: dict[str, str], *, ends: float) -> dict[str, Any]:
    annotations = {"summary": headline(item), "reason": item.reason, "value": item.value, "note": item.note}
    alert = {
        "labels": {**labels, "alertname": item.metric, "instance": item.host, "severity": level.lower()},
        "annotations": {name: text for name, text in annotations.items() if text},
        "startsAt": _time(min(item.since, ends)),
        "endsAt": _time(ends),
    }
    return alert | ({"generatorURL": item.url} if item.url else {})


def _about_itself(message: Message, labels: dict[str, str], now: float) -> dict[str, Any]:
    test = message.kind == "test"
    return {
        "labels": {
            **labels,
            "alertname": "hbd_test" if test else "hbd_notice",
            "instance": message.sender,
            "severity": "none" if test else message.level.lower(),
        },
        "annotations": {"summary": message.title, "description": message.text},
        "startsAt": _time(now),
        "endsAt": _time(now + (TEST_SECONDS if test else KEPT_SECONDS)),
    }


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def _flaw_of_label(text: str) -> str:
    match = _LABEL.fullmatch(text)
    if match is None:
        return "must be like “name=value”, the name of letters, digits and _"
    return f"{match[1]} is set by hbd" if match[1] in _OURS else ""
