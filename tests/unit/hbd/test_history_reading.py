from typing import cast

import pytest

from hbd.errors import InvalidInput
from hbd.history import Table, table
from hbd.rollups import Column, Rolled
from hbd.spans import Plan
from hbd.store.history import RAW, History, Wanted
from hbd.web.history_reading import MAX_SERIES, Columns, Room, columns_of_host

METRICS = 20
MINUTES = Plan(60, 60, 0, 600)
SAMPLES = Plan(RAW, 0, 0, 100)


class Stored:
    """A host whose plugin has so many metrics. taken: how many of them the last answer has."""

    def __init__(self) -> None:
        self.taken = 0

    async def rolled(
        self, host_id: int, plugins: set[str], tier: int, first: float, end: float, wanted: Wanted
    ) -> dict[str, Rolled]:
        starts, ones = list(range(0, 600, 60)), [1] * 10
        columns = {(f"m{number}",): Column(1, starts, ones, ones, ones, ones, ones) for number in range(METRICS)}
        taken = {path: column for path, column in columns.items() if wanted("own", path)}
        self.taken = len(taken)
        return {"own": taken}

    async def table(self, host_id: int, plugin: str, first: float, end: float, limit: int) -> Table:
        data = {f"m{number}": number for number in range(METRICS)}
        return table([(float(time), data) for time in range(-1000, 1000, 10)])


async def read(plan: Plan, series: int, points: int, stored: Stored | None = None) -> Columns:
    return await columns_of_host(cast(History, stored or Stored()), 1, ["own.*"], plan, Room(series, points))


@pytest.mark.parametrize("plan", [MINUTES, SAMPLES])
async def test_as_much_as_there_is_room_for_is_read(plan: Plan) -> None:
    found = await read(plan, METRICS, METRICS * 10)
    assert [len(points) for points in found["own"].values()] == [10] * METRICS


@pytest.mark.parametrize("plan", [MINUTES, SAMPLES])
async def test_more_series_than_there_is_room_for_are_refused(plan: Plan) -> None:
    with pytest.raises(InvalidInput, match=f"^metric: names more than {MAX_SERIES} series"):
        await read(plan, METRICS - 1, METRICS * 10)


@pytest.mark.parametrize("plan", [MINUTES, SAMPLES])
async def test_more_points_than_there_is_room_for_are_refused(plan: Plan) -> None:
    with pytest.raises(InvalidInput, match=r"^metric: would be too many points for one answer"):
        await read(plan, METRICS, METRICS * 10 - 1)


async def test_no_more_is_read_than_there_is_room_for() -> None:
    stored = Stored()
    with pytest.raises(InvalidInput):
        await read(MINUTES, METRICS, 50, stored)
    assert stored.taken == 5


async def test_without_room_nothing_is_read() -> None:
    stored = Stored()
    with pytest.raises(InvalidInput):
        await read(MINUTES, METRICS, 0, stored)
    assert stored.taken == 0


async def test_a_pattern_of_many_dots_asks_for_few_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[set[str]] = []

    async def note(history: History, host_id: int, plugins: set[str], *_: object) -> Columns:
        asked.append(plugins)
        return {}

    monkeypatch.setattr("hbd.web.history_reading._rollups", note)
    await columns_of_host(cast(History, Stored()), 1, ["a." * 2000], MINUTES, Room(1, 1))
    assert asked == [{".".join("a" * count) for count in range(1, 11)}]
