"""The queue on disk of reports that no daemon has acknowledged yet.

Every report is appended before it is sent and forgotten after its acknowledgement, so a kill at any moment loses
nothing that was appended. The queue is a folder of segments (``hbc/segment.py``), oldest first, bounded in bytes and
in age: what does not fit drops the oldest segment, and each report in it is counted. While everything is acknowledged
at once there is one segment, cut to nothing after each report.

When the disk takes nothing, reports wait in memory (1 MiB at most) and the agent goes on; on a disk that is still
full then, the oldest segment makes room.

Memory holds a few numbers for each segment and the places of the records of one segment, never the payloads.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import os
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from hbc.segment import HEAD_BYTES, Entry, Segment

log = logging.getLogger(__name__)

MEGABYTE = 1 << 20
MEMORY_BYTES = MEGABYTE
_SEGMENT_BYTES = MEGABYTE
_SEGMENTS_AT_LEAST = 16  # so that dropping one costs a small part of the queue
_SEGMENTS_PER_AGE = 160  # one an hour for seven days
_SUFFIX = ".seg"


class SpoolLocked(Exception):
    """Another agent uses this folder."""


class Spool:
    """Times called ``now`` are monotonic seconds: a wall clock that jumps makes no report look old."""

    def __init__(self, path: Path, *, max_bytes: int, max_age: float) -> None:
        """max_age: seconds. Nothing is opened before ``open``."""
        self.path = path
        self.max_bytes = max_bytes
        self.max_age = max_age
        self.dropped = 0  # reports that had to go since the start, because of size, age or a full disk
        self.damaged = 0  # reports that were found damaged on disk
        self.problem: str | None = None  # why the disk takes nothing at the moment
        self._segment_bytes = min(_SEGMENT_BYTES, max_bytes // _SEGMENTS_AT_LEAST)
        self._segment_age = max_age / _SEGMENTS_PER_AGE
        self._segments: dict[int, Segment] = {}  # by rising number
        self._number = 0
        self._lock = -1
        self._unsynced: set[Path] = set()
        self._resting: Segment | None = None  # the last segment read, beside the last one its file is the only open one
        self.rewind()

    # ---------------------------------------------------------------------------------------------------- open, close

    def open(self, *, now: float, wall: float) -> None:
        """Take the folder and find what earlier runs left. Raises SpoolLocked, or OSError when it cannot be used."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise SpoolLocked(f"another hbc already uses {self.path}") from None
            raise
        lost = skipped = 0
        for file in sorted(self.path.glob(f"*{_SUFFIX}")):
            if not file.stem.isdecimal():
                continue
            segment = Segment(int(file.stem), file, now)
            self._number = max(self._number, segment.number)
            try:
                damage = segment.load(now, wall)
            except OSError as error:
                log.warning("spool: %s cannot be read and is left alone: %s", file, error)
                continue
            finally:
                segment.rest()
            lost, skipped = lost + damage.records, skipped + damage.bytes
            if segment.live:
                self._segments[segment.number] = segment
            else:
                segment.remove()
        self._number += 1  # a file of an earlier run is never written again: its end may be torn
        self.damaged += lost
        if skipped:
            log.warning("spool: %d damaged records skipped (%d bytes); everything else is kept", lost, skipped)
        if self.records:
            log.info("spool: %d reports of earlier runs wait to be sent", self.records)
        self.expire(now)

    def close(self) -> None:
        """Give the folder back. The lock ends with the process too."""
        for segment in self._segments.values():
            segment.rest()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    # ---------------------------------------------------------------------------------------------------------- write

    def append(self, run_id: str, seq: int, wall: float, payload: bytes, now: float) -> Entry:
        """Queue one report. wall: when it was measured. Never fails: what the disk does not take waits in memory."""
        size = HEAD_BYTES + len(payload)
        self.expire(now)
        while self._segments and self.size + size > self.max_bytes:
            self._drop(self._oldest)
        made_room = False
        while True:
            try:
                entry = self._file_segment(size, now).append(run_id, seq, wall, payload, now)
            except OSError as error:
                self._failed(error)
                full = error.errno in (errno.ENOSPC, errno.EDQUOT)
                if full and self._memory_left() < size and not made_room and self._drop_oldest_file():
                    made_room = True
                    continue
                return self._memory_segment(size, now).append(run_id, seq, wall, payload, now)
            if self.problem is not None:
                log.info("spool: the disk takes reports again")
                self.problem = None
            return entry

    def expire(self, now: float) -> None:
        """Drop what is older than max_age."""
        while self._segments and now - self._oldest.newest > self.max_age:
            self._drop(self._oldest)

    async def sync(self) -> None:
        """Have the disk keep what was appended, against a power cut. In a thread: a busy disk may take seconds."""
        paths, self._unsynced = self._unsynced, set()
        if paths:
            await asyncio.to_thread(_sync_files, [*paths, self.path])

    def sync_now(self) -> None:
        """As ``sync``, waiting for the disk; for the end of the agent."""
        _sync_files([*self._unsynced, self.path])
        self._unsynced = set()

    def done(self, entry: Entry) -> None:
        """Forget an acknowledged report. Harmless for one that is done or was dropped."""
        if self.payload(entry) is None:
            return
        segment = self._segments[entry.segment]
        segment.mark_done(entry)
        if not segment.live:
            self._forget(segment)

    # ----------------------------------------------------------------------------------------------------------- read

    def rewind(self) -> None:
        """Let ``read`` begin with the oldest report again."""
        self._ahead: deque[Entry] = deque()
        self._read_to = (0, 0)  # segment number, offset

    def read(self) -> Entry | None:
        """The next report in the order of appending, None when all were read since the last ``rewind``.

        It may have been done meanwhile: ``payload`` tells.
        """
        while not self._ahead:
            number, offset = self._read_to
            segment = next((s for s in self._segments.values() if s.number >= number and self._unread(s)), None)
            if segment is None:
                return None
            try:
                entries, _ = self._open(segment).entries(offset if segment.number == number else 0)
            except OSError as error:
                self._failed(error)
                entries = []
            self._ahead.extend(entries)
            self._read_to = (segment.number, segment.end)
        return self._ahead.popleft()

    def payload(self, entry: Entry) -> bytes | None:
        """None when the report is done, was dropped, or cannot be read any more."""
        segment = self._segments.get(entry.segment)
        if segment is None:
            return None
        try:
            return self._open(segment).payload(entry)
        except OSError as error:
            self._failed(error)
            return None

    # -------------------------------------------------------------------------------------------------------- figures

    @property
    def records(self) -> int:
        """Reports that wait for their acknowledgement."""
        return sum(segment.live for segment in self._segments.values())

    @property
    def size(self) -> int:
        """Bytes the queue takes, on disk and in memory."""
        return sum(segment.bytes for segment in self._segments.values())

    # ------------------------------------------------------------------------------------------------------- segments

    @property
    def _oldest(self) -> Segment:
        return next(iter(self._segments.values()))

    @property
    def _last(self) -> Segment | None:
        return self._segments.get(self._number)

    def _unread(self, segment: Segment) -> bool:
        number, offset = self._read_to
        return segment.number > number or segment.end > offset

    def _file_segment(self, size: int, now: float) -> Segment:
        last = self._last
        if last is not None and last.path is not None:
            old = now - last.born > self._segment_age
            if not last.bytes or (last.bytes + size <= self._segment_bytes and not old):
                self._unsynced.add(last.path)
                return last
        path = self.path / f"{self._number + 1:012d}{_SUFFIX}"
        self._unsynced.add(path)
        return self._new_segment(path, now)

    def _memory_segment(self, size: int, now: float) -> Segment:
        last = self._last
        if last is not None and last.path is not None and not last.bytes:
            self._forget(last)  # the one whose first record just failed
        # Each record is a segment of its own here: the oldest go one by one.
        while self._memory_left() < size:
            self._drop(self._in_memory()[0])
        return self._new_segment(None, now)

    def _in_memory(self) -> list[Segment]:
        return [segment for segment in self._segments.values() if segment.path is None]

    def _memory_left(self) -> int:
        return MEMORY_BYTES - sum(segment.bytes for segment in self._in_memory())

    def _new_segment(self, path: Path | None, now: float) -> Segment:
        if self._last is not None:
            self._last.rest()
        self._number += 1
        segment = self._segments[self._number] = Segment(self._number, path, now)
        return segment

    def _open(self, segment: Segment) -> Segment:
        """At most two files stay open: the one written and the one read."""
        if self._resting is not None and self._resting is not segment and self._resting is not self._last:
            self._resting.rest()
        self._resting = segment
        return segment

    def _drop_oldest_file(self) -> bool:
        """Make room on a full disk. False: there is nothing to drop but the segment being written."""
        oldest = next((s for s in self._segments.values() if s.path is not None and s.number != self._number), None)
        if oldest is not None:
            self._drop(oldest)
        return oldest is not None

    def _drop(self, segment: Segment) -> None:
        if segment.live:
            self.dropped += segment.live
            log.warning("spool: the %d oldest reports were dropped (%d since the start)", segment.live, self.dropped)
        segment.live = 0
        self._forget(segment, remove=True)

    def _forget(self, segment: Segment, *, remove: bool = False) -> None:
        if segment is self._last and segment.path is not None and segment.bytes and not remove:
            segment.clear()
            return
        del self._segments[segment.number]
        try:
            segment.remove()
        except OSError as error:
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        problem = error.strerror or str(error)
        if problem != self.problem:
            log.error("spool: %s: %s; new reports wait in memory while it lasts", self.path, problem)
        self.problem = problem


def _sync_files(paths: Iterable[Path]) -> None:
    """What is gone meanwhile was acknowledged; a disk that cannot sync says so at the next write."""
    for path in paths:
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            os.fsync(file)
        except OSError:
            pass
        finally:
            os.close(file)
