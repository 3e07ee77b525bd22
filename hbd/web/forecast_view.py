"""Forecasts as the pages tell them: a column of the table of disks, a sentence below a chart. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hbd.derived import DISKS, LEFT
from hbd.web.forecasts import DiskForecast
from hbd.web.paint import NOTHING
from hbd.web.plugin_view import Column, PluginView, Table, TableCell

FULL = Column("forecast", "Full", False)
_WHAT = {"percent": "", "inodes_percent": "inodes "}


def with_forecasts(table: Table, found: Iterable[DiskForecast]) -> Table:
    """The table of disks with a column that says when they will be full, in the place of hours for alerts."""
    told = {(one.mount, one.metric): one for one in found}
    left_out = {place for place, column in enumerate(table.columns) if column.metric in LEFT.values()}
    after = 1 + max((place for place, column in enumerate(table.columns) if column.metric == "percent"), default=0)
    columns = [column for place, column in enumerate(table.columns) if place not in left_out]
    after -= sum(place < after for place in left_out)
    lines = []
    for line in table.lines:
        cells = [cell for place, cell in enumerate(line) if place not in left_out]
        mount = line[0].text
        lines.append([*cells[:after], _cell(*(told.get((mount, metric)) for metric in LEFT)), *cells[after:]])
    return table._replace(columns=[*columns[:after], FULL, *columns[after:]], lines=lines)


def in_view(view: PluginView, found: Sequence[DiskForecast]) -> PluginView:
    """The page of the disks with forecasts in its table."""
    return view._replace(
        tables=[with_forecasts(table, found) if table.key == "names" else table for table in view.tables]
    )


def _cell(room: DiskForecast | None, inodes: DiskForecast | None) -> TableCell:
    """The inodes only when they have an end."""
    below = f"{_WHAT[inodes.metric]}{inodes.words}" if inodes is not None and inodes.full_in is not None else ""
    return TableCell((room.words if room is not None else "") or NOTHING, below=below)


def sentences(metrics: Sequence[str], found: Iterable[DiskForecast]) -> list[str]:
    """What to say below a chart of these metrics (paths): of disks that have an end in sight, and of none."""
    return [
        f"{one.mount}: {_WHAT[one.metric]}full {one.words} if it goes on like this."
        for one in found
        if one.full_in is not None and f"{DISKS}.{one.mount}.{one.metric}" in metrics
    ] + [
        f"{one.mount}: {_WHAT[one.metric]}not full {one.words.removeprefix('not ')} if it goes on like this."
        for one in found
        if one.not_within is not None and f"{DISKS}.{one.mount}.{one.metric}" in metrics
    ]
