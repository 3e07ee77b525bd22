"""Timers for very many deadlines that mostly move later before they come due. Pure: time is passed in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

SLOT_SECONDS = 0.25


class Timer:
    """What a wheel holds: one deadline at the most. Subclass it and give the subclass ``__slots__``."""

    __slots__ = ("slot",)

    def __init__(self) -> None:
        self.slot: int | None = None
        """where the wheel holds it; None: it is not armed"""


T = TypeVar("T", bound=Timer)


class Wheel(Generic[T]):
    """Timers by the quarter of a second in which they come due.

    A deadline that moves later needs no call: whoever takes a timer from ``due`` looks at what the deadline is by
    then, and arms it again when it is still ahead. Only one that moves earlier must be armed at once. So a sign of
    life costs nothing here, and a timer is looked at about once in the time it runs.
    """

    def __init__(self, now: float) -> None:
        self._slots: dict[int, list[T]] = {}
        self._current = int(now / SLOT_SECONDS)

    def arm(self, timer: T, deadline: float) -> None:
        """See to it that ``due`` gives the timer at the deadline or before. deadline: seconds of the wheel's clock."""
        slot = max(int(deadline / SLOT_SECONDS), self._current)
        if timer.slot is None or slot < timer.slot:
            timer.slot = slot  # an entry in a later slot is stale from now on, and is dropped when its time comes
            self._slots.setdefault(slot, []).append(timer)

    def disarm(self, timer: T) -> None:
        timer.slot = None

    def due(self, now: float) -> Iterator[T]:
        """Take out all that may have come due by now, in the order of their slots.

        Some may be up to a slot early: the slot that now lies in is given at every call. Arm those again. Timers may
        be armed while this runs, for deadlines that are still ahead.
        """
        last = int(now / SLOT_SECONDS)
        passed: Iterator[int] = iter(range(self._current, last + 1))
        if last - self._current > len(self._slots):
            passed = iter(sorted(slot for slot in self._slots if slot <= last))
        self._current = max(self._current, last)
        for slot in passed:
            for timer in self._slots.pop(slot, ()):
                if timer.slot == slot:
                    timer.slot = None
                    yield timer
