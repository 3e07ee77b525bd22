"""What agents of other systems sent and what they were answered, for people: gathered, and written some at once."""

from __future__ import annotations

import asyncio
import math
import re
import string
from typing import Any

import msgspec
from msgspec import Struct

from hbd.errors import StorageError
from hbd.gathered import write_soon
from hbd.hosts import Host
from hbd.stats import Stats
from hbd.store import Store
from hbd.store.reports import ReportRow

MAX_WAITING = 5_000
MAX_WAITING_BYTES = 16 << 20
MAX_KEPT = 32 << 10  # letters of one report, about
MAX_DEPTH = 12
ROOM_FOR_A_VALUE = 8  # what a number or a bracket counts
KEY_LENGTH = 64
UNREADABLE_BYTES = 2_000  # kept of a body that could not be read
MAX_ANSWER_BYTES = 4 << 20  # of reports that people are shown at once
HIDDEN = "•••"

_KEY = re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{64}(?![0-9A-Fa-f])")
_SECRET_NAME = re.compile(  # words that are secrets wherever a name ends in them, and such as stand alone in it
    r"(?i:passw(?:or)?d|passphrase|passcode|secret|token|credential|authorization|api_?key)(?i:s?)$"
    r"|(?:^|[^A-Za-z0-9]|(?<=[a-z0-9])(?=[A-Z]))(?i:keys?|pwd|pass)$"
)
_SECRET_IN_TEXT = re.compile(
    r"""(?i)((?:passw(?:or)?d|passphrase|passcode|secret|token|credentials?|authorization"""
    r"""|(?<![a-z])key|(?<![a-z])pwd)["']?\s*[=:]\s*)"""
    r"""(?:"(?:[^"\\]|\\.)*"?|[^\s"&,;}][^\s&,;}]*)"""
)


class LoggedReport(Struct):
    """One report as people are shown it. request: what was sent, without secrets. answer: what was answered.

    status: the HTTP status of the answer. cut: whether more was sent than is kept. time: Unix seconds.
    """

    receiver: str
    time: float
    status: int
    request: Any
    answer: Any
    cut: bool


class ReportLog:
    """``note`` never waits and never raises; ``run`` does the work."""

    def __init__(self, store: Store, stats: Stats) -> None:
        self._store = store.reports
        self._stats = stats
        self._waiting: list[ReportRow] = []
        self._bytes = 0
        self._came = asyncio.Event()
        self._writing = asyncio.Lock()
        stats.describe("report_log_dropped_total", "Reports that are not in their host's report log for want of room.")

    def note(self, host: Host, receiver: str, now: float, *, request: Any, status: int, answer: Any) -> None:
        """Keep a report of a host that has proven who it is. now: Unix seconds of its arrival.

        receiver: what it came through, in a word (``monitron``). request: what was sent, as JSON values (mappings,
        lists, texts, numbers), or as text where it was no JSON; of what is long the beginning is kept. status: HTTP.
        """
        shown = Shown()
        kept = shown.of(request)
        body = msgspec.json.encode([kept, Shown().of(answer)])
        if len(self._waiting) >= MAX_WAITING or self._bytes + len(body) > MAX_WAITING_BYTES:
            self._stats.count("report_log_dropped_total")
            return
        self._waiting.append(ReportRow(host.id, receiver, now, status, shown.cut, body))
        self._bytes += len(body)
        self._came.set()

    async def run(self) -> None:
        await write_soon(self._came, self.write)

    async def write(self) -> bool:
        """Write what waits. False when the disk does not take it; then it goes on waiting.

        Who is stopped meanwhile stops no write that has begun, and nothing is written twice.
        """
        return await asyncio.shield(asyncio.ensure_future(self._write()))

    async def _write(self) -> bool:
        async with self._writing:
            self._came.clear()
            rows = list(self._waiting)
            if not rows:
                return True
            try:
                await self._store.add(rows)
            except StorageError:
                self._came.set()
                return False
            del self._waiting[: len(rows)]
            self._bytes -= sum(len(row.body) for row in rows)
            return True

    async def recent(self, host: Host, limit: int) -> list[LoggedReport]:
        """The newest of a host, newest first, also those that no disk has yet; of very large ones fewer than ``limit``.

        Raises StorageError.
        """
        await self.write()
        waiting = [row for row in reversed(self._waiting) if row.host_id == host.id]
        rows = [*waiting, *await self._store.recent(host.id, limit, MAX_ANSWER_BYTES)]
        return await asyncio.to_thread(lambda: [_read(row) for row in rows[:limit]])


def unreadable(body: bytes) -> str:
    """The beginning of a body that is no JSON, as text, for ``ReportLog.note``."""
    text = body[:UNREADABLE_BYTES].decode("utf-8", "replace")
    return text if len(body) <= UNREADABLE_BYTES else _cut(text)


def _cut(text: str) -> str:
    """The end of what was cut, without what may be the beginning of a key."""
    return text.rstrip(string.hexdigits) + "…"


def _read(row: ReportRow) -> LoggedReport:
    request, answer = msgspec.json.decode(row.body)
    return LoggedReport(row.receiver, row.time, row.status, request, answer, row.cut)


class Shown:
    """Makes of what was sent what people may see: no secrets, nothing that JSON has no word for, and not too much.

    cut: whether it had to leave something out, secrets aside.
    """

    def __init__(self, room: int = MAX_KEPT) -> None:
        self.cut = False
        self._room = room

    def of(self, value: Any, depth: int = 0) -> Any:
        self._room -= ROOM_FOR_A_VALUE
        if isinstance(value, str):
            return self._text(value)
        if value is None or isinstance(value, int | float):
            return self._number(value)
        if not isinstance(value, dict | list | tuple):
            return self._text(str(value))
        if depth >= MAX_DEPTH:
            self.cut = True
            return "…"
        return self._mapping(value, depth) if isinstance(value, dict) else self._list(value, depth)

    @staticmethod
    def _number(value: Any) -> Any:
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        if value is None or -(1 << 63) <= value < 1 << 64:
            return value
        return f"{value:.6e}" if abs(value) < 10**300 else "a number of more than 300 digits"

    def _mapping(self, value: dict[Any, Any], depth: int) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for name, item in value.items():
            if self._is_full():
                break
            text = self._text(str(name))
            secret = item not in ("", None) and not isinstance(item, bool) and _SECRET_NAME.search(text)
            kept[text] = HIDDEN if secret else self.of(item, depth + 1)
        return kept

    def _list(self, value: list[Any] | tuple[Any, ...], depth: int) -> list[Any]:
        kept: list[Any] = []
        for item in value:
            if self._is_full():
                break
            kept.append(self.of(item, depth + 1))
        return kept

    def _text(self, text: str) -> str:
        room = max(0, self._room)
        shown = _SECRET_IN_TEXT.sub(rf"\1{HIDDEN}", text[: room + KEY_LENGTH + 1])
        if len(text) >= KEY_LENGTH:
            shown = _KEY.sub(HIDDEN, shown)  # before it is cut: half a key is no key to this
        if len(text) > room:
            self.cut = True
            shown = _cut(shown[:room])
        self._room -= len(shown)
        return shown if shown.isascii() else shown.encode("utf-8", "replace").decode()

    def _is_full(self) -> bool:
        if self._room <= 0:
            self.cut = True
        return self._room <= 0
