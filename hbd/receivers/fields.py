"""Reads what foreign agents send, field by field: whatever is wrong is gathered under its path, nothing stops at it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from hbd.errors import InvalidInput
from hbd.model import without_joiners

MAX_PROBLEMS = 50
MAX_DIGITS = 300
Number = int | float
_MISSING = object()


def parse(body: bytes) -> Any:
    """What a body says in JSON; also such as only Python writes (NaN), where the fields tell what is wrong with it.

    Raises InvalidInput when it is none.
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        pass
    try:
        return json.loads(body, parse_int=lambda digits: int(digits) if len(digits) <= MAX_DIGITS else math.inf)
    except (ValueError, RecursionError) as error:
        reason = "is nested too deeply" if isinstance(error, RecursionError) else "is not JSON"
        raise InvalidInput(reason, "body") from None


class InvalidFields(InvalidInput):
    """by_path: path of a field (``storage.0.name``) to what is wrong with it; of many the first ones."""

    def __init__(self, by_path: Mapping[str, str]) -> None:
        path, reason = next(iter(by_path.items()))
        super().__init__(reason, path)
        self.by_path = by_path


class Problems:
    """by_path: as in ``InvalidFields``."""

    def __init__(self) -> None:
        self.by_path: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self.by_path)

    def check(self) -> None:
        """Raises InvalidFields, unless everything is all right."""
        if self.by_path:
            raise InvalidFields(self.by_path)

    def add(self, path: str, reason: str) -> None:
        if len(self.by_path) < MAX_PROBLEMS:
            self.by_path.setdefault(path, reason)


class Fields:
    """The fields of one object. What is wrong is told in ``problems``, and stands for 0, "" or nothing meanwhile.

    Methods with ``maybe`` give None for a field that is not there or null; all others need theirs.
    """

    def __init__(self, value: Any, problems: Problems, path: str = "") -> None:
        self.problems = problems
        self._path = path
        self._fields: Mapping[str, Any] | None = value if isinstance(value, dict) else None
        if self._fields is None and value is not _MISSING:
            problems.add(path or "body", "must be an object")

    def path(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def wrong(self, name: str, reason: str) -> None:
        if self._fields is not None:  # else that is what is wrong, and not each field of it
            self.problems.add(self.path(name), reason)

    def number(self, name: str, least: float, most: float) -> float:
        return checked_number(self._needed(name), least, most, self.problems, self.path(name))

    def maybe_number(self, name: str, least: float = -math.inf, most: float = math.inf) -> float | None:
        value = self._given(name)
        return None if value is None else checked_number(value, least, most, self.problems, self.path(name))

    def whole(self, name: str, least: int, most: int) -> int:
        return checked_whole(self._needed(name), least, most, self.problems, self.path(name))

    def maybe_whole(self, name: str, least: int, most: int) -> int | None:
        value = self._given(name)
        return None if value is None else checked_whole(value, least, most, self.problems, self.path(name))

    def text(self, name: str, shortest: int, longest: int) -> str:
        return checked_text(self._needed(name), shortest, longest, self.problems, self.path(name))

    def maybe_text(self, name: str, longest: int) -> str | None:
        value = self._given(name)
        return None if value is None else checked_text(value, 0, longest, self.problems, self.path(name))

    def within(self, name: str) -> Fields:
        """The fields of an object in this one."""
        return Fields(self._needed(name), self.problems, self.path(name))

    def list(self, name: str, shortest: int, longest: int) -> Iterator[tuple[str, Any]]:
        """(path, entry) of each entry of a list; none of one that is too short or too long."""
        value, path = self._needed(name), self.path(name)
        if value is _MISSING:
            return
        if not isinstance(value, list):
            self.problems.add(path, "must be a list")
        elif not shortest <= len(value) <= longest:
            self.problems.add(path, f"must have {_between(shortest, longest, 'entries')}")
        else:
            yield from ((f"{path}.{index}", entry) for index, entry in enumerate(value))

    def _given(self, name: str) -> Any:
        return None if self._fields is None else self._fields.get(name)

    def _needed(self, name: str) -> Any:
        value = self._given(name)
        if value is None:
            self.wrong(name, "is required")
            return _MISSING
        return value


def checked_number(value: Any, least: float, most: float, problems: Problems, path: str) -> float:
    if value is _MISSING:
        return 0.0
    if not isinstance(value, Number) or isinstance(value, bool) or not -math.inf < value < math.inf:
        problems.add(path, "must be a number")
    elif not least <= value <= most:
        problems.add(path, _bounds(least, most))
    else:
        try:
            return float(value)
        except OverflowError:
            problems.add(path, "must be a number")
    return 0.0


def checked_whole(value: Any, least: int, most: int, problems: Problems, path: str) -> int:
    """A whole number; programs that know no others send 8192 as 8192.0."""
    if value is _MISSING:
        return 0
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if not whole or isinstance(value, bool):
        problems.add(path, "must be a whole number")
    elif not least <= value <= most:
        problems.add(path, _bounds(least, most))
    else:
        return int(value)
    return 0


def checked_text(value: Any, shortest: int, longest: int, problems: Problems, path: str) -> str:
    if value is _MISSING:
        return ""
    if not isinstance(value, str):
        problems.add(path, "must be a text")
    elif not shortest <= len(value) <= longest:
        problems.add(path, f"must have {_between(shortest, longest, 'characters')}")
    elif not _is_sound(value):
        problems.add(path, "has characters that no text has")
    else:
        return _printable(value)
    return ""


def _is_sound(text: str) -> bool:
    """Whether it has no half characters, which no file and no answer could hold, and no NUL."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _printable(text: str) -> str:
    """The text with a sign in place of what cannot be seen, or would move what stands around it.

    It is no reason to refuse it: whoever may name a process or a volume must not be able to silence a host.
    """
    if without_joiners(text).isprintable():
        return text
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _bounds(least: float, most: float) -> str:
    if most == math.inf:
        return f"must be {least:.15g} or more"
    return f"must be between {least:.15g} and {most:.15g}"


def _between(least: int, most: int, things: str) -> str:
    if least == most:
        return f"{most} {things}"
    return f"{least} to {most} {things}" if least else f"at most {most} {things}"
