"""What a check of Nagios prints: a text, and performance data behind a bar. Pure.

See https://www.monitoring-plugins.org/doc/guidelines.html. What cannot be read of performance data is left out.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

OK, WARNING, CRITICAL, UNKNOWN = range(4)
MOST_CHARACTERS = 16 * 1024  # that are looked at
MOST_VALUES = 200
LONGEST_LABEL = 128

_QUOTED = re.compile(r"\s*'((?:[^']|'')+)'=(\S*)")
_PLAIN = re.compile(r"\s*([^\s='|]+)=(\S*)")
_TOKEN = re.compile(r"\s*\S+")
_VALUE = re.compile(r"([-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?)([A-Za-z%µ]*)", re.ASCII)


class Printed(NamedTuple):
    """text: the first line, without performance data. values: label to value in its unit.

    counters: labels of values that only grow.
    """

    text: str
    values: dict[str, float]
    counters: frozenset[str]


def read(output: str) -> Printed:
    first, *more = output[:MOST_CHARACTERS].strip().split("\n")
    text, _, data = first.partition("|")
    # Behind the first line is a long text, and behind a bar in it the rest of the performance data.
    data += " " + " ".join(more).partition("|")[2]
    values: dict[str, float] = {}
    counters = set()
    place = 0
    while (token := _TOKEN.match(data, place)) and len(values) < MOST_VALUES:
        found = _QUOTED.match(data, place) or _PLAIN.match(data, place)
        place = (found or token).end()
        if found is None:
            continue
        label = found[1].replace("''", "'").strip()
        value = _VALUE.fullmatch(found[2].partition(";")[0])
        if value is not None and 0 < len(label) <= LONGEST_LABEL and math.isfinite(float(value[1])):
            values[label] = float(value[1])
            if value[2] == "c":
                counters.add(label)
    return Printed(text.strip(), values, frozenset(counters))


def metrics(state: int, printed: Printed) -> dict[str, float | str]:
    """What a check found, as metrics: ``state`` and ``output``, and its values by their labels.

    A label that would hide one of these has an underscore behind it.
    """
    found: dict[str, float | str] = {"state": state, "output": printed.text}
    taken = frozenset((*found, "seconds"))
    return found | {f"{label}_" if label in taken else label: value for label, value in printed.values.items()}
