"""By how much the clocks of agents are off. Pure.

What an agent says of its time comes late, never early: of what was heard within a minute or two, what came quickest is
nearest to the truth, however the network delays the rest. Ages are by ``Moment.mono``. A step of the daemon's own clock
is told apart: it makes no difference to any agent's, so each is compared with the clock as it is now and as it was
before its steps, and what is nearest counts.
"""

from __future__ import annotations

from math import isfinite

from msgspec import Struct

from hbd.model import Moment

WINDOW_SECONDS = 60.0  # what is heard counts for as long again after the window that it came in
STEP_SECONDS = 1.0  # the daemon's wall clock was set when it moved so far against the monotonic one
MOST_STEPS = 8
ABSURD_SECONDS = 20 * 366 * 86_400.0  # clocks that are further off are all the same


class _Clock(Struct, gc=False):
    """window: number of the newest one. least, least_before: the least that the agent was behind ``Moment.mono``, in
    this window and in the one before."""

    window: int
    least: float
    least_before: float


class Clocks:
    def __init__(self) -> None:
        self._clocks: dict[int, _Clock] = {}
        self._anchor: float | None = None
        """what the daemon's wall clock is ahead of its monotonic one"""
        self._anchors_before: list[float] = []

    def heard(self, host_id: int, says: float, now: Moment) -> None:
        """An agent said that its clock shows ``says``, Unix seconds."""
        self._follow(now)
        if not isfinite(says):
            return
        behind, window = now.mono - says, int(now.mono // WINDOW_SECONDS)
        clock = self._clocks.get(host_id)
        if clock is None or clock.window < window - 1:
            self._clocks[host_id] = _Clock(window, behind, behind)
        elif clock.window < window:
            clock.window, clock.least, clock.least_before = window, behind, clock.least
        elif behind < clock.least:
            clock.least = behind

    def offset(self, host_id: int) -> float | None:
        """Seconds by which the clock of a host is behind the daemon's, None when nothing was heard of it."""
        clock = self._clocks.get(host_id)
        if clock is None or self._anchor is None:
            return None
        behind = min(clock.least, clock.least_before)
        nearest = min((behind + anchor for anchor in (self._anchor, *self._anchors_before)), key=abs)
        return max(-ABSURD_SECONDS, min(nearest, ABSURD_SECONDS))

    def forget(self, host_id: int) -> None:
        self._clocks.pop(host_id, None)

    def _follow(self, now: Moment) -> None:
        anchor = now.wall - now.mono
        if self._anchor is not None and abs(anchor - self._anchor) > STEP_SECONDS:
            self._anchors_before = [self._anchor, *self._anchors_before][:MOST_STEPS]
        self._anchor = anchor
