"""What the agent sends next: the state of the link's conversation, without the link.

New reports go first; between them the backlog follows in the order it was measured. A bounded number of reports is on
the way at any time, so that a new one never queues behind more than a few seconds of backlog.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable

from hbc.segment import Entry
from hbc.spool import Spool
from hbc.wire import Rejected

log = logging.getLogger(__name__)

WINDOW = 64  # reports on the way
WINDOW_BYTES = 256 * 1024  # a line of 13 kB/s clears this in 20 s, two intervals
NEW_ROOM = 8  # new reports may go beyond the window by this much
ACK_TIMEOUT = 60.0  # seconds
_REPORTED_REASONS = 64
_REASON_CHARACTERS = 200
# The daemon closed the link because of a frame it cannot take: unsupported, not UTF-8, too large.
_FRAME_REFUSED = frozenset({1003, 1007, 1009})

Key = tuple[str, int]


class Outbox:
    """Times are monotonic seconds."""

    def __init__(self, spool: Spool) -> None:
        self.rejected = 0  # samples that the daemon will never take
        self._spool = spool
        self._new: deque[Entry] = deque(maxlen=NEW_ROOM)  # one pushed out is found again in the spool
        self._on_the_way: dict[Key, tuple[Entry, float]] = {}  # and when it was sent; oldest first
        self._bytes = 0
        self._paused_until = 0.0
        self._careful = 0  # acknowledgements still to come before more than one report may be on the way
        self._reasons: set[tuple[str, str]] = set()

    def put(self, entry: Entry) -> None:
        """A report was measured just now."""
        self._new.append(entry)

    def next(self, now: float) -> tuple[Entry, bytes] | None:
        """The report to send now and its payload; it counts as sent. None: nothing to send, or not now."""
        if now < self._paused_until:
            return None
        while self._new and self._room(NEW_ROOM):
            payload = self._take(self._new.popleft(), now)
            if payload is not None:
                return payload
        while self._room(0):
            entry = self._spool.read()
            if entry is None:
                return None
            payload = self._take(entry, now)
            if payload is not None:
                return payload
        return None

    def acknowledge(self, run_id: str, seqs: Iterable[int], rejected: Iterable[Rejected] = ()) -> int:
        """The daemon has these reports on its disk. Gives how many of them were on the way."""
        landed = 0
        for seq in seqs:
            entry = self._landed((run_id, seq))
            if entry is not None:
                landed += 1
                self._spool.done(entry)
                self._careful = max(0, self._careful - 1)
        for sample in rejected:
            self.rejected += 1
            reason = (str(sample.get("plugin"))[:_REASON_CHARACTERS], str(sample.get("reason"))[:_REASON_CHARACTERS])
            if reason not in self._reasons and len(self._reasons) < _REPORTED_REASONS:
                self._reasons.add(reason)
                log.warning("the server rejected a sample of %s: %s (told once)", *reason)
        return landed

    def hold(self, run_id: str, seqs: Iterable[int], retry: float, now: float) -> None:
        """The daemon could not store these reports: keep them and everything else for retry seconds."""
        for seq in seqs:
            self._landed((run_id, seq))
        self._paused_until = now + retry
        self._spool.rewind()

    def link_lost(self, code: int | None = None) -> None:
        """Whatever was on the way is sent again, in order. code: why the daemon closed the link, None when it broke.

        When it closed because of a frame, reports go one by one until the culprit is alone on the way: that one is
        given up, so that it does not hold up all the others for ever.
        """
        if code in _FRAME_REFUSED and self._on_the_way:
            if len(self._on_the_way) == 1:
                ((entry, _),) = self._on_the_way.values()
                self._spool.done(entry)
                self.rejected += 1
                log.error(
                    "the server refuses report %d of run %s (close code %d): given up", entry.seq, entry.run_id, code
                )
            else:
                self._careful = len(self._on_the_way)
        self._on_the_way.clear()
        self._bytes = 0
        self._paused_until = 0.0
        self._new.clear()
        self._spool.rewind()

    def wait(self, now: float) -> float | None:
        """Seconds after which ``next`` or ``stuck`` is to be asked again, even when nothing happens; None: never."""
        times = [self._paused_until] if now < self._paused_until else []
        times += [sent + ACK_TIMEOUT for _, sent in list(self._on_the_way.values())[:1]]
        return max(0.0, min(times) - now) if times else None

    def stuck(self, now: float) -> bool:
        """Whether a report has waited too long for its acknowledgement on a link that seems to live."""
        return any(now - sent >= ACK_TIMEOUT for _, sent in self._on_the_way.values())

    def _room(self, extra: int) -> bool:
        if self._careful:
            return not self._on_the_way
        count = len(self._on_the_way)
        return count == 0 or (count < WINDOW + extra and (extra > 0 or self._bytes < WINDOW_BYTES))

    def _take(self, entry: Entry, now: float) -> tuple[Entry, bytes] | None:
        key = (entry.run_id, entry.seq)
        if key in self._on_the_way:
            return None
        payload = self._spool.payload(entry)
        if payload is None:
            return None
        self._on_the_way[key] = (entry, now)
        self._bytes += entry.size
        return entry, payload

    def _landed(self, key: Key) -> Entry | None:
        entry, _ = self._on_the_way.pop(key, (None, 0.0))
        if entry is not None:
            self._bytes -= entry.size
        return entry
