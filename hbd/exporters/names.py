"""What a metric is called elsewhere: Prometheus' names and base units. Pure.

``disk_monitor./.percent`` becomes ``hbd_disk_ratio{key="/"}``, ``memory_monitor.total_mb`` ``hbd_memory_total_bytes``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from hbd.model import Data

PREFIX = "hbd_"
_MEBI, _GIBI = float(1 << 20), float(1 << 30)
# Ending here → ending there, and what a value is multiplied by.
_UNITS = (
    ("percent", "ratio", 0.01),
    ("mb", "bytes", _MEBI),
    ("gb", "bytes", _GIBI),
    ("kb", "bytes", 1024.0),
    ("ms", "seconds", 0.001),
    ("mhz", "hertz", 1e6),
    ("mbit", "bytes_per_second", 125_000.0),
    ("minutes", "seconds", 60.0),
    ("hours", "seconds", 3600.0),
    ("days", "seconds", 86_400.0),
    ("boot_time", "boot_timestamp_seconds", 1.0),
    ("start_time", "start_timestamp_seconds", 1.0),
    # What follows belongs to histograms there.
    ("count", "number", 1.0),
    ("sum", "all", 1.0),
    ("bucket", "buckets", 1.0),
)
_OTHERS = {
    "disk_inodes_total": "disk_inodes",  # as many as there are: it is no counter
    "temperature_high": "temperature_high_celsius",
    "temperature_critical": "temperature_critical_celsius",
}
_MOST = 1e290  # what is larger is no number that anybody measured, and none at all in a smaller unit
_COUNTER = "_total"
_FORBIDDEN = re.compile(r"[^a-zA-Z0-9_]+")
_STEM = re.compile(r"_monitor$")


class Series(NamedTuple):
    """One number of a sample. key: what it is about (a mount, an interface), "" for the host as a whole."""

    name: str
    key: str
    value: float


class Named(NamedTuple):
    """factor: what a value is multiplied by to be in the unit of the name. counter: whether it only grows."""

    name: str
    factor: float
    counter: bool


@lru_cache(maxsize=10_000)
def named(plugin: str, metric: str) -> Named:
    """metric: the last name of its path."""
    stem = _clean(_STEM.sub("", plugin))
    word = _clean(metric)
    word = word.removeprefix(f"{stem}_") if word != stem else word
    factor = 1.0
    for ending, unit, by in _UNITS:
        if word == ending or word.endswith(f"_{ending}"):
            word, factor = word[: len(word) - len(ending)] + unit, by
            break
    if word == "total":  # a number of things, which is no counter
        word = "number"
    name = f"{stem}_{word}"
    name = _OTHERS.get(name, name)
    return Named(PREFIX + name, factor, name.endswith(_COUNTER))


def series(plugin: str, data: Data, above: tuple[str, ...] = ()) -> Iterator[tuple[Named, Series]]:
    """Every number of a sample that a double can hold; booleans are 0 and 1."""
    for name, value in data.items():
        if type(value) is dict:
            yield from series(plugin, value, (*above, name))
        elif type(value) in (int, float, bool):
            found = named(plugin, name)
            if abs(value) <= _MOST:
                yield found, Series(found.name, ".".join(above), value * found.factor)


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("_", text).strip("_") or "_"
