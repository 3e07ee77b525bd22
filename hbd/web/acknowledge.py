"""Acknowledging alerts over HTTP: somebody looks after it, and nobody has to be told again."""

from __future__ import annotations

import time
from typing import Annotated

from msgspec import Meta, Struct

from hbd.accounts.shown import check_texts
from hbd.alerts import Alert
from hbd.errors import Conflict, NotFound
from hbd.hushes import Ack
from hbd.matching import Matcher
from hbd.model import Level, Message
from hbd.web import schemas
from hbd.web.alert_view import subject
from hbd.web.call import Call
from hbd.web.scope import refresh

Path = Annotated[str, Meta(max_length=1000)]


class Acknowledgement(Struct, forbid_unknown_fields=True):
    metric_path: Path
    note: Annotated[str, Meta(max_length=500)] = ""


class Withdrawal(Struct, forbid_unknown_fields=True):
    metric_path: Path


async def acknowledge(call: Call) -> schemas.Done:
    body, now = call.body, time.time()
    assert isinstance(body, Acknowledgement)
    check_texts(note=body.note)
    alert, host, note = _alert(call, body.metric_path), call.host, body.note.strip()
    if not alert.problem:
        raise Conflict(f"{_name(alert)} is OK: there is nothing to acknowledge")
    ack = Ack(
        problem=alert.problem,
        host_id=host.id,
        path=alert.path,
        level=Level.CRITICAL if alert.flapping else alert.level,  # who knows that it swings knows all its levels
        user=call.identity.name,
        note=note,
        time=now,
    )
    entry = call.entry("alert.acknowledge", f"{alert.path} on {host.name}", detail=note)
    text = f"{_who(call)} acknowledged {_name(alert)} on {host.name}" + (f": {note}" if note else "")
    line = Message(now, host.name, text)
    await call.parts.hushing.acknowledge(ack, entry, line)
    _tell(call, alert, line)
    return schemas.Done()


async def withdraw(call: Call) -> schemas.Done:
    body, now = call.body, time.time()
    assert isinstance(body, Withdrawal)
    alert, host = _alert(call, body.metric_path), call.host
    entry = call.entry("alert.unacknowledge", f"{alert.path} on {host.name}")
    line = Message(now, host.name, f"{_who(call)} no longer looks after {_name(alert)} on {host.name}")
    await call.parts.hushing.end_ack(alert.problem, entry, line)
    _tell(call, alert, line)
    return schemas.Done()


def _alert(call: Call, path: str) -> Alert:
    alert = call.parts.alerts.get(call.host.id, path)
    if alert is None:
        raise NotFound(f"Nothing is judged on {call.host.name} under '{path}'")
    return alert


def _name(alert: Alert) -> str:
    name, key, _ = subject(alert)
    return f"{name} {key}".strip()


def _who(call: Call) -> str:
    return call.identity.name or "somebody"


def _tell(call: Call, alert: Alert, line: Message) -> None:
    call.parts.feed.message(line)
    refresh(call, Matcher(hosts=(call.host.name,), metrics=(alert.path,)))
