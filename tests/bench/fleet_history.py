"""Months of history of many hosts in a database, made in an hour instead of months.

``Maker`` makes for one host the rows that the daemon's folding and packing leave behind at the end, with the same
functions, but each row once and not again with every four hours that are added to it. What a host measures is as
``recording.py`` says, and begins anew after ``PERIOD`` windows. Rows of samples, minutes and quarters are about less
than that, so nothing in them is there twice (in those of hours, a hundredth of all, it is). Of what comes again only
the times are made anew. ``bench_history.py`` compares this with the daemon's way before it trusts it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import recording

from hbd import bundle as bundles
from hbd import history, rollup_bytes, rollups
from hbd.bundle import How, bundle
from hbd.history import Table
from hbd.rollups import MINUTE, TIERS, Column, Rolled
from hbd.store.history import RAW, WINDOWS, Row

WINDOW = WINDOWS[MINUTE]
ROUNDS = int(WINDOW // recording.EVERY)
PERIOD = 12  # windows, of whole days


class Made(NamedTuple):
    host: int
    rows: list[Row]
    numbers: int


class Maker:
    """began: Unix seconds, the start of a day. raw: for how many windows at the end samples are kept."""

    def __init__(self, windows: int, began: float, raw: int, period: int = PERIOD) -> None:
        self._recording = recording.Recording(recording.sixty())
        self._windows, self._began, self._raw, self._period = windows, int(began), raw, period

    def make(self, host: int) -> Made:
        rows: list[Row] = []
        waiting: dict[int, list[dict[str, Rolled]]] = {tier: [] for tier in TIERS}
        known: dict[int, dict[int, dict[str, Rolled]]] = {}
        with _Remembered():
            for number in range(self._windows):
                place = number % self._period
                if place not in known:
                    known[place] = _rolled(self._tables(host, number))
                if number >= self._windows - self._raw:
                    rows.append(_samples(self._began + number * WINDOW, self._tables(host, number)))
                later = (number - place) * WINDOW
                for tier, by_plugin in known[place].items():
                    waiting[tier].append(_shifted(by_plugin, later))
                rows += self._ended(number, waiting)
        return Made(host, rows, self._windows * ROUNDS * recording.METRICS)

    def reports(self, host: int, window: int) -> Iterator[tuple[float, list[dict[str, Any]]]]:
        """The same as an agent sends it: when each round was measured, and its samples."""
        samples = {plugin: table.samples() for plugin, table in self._tables(host, window).items()}
        for number in range(ROUNDS):
            measured = {plugin: each[number] for plugin, each in samples.items()}
            at = next(iter(measured.values()))[0]
            yield at, [{"plugin": plugin, "time": at, "data": data} for plugin, (_, data) in measured.items()]

    def _tables(self, host: int, window: int) -> dict[str, Table]:
        times = self._recording.times(host, window * ROUNDS, ROUNDS, self._began)
        measured = self._recording.data(host, window % self._period * ROUNDS, ROUNDS)
        return {plugin: Table(times, data) for plugin, data in measured.items()}

    def _ended(self, number: int, waiting: dict[int, list[dict[str, Rolled]]]) -> Iterator[Row]:
        """The rows of rollups that this window is the last one of."""
        start = self._began + number * WINDOW
        for tier in TIERS:
            ends = (start + WINDOW) % WINDOWS[tier] == 0
            if ends or number == self._windows - 1:
                yield _rollups(tier, start - start % WINDOWS[tier], waiting[tier], "least" if ends else "small")
                waiting[tier] = []


class _Remembered:
    """While it is entered, what is to be packed again is remembered instead."""

    def __enter__(self) -> None:
        self._of_column, self._of_blob = rollup_bytes._packed, bundles._packed
        columns: dict[int, bytes] = {}
        blobs: dict[tuple[bytes, How], tuple[Any, bytes]] = {}

        def column(of: Column) -> bytes:
            if id(of.lows) not in columns:
                columns[id(of.lows)] = self._of_column(of)
                self._kept.append(of.lows)
            return columns[id(of.lows)]

        def blob(of: bytes, how: How) -> tuple[Any, bytes]:
            if (of, how) not in blobs:
                blobs[of, how] = self._of_blob(of, how)
            return blobs[of, how]

        self._kept: list[object] = []  # so that no other list gets its id
        rollup_bytes._packed, bundles._packed = column, blob

    def __exit__(self, *_: object) -> None:
        rollup_bytes._packed, bundles._packed = self._of_column, self._of_blob


def _rolled(tables: dict[str, Table]) -> dict[int, dict[str, Rolled]]:
    """By tier and plugin."""
    found: dict[int, dict[str, Rolled]] = {tier: {} for tier in TIERS}
    for plugin, table in tables.items():
        rolled = rollups.roll_table(table, MINUTE)
        for tier in TIERS:
            rolled = rolled if tier == MINUTE else rollups.coarsen(rolled, tier)
            found[tier][plugin] = rolled
    return found


def _shifted(by_plugin: dict[str, Rolled], later: int) -> dict[str, Rolled]:
    starts: dict[int, list[int]] = {}

    def shifted(column: Column) -> Column:
        known = starts.get(id(column.starts))
        if known is None:
            known = starts[id(column.starts)] = [start + later for start in column.starts]
        return Column(column.scale, known, column.counts, *column.numbers())

    return {plugin: {path: shifted(column) for path, column in rolled.items()} for plugin, rolled in by_plugin.items()}


def _samples(start: int, tables: dict[str, Table]) -> Row:
    times = next(iter(tables.values())).times
    parts = {plugin: history.write_part(table) for plugin, table in tables.items()}
    return Row(RAW, start, times[0], times[-1], True, bundle(parts, "least"))


def _rollups(tier: int, start: int, waiting: list[dict[str, Rolled]], how: How) -> Row:
    whole = rollups.merged(waiting)
    starts = [column.starts for rolled in whole.values() for column in rolled.values()]
    parts = {plugin: rollup_bytes.encode(rolled, tier) for plugin, rolled in whole.items()}
    first, last = min(each[0] for each in starts), max(each[-1] for each in starts)
    return Row(tier, start, first, last + tier, True, bundle(parts, how))
