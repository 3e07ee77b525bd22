"""What was shown, on disk: against a real SQLite file."""

from __future__ import annotations

from typing import Any

import pytest

from hbd import chronicle
from hbd.chronicle import Change
from hbd.errors import StorageFull
from hbd.store import Store
from hbd.store.chronicle import WINDOW_SECONDS, ChronicleTables, Run, Strand
from hbd.store.database import Room

HOUR = 1_750_003_200  # when a window begins
ANT, BEE = 1, 2


@pytest.fixture(name="store")
async def a_store(store: Store) -> Store:
    for name in ("ant", "bee"):
        await store.hosts.enrol(name, f"agent_{name}", [], None, 0.0)
    return store


@pytest.fixture(name="past")
def its_chronicle(store: Store) -> ChronicleTables:
    return store.chronicle


def base(second: float, **doc: Any) -> Change:
    return chronicle.base(doc, ms(second))


def put(second: float, **values: Any) -> Change:
    return Change(ms(second), False, {(name,): value for name, value in values.items()}, [])


def ms(second: float) -> int:
    return round((HOUR + second) * 1000)


async def write(past: ChronicleTables, *changes: Change, host: int = ANT, started: float = 0.0) -> None:
    window = changes[0].at // 1000 // WINDOW_SECONDS * WINDOW_SECONDS
    await past.write([Strand(host, window, list(changes))], Run(ms(started), changes[-1].at))


async def shown(past: ChronicleTables, second: float, host: int = ANT) -> dict[str, Any] | None:
    found = (await past.at([host], ms(second))).get(host)
    return None if found is None else chronicle.unflatten(found)


async def packed(past: ChronicleTables, until: float) -> int:
    rows = 0
    while step := await past.pack(HOUR + until):
        rows += step
    return rows


async def test_each_row_goes_on_where_the_one_before_ended(past: ChronicleTables) -> None:
    await write(past, base(0, a=1, b=1), put(5, a=2))
    await write(past, put(30, a=3))
    assert [await shown(past, at) for at in (-1, 0, 4.999, 5, 29, 31)] == [
        None,
        {"a": 1, "b": 1},
        {"a": 1, "b": 1},
        {"a": 2, "b": 1},
        {"a": 2, "b": 1},
        {"a": 3, "b": 1},
    ]


async def test_what_does_not_change_for_hours_still_holds(past: ChronicleTables) -> None:
    await write(past, base(0, a=1))
    assert await shown(past, 7 * WINDOW_SECONDS) == {"a": 1}


async def test_a_window_that_goes_on_is_not_packed(past: ChronicleTables) -> None:
    await write(past, base(0, a=1))
    assert await packed(past, WINDOW_SECONDS - 1) == 0


async def test_a_window_that_is_over_becomes_one_row_per_host(past: ChronicleTables, store: Store) -> None:
    for host in (ANT, BEE):
        await write(past, base(0, a=host), put(5, a=9), host=host)
        await write(past, put(30, a=3), host=host)
    assert await packed(past, WINDOW_SECONDS + 1) == 4
    count = await store.database.read(lambda db: db.execute("SELECT count(*) FROM chronicle").fetchone()[0])
    assert count == 2
    assert [await shown(past, at, BEE) for at in (0, 6, 31)] == [{"a": 2}, {"a": 9}, {"a": 3}]


async def test_what_comes_after_its_window_was_packed_is_packed_too(past: ChronicleTables) -> None:
    await write(past, base(0, a=1))
    assert await packed(past, WINDOW_SECONDS + 1) == 1
    await write(past, put(WINDOW_SECONDS - 1, a=2))
    assert await shown(past, WINDOW_SECONDS) == {"a": 2}
    assert await packed(past, WINDOW_SECONDS + 1) == 2
    assert [await shown(past, at) for at in (1, WINDOW_SECONDS)] == [{"a": 1}, {"a": 2}]


