"""Following a file that somebody writes to, also when it is rotated, truncated or deleted, however fast it grows."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable

from hbc.files.beneath import Refusal, refusal_of
from hbc.tail.events import (
    GATHERED_BYTES,
    LINE_BYTES,
    SHOWN_BYTES,
    Event,
    Line,
    Notice,
    Skipped,
    shown,
)

COUNTED_BYTES = 256 << 20  # of what is skipped at once; lines in more than that are not counted
COUNT_SHARE = 0.07  # of a core's time that counting them may take in the long run,
COUNT_SECONDS = 1.0  # and how much of that may gather
QUIET_SECONDS = 1.0  # a line without an end is shown after that
LOOK_SECONDS = 1.0  # how often one looks whether the name stands for another file
LINGER_SECONDS = 5.0  # a file that was rotated may be written to for so long, as long as the new one is empty
_BLOCK_BYTES = 256 << 10
_POSITION = re.compile(r"(\d{1,20})-(\d{1,20})")

Open = Callable[[], tuple[int, os.stat_result]]
"""opens the file anew, as far as that is allowed; raises Refusal"""


class FileTail:
    """Blocks; ``poll`` is for a thread. A position is ``inode-offset``."""

    def __init__(self, open_: Open, *, lines: int, after: str = "", now: float) -> None:
        """lines: of what is there already. after: a position to go on from, instead. Raises Refusal."""
        self._open = open_
        self._fd, self._found = open_()
        self._offset = 0
        self._held = bytearray()  # the beginning of a line whose end has not come
        self._cut = 0  # bytes of that line that were left out
        self._grown = self._looked = self._polled = now
        self._budget = COUNT_SECONDS  # of CPU, for counting
        self._replaced: float | None = None  # since when the name has stood for another file
        self._gone = False
        self._first: list[Event] = []
        try:
            self._begin(lines, after)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def poll(self, now: float) -> list[Event]:
        """What came since the last time. now: seconds of any clock that is never put back. Raises Refusal."""
        events, self._first = self._first, []
        self._budget = min(COUNT_SECONDS, self._budget + COUNT_SHARE * (now - self._polled))
        self._polled = now
        try:
            self._read(now, events)
            if now - self._looked >= LOOK_SECONDS:
                self._looked = now
                self._look(now, events)
        except OSError as error:
            raise refusal_of(error) from None
        if (self._held or self._cut) and now - self._grown >= QUIET_SECONDS:
            self._flush(events)
        return events

    # ------------------------------------------------------------------------------------------------------ beginning

    def _begin(self, lines: int, after: str) -> None:
        size = self._found.st_size
        match = _POSITION.fullmatch(after)
        if match is None:
            self._offset = self._back(size, lines)
        elif int(match[1]) != self._found.st_ino:
            self._first.append(Notice("rotated", "this is another file now; what came before it may be missing"))
        elif int(match[2]) > size:
            self._first.append(Notice("truncated", "the file was cut off and begins anew"))
        else:
            self._offset = int(match[2])

    def _back(self, size: int, lines: int) -> int:
        """Where the last so many lines begin, or as many of them as can be shown at once."""
        if lines <= 0:
            return size
        start = max(0, size - GATHERED_BYTES)
        data = os.pread(self._fd, size - start, start)
        at = len(data) - data.endswith(b"\n")
        for _ in range(lines):
            at = data.rfind(b"\n", 0, at)
            if at < 0:
                break
        if at < 0 and start:  # begin with a whole line
            at = data.find(b"\n")
        return start + at + 1

    # -------------------------------------------------------------------------------------------------------- reading

    def _read(self, now: float, events: list[Event]) -> None:
        """Take all that is there by now."""
        size = os.fstat(self._fd).st_size
        if size < self._offset:
            self._flush(events)
            events.append(Notice("truncated", "the file was cut off and begins anew"))
            self._offset = 0
        if size > self._offset:
            self._grown = now
        if size - self._offset > GATHERED_BYTES:
            self._skip(size, events)
        while self._offset < size:
            data = os.pread(self._fd, min(size - self._offset, _BLOCK_BYTES), self._offset)
            if not data:
                return
            self._feed(data, events)

    def _feed(self, data: bytes, events: list[Event]) -> None:
        """data: what follows in the file."""
        begin = 0
        while (end := data.find(b"\n", begin)) >= 0:
            self._hold(data[begin:end])
            begin = end + 1
            self._end_line(self._offset + begin, events)
        self._hold(data[begin:])
        self._offset += len(data)

    def _hold(self, data: bytes) -> None:
        room = LINE_BYTES - len(self._held)
        self._held += data[:room]
        self._cut += max(0, len(data) - room)

    def _end_line(self, offset: int, events: list[Event]) -> None:
        events.append(Line(self._position(offset), shown(bytes(self._held), self._cut)))
        self._held.clear()
        self._cut = 0

    def _flush(self, events: list[Event]) -> None:
        """Show a line that has no end, as it is."""
        if self._held or self._cut:
            self._end_line(self._offset, events)

    def _position(self, offset: int) -> str:
        return f"{self._found.st_ino}-{offset}"

    # ----------------------------------------------------------------------------------------------------- and too fast

    def _skip(self, size: int, events: list[Event]) -> None:
        """Pass over all but the newest, with a count of the lines; a line that has begun is shown yet."""
        newest = size - SHOWN_BYTES
        lines: int | None = None
        if newest - self._offset <= COUNTED_BYTES:
            self._finish_line(newest, events)
            if self._offset == newest:
                return
            begin = self._offset
            lines = self._count(newest)
        else:
            self._flush(events)
            begin, self._offset = self._offset, newest
        end = os.pread(self._fd, SHOWN_BYTES, newest).find(b"\n")
        if end >= 0:
            lines = None if lines is None else lines + 1
            self._offset = newest + end + 1
        else:  # in the middle of a line that is larger than all that is shown at once
            self._held += "… ".encode()
        events.append(Skipped(self._position(self._offset), lines, self._offset - begin))

    def _finish_line(self, until: int, events: list[Event]) -> None:
        while self._offset < until:
            data = os.pread(self._fd, min(until - self._offset, _BLOCK_BYTES), self._offset)
            end = data.find(b"\n")
            self._feed(data if end < 0 else data[: end + 1], events)
            if end >= 0 or not data:
                return

    def _count(self, until: int) -> int | None:
        """Lines that end before that offset, as long as there is time to count them; goes there."""
        lines, block = 0, bytearray(_BLOCK_BYTES)
        began = time.thread_time()
        while self._offset < until:
            if time.thread_time() - began > self._budget:
                self._offset, self._budget = until, 0.0
                return None
            room = memoryview(block)[: until - self._offset]
            taken = os.preadv(self._fd, [room], self._offset)
            if not taken:
                break
            lines += block.count(b"\n", 0, taken)
            self._offset += taken
        self._budget -= time.thread_time() - began
        return lines

    # ------------------------------------------------------------------------------------------------- another file now

    def _look(self, now: float, events: list[Event]) -> None:
        try:
            fd, found = self._open()
        except Refusal as refusal:
            if refusal.code != "missing":
                raise
            if not self._gone:
                self._gone = True
                events.append(Notice("deleted", "the file was deleted; waiting for another"))
            return
        if (found.st_dev, found.st_ino) == (self._found.st_dev, self._found.st_ino):
            os.close(fd)
            self._replaced = None
            self._gone = False
            return
        self._replaced = now if self._replaced is None else self._replaced
        if not (found.st_size or self._gone) and now - self._replaced < LINGER_SECONDS:
            os.close(fd)
            return
        self._read(now, events)  # the last of the old one
        self._flush(events)
        was_gone, self._gone = self._gone, False
        events.append(
            Notice("reappeared", "the file is there again") if was_gone else Notice("rotated", "the file was rotated")
        )
        self.close()
        self._fd, self._found, self._offset, self._replaced = fd, found, 0, None
        self._read(now, events)
