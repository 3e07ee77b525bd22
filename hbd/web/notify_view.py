"""Channels, silences and maintenance windows in words, as their pages show them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import msgspec

from hbd.schedule import DAYS
from hbd.web import paint

DAY_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class Recurring(Protocol):
    """What can be said of a maintenance window. duration: seconds; start: what clocks show, ``2026-11-21T22:00``."""

    @property
    def start(self) -> str: ...
    @property
    def duration(self) -> float: ...
    @property
    def repeat(self) -> str: ...
    @property
    def days(self) -> Sequence[str]: ...


def json(value: Any) -> str:
    """What a script reads from an attribute of an element."""
    return msgspec.json.encode(value).decode()


def shown(value: object) -> str:
    """The value of a channel's setting."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(str(one) for one in value)
    return str(value)


def days(names: Iterable[str]) -> str:
    """``mon`` to ``sun`` as people say it: ``Mon–Fri``, ``Tue, Sat–Sun``, ``every day``."""
    chosen = sorted({DAYS.index(name) for name in names if name in DAYS})
    if len(chosen) == len(DAYS):
        return "every day"
    runs: list[list[int]] = []
    for day in chosen:
        if runs and day == runs[-1][-1] + 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return ", ".join(DAY_NAMES[run[0]] + (f"–{DAY_NAMES[run[-1]]}" if len(run) > 1 else "") for run in runs)


def recurrence(window: Recurring) -> str:
    """``Mon–Fri at 22:00 for 2 h``."""
    day, _, clock = window.start.partition("T")
    span = paint.long_span(window.duration)
    match window.repeat:
        case "daily":
            when = f"every day at {clock}"
        case "weekly":
            when = f"{days(window.days) or 'every week'} at {clock}"
        case "monthly":
            when = f"each month on day {int(day[-2:])} at {clock}"
        case _:
            when = f"once, {day} {clock}"
    return f"{when} for {span}"
