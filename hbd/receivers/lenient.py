"""Reads what an agent sends that promises nothing: a value that cannot be costs itself alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from hbd.model import Data
from hbd.receivers.fields import Problems

MAX_NAME = 200
MAX_TEXT = 256
MAX_FIELDS = 5_000  # of one object that are looked at for numbers
MAX_NUMBER = 1e300
LARGEST_WHOLE = 1 << 63  # what JSON of ours can hold as a whole number


class Lenient:
    """The fields of one object, each taken once: what is left at the end has no place of its own.

    What cannot be is told in ``problems`` under its path, and stands for nothing.
    """

    def __init__(self, values: Any, problems: Problems, path: str = "") -> None:
        self.rest: dict[str, Any] = dict(values) if isinstance(values, Mapping) else {}
        self.problems = problems
        self._path = path
        if values is not None and not isinstance(values, Mapping):
            self.wrong("", "must be an object")

    def take(self, *names: str) -> Any:
        """The first of these that is there; all of them are taken."""
        found = [self.rest.pop(name, None) for name in names]
        return next((value for value in found if value is not None), None)

    def number(self, *names: str) -> float | None:
        name = self._first(names)
        return self.checked(self.take(*names), name)

    def text(self, *names: str) -> str:
        """One line of text; "" where there is none."""
        name = self._first(names)
        value = self.take(*names)
        if value is None or value == "":
            return ""
        if isinstance(value, str) and len(value) <= MAX_TEXT and value.isprintable():
            return value.strip()
        self.wrong(name, f"must be a line of at most {MAX_TEXT} characters")
        return ""

    def flag(self, name: str) -> bool:
        return self.take(name) is True

    def within(self, name: str) -> Lenient:
        return Lenient(self.take(name), self.problems, self._at(name))

    def entries(self, name: str, most: int, *title: str) -> Iterator[tuple[str, Any]]:
        """(name, entry) of an object of entries, or of a list of such that have their name in one of these fields."""
        value = self.take(name)
        if isinstance(value, Mapping):
            named = list(value.items())
        elif isinstance(value, list):
            named = [(_named(entry, title), entry) for entry in value]
        else:
            named = []
            if value is not None:
                self.wrong(name, "must be a list or an object")
        if len(named) > most:
            self.wrong(name, f"only {most} of {len(named)} entries are taken")
        for index, (key, entry) in enumerate(named[:most]):
            if is_name(key):
                yield key, entry
            else:
                self.wrong(f"{name}.{index}", f"has no name of 1-{MAX_NAME} characters")

    def entry(self, value: Any, *path: str) -> Lenient:
        """The fields of something that was within this one."""
        return Lenient(value, self.problems, self._at(".".join(path)))

    def checked(self, value: Any, name: str) -> float | None:
        """The value if it is a number, None if there is none; anything else is a problem."""
        if value is None:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MAX_NUMBER:
            return value if abs(value) < LARGEST_WHOLE else float(value)
        self.wrong(name, "must be a number")
        return None

    def numbers(self, most: int, levels: int = 1) -> Data:
        """What is left, as far as it is numbers; also those below, down to that level. At most so many."""
        kept, _ = self._numbers(self.rest, most, levels)
        return kept

    def _numbers(self, values: Mapping[Any, Any], most: int, levels: int) -> tuple[Data, int]:
        """The numbers, and how many further ones there may be."""
        kept: Data = {}
        room = most
        for name, value in islice(values.items(), MAX_FIELDS):
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number and not (isinstance(value, Mapping) and levels > 1):
                continue
            if not is_name(name) or name.startswith("_"):
                continue
            if room <= 0:
                self.wrong(name, "there are too many further numbers")
                break
            if not is_number:
                below, room = self._numbers(value, room, levels - 1)
                if below:
                    kept[name] = below
            elif (number := self.checked(value, name)) is not None:
                kept[name] = number
                room -= 1
        if len(values) > MAX_FIELDS:
            self.wrong("", f"only {MAX_FIELDS} of {len(values)} further fields are looked at")
        return kept, room

    def wrong(self, name: str, reason: str) -> None:
        path = self._at(name).encode("utf-8", "replace").decode()
        self.problems.add(path if len(path) <= MAX_NAME else path[:MAX_NAME] + "…", reason)

    def _first(self, names: tuple[str, ...]) -> str:
        return next((name for name in names if self.rest.get(name) is not None), names[0])

    def _at(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path and name else self._path or name or "body"


def is_name(text: object) -> bool:
    return isinstance(text, str) and 1 <= len(text) <= MAX_NAME and text.isprintable()


def _named(entry: Any, names: tuple[str, ...]) -> Any:
    return next((entry[name] for name in names if entry.get(name)), None) if isinstance(entry, Mapping) else None
