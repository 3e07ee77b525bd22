"""Whether hbd itself seems to be cut off from the network. Pure.

When most hosts fall silent at once, what they have in common is hbd. Who is late is noticed a while before it is called
down, so this is known before the first of them would be told::

    all is well ── most hosts silent at once ──► suspected ── no channel takes the word of it ──► cut off
         ▲                                         │  a channel took it, and it lasts                │
         │                                         ▼                                                 │
         │                              hosts are told one by one                                    │
         └──────────────────────── most hosts are heard again ◄──────────────────────────────────────┘

While it is suspected or so, single hosts are not told; what passes in that time is one message.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from hbd.model import Moment

FEWEST = 3  # hosts; of fewer nothing can be learned
SHARE = 0.6  # of the hosts that were heard before
AT_ONCE = 180.0  # seconds between the first and the last
DOUBT_SECONDS = 60.0  # how long hosts wait to be told one by one, once a channel shows that the network is there


class Phase(StrEnum):
    WELL = "well"
    SUSPECTED = "suspected"
    BELIEVED = "believed"  # a channel could be reached: it is the hosts, and they are told


class Isolation:
    """phase: as it is. since: when it began. silent, heard: hosts, when it was noticed last."""

    def __init__(self) -> None:
        self.phase = Phase.WELL
        self.since = Moment(0.0, 0.0)
        self.silent = 0
        self.heard = 0
        self._taken_at: float | None = None

    def look(self, silent_since: Iterable[float], heard: int, now: Moment) -> bool:
        """Look at all hosts. silent_since: Unix seconds, of those that are late or down; heard: how many are up.

        Returns whether the phase changed.
        """
        before = self.phase
        times = sorted(silent_since)
        if self.phase is Phase.WELL:
            recent = [at for at in times if at >= now.wall - AT_ONCE]
            if len(recent) >= FEWEST and len(recent) >= SHARE * (len(recent) + heard):
                self.phase, self.since, self._taken_at = Phase.SUSPECTED, now, None
                self.silent, self.heard = len(recent), heard
        else:
            self.silent = max(self.silent, len(times))
            if len(times) < SHARE * (len(times) + heard) or len(times) < FEWEST:
                self.phase = Phase.WELL
            elif self.holds and self._taken_at is not None and now.mono - self._taken_at >= DOUBT_SECONDS:
                self.phase = Phase.BELIEVED
        return self.phase is not before

    def taken(self, now: Moment) -> None:
        """A channel took the word of it: the network beyond this machine is there."""
        if self._taken_at is None:
            self._taken_at = now.mono

    @property
    def holds(self) -> bool:
        """Whether single hosts are not to be told."""
        return self.phase is Phase.SUSPECTED
