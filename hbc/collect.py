"""Runs the plugins when they are due, each within its time limit, and keeps how every run went."""

from __future__ import annotations

import asyncio
import logging
import math
import re
import time
import traceback
from collections.abc import Iterable, MutableMapping
from typing import Any, Literal, NamedTuple

from hbc.plugins.base import Data, Unavailable
from hbc.plugins.build import Entry
from hbc.plugins.clean import clean
from hbc.plugins.errands import Errand, Errands, Outcome
from hbc.wire import WireSample

log = logging.getLogger("hbc.collect")

ASK_AGAIN_SECONDS = 600.0  # a plugin that has nothing to measure
PATIENCE_SECONDS = 1.0  # how long a round waits for the plugins that run apart
_EARLY = 0.01  # seconds; timers may wake us that much too soon
_LATE = 1.0  # seconds between round and sample from which the sample has a time of its own
_REASON_CHARACTERS = 300

State = Literal["ok", "failed", "timeout", "unavailable"]


class Run(NamedTuple):
    """How the last run of a plugin went. seconds: it took, or was given. reason: in words, "" when ok."""

    state: State
    seconds: float
    reason: str = ""


class Begin(NamedTuple):
    """When a round began. wall: Unix seconds; mono: the caller's monotonic seconds; clock: those of the errands."""

    wall: float
    mono: float
    clock: float


