"""The few numbers and tables that the page of a host begins with. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hbd.model import Sample
from hbd.web.plugin_view import Card, Table, plugin_view

Samples = Callable[[str], Sequence[Sample]]
"""the samples of a plugin, newest first"""

CHOSEN: tuple[tuple[str, str, str, str], ...] = (
    ("cpu_monitor", "", "cpu_percent", "CPU"),
    ("memory_monitor", "", "percent", "Memory"),
    ("cpu_monitor", "", "load_1min", "Load, 1 min"),
    ("network_monitor", "total", "rx_bytes_per_second", "Received"),
    ("network_monitor", "total", "tx_bytes_per_second", "Sent"),
    ("memory_monitor", "", "swap_percent", "Swap"),
    ("cpu_monitor", "", "iowait_percent", "Waiting for disks"),
    ("process_monitor", "", "total", "Processes"),
)
"""plugin, the part of its sample that holds the metric, the metric, and how it is called here"""
TABLES = (("disk_monitor", "names", "Disks"), ("process_monitor", "top_cpu", "Busiest processes"))
"""plugin, the table of it, and how it is called here"""
LINES = 12
COLUMNS = 5


class Shown(NamedTuple):
    """A card, and the plugin that it is of."""

    plugin: str
    card: Card


class Overview(NamedTuple):
    cards: list[Shown]
    tables: list[tuple[str, Table]]


def overview(samples: Samples) -> Overview:
    cards = [
        Shown(plugin, card)
        for plugin, part, metric, name in CHOSEN
        if (card := _card(samples, plugin, part, metric, name))
    ]
    return Overview(
        cards, [(plugin, table) for plugin, key, name in TABLES if (table := _table(samples, plugin, key, name))]
    )


def _card(samples: Samples, plugin: str, part: str, metric: str, name: str) -> Card | None:
    narrowed = [
        Sample(plugin, one.time, {metric: value})
        for one in samples(plugin)
        if (value := _value(one, part, metric)) is not None
    ]
    found = plugin_view(narrowed).cards
    return found[0]._replace(label=name) if found else None


def _value(sample: Sample, part: str, metric: str) -> Any:
    data: Any = sample.data.get(part) if part else sample.data
    return data.get(metric) if isinstance(data, dict) else None


def _table(samples: Samples, plugin: str, key: str, name: str) -> Table | None:
    wanted = samples(plugin)
    found = next((table for table in plugin_view(wanted).tables if table.key == key), None) if wanted else None
    if found is None:
        return None
    lines = [line[:COLUMNS] for line in found.lines[:LINES]]
    return found._replace(title=name, columns=found.columns[:COLUMNS], lines=lines)
