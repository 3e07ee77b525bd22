"""One file of the spool: records one behind the other, found again after any crash or damage.

A record is 37 bytes of head and its payload, in network byte order:

    magic 4   ff 'h' 'b' 'r': the byte ff occurs in no UTF-8 text, so a payload never looks like a head
    state 1   live, or done: overwritten in place when the report was acknowledged
    CRC-32 4  of all that follows, so that marking a record done leaves it valid
    length 4  of the payload
    run id 8, seq 8, time 8, payload
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

MAGIC = b"\xffhbr"
LIVE = 0xA5
DONE = 0x5A  # every bit differs from LIVE: no flipped bit makes a report look acknowledged
_FRONT = struct.Struct("!4sBI")
_REST = struct.Struct("!I8sQd")
HEAD_BYTES = _FRONT.size + _REST.size
MOST_BYTES = 2 << 20  # of a segment: 1 MiB, and a report of 1 MiB that could not be taken back when the disk failed


class Entry(NamedTuple):
    """Where a report lies. (segment, offset) rises in the order of appending. time: Unix seconds, when measured."""

    segment: int
    offset: int
    length: int
    run_id: str
    seq: int
    time: float

    @property
    def size(self) -> int:
        """Bytes on disk, head included."""
        return HEAD_BYTES + self.length


class Damage(NamedTuple):
    """What a scan had to skip: live records that are lost, and all bytes that are no valid record."""

    records: int
    bytes: int


def pack(run_id: str, seq: int, time: float, payload: bytes) -> bytes:
    """The record of a report. run_id: 16 hex characters."""
    rest = _REST.pack(len(payload), bytes.fromhex(run_id), seq, time)
    return _FRONT.pack(MAGIC, LIVE, zlib.crc32(payload, zlib.crc32(rest))) + rest + payload


def unpack(data: bytes, offset: int) -> tuple[int, int, str, int, float] | None:
    """(state, payload length, run id, seq, time) of the record at offset, None when there is no whole, valid one."""
    if not data.startswith(MAGIC, offset) or offset + HEAD_BYTES > len(data):
        return None
    _, state, crc = _FRONT.unpack_from(data, offset)
    length, run, seq, time = _REST.unpack_from(data, offset + _FRONT.size)
    end = offset + HEAD_BYTES + length
    if end > len(data) or zlib.crc32(memoryview(data)[offset + _FRONT.size : end]) != crc:
        return None
    return state, length, run.hex(), seq, time


def scan(data: bytes, segment: int = 0, base: int = 0) -> tuple[list[Entry], Damage]:
    """The live records in data, in order, and what is damaged. base: offset of data's first byte in the segment.

    Behind damage it goes on at the next valid record, wherever that begins.
    """
    entries: list[Entry] = []
    lost = skipped = at = 0
    while at < len(data):
        found = unpack(data, at)
        if found is None:
            start = at
            at = data.find(MAGIC, at + 1)
            while at >= 0 and unpack(data, at) is None:
                at = data.find(MAGIC, at + 1)
            if at < 0:
                at = len(data)
            lost += _lost_records(data, start, at)
            skipped += at - start
            continue
        state, length, run_id, seq, time = found
        if state != DONE:
            entries.append(Entry(segment, base + at, length, run_id, seq, time))
        at += HEAD_BYTES + length
    return entries, Damage(lost, skipped)


def _lost_records(data: bytes, start: int, end: int) -> int:
    """How many live records the damaged stretch held: those whose magic stands, and one before the first magic."""
    first = data.find(MAGIC, start, end)
    lost = int(first != start)
    while first >= 0:
        state_at = first + len(MAGIC)
        lost += int(state_at >= len(data) or data[state_at] != DONE)
        first = data.find(MAGIC, first + 1, end)
    return lost


class Segment:
    """One file. Offsets in entries are logical: they go on rising when the file is emptied and used again."""

    def __init__(self, number: int, path: Path | None, now: float) -> None:
        """path: None keeps the records in memory. now: monotonic seconds."""
        self.number = number
        self.path = path
        self.base = 0  # logical offset of the first byte
        self.bytes = 0
        self.live = 0
        self.born = self.newest = now  # monotonic, of the first and the last record
        self._fd = -1
        self._memory = bytearray()

    @property
    def end(self) -> int:
        return self.base + self.bytes

    def append(self, run_id: str, seq: int, time: float, payload: bytes, now: float) -> Entry:
        """Raises OSError when the disk does not take it; the segment is then as it was before."""
        record = pack(run_id, seq, time, payload)
        try:
            self._write(record, self.bytes)
        except OSError:
            self._truncate(self.bytes)
            raise
        entry = Entry(self.number, self.end, len(payload), run_id, seq, time)
        if not self.bytes:
            self.born = now
        self.newest = now
        self.bytes += len(record)
        self.live += 1
        return entry

    def load(self, now: float, wall: float) -> Damage:
        """Take over the file of an earlier run. Raises OSError when it cannot be read.

        A file larger than any that was ever written is cut; what was cut off counts as one damaged record.
        """
        size = os.fstat(self._file()).st_size
        self.bytes = min(size, MOST_BYTES)
        entries, damage = self.entries(self.base)
        if size > MOST_BYTES:
            self._truncate(MOST_BYTES)
            damage = Damage(max(damage.records, 1), damage.bytes + size - MOST_BYTES)
        self.live = len(entries)
        if entries:
            self.born = self.newest = now - max(0.0, wall - entries[-1].time)
        return damage

    def entries(self, since: int) -> tuple[list[Entry], Damage]:
        """The live records from the logical offset since on."""
        since = max(since, self.base)
        return scan(self._read(since - self.base, self.end - since), self.number, since)

    def payload(self, entry: Entry) -> bytes | None:
        """None when the record is done, gone or damaged."""
        if entry.offset < self.base:
            return None
        record = self._read(entry.offset - self.base, entry.size)
        found = unpack(record, 0)
        if found is None or found[0] == DONE or found[2:4] != (entry.run_id, entry.seq):
            return None
        return record[HEAD_BYTES:]

    def mark_done(self, entry: Entry) -> None:
        """A mark that cannot be written is let go: the report is then sent once more after the next start."""
        self.live -= 1
        if self.live:
            try:
                self._write(bytes((DONE,)), entry.offset - self.base + len(MAGIC))
            except OSError:
                pass

    def clear(self) -> None:
        """Forget every record; all are done. Later ones get higher offsets all the same."""
        self._truncate(0)
        self.base, self.bytes = self.end, 0

    def rest(self) -> None:
        """Close the file until it is needed again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def remove(self) -> None:
        self.rest()
        self._memory.clear()
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _file(self) -> int:
        if self._fd < 0:
            assert self.path is not None
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        return self._fd

    def _write(self, data: bytes, at: int) -> None:
        if self.path is None:
            self._memory[at : at + len(data)] = data
            return
        view = memoryview(data)
        while view:
            written = os.pwrite(self._file(), view, at)
            view, at = view[written:], at + written

    def _read(self, at: int, size: int) -> bytes:
        if self.path is None:
            return bytes(self._memory[at : at + size])
        return os.pread(self._file(), size, at)

    def _truncate(self, size: int) -> None:
        if self.path is None:
            del self._memory[size:]
            return
        try:
            os.ftruncate(self._file(), size)
        except OSError:
            pass  # what is left behind the end is overwritten by the next record, or skipped as damage