class Collector:
    """Runs due plugins in two rows: the built-in ones, which are quick, and apart from them those of the user, which
    may take long. Each row has one thread, which asks its plugins in turn: few threads, and no crowd of programs.

    A plugin that exceeds its timeout is left behind with its thread and is not asked again until the call has come
    back; the row goes on in a fresh thread. So a hanging plugin delays its row by its timeout at the most, once, and
    never keeps the agent from ending. One round at a time; every method is called from the event loop.

    facts: what ``agent_monitor`` shows; each run's seconds and success go there under the plugin's name.
    """

    def __init__(self, entries: Iterable[Entry], facts: MutableMapping[str, Any] | None = None) -> None:
        self.entries = {entry.name: entry for entry in entries if entry.enabled}
        self.runs: dict[str, Run] = {}
        self._facts = facts if facts is not None else {}
        self._out: set[str] = set()  # plugins whose call has not come back
        self._anchor: float | None = None  # all due times are this plus a whole number of intervals
        self._due = dict.fromkeys(self.entries, -math.inf)  # name to monotonic seconds
        self._begin = Begin(0.0, 0.0, 0.0)  # of the last round
        self._queue: dict[str, Entry] = {}  # to be asked apart
        self._apart: asyncio.Task[None] | None = None
        self._ready: list[WireSample] = []  # measured apart, and not yet handed out
        self._told: dict[str, str] = {}

    def follow(self, interval: float) -> None:
        """The agent's own interval has changed: so does that of every plugin that has none of its own."""
        for entry in self.entries.values():
            if entry.follows and entry.interval != interval:
                entry.interval = interval
                self._due[entry.name] = -math.inf

    def hasten(self, name: str) -> None:
        """What this plugin has to say is wanted now: the next round is due at once, and asks it."""
        if name in self._due:
            self._due[name] = -math.inf

    def next_due(self) -> float:
        """When the next round is to be made, monotonic seconds; -infinity: at once; infinity: there are no plugins."""
        return min(self._due.values(), default=math.inf)

    def due(self, mono: float) -> list[Entry]:
        """The plugins that a round made now would ask."""
        return [entry for name, entry in self.entries.items() if self._due[name] <= mono + _EARLY]

    async def prime(self) -> None:
        """Take the first of the two readings that rates need, so that the first round has them already."""
        await self._run([entry for entry in self.entries.values() if entry.plugin.has_rates])

    async def round(
        self, now: float, mono: float | None = None, patience: float = PATIENCE_SECONDS
    ) -> list[WireSample]:
        """Collect what is due. now: Unix seconds, the time of the samples; mono: the monotonic clock at that moment.

        Comes back when every built-in plugin has answered, failed or used up its timeout, and those that run apart have
        too or have had patience seconds; what they give later is handed out by a later round.
        """
        mono = time.monotonic() if mono is None else mono
        if self._anchor is None:
            self._anchor = mono
        self._begin = Begin(now, mono, time.monotonic())
        entries = self.due(mono)
        for entry in entries:
            self._due[entry.name] = self._after(mono, entry.interval)
            if entry.apart:
                self._queue[entry.name] = entry
        if self._queue and (self._apart is None or self._apart.done()):
            self._apart = asyncio.create_task(self._work_apart())
        samples = await self._samples([entry for entry in entries if not entry.apart])
        if self._apart is not None and not self._apart.done():
            await asyncio.wait({self._apart}, timeout=None if math.isinf(patience) else patience)
        samples += self._ready
        self._ready = []
        return samples

    async def _work_apart(self) -> None:
        while self._queue:
            entries = list(self._queue.values())
            self._queue.clear()
            self._ready += await self._samples(entries)

    async def _samples(self, entries: list[Entry]) -> list[WireSample]:
        samples: list[WireSample] = []
        for name, (outcome, data) in (await self._run(entries)).items():
            begin = self._begin
            if self.runs[name].state == "unavailable" and self._due[name] > -math.inf:  # else it was hastened meanwhile
                self._due[name] = self._after(begin.mono, max(ASK_AGAIN_SECONDS, self.entries[name].interval))
            if data:
                off = outcome.started - begin.clock
                wall = round(begin.wall + off, 3) if abs(off) > _LATE else begin.wall
                samples.append({"plugin": name, "time": wall, "data": data})
        return samples

    def _after(self, mono: float, interval: float) -> float:
        """The first point of the interval's grid after mono: plugins with one interval always meet in one round."""
        assert self._anchor is not None
        return self._anchor + interval * (math.floor((mono + _EARLY - self._anchor) / interval) + 1)

    async def _run(self, entries: list[Entry]) -> dict[str, tuple[Outcome, Data | None]]:
        """Name to outcome and cleaned data, None when it gave none. Plugins that are still out are passed over."""
        errands = [
            Errand(entry.name, entry.plugin.collect, entry.timeout) for entry in entries if entry.name not in self._out
        ]
        if not errands:
            return {}
        loop = asyncio.get_running_loop()
        over = asyncio.Event()

        def finished() -> None:
            try:
                loop.call_soon_threadsafe(over.set)
            except RuntimeError:
                pass  # the loop is closed: the agent has ended meanwhile

        running = Errands(errands, out=self._out, finished=finished)
        try:
            wait = running.expire()
            while not over.is_set():
                try:
                    async with asyncio.timeout(wait):  # wait_for would now and then swallow a cancellation in 3.11
                        await over.wait()
                except TimeoutError:
                    wait = running.expire()
        finally:
            running.give_up()
        return {name: (outcome, self._judge(name, outcome)) for name, outcome in running.outcomes.items()}

    def _judge(self, name: str, outcome: Outcome) -> Data | None:
        """The data of a run, made fit for the wire; keeps how it went and tells the log when that changed."""
        data, run = None, Run("ok", outcome.seconds)
        if outcome.state == "late":
            run = Run("timeout", outcome.seconds, f"no answer within {outcome.seconds:.1f} s; not asked until it comes")
        elif isinstance(outcome.error, Unavailable):
            run = Run("unavailable", outcome.seconds, str(outcome.error)[:_REASON_CHARACTERS])
        elif outcome.error is not None:
            run = Run("failed", outcome.seconds, explain(outcome.error))
        else:
            try:
                data = clean(outcome.value)
            except ValueError as problem:
                run = Run("failed", outcome.seconds, str(problem)[:_REASON_CHARACTERS])
        self.runs[name] = run
        fact: Data = {"ok": run.state in ("ok", "unavailable"), "seconds": round(run.seconds, 6)}
        self._facts[name] = fact | {"reason": run.reason} if run.reason else fact
        self._tell(name, run)
        return data

    def _tell(self, name: str, run: Run) -> None:
        """One line in the log for each change; a reason that differs in its numbers alone is the same."""
        story = f"{run.state} {re.sub(r'[0-9]+', '#', run.reason)}"
        if story == self._told.get(name, "ok "):
            return
        self._told[name] = story
        if run.state == "ok":
            log.info("plugin %s works again", name)
        else:
            level = logging.INFO if run.state == "unavailable" else logging.WARNING
            log.log(level, "plugin %s: %s: %s", name, run.state, run.reason)


def explain(error: BaseException) -> str:
    """What a plugin raised, in one line: the reason, and the place unless the plugin put it in words itself."""
    text = " ".join(str(error).split()) or "no reason given"
    if isinstance(error, RuntimeError) and type(error) is RuntimeError:
        return text[:_REASON_CHARACTERS]
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {text[:_REASON_CHARACTERS]}{place}"
