"""What a config file says, checked value by value: nothing is guessed, and every problem is noted with its line."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

T = TypeVar("T")
D = TypeVar("D")

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Reader:
    """One mapping of the file. Every getter gives the default, and notes a problem, when a value cannot be used."""

    def __init__(self, values: Any, lines: Mapping[str, int], problems: list[tuple[int, str]], path: str = "") -> None:
        self.problems = problems
        self._path = path
        self.lines = lines
        self._values: dict[str, Any] = {}
        self._known: list[str] = []
        if isinstance(values, dict):
            self._values = values
        elif values is not None:
            self.note("", f"must be a section of `key: value` lines, not {shown(values)}")

    def __contains__(self, key: str) -> bool:
        """Whether it is written there, be it without a value."""
        return key in self._values

    def get(self, key: str, check: Callable[[Any], T], default: D) -> T | D:
        """check: turns the value into what is wanted, or raises ValueError with the reason."""
        self._known.append(key)
        value = self._values.get(key)
        if value is None:
            return default
        try:
            return check(value)
        except ValueError as error:
            self.note(key, str(error))
            return default

    def section(self, key: str) -> Reader:
        self._known.append(key)
        return Reader(self._values.get(key), self.lines, self.problems, self._below(key))

    def sections(self, key: str) -> dict[str, Reader]:
        """The sections below that key, by names of the user's own choice."""
        named = self.section(key)
        return {
            name: Reader(value, self.lines, self.problems, named._below(name)) for name, value in named._values.items()
        }

    def close(self) -> None:
        """Call when every key was asked for: what is left is unknown."""
        for key in self._values:
            if key not in self._known:
                close = get_close_matches(key, self._known, n=1)
                hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(self._known)}"
                self.note(key, f"there is no such key; {hint}")

    def _below(self, key: str) -> str:
        return ".".join(part for part in (self._path, key) if part)

    def note(self, key: str, reason: str) -> None:
        below = self._below(key)
        line = self.lines.get(below) or self.lines.get(self._path, 1)  # a key that is missing stands in its section
        self.problems.append((line, f"{below}: {reason}"))


def duration(value: Any) -> float:
    """Seconds of ``3``, ``0.5``, ``90s``, ``5m``, ``1h``. Raises ValueError."""
    match = None if isinstance(value, bool) else _DURATION.fullmatch(str(value).strip())
    if match is None:
        raise ValueError(f"{shown(value)} is no duration; write seconds (30) or 90s, 5m, 1h")
    return float(match[1]) * _UNITS[match[2]]


def whole(least: int, most: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"{shown(value)} is no whole number from {least} to {most}")
        return value

    return check


def plain_text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        hint = f'; write "{shown(value)}"' if isinstance(value, bool | int | float) else ""
        raise ValueError(f"must be a text, not {shown(value)}{hint}")
    return value


def plain_texts(value: Any) -> tuple[str, ...]:
    """A list of texts; one alone is a list of one."""
    return tuple(plain_text(item) for item in (value if isinstance(value, list) else [value]))


def absolute_paths(value: Any) -> tuple[str, ...]:
    paths = plain_texts(value)
    for path in paths:
        if not path.startswith("/"):
            raise ValueError(f"{path!r} must begin with /")
    return paths


def shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "a section" if isinstance(value, dict) else "a list"
    return str(value).lower() if isinstance(value, bool) else repr(value)
