"""Reading the options of a plugin. Each raises ValueError naming the option and what it may be."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import translate
from typing import Any

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}


def seconds(options: Mapping[str, Any], name: str, default: float, *, least: float, most: float) -> float:
    """A duration: ``3``, ``0.5``, ``90s``, ``5m``, ``1h``."""
    value = options.get(name)
    if value is None:
        return default
    match = None if isinstance(value, bool) else _DURATION.fullmatch(str(value).strip())
    if match is None:
        raise ValueError(f"{name}: {value!r} is no duration; write seconds (30) or 90s, 5m, 1h")
    duration = float(match[1]) * _UNITS[match[2]]
    if not least <= duration <= most:
        raise ValueError(f"{name}: {duration:g} s is out of range, {least:g} to {most:g} s can be used")
    return duration


def whole(options: Mapping[str, Any], name: str, default: int, *, least: int, most: int) -> int:
    """A whole number."""
    value = options.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name}: {value!r} is no whole number from {least} to {most}")
    return value


def texts(options: Mapping[str, Any], name: str, default: Sequence[str]) -> tuple[str, ...]:
    """A list of texts; one text alone is a list of one."""
    value = options.get(name)
    if value is None:
        return tuple(default)
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list):
        values = [values]
    for item in values:
        if isinstance(item, bool | int | float):
            shown = str(item).lower() if isinstance(item, bool) else repr(item)
            raise ValueError(f'{name}: {shown} is no text here; write "{shown}"')
        if not isinstance(item, str):
            raise ValueError(f"{name}: {value!r} is no list of texts")
    return tuple(values)


def chooser(options: Mapping[str, Any], left_out: Sequence[str] = ()) -> Callable[[str], bool]:
    """Whether a name is wanted by the options ``include`` and ``exclude``, shell patterns both.

    left_out: what is excluded where the options say neither.
    """
    include = texts(options, "include", ("*",))
    exclude = texts(options, "exclude", () if "include" in options else left_out)
    wanted = re.compile("|".join(map(translate, include)) or "(?!)")
    unwanted = re.compile("|".join(map(translate, exclude)) or "(?!)")
    return lambda name: wanted.match(name) is not None and unwanted.match(name) is None
