"""When a job that has to call now and then is late, and when it is down. Pure, but for zone data on disk.

A job calls when it has done its work, and may call when it begins::

    NEW ── done ──► UP ── the next call is due ──► LATE ── grace ──► DOWN ── done ──► UP
    any ── it says that it failed, or exits with another code than 0 ──► DOWN
    any ── it begins, and is not done within the grace ──► DOWN

A call that was due while hbd did not run may have come, and nobody took it: such a job is UNSEEN and not DOWN, until it
calls or the call after that is missed too. What is due goes by the wall clock, as crontabs do.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from math import inf

from cronsim import CronSim, CronSimError
from msgspec import Struct

from hbd.errors import InvalidInput
from hbd.schedule import UTC, zone

SHORTEST, LONGEST = 1.0, 366 * 86_400.0  # seconds, of a period and of a grace
FIELDS = 5
LONGEST_CRON = 100
_UNITS = ((7 * 86_400, "weeks", "week"), (86_400, "days", "day"), (3_600, "h", "hour"), (60, "min", "minute"))
"""seconds, how many of them, one of them"""


class Status(StrEnum):
    NEW = "new"
    UP = "up"
    LATE = "late"
    DOWN = "down"
    UNSEEN = "unseen"
    PAUSED = "paused"


class Timing(Struct, frozen=True):
    """How often a job calls: each ``period`` seconds, or by ``cron`` (five fields) in a time zone. grace: seconds."""

    period: float | None
    grace: float
    cron: str = ""
    timezone: str = UTC

    @classmethod
    def read(cls, *, period: float | None, grace: float, cron: str, timezone: str) -> Timing:
        """Raises InvalidInput, whose field is the one of these."""
        if bool(cron) is (period is not None):
            raise InvalidInput("either period or cron is needed", "cron" if cron else "period")
        for field, seconds in (("period", period), ("grace", grace)):
            if seconds is not None and not SHORTEST <= seconds <= LONGEST:
                raise InvalidInput("expected a second at least and 366 days at most", field)
        try:
            zone(timezone)
        except InvalidInput as wrong:
            raise InvalidInput(wrong.reason, "timezone") from None
        timing = cls(period, grace, cron, timezone)
        if cron:
            if len(cron) > LONGEST_CRON or len(cron.split()) != FIELDS:
                raise InvalidInput("expected five fields such as 30 2 * * mon", "cron")
            try:
                timing.after(0.0)
            except (CronSimError, StopIteration) as wrong:
                raise InvalidInput(f"{wrong or 'never comes'}; an example is 30 2 * * mon", "cron") from None
        return timing

    @property
    def words(self) -> str:
        """``every 6 h``; ``At 02:30 every day, Europe/Zurich``."""
        if self.period is None:
            return f"{_cron_in_words(self.cron)}, {self.timezone}"
        for size, unit, name in _UNITS:
            if self.period % size == 0:
                return f"every {name}" if self.period == size else f"every {self.period / size:g} {unit}"
        return f"every {self.period:g} s"

    def after(self, last: float) -> float:
        """When the call after one at that time is due. Unix seconds both."""
        if self.period is not None:
            return last + self.period
        return next(CronSim(self.cron, datetime.fromtimestamp(last, zone(self.timezone)))).timestamp()


@lru_cache(1024)
def _cron_in_words(cron: str) -> str:
    return str(CronSim(cron, datetime.fromtimestamp(0, zone(UTC))).explain())


class Progress(Struct, frozen=True):
    """What a job said so far. Unix seconds; None: never.

    done: when it said last that all went well, or failed. begun: when it said last that it begins, if nothing came
    since. run: the id of that run, "" when it has none. seconds, exit_code: of the last run. heard: of any call.
    """

    done: float | None = None
    begun: float | None = None
    run: str = ""
    failed: bool = False
    seconds: float | None = None
    exit_code: int | None = None
    heard: float | None = None

    def began(self, now: float, run: str = "") -> Progress:
        return Progress(self.done, now, run, self.failed, self.seconds, self.exit_code, now)

    def ended(self, now: float, *, exit_code: int | None = None, failed: bool = False, run: str = "") -> Progress:
        """It is done, or failed. The time it took counts from when the same run began."""
        took = now - self.begun if self.begun is not None and self.run == run else None
        return Progress(now, None, "", failed, took, exit_code, now)


def deadlines(timing: Timing, progress: Progress) -> tuple[float, float]:
    """(when it becomes late, when it is down), Unix seconds; infinity where nothing is due."""
    due = timing.after(progress.done) if progress.done is not None else inf
    down = due + timing.grace
    if progress.begun is not None:
        down = min(down, progress.begun + timing.grace)
    return due, down


def status(timing: Timing, progress: Progress, now: float, *, paused: bool = False, seen_from: float = -inf) -> Status:
    """seen_from: since when hbd was there to hear calls, Unix seconds, unless it was down before."""
    if paused:
        return Status.PAUSED
    if progress.failed:
        return Status.DOWN
    due, down = deadlines(timing, progress)
    if down < seen_from:
        return Status.UNSEEN if now < timing.after(seen_from) + timing.grace else Status.DOWN
    if now >= down:
        return Status.DOWN
    if now >= due:
        return Status.LATE
    return Status.NEW if progress.done is None else Status.UP


def next_change(timing: Timing, progress: Progress, now: float, *, paused: bool, seen_from: float = -inf) -> float:
    """When time alone changes the status next, Unix seconds; infinity: never."""
    if paused or progress.failed:
        return inf
    due, down = deadlines(timing, progress)
    moments = [due, down]
    if down < seen_from:
        moments.append(timing.after(seen_from) + timing.grace)
    return min((moment for moment in moments if moment > now), default=inf)
