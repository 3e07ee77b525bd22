"""Metrics that have no place in our words, kept as they are. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import NamedTuple

import msgspec

from hbd.model import Data
from hbd.scraping.exposition import Series
from hbd.scraping.node_exporter import RatesOf

LONGEST_KEY = 256  # characters of all labels of a series
ROOM_PER_METRIC = 24  # bytes that a value, its quotes and its commas take at the most


class Others(NamedTuple):
    """left_out: series for which there was no room."""

    data: Data
    left_out: int


def gather(
    series: Iterable[Series],
    used: Collection[str],
    cumulative: Collection[str],
    rates: RatesOf,
    *,
    most_metrics: int,
    most_bytes: int,
) -> Others:
    """Those without labels by name; the others by their labels, ``device=eth0``, and then by name.

    Beside what only grows, such as ``http_requests_total``, is its rate, ``http_requests_total_per_second``; rates come
    last where there is not room for all. used: names that are told in our words.
    """
    flat: Data = {}
    nested: dict[str, Data] = {}
    growing: dict[str, dict[str, float]] = defaultdict(dict)
    left_out = 0
    for name, labels, value in series:
        if name in used:
            continue
        key = _shown(labels)
        metrics = nested.setdefault(key, {}) if key else flat
        size = ROOM_PER_METRIC + len(name) + (0 if metrics else _bytes(key))
        if most_metrics < 1 or size > most_bytes or len(key) > LONGEST_KEY or len(name) > LONGEST_KEY:
            left_out += 1
            continue
        metrics[name] = value
        most_metrics, most_bytes = most_metrics - 1, most_bytes - size
        if name in cumulative:
            growing[key][name] = value
    for key, counters in growing.items():
        for name, rate in rates(f"others {key}", counters).items():
            size = ROOM_PER_METRIC + len(name) + len("_per_second")
            if most_metrics > 0 and size <= most_bytes:
                (nested[key] if key else flat)[f"{name}_per_second"] = rate
                most_metrics, most_bytes = most_metrics - 1, most_bytes - size
    return Others(flat | {key: metrics for key, metrics in nested.items() if metrics}, left_out)


def _shown(labels: dict[str, str]) -> str:
    text = ",".join(f"{name}={value}" for name, value in labels.items() if value)
    return text if text.isprintable() else "".join(letter if letter.isprintable() else "�" for letter in text)


def _bytes(key: str) -> int:
    return len(msgspec.json.encode(key)) + 4
