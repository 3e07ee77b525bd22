"""What a real machine measured (tests/data/recorded.jsonl.gz), for as many hosts and as long as a benchmark wants it.

The recording is 797 rounds of 10 s. A host goes round and round in it, from a place of its own; each time round, what
varies is multiplied with a factor of that host, that time and that metric. So neither two hosts nor two times round are
alike, and how noisy each metric is, how often it rests and how many digits it has stays what it was.
"""

from __future__ import annotations

import gzip
import random
from itertools import repeat
from operator import floordiv, mod, mul
from pathlib import Path
from typing import Any

import msgspec

from hbd.tables import Column, Numbers, Plain, Records, column, joined, values

RECORDED = Path(__file__).parents[1] / "data" / "recorded.jsonl.gz"
EVERY = 10.0
METRICS = 60
"""of a round of ``sixty``"""
_THOUSANDTHS = 1000

Round = dict[str, dict[str, Any]]
"""by plugin"""


def rounds() -> list[Round]:
    """Everything that was recorded."""
    with gzip.open(RECORDED) as lines:
        return [{sample["plugin"]: sample["data"] for sample in msgspec.json.decode(line)} for line in lines]


def sixty() -> list[Round]:
    """The sixty metrics in five plugins of a common host: no tables of processes, one sum of all network interfaces."""
    chosen = []
    for measured in rounds():
        network = {
            name: value
            for name, value in measured["network_monitor"].items()
            if name == "total" or name[:3] in ("tcp", "udp")
        }
        processes = {name: value for name, value in measured["process_monitor"].items() if type(value) is not list}
        kept = {plugin: measured[plugin] for plugin in ("cpu_monitor", "memory_monitor", "disk_monitor")}
        chosen.append(kept | {"network_monitor": network, "process_monitor": processes})
    return chosen


def numbers_in(value: Any) -> int:
    """How many there are, those of tables left out."""
    if type(value) is dict:
        return sum(map(numbers_in, value.values()))
    return type(value) in (int, float)


class Recording:
    """Rounds as columns, and as much more as is wanted made of them."""

    def __init__(self, measured: list[Round]) -> None:
        self.count = len(measured)
        self._columns = {plugin: column([each[plugin] for each in measured]) for plugin in measured[0]}

    def data(self, host: int, first: int, count: int) -> dict[str, Column]:
        """What rounds number first, first + 1, ... of a host measured, by plugin."""
        return {plugin: self._data(plugin, host, first, count) for plugin in self._columns}

    @staticmethod
    def times(host: int, first: int, count: int, began: float) -> list[float]:
        """When they were, Unix seconds, as steady as an agent's clock is. began: round 0."""
        jitter = random.Random(f"{host} {first}")
        offset = began + host * 0.037
        return [round(offset + EVERY * number + jitter.random() * 0.05, 3) for number in range(first, first + count)]

    def _data(self, plugin: str, host: int, first: int, count: int) -> Column:
        place = first + host * 37
        parts = []
        while count:
            turn, begin = divmod(place, self.count)
            length = min(count, self.count - begin)
            factors = random.Random(f"{plugin} {host} {turn}")
            parts.append(_varied(self._columns[plugin], begin, begin + length, factors))
            place += length
            count -= length
        return _simplest(joined(parts))


def _simplest(of: Column) -> Column:
    """With the smallest scale that there is, as if it had been read from reports."""
    match of:
        case Numbers(scale, integers):
            while scale > 1 and not any(map(mod, integers, repeat(10))):
                scale, integers = scale // 10, list(map(floordiv, integers, repeat(10)))
            return Numbers(scale, integers)
        case Records(shapes, runs, columns):
            return Records(shapes, runs, {name: _simplest(below) for name, below in columns.items()})
    return of


def _varied(of: Column, begin: int, end: int, factors: random.Random) -> Column:
    match of:
        case Numbers():
            factor = factors.randrange(800, 1250)
            part = of.integers[begin:end]
            if min(part) == max(part):
                return Numbers(of.scale, part)
            return Numbers(of.scale, list(map(floordiv, map(mul, part, repeat(factor)), repeat(_THOUSANDTHS))))
        case Records(shapes, _, columns):
            if len(shapes) != 1:
                raise ValueError("only rounds of one shape can be varied")
            below = {name: _varied(each, begin, end, factors) for name, each in columns.items()}
            return Records(shapes, [(0, end - begin)], below)
    return Plain(values(of)[begin:end])
