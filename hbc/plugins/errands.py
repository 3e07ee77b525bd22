"""Calls that may hang for ever, made one after another without hanging with them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from queue import SimpleQueue
from typing import Any, ClassVar, Literal, NamedTuple


class Errand(NamedTuple):
    """One call with its limit in seconds."""

    name: str
    call: Callable[[], Any]
    limit: float


class Outcome(NamedTuple):
    """How an errand went. value: what the call gave; error: what it raised; seconds it took, or was given."""

    state: Literal["done", "raised", "late"]
    value: Any
    error: BaseException | None
    started: float  # of the clock
    seconds: float


Work = Callable[[], Callable[[], None]]


class _Worker(threading.Thread):
    """A daemon thread that does one piece of work after another, and what that returns when it is free again."""

    idle: ClassVar[list[_Worker]] = []

    def __init__(self) -> None:
        super().__init__(name="hbc errands", daemon=True)
        self._work: SimpleQueue[Work] = SimpleQueue()
        self.start()

    @classmethod
    def give(cls, work: Work) -> None:
        """To an idle worker or a new one. A thread that is kept costs a third of one that is made for each round."""
        try:
            worker = cls.idle.pop()
        except IndexError:
            worker = cls()
        worker._work.put(work)

    def run(self) -> None:
        while True:
            then = self._work.get()()
            self.idle.append(self)
            then()
            del then  # it holds on to all that was measured


class Errands:
    """Runs errands in the order given, in one daemon thread.

    An errand that exceeds its limit is left behind together with its thread, and a fresh thread goes on with the
    rest; whoever waits finds that out by ``expire``. Threads that are left behind are of use again when their call
    has come back, and never keep the process from ending.

    out: the names of the errands that were left behind, in this set for as long as their call has not come back; what
    it gives then is thrown away. finished: called from a worker thread when all errands have an outcome.
    """

    def __init__(
        self,
        errands: Iterable[Errand],
        *,
        out: set[str],
        finished: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self._waiting = deque(errands)
        self._finished = finished
        self._out = out
        self._clock = clock
        self._lock = threading.Lock()
        self._current: tuple[Errand, float] | None = None
        self._turn = 0  # which worker has it; the others were left behind
        self._start()

    def _start(self) -> None:
        self._turn += 1
        _Worker.give(partial(self._work, self._turn))

    def _work(self, turn: int) -> Callable[[], None]:
        """Returns what is to be done in the end."""
        while True:
            with self._lock:
                if not self._waiting:
                    self._current = None
                    return self._finished
                errand = self._waiting.popleft()
                started = self._clock()
                self._current = (errand, started)
            state: Literal["done", "raised"] = "done"
            value, error = None, None
            try:
                value = errand.call()
            # A rim: whatever a plugin raises, SystemExit included, ends that run and nothing else.
            except BaseException as problem:
                state, error = "raised", problem
            with self._lock:
                left_behind = turn != self._turn
                if not left_behind:
                    outcome = Outcome(state, value, error, started, self._clock() - started)
                    self.outcomes[errand.name] = outcome
            if left_behind:
                return partial(self._out.discard, errand.name)

    def expire(self) -> float:
        """Leave the errand under way behind when its limit has passed; the seconds after which to ask again."""
        with self._lock:
            if self._current is None:
                return 0.05  # the thread is just starting or ending
            errand, started = self._current
            now = self._clock()
            left = started + errand.limit - now
            if left > 0 or errand.name in self.outcomes:
                return max(left, 0.001)
            self.outcomes[errand.name] = Outcome("late", None, None, started, now - started)
            self._out.add(errand.name)
            self._current = None
            self._start()
            return self._waiting[0].limit if self._waiting else 0.05

    def give_up(self) -> None:
        """Start no further errand; the one under way still has its limit."""
        with self._lock:
            self._waiting.clear()


def run_all(errands: Iterable[Errand], out: set[str], budget: float) -> dict[str, Outcome]:
    """Run them all and wait; name to outcome. After budget seconds no further errand is begun: those are missing.

    out: see ``Errands``.
    """
    over = threading.Event()
    end = time.monotonic() + budget
    running = Errands(errands, out=out, finished=over.set)
    wait = running.expire()
    while not over.wait(wait):
        if time.monotonic() > end:
            running.give_up()
        wait = running.expire()
    return running.outcomes
