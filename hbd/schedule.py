"""Times of the day in time zones: quiet hours and maintenance windows that come back. Pure, but for zone data on disk.

A time of a day is where the clocks of that place show it. Twice a year they make that odd:

- A time that clocks skip is the moment they skip it: what begins or ends at 02:30 does so when 02:00 becomes 03:00.
- A time that clocks show twice is the first of the two: what begins at 02:30 begins once.
- A window lasts as long as its duration says, whatever clocks do meanwhile; quiet hours end at a time of the day.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from math import ceil
from typing import NamedTuple, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct

from hbd.errors import InvalidInput

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
UTC = "UTC"
YEARS = range(2000, 2200)  # those that a window may begin in
LONGEST_ZONE_NAME = 64
DAY_SECONDS = 86_400.0

_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATE_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}")
_DAY = timedelta(days=1)

Given = TypeVar("Given")
Read = TypeVar("Read")


class Span(NamedTuple):
    """From start up to, but not including, end. Unix seconds."""

    start: float
    end: float


def zone(name: str) -> ZoneInfo:
    """The time zone of that name, such as Europe/Zurich. Raises InvalidInput."""
    try:
        if 0 < len(name) <= LONGEST_ZONE_NAME:
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        if not _has_zones():
            raise InvalidInput("this machine knows no time zones; install the Python package tzdata") from None
    raise InvalidInput(f"there is no time zone '{name[:LONGEST_ZONE_NAME]}'; an example is Europe/Zurich")


def _has_zones() -> bool:
    try:
        ZoneInfo(UTC)
    except ZoneInfoNotFoundError:
        return False
    return True


def read_clock(text: str) -> time:
    """``22:00`` to the time of the day. Raises InvalidInput."""
    match = _CLOCK.fullmatch(text)
    if match is None:
        raise InvalidInput("expected a time of the day such as 22:00")
    return time(int(match[1]), int(match[2]))


def read_days(names: Iterable[str]) -> frozenset[int]:
    """``mon`` to ``sun`` to the numbers of the days of the week, Monday being 0. Raises InvalidInput."""
    days = set()
    for name in names:
        if name not in DAYS:
            raise InvalidInput(f"expected days of {', '.join(DAYS)}")
        days.add(DAYS.index(name))
    return frozenset(days)


def read_date(text: str) -> date:
    """``2026-11-21`` to the day. Raises InvalidInput."""
    try:
        found = date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        found = None
    if found is None or found.year not in YEARS:
        raise InvalidInput("expected a day such as 2026-11-21")
    return found


def read_local(text: str) -> datetime:
    """``2026-11-21T22:00`` to what clocks show then, without a zone. Raises InvalidInput."""
    try:
        found = datetime.fromisoformat(text) if _DATE_TIME.fullmatch(text) else None
    except ValueError:
        found = None
    if found is None or found.year not in YEARS:
        raise InvalidInput("expected a day and a time of it such as 2026-11-21T22:00")
    return found


def instant(local: datetime, place: ZoneInfo) -> float:
    """When clocks of a place show that, Unix seconds. local: without a zone."""
    shown = local.replace(tzinfo=place, fold=0)
    found = shown.timestamp()
    if datetime.fromtimestamp(found, place).replace(tzinfo=None) == local:
        return found
    # Skipped: by the offsets of before and after it is two moments, with the skip between them.
    early, late = int(shown.replace(fold=1).timestamp()), int(found)
    after = datetime.fromtimestamp(late, place).utcoffset()
    while late - early > 1:
        middle = (early + late) // 2
        if datetime.fromtimestamp(middle, place).utcoffset() == after:
            late = middle
        else:
            early = middle
    return float(late)


def _near(local: datetime) -> float:
    """When clocks show that somewhere, Unix seconds; no place is a whole day from it."""
    return float(calendar.timegm(local.timetuple()))


def _in_field(field: str, read: Callable[[Given], Read], given: Given) -> Read:
    try:
        return read(given)
    except InvalidInput as wrong:
        raise InvalidInput(wrong.reason, field) from None


class QuietHours(Struct, frozen=True):
    """From one time of the day to another, which is on the next day unless it is later; a whole day where both are one.

    days: on which it begins, Monday being 0; none: on all of them.
    """

    begins: time
    ends: time
    days: frozenset[int]
    place: ZoneInfo

    @classmethod
    def read(cls, begins: str, ends: str, days: Iterable[str], timezone: str) -> QuietHours:
        """From texts as people write them: ``22:00``, ``07:00``, ``mon``, ``Europe/Zurich``.

        Raises InvalidInput, whose field is quiet_from, quiet_to, quiet_days or timezone.
        """
        return cls(
            _in_field("quiet_from", read_clock, begins),
            _in_field("quiet_to", read_clock, ends),
            _in_field("quiet_days", read_days, days),
            _in_field("timezone", zone, timezone),
        )

    def holds(self, now: float) -> float | None:
        """Until when it is quiet, Unix seconds; None: it is not."""
        today = datetime.fromtimestamp(now, self.place).date()
        for day in (today - _DAY, today):
            if self.days and day.weekday() not in self.days:
                continue
            start = instant(datetime.combine(day, self.begins), self.place)
            last = day if self.ends > self.begins else day + _DAY
            end = instant(datetime.combine(last, self.ends), self.place)
            if start <= now < end:
                return end
        return None


class Repeat(StrEnum):
    ONCE = "once"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


SHORTEST = 60.0
LONGEST = {
    Repeat.ONCE: 366 * DAY_SECONDS,
    Repeat.DAILY: DAY_SECONDS,
    Repeat.WEEKLY: 7 * DAY_SECONDS,
    Repeat.MONTHLY: 28 * DAY_SECONDS,
}
"""how long a window may be that comes back so often, seconds"""


class WindowTexts(NamedTuple):
    """A window as people write it: ``2026-11-21T22:00``, seconds, ``Europe/Zurich``, ``weekly``, ``mon``, a day."""

    start: str
    duration: float
    timezone: str
    repeat: str
    days: tuple[str, ...]
    until: str | None


class Window(Struct, frozen=True):
    """A time that may come back.

    start: what clocks show when it begins for the first time. duration: seconds. days: of a weekly one, on which it
    begins; none: on the first one's. until: the last day on which it may begin.
    A monthly one that begins on a day which a month does not have begins on the last day of that month.
    """

    start: datetime
    duration: float
    place: ZoneInfo
    repeat: Repeat = Repeat.ONCE
    days: frozenset[int] = frozenset()
    until: date | None = None

    @classmethod
    def read(cls, texts: WindowTexts) -> Window:
        """Raises InvalidInput, whose field is the one of the texts."""
        begins = _in_field("start", read_local, texts.start)
        place = _in_field("timezone", zone, texts.timezone)
        if texts.repeat not in tuple(Repeat):
            raise InvalidInput(f"expected one of {', '.join(Repeat)}", "repeat")
        repeat = Repeat(texts.repeat)
        if not SHORTEST <= texts.duration <= LONGEST[repeat]:
            most = f"{LONGEST[repeat] / DAY_SECONDS:.0f} days" if repeat is not Repeat.DAILY else "24 hours"
            raise InvalidInput(f"expected a minute at least and {most} at most", "duration")
        days = _in_field("days", read_days, texts.days)
        if days and repeat is not Repeat.WEEKLY:
            raise InvalidInput("only weekly windows have days", "days")
        last = None if texts.until is None else _in_field("until", read_date, texts.until)
        if last is not None and repeat is Repeat.ONCE:
            raise InvalidInput("what happens once needs no last day", "until")
        if last is not None and last < begins.date():
            raise InvalidInput("the last day is before the first", "until")
        return cls(begins, texts.duration, place, repeat, days, last)

    @property
    def texts(self) -> WindowTexts:
        return WindowTexts(
            self.start.isoformat(timespec="minutes"),
            self.duration,
            self.place.key,
            self.repeat.value,
            tuple(DAYS[day] for day in sorted(self.days)),
            None if self.until is None else self.until.isoformat(),
        )

    def active(self, now: float) -> Span | None:
        """The span that now lies in; of several the one that ends last."""
        found = None
        for span in self._spans(now - self.duration):
            if span.start > now:
                break
            if now < span.end:
                found = span
        return found

    def next(self, now: float) -> Span | None:
        """The first span that begins after now; None: there is none any more."""
        return next((span for span in self._spans(now) if span.start > now), None)

    def between(self, first: float, end: float) -> Iterator[Span]:
        """The spans that have some of that time in them, in their order. Unix seconds."""
        for span in self._spans(first - self.duration):
            if span.start >= end:
                return
            if span.end > first:
                yield span

    def most_between(self, first: float, end: float) -> int:
        """How many spans have some of that time in them, or a few more; 0: none is near. By arithmetic alone."""
        begins = _near(datetime.combine(self.start, time.min)) - DAY_SECONDS
        last = self.start if self.repeat is Repeat.ONCE else self.until
        if last is not None:
            end = min(end, _near(datetime.combine(last, time.max)) + DAY_SECONDS)
        seconds = end - max(first - self.duration, begins)
        if seconds <= 0:
            return 0
        days = ceil(seconds / DAY_SECONDS) + 1  # clocks that are changed make some days shorter
        match self.repeat:
            case Repeat.ONCE:
                return 1
            case Repeat.DAILY:
                return days
            case Repeat.WEEKLY:
                return ceil(days / 7) * max(1, len(self.days))
            case Repeat.MONTHLY:
                return ceil(days / 28)

    def _spans(self, since: float) -> Iterator[Span]:
        """In their order; from before the first one that begins after a time, Unix seconds."""
        # A day early: in a zone far from ours, or with a skipped day, it may still be one before.
        earliest = datetime.fromtimestamp(since, self.place).date() - 2 * _DAY
        for day in self._dates(max(earliest, self.start.date())):
            if self.until is not None and day > self.until:
                return
            start = instant(datetime.combine(day, self.start.time()), self.place)
            yield Span(start, start + self.duration)

    def _dates(self, earliest: date) -> Iterator[date]:
        """The days on which it begins, none before that one."""
        first = self.start.date()
        if self.repeat is Repeat.ONCE:
            yield first
        elif self.repeat is Repeat.MONTHLY:
            month = earliest.replace(day=1)
            while True:
                day = month.replace(day=min(first.day, calendar.monthrange(month.year, month.month)[1]))
                if day >= earliest:
                    yield day
                month = (month + 31 * _DAY).replace(day=1)
        else:
            days = frozenset(range(7)) if self.repeat is Repeat.DAILY else self.days or frozenset((first.weekday(),))
            day = earliest
            while True:
                if day.weekday() in days:
                    yield day
                day += _DAY