async def test_a_daemon_that_starts_anew_within_a_window_begins_anew(past: ChronicleTables) -> None:
    await write(past, base(0, a=1, gone=1))
    await write(past, base(60, a=2), started=60)
    assert await shown(past, 61) == {"a": 2}
    await packed(past, WINDOW_SECONDS + 1)
    assert [await shown(past, at) for at in (59, 61)] == [{"a": 1, "gone": 1}, {"a": 2}]


async def test_a_host_that_was_hidden_is_not_there(past: ChronicleTables) -> None:
    await write(past, base(0, a=1), Change(ms(10), True, {}, []))
    await packed(past, WINDOW_SECONDS + 1)
    assert [await shown(past, at) for at in (9, 11)] == [{"a": 1}, None]


async def test_a_host_that_is_deleted_is_gone_from_the_past(past: ChronicleTables, store: Store) -> None:
    await write(past, base(0, a=1))
    await store.database.write(lambda db: db.execute("DELETE FROM hosts WHERE id = 1"))
    await write(past, put(5, a=2))
    assert await shown(past, 6) is None


async def test_thinned_windows_keep_the_last_state_of_each_minute(past: ChronicleTables) -> None:
    await write(past, base(0, a=0), *(put(second, a=second) for second in range(1, 200)))
    await packed(past, WINDOW_SECONDS + 1)
    assert await past.thin(HOUR + WINDOW_SECONDS + 1) == 1
    assert await past.thin(HOUR + WINDOW_SECONDS + 1) == 0
    assert [await shown(past, at) for at in (59, 119, 125, 200)] == [{"a": 59}, {"a": 119}, {"a": 119}, {"a": 199}]


async def test_pruning_leaves_what_still_holds(past: ChronicleTables) -> None:
    for number in range(4):
        await write(past, base(number * WINDOW_SECONDS, a=number))
        await write(past, base(0, b=1), host=BEE) if not number else None
    await packed(past, 5 * WINDOW_SECONDS)
    assert await past.prune(HOUR + 2.5 * WINDOW_SECONDS) == 2
    assert [await shown(past, at * WINDOW_SECONDS) for at in (0, 1, 2, 2.5, 3)] == [
        None,
        None,
        {"a": 2},
        {"a": 2},
        {"a": 3},
    ]
    assert await shown(past, 3 * WINDOW_SECONDS, BEE) == {"b": 1}


async def test_damaged_rows_cost_themselves_alone(past: ChronicleTables, store: Store) -> None:
    await write(past, base(0, a=1))
    await write(past, put(30, a=2))
    await write(past, put(60, a=3))
    await store.database.write(lambda db: db.execute("UPDATE chronicle SET data = x'00' WHERE first = ?", (ms(30),)))
    assert await shown(past, 61) == {"a": 3}
    assert await packed(past, WINDOW_SECONDS + 1) == 3
    assert [await shown(past, at) for at in (31, 61)] == [{"a": 1}, {"a": 3}]


async def test_a_window_of_which_nothing_can_be_read_holds_up_no_other(past: ChronicleTables, store: Store) -> None:
    await write(past, base(0, a=1))
    await store.database.write(lambda db: db.execute("UPDATE chronicle SET data = x'00'"))
    await write(past, base(0, b=1), host=BEE)
    assert await packed(past, WINDOW_SECONDS + 1) == 2
    assert (await shown(past, 1), await shown(past, 1, BEE)) == (None, {"b": 1})


async def test_runs_of_the_daemon_are_known(past: ChronicleTables) -> None:
    await write(past, base(0, a=1), put(20, a=2), started=0)
    await write(past, base(100, a=1), started=100)
    assert await past.run_at(ms(-1)) == (None, Run(ms(0), ms(20)))
    assert await past.run_at(ms(50)) == (Run(ms(0), ms(20)), Run(ms(100), ms(100)))
    assert await past.run_at(ms(500)) == (Run(ms(100), ms(100)), None)
    await past.prune_runs(HOUR + 60)
    assert await past.run_at(ms(50)) == (None, Run(ms(100), ms(100)))


async def test_on_a_full_disk_it_leaves_the_room_to_others(past: ChronicleTables, store: Store) -> None:
    store.database.room = Room.NONE
    with pytest.raises(StorageFull):
        await write(past, base(0, a=1))
