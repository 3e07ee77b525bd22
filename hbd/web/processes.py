"""Watched processes over HTTP, with the answers and errors of the processes API."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, NoReturn

import msgspec

from hbd.errors import NotFound
from hbd.process_register import Duplicate, PlanLimit
from hbd.processes import Known, Watched
from hbd.rules import ANY
from hbd.web import process_view
from hbd.web.auth import ask_again
from hbd.web.call import Call
from hbd.web.errors import Unsupported, Worded
from hbd.web.process_view import LEAST_PERCENT, LONGEST_NAME, MOST_PERCENT

FORBIDDEN = re.compile(r"""[\s;&$`\\"'<>(){}|]""")
FORBIDDEN_WORDS = "blanks, line breaks and the characters ; & $ ` \\ \" ' < > ( ) { } | cannot be used"

Issues = list[dict[str, str]]


async def index(call: Call) -> process_view.ProcessList:
    register, alerts = call.parts.processes, call.parts.alerts
    plan, limit = register.plan
    processes = [process_view.process(known, alerts) for known in register.watches.of(call.host.id)]
    return process_view.ProcessList(
        processes=processes,
        plan_limit=limit,
        current_count=len(processes),
        plan=plan,
        server=process_view.server(call.host),
    )


async def create(call: Call) -> process_view.OneProcess:
    given, issues = _settings(await _body(call))
    if "name" not in given and not any(issue["field"] == "process_name" for issue in issues):
        issues.append(_issue("process_name", "is needed"))
    if issues:
        _refuse(issues)
    user = call.user
    watched = Watched(host_id=call.host.id, user_id=user.id if user is not None else None, created=time.time(), **given)
    entry = call.entry("process.create", _object(call, watched))
    try:
        known = await call.parts.processes.add(watched, entry)
    except Duplicate:
        raise Worded(409, {"error": "duplicate_process"}) from None
    except PlanLimit as error:
        body = {"scope": "per_server", "plan_limit": error.limit, "current_count": error.count}
        raise Worded(402, {"error": "plan_limit_reached", **body}) from None
    except NotFound:
        raise NotFound("server_not_found") from None
    return process_view.OneProcess(process_view.process(known, call.parts.alerts))


async def show(call: Call) -> process_view.ProcessDetail:
    known, register = _named(call), call.parts.processes
    history = await register.history(known.watched, time.time())
    return process_view.ProcessDetail(
        process=process_view.process(known, call.parts.alerts),
        samples=[process_view.sample(row) for row in history.samples],
        samples_total=history.total,
        recent_restarts=history.restarts,
    )


async def update(call: Call) -> process_view.OneProcess:
    _named(call)  # what is not there is missed before the body is looked at
    given, issues = _settings(await _body(call))
    if issues:
        _refuse(issues)
    if not given:
        _refuse([_issue("", "no updatable fields provided")])
    watched = _named(call).watched
    told = ", ".join(f"{name} {value}" for name, value in given.items())
    entry = call.entry("process.change", _object(call, watched), detail=told)
    try:
        known = await call.parts.processes.change(call.host.id, watched.id, given, entry)
    except Duplicate:
        raise Worded(409, {"error": "duplicate_process"}) from None
    except NotFound:
        raise NotFound("not_found") from None
    return process_view.OneProcess(process_view.process(known, call.parts.alerts))


async def delete(call: Call) -> process_view.Gone:
    watched = _named(call).watched
    try:
        await call.parts.processes.delete(
            call.host.id, watched.id, call.entry("process.delete", _object(call, watched))
        )
    except NotFound:
        raise NotFound("not_found") from None
    return process_view.Gone()


def _named(call: Call) -> Known:
    """The process in the path."""
    text = call.path["id"]
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0
    known = call.parts.processes.watches.get(call.host.id, number)
    if known is None:
        raise NotFound("not_found")
    return known


def _object(call: Call, watched: Watched) -> str:
    return f"process {watched.name} of host {call.host.name}"


# ------------------------------------------------------------------------------------------------------ what is given


async def _body(call: Call) -> dict[str, Any]:
    if call.request.content_type != "application/json":
        raise Unsupported("The body must be application/json")
    try:
        given = msgspec.json.decode(await call.request.read())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        _refuse([_issue("", "the body is not JSON")])
    if not isinstance(given, dict):
        _refuse([_issue("", "the body must be an object")])
    ask_again(call)
    return given


def _settings(body: dict[str, Any]) -> tuple[dict[str, Any], Issues]:
    """(values by field of ``Watched``, what is wrong with the others). Other fields than ours are left alone."""
    values: dict[str, Any] = {}
    issues: Issues = []
    for name, (field, read) in _FIELDS.items():
        if name in body:
            try:
                values[field] = read(body[name])
            except ValueError as error:
                issues.append(_issue(name, str(error)))
    return values, issues


def _process_name(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    if not 1 <= len(value) <= LONGEST_NAME:
        raise ValueError(f"must have 1 to {LONGEST_NAME} characters")
    if FORBIDDEN.search(value) or not value.isprintable():
        raise ValueError(FORBIDDEN_WORDS)
    if value == ANY:
        raise ValueError(f"{ANY} alone stands for every name in thresholds, and cannot be one")
    return value


def _boolean(value: Any) -> bool:
    if isinstance(value, bool) or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise ValueError("must be true or false")


def _percent(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number")
    if not LEAST_PERCENT <= value <= MOST_PERCENT:
        raise ValueError(f"must be {LEAST_PERCENT:g} to {MOST_PERCENT:g}")
    return float(value)


_FIELDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "process_name": ("name", _process_name),
    "enabled": ("enabled", _boolean),
    "alert_on_down": ("alert_on_down", _boolean),
    "alert_on_restart": ("alert_on_restart", _boolean),
    "alert_on_cpu": ("alert_on_cpu", _boolean),
    "alert_on_memory": ("alert_on_memory", _boolean),
    "cpu_threshold_pct": ("cpu_limit", _percent),
    "memory_threshold_pct": ("memory_limit", _percent),
}
"""field of a body → field of ``Watched``, and what reads it"""


def _issue(field: str, reason: str) -> dict[str, str]:
    return {"field": field, "reason": reason}


def _refuse(issues: Issues) -> NoReturn:
    raise Worded(400, {"error": "validation_failed", "issues": issues})
