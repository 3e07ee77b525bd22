"""The agent's record of commands: what is in it is never run again.

A command is on disk before it starts and again when it has ended, so that neither a resend nor a replay nor a power cut
makes it run twice. An id is kept for two days; the daemon's time of the newest one that was forgotten stays, and
whatever was issued up to then is refused, so that forgetting makes nothing possible either.

The file is lines of JSON: a head, then for each command one when it was taken and one with its result.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

KEEP_SECONDS = 48 * 3600.0
MOST_ENTRIES = 20_000
MOST_UNSAVED = 200  # outcomes that the disk would not take
OUTPUT_BYTES = 4 << 20  # of results with their output; of older ones the rest is kept
FILE_BYTES = 2 * OUTPUT_BYTES + (4 << 20)  # beyond it is written anew
UNKNOWN = "outcome unknown: the agent was stopped while this ran"
REBOOTED = "the machine was started again"
OUTPUT_GONE = "(the output is no longer kept)"


class JournalLocked(OSError):
    """Another agent uses this record."""


@dataclass
class Entry:
    """issued: the daemon's time of the command. at: our own of this line. offset, size: of the line with its result, in
    bytes; size 0 while it runs."""

    cmd: str
    issued: float
    at: float
    boot: str = ""
    offset: int = 0
    size: int = 0


class Journal:
    """Times are Unix seconds. Nothing is known before ``open``."""

    def __init__(self, folder: Path, boot_id: str, wall: Callable[[], float]) -> None:
        self.id = secrets.token_hex(8)
        """new when an earlier record was lost or cannot be trusted"""
        self.forgotten = 0.0
        """the newest time of issue among the commands that were forgotten"""
        self._path = folder / "commands"
        self._boot_id = boot_id
        self._wall = wall
        self._entries: dict[str, Entry] = {}
        self._unsaved: dict[str, dict[str, Any]] = {}
        self._file: int | None = None
        self._lock_file: int | None = None
        self._size = 0
        self._writing = asyncio.Lock()

    def __contains__(self, id: str) -> bool:
        return id in self._entries or id in self._unsaved

    def __len__(self) -> int:
        return len(self._entries)

    def open(self) -> None:
        """Read what there is; what ran when the agent was stopped gets its outcome. Raises OSError."""
        self._lock_file = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalLocked(f"{self._path}: another agent uses it") from None
        self._read()
        self._rewrite()
        for id, entry in list(self._entries.items()):
            if not entry.size:
                rebooted = entry.cmd == "reboot" and entry.boot != self._boot_id
                self._append_result(
                    id, entry, _cut_short(entry, *(("done", REBOOTED) if rebooted else ("failed", UNKNOWN)))
                )

    async def renew(self, now: float) -> None:
        """Begin another record, if the daemon's clock, at ``now``, was once so far ahead that all it asks counts as
        forgotten: what was delivered to another id is never sent again. Raises OSError, with everything as it was."""
        async with self._writing:
            if self.forgotten <= now or self._file is None:
                return
            before = self.id, self.forgotten
            self.id, self.forgotten = secrets.token_hex(8), now
            try:
                await _in_thread(self._rewrite)
            except OSError:
                self.id, self.forgotten = before
                raise

    def close(self) -> None:
        for file in (self._file, self._lock_file):
            if file is not None:
                os.close(file)
        self._file = self._lock_file = None

    async def begin(self, id: str, cmd: str, issued: float) -> None:
        """Note that a command is about to run; when this returns it is on disk. Raises OSError."""
        async with self._writing:
            entry = Entry(cmd, issued, self._wall(), self._boot_id)
            line = {"id": id, "cmd": cmd, "issued": issued, "at": entry.at, "boot": self._boot_id}
            self._entries[id] = entry
            try:
                await _in_thread(self._append, line)
            except OSError:
                del self._entries[id]
                raise

    async def end(self, id: str, cmd: str, issued: float, result: dict[str, Any]) -> None:
        """Note what became of a command, also of one that was refused and never began. Raises OSError; then it is known
        for as long as the agent runs."""
        async with self._writing:
            self._unsaved[id] = result
            if len(self._unsaved) > MOST_UNSAVED:
                del self._unsaved[next(iter(self._unsaved))]
            if self._size > FILE_BYTES:
                await _in_thread(self._rewrite)
            entry = self._entries.get(id) or Entry(cmd, issued, self._wall(), self._boot_id)
            await _in_thread(self._append_result, id, entry, result)
            del self._unsaved[id]

    async def result(self, id: str) -> dict[str, Any] | None:
        """What became of a command, None while it runs. Raises OSError."""
        async with self._writing:
            if id in self._unsaved:
                return self._unsaved[id]
            return await _in_thread(self._result, self._entries[id])

    def _result(self, entry: Entry) -> dict[str, Any] | None:
        if not entry.size or self._file is None:
            return None
        result: dict[str, Any] = json.loads(os.pread(self._file, entry.size, entry.offset))["result"]
        return result

    # ----------------------------------------------------------------------------------------------------- the file

    def _read(self) -> None:
        """Fill the entries from the file, or leave them empty when there is none. What is damaged makes a new id: then
        nobody can say what else was in it."""
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return
        self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        whole, _, _ = raw.rpartition(b"\n")  # a last line that is cut short was never acted upon
        offset, known = 0, ""
        damaged = False
        for number, line in enumerate(whole.split(b"\n") if whole else ()):
            try:
                read = json.loads(line)
                if number == 0:
                    known, self.forgotten = str(read["journal"]), float(read["forgotten"])
                elif "result" in read:
                    entry = self._entries.setdefault(read["id"], Entry(read["cmd"], read["issued"], read["at"]))
                    entry.at, entry.offset, entry.size = float(read["at"]), offset, len(line)
                else:
                    self._entries[read["id"]] = Entry(read["cmd"], float(read["issued"]), read["at"], read["boot"])
            except (ValueError, KeyError, TypeError):
                damaged = True
            offset += len(line) + 1
        if known and not damaged:
            self.id = known

    def _rewrite(self) -> None:
        """Write the file anew with what is to be kept: whole or not at all."""
        kept, forgotten = self._kept()
        fresh = self._path.with_suffix(".new")
        entries: dict[str, Entry] = {}
        size = 0
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as out:
            size += out.write(_line({"journal": self.id, "forgotten": forgotten}))
            for id, entry, line in self._lines(kept):
                ended = bool(entry.size)
                entries[id] = Entry(entry.cmd, entry.issued, entry.at, entry.boot, size, len(line) - 1 if ended else 0)
                size += out.write(line)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(self._path)
        _sync_folder(self._path.parent)
        file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        if self._file is not None:
            os.close(self._file)
        self._file, self._entries, self._size, self.forgotten = file, entries, size, forgotten

    def _kept(self) -> tuple[list[tuple[str, Entry]], float]:
        """Entries that are not too old or too many, the oldest first; and the newest issue time of all forgotten."""
        now, forgotten = self._wall(), self.forgotten
        kept = []
        for left, (id, entry) in zip(
            range(len(self._entries), 0, -1), sorted(self._entries.items(), key=lambda item: item[1].at), strict=True
        ):
            if entry.size and (entry.at < now - KEEP_SECONDS or left > MOST_ENTRIES):
                forgotten = max(forgotten, entry.issued)
            else:
                kept.append((id, entry))
        return kept, forgotten

    def _lines(self, kept: list[tuple[str, Entry]]) -> Iterator[tuple[str, Entry, bytes]]:
        room = OUTPUT_BYTES
        with_output = set()
        for id, entry in reversed(kept):
            room -= entry.size
            if room >= 0:
                with_output.add(id)
        for id, entry in kept:
            line: dict[str, Any] = {"id": id, "cmd": entry.cmd, "issued": entry.issued, "at": entry.at}
            result = self._result(entry)
            if result is None:
                yield id, entry, _line(line | {"boot": entry.boot})
                continue
            if id not in with_output and (result.get("stdout") or result.get("stderr")):
                result |= {"stdout": OUTPUT_GONE, "stderr": "", "truncated": True}
            yield id, entry, _line(line | {"result": result})

    def _append_result(self, id: str, entry: Entry, result: dict[str, Any]) -> None:
        at = self._wall()
        line = {"id": id, "cmd": entry.cmd, "issued": entry.issued, "at": at, "result": result}
        offset = self._size
        size = self._append(line)
        self._entries[id] = Entry(entry.cmd, entry.issued, at, entry.boot, offset, size)

    def _append(self, line: dict[str, Any]) -> int:
        """Put a line on disk; returns its length. A line that fails half-way is taken back. Raises OSError."""
        if self._file is None:
            raise OSError("the record of commands is not open")
        data = _line(line)
        try:
            written = os.write(self._file, data)
            if written < len(data):
                raise OSError("the disk took only a part")
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(data)
        return len(data) - 1


async def _in_thread(work: Callable[..., T], *arguments: Any) -> T:
    """Whoever is cancelled meanwhile waits for the end of it: nobody else may write before."""
    task = asyncio.create_task(asyncio.to_thread(work, *arguments))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


def _cut_short(entry: Entry, status: str, reason: str) -> dict[str, Any]:
    """The result of a command whose end nobody saw."""
    blank = {"exit_code": None, "stdout": "", "stderr": "", "truncated": False}
    return {"cmd": entry.cmd, "status": status, **blank, "reason": reason, "started": entry.at, "finished": None}


def _line(values: dict[str, Any]) -> bytes:
    return json.dumps(values, separators=(",", ":")).encode() + b"\n"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
