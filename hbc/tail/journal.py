"""Following the log of a systemd unit through ``journalctl``, which ends when nobody reads any more."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from datetime import UTC, datetime
from typing import Any

from hbc.files.beneath import Refusal
from hbc.tail.events import GATHERED_BYTES, LINE_BYTES, SHOWN_BYTES, Event, Line, Skipped, shown

PROGRAM = "journalctl"
ENTRY_BYTES = 1 << 20  # one entry as JSON; what is longer is skipped
TAKEN_BYTES = 1 << 20  # of its output at once; beyond that the program waits
END_SECONDS = 2.0  # between SIGTERM and SIGKILL
_UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]{1,255}")
_CURSOR = re.compile(r"[A-Za-z0-9=;]{1,512}")
_FIELDS = "MESSAGE,SYSLOG_IDENTIFIER,_COMM,_PID"
_COMPLAINT_BYTES = 300
_ENVIRONMENT = ("PATH",)  # all that it needs; the agent's key is not passed on


class JournalTail:
    """Blocks; ``poll`` is for a thread. A position is journald's cursor."""

    def __init__(self, unit: str, *, lines: int, after: str = "", program: str = PROGRAM) -> None:
        """unit: a whole name that was checked already. lines: of what is there. after: a cursor to go on from, instead.

        Raises Refusal.
        """
        if not _UNIT.fullmatch(unit):  # a pattern would match others too
            raise Refusal("denied", "that is no name of a unit")
        begin = f"--after-cursor={after}" if _CURSOR.fullmatch(after) else f"--lines={max(lines, 0)}"
        options = ("--follow", "--no-pager", "--all", "--output=json", f"--output-fields={_FIELDS}", begin)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - every word is ours or was checked
                [program, *options, f"--unit={unit}"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                start_new_session=True,
            )
        except FileNotFoundError:
            raise Refusal("missing", f"there is no {program} on this host") from None
        except OSError as error:
            raise Refusal("failed", f"{program}: {error.strerror}") from None
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
        self._waiting = b""  # output that is not a whole line yet

    def poll(self, now: float) -> list[Event] | None:
        """What came since the last time; None: the program has ended well. Raises Refusal when it has not."""
        assert self._process.stdout is not None
        parts: list[bytes] = []
        taken = 0
        try:
            while taken < TAKEN_BYTES and (part := os.read(self._process.stdout.fileno(), TAKEN_BYTES - taken)):
                parts.append(part)
                taken += len(part)
        except BlockingIOError:
            return self.take(b"".join(parts))
        if taken < TAKEN_BYTES and not parts:
            self._check_end()
            return None
        return self.take(b"".join(parts))

    def take(self, data: bytes) -> list[Event]:
        """What output stands for; the newest of it when it is too much."""
        whole, found, rest = (self._waiting + data).rpartition(b"\n")
        self._waiting = rest
        events: list[Event] = []
        if len(rest) > ENTRY_BYTES:
            self._waiting = b""
            events.append(Skipped("", 1, len(rest)))
        if not found:
            return events
        if len(whole) > GATHERED_BYTES and (newest := _newest(whole)):
            events.append(Skipped("", whole.count(b"\n", 0, newest), newest))
            whole = whole[newest:]
        for entry in whole.split(b"\n"):
            events += _lines(entry)
        return events

    def close(self) -> None:
        """End the program with all that it started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, number)
                self._process.wait(END_SECONDS)
            except (ProcessLookupError, PermissionError):
                break
            except subprocess.TimeoutExpired:
                continue
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()
        self._process.poll()

    def _check_end(self) -> None:
        """Its output has ended: well?"""
        try:
            status = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            raise Refusal("failed", f"{PROGRAM} says nothing any more") from None
        if status:
            assert self._process.stderr is not None
            said = shown((self._process.stderr.read(_COMPLAINT_BYTES) or b"").strip().partition(b"\n")[0])
            raise Refusal("failed", f"{PROGRAM} ended with {status}: {said}")


def _newest(entries: bytes) -> int:
    """Where the newest entries begin that are shown when there are too many; at least the last one."""
    return entries.find(b"\n", len(entries) - SHOWN_BYTES) + 1 or entries.rfind(b"\n") + 1


def _lines(entry: bytes) -> list[Line]:
    """The lines of one entry; its cursor is the position behind the last of them."""
    try:
        fields: dict[str, Any] = json.loads(entry)
        cursor = str(fields.get("__CURSOR", ""))
        time = datetime.fromtimestamp(int(fields["__REALTIME_TIMESTAMP"]) / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        message = _bytes(fields.get("MESSAGE"))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, OSError, RecursionError):
        return [Line("", _cut(entry))]
    name = shown(_bytes(fields.get("SYSLOG_IDENTIFIER") or fields.get("_COMM"))[:100])
    pid = shown(_bytes(fields.get("_PID"))[:20])
    head = f"{time} {name}[{pid}]: " if pid else f"{time} {name}: "
    *before, last = message.rstrip(b"\n").split(b"\n")
    return [*(Line("", head + _cut(part)) for part in before), Line(cursor, head + _cut(last))]


def _cut(line: bytes) -> str:
    return shown(line[:LINE_BYTES], max(0, len(line) - LINE_BYTES))


def _bytes(value: Any) -> bytes:
    """A field: text, or numbers where it is no UTF-8; several values give the first."""
    if isinstance(value, list) and value and not isinstance(value[0], int):
        value = value[0]
    return bytes(value) if isinstance(value, list) else str(value or "").encode("utf-8", "replace")
