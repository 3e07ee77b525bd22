"""The daemon's counters as people read them: trouble first, in words. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

TROUBLE = re.compile(r"refused|rejected|dropped|ignored|errors|lost|slow")
WORDS = {"bad_mac": "wrong signature", "unknown_key": "unknown key"}
REQUESTS = "http_requests_total"  # what a client asked in vain is its own trouble


class Trouble(NamedTuple):
    text: str
    number: float


def troubles(counters: Mapping[str, float]) -> list[Trouble]:
    """Counters that should have stayed 0: ``heartbeats_refused_total[replayed]`` → ``Heartbeats refused: replayed``."""
    return [
        Trouble(_words(name), number)
        for name, number in counters.items()
        if number and not name.startswith(REQUESTS) and TROUBLE.search(name)
    ]


def _words(counter: str) -> str:
    name, *labels = re.split(r"[\[\]]+", counter.rstrip("]"))
    text = name.removesuffix("_total").replace("_", " ")
    told = ", ".join(WORDS.get(value, value.replace("_", " ")) for value in labels)
    return text[:1].upper() + text[1:] + (f": {told}" if told else "")
