"""What became of commands, in the words of NOBA-style agents, and those commands in their words. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from hbd.receivers.fields import Problems
from hbd.remote.frames import Frame, Output, Result

MAX_RESULTS = 50  # of one report
MAX_OUTPUT = 64 << 10  # letters kept of what a command wrote
MAX_REASON = 1024
MAX_LINES = 500  # of one stream in one report
UNKNOWN_COMMAND = "unknown command"
"""how the answer of an agent begins that has not started a command, because it has none of that name"""
ALSO_CALLED = {"shell": "exec", "service_status": "check_service", "service_restart": "restart_service"}
"""our name of a command to what these agents call it"""

_DONE = frozenset(("ok", "done", "success", "completed"))
_STATUSES = ("done", "failed", "timeout", "rejected")
_NOT_OUTPUT = frozenset(("id", "type", "cmd", "status", "error", "exit_code", "stderr"))


def command(frame: Frame, name: str) -> Frame:
    """The message on the socket. frame: in the words of ``hbc.wire.Command``; name: what the agent calls it."""
    return {"type": "command", "id": frame["id"], "cmd": name, "params": frame["params"]}


def in_reply(frame: Frame, name: str) -> Frame:
    """The same in the answer to a report."""
    return {"id": frame["id"], "type": name, "params": frame["params"]}


def results(value: object, problems: Problems) -> Iterator[Result]:
    """Those in a report."""
    entries = value if isinstance(value, list) else []
    if value is not None and not isinstance(value, list):
        problems.add("_cmd_results", "must be a list")
    if len(entries) > MAX_RESULTS:
        problems.add("_cmd_results", f"only {MAX_RESULTS} of {len(entries)} are taken")
    for index, entry in enumerate(entries[:MAX_RESULTS]):
        found = result(entry)
        if found is None:
            problems.add(f"_cmd_results.{index}", "is no answer to a command of ours")
        else:
            yield found


def result(value: object) -> Result | None:
    """One answer, None when it is none to a command of ours."""
    if not isinstance(value, Mapping):
        return None
    error, code = value.get("error"), value.get("exit_code")
    exit_code = code if isinstance(code, int) and not isinstance(code, bool) else None
    reason = _text(error) if error else ""
    stdout, stderr = _stdout(value), _text(value.get("stderr"))
    try:
        return msgspec.convert(
            {
                "type": "result",
                "id": value.get("id"),
                "cmd": _text(value.get("cmd") or value.get("type"))[:64],
                "status": _status(value.get("status"), reason, exit_code),
                "exit_code": exit_code,
                "stdout": stdout[:MAX_OUTPUT],
                "stderr": stderr[:MAX_OUTPUT],
                "truncated": max(len(stdout), len(stderr)) > MAX_OUTPUT,
                "reason": reason[:MAX_REASON],
            },
            Result,
        )
    except msgspec.ValidationError:
        return None


def _status(status: object, reason: str, exit_code: int | None) -> str:
    """These agents know ok and error; what kind of error their words tell."""
    if isinstance(status, str) and status.lower() in _DONE:
        return "failed" if exit_code else "done"
    if isinstance(status, str) and status.lower() in _STATUSES:
        return status.lower()
    if reason.lower().startswith(UNKNOWN_COMMAND):
        return "rejected"
    return "timeout" if reason.lower().startswith("timeout") else "failed"


def _stdout(value: Mapping[Any, Any]) -> str:
    """What a command wrote; of one that has no output of its own, the fields of its answer."""
    for name in ("stdout", "output", "message"):
        if isinstance(text := value.get(name), str):
            return _text(text)
    fields = {str(name): field for name, field in value.items() if name not in _NOT_OUTPUT}
    return _text(_json(fields)) if fields else ""


def _json(value: object) -> str:
    try:
        return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    except (ValueError, OverflowError, RecursionError):
        return _text(value)


def _text(value: object) -> str:
    """Any value as text that can be stored; "" for none, and for what is nested more deeply than can be told."""
    try:
        text = "" if value is None else str(value)
    except RecursionError:
        return ""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def streamed(value: object) -> Iterator[Output]:
    """What running commands wrote meanwhile: command id to lines."""
    for name, lines in list(value.items())[:MAX_RESULTS] if isinstance(value, Mapping) else ():
        texts = [line for line in lines[:MAX_LINES] if isinstance(line, str)] if isinstance(lines, list) else []
        found = output({"id": name, "line": "\n".join(texts)}) if texts else None
        if found is not None:
            yield found


def output(value: Mapping[str, Any]) -> Output | None:
    """A line that a running command wrote, None when it is of no command of ours."""
    text = _text(value.get("line"))[:MAX_OUTPUT]
    try:
        return msgspec.convert(
            {"type": "output", "id": value.get("id"), "stream": "stdout", "text": text + "\n"}, Output
        )
    except msgspec.ValidationError:
        return None
