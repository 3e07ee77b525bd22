"""History on disk, against a real SQLite file."""

import random
from base64 import b64decode

import msgspec
import pytest

from hbd import history, rollup_bytes, rollups
from hbd.errors import StorageError
from hbd.model import Report, Sample
from hbd.rollups import DAY, HOUR, MINUTE, QUARTER, coarsen, roll
from hbd.store import Turn
from hbd.store.history import RAW, pack_window

BEGAN = 1_750_003_200.0  # the first second of a window of every tier but the longest
RUN = "a" * 16


@pytest.fixture
async def store(store):
    await store.hosts.enrol("web-1", "agent_1", [], None, 0.0)
    await store.hosts.enrol("web-2", "agent_2", [], None, 0.0)
    return store


def data_at(time):
    rng = random.Random(time)
    return {"cpu_percent": rng.randrange(1000) / 10, "load": {"one": rng.randrange(300) / 100}, "text": "on"}


def report(seq, time, host_id=1):
    data = data_at(time)
    body = msgspec.json.encode([{"plugin": "cpu_monitor", "time": time, "data": data}])
    return Report(host_id, RUN, seq, (Sample("cpu_monitor", time, data),), body)


async def record(store, times, first_seq=1, received=None):
    turn = [(report(seq, time), received or time) for seq, time in enumerate(times, first_seq)]
    await store.record(Turn(reports=turn))


async def fold(store, now):
    while await store.samples.fold(now, 0.0, 0.0):
        pass


async def pack(store, now):
    while await store.history.pack(now):
        pass


async def rolled(store, tier, first=0.0, end=4e9, host_id=1):
    found = await store.history.rolled(host_id, ["cpu_monitor"], tier, first, end)
    return {path: list(column.buckets()) for path, column in found.get("cpu_monitor", {}).items()}


async def samples(store, first=0.0, end=4e9, limit=1_000_000):
    return [sample.time for sample in await store.history.samples(1, "cpu_monitor", first, end, limit)]


def expected(times, tier):
    whole = coarsen(roll([(time, data_at(time)) for time in sorted(times)], MINUTE), tier)
    return {path: list(column.buckets()) for path, column in whole.items()}


def every(seconds, hours, start=BEGAN):
    return [start + place * seconds for place in range(int(hours * 3600 / seconds))]


async def row_counts(store):
    query = "SELECT tier, packed, count(*) FROM history GROUP BY tier, packed"
    return {tuple(row[:2]): row[2] for row in await store.database.read(lambda db: db.execute(query).fetchall())}


@pytest.mark.parametrize("tier", rollups.TIERS)
async def test_what_is_not_folded_yet_is_rolled_up_as_it_is_asked_for(store, tier):
    times = every(30, 1)
    await record(store, times)
    assert await rolled(store, tier) == expected(times, tier)


@pytest.mark.parametrize("tier", rollups.TIERS)
async def test_folding_changes_no_rollup(store, tier):
    times = every(30, 2)
    await record(store, times)
    await fold(store, BEGAN + 7200)
    assert await rolled(store, tier) == expected(times, tier)


@pytest.mark.parametrize("tier", rollups.TIERS)
async def test_packing_changes_no_rollup(store, tier):
    times = every(30, 9)
    await record(store, times)
    await fold(store, BEGAN + 9 * 3600)
    await pack(store, BEGAN + 9 * 3600 + 3601)
    assert await rolled(store, tier) == expected(times, tier)


@pytest.mark.parametrize("tier", rollups.TIERS)
async def test_what_comes_after_its_window_was_packed_is_added_once(store, tier):
    early, late = every(60, 5), [time + 7 for time in every(600, 5)]
    await record(store, early)
    await fold(store, BEGAN + 5 * 3600)
    await pack(store, BEGAN + 20 * 3600)
    await record(store, late, first_seq=10_000)
    for _ in range(2):
        await fold(store, BEGAN + 20 * 3600)
        await pack(store, BEGAN + 20 * 3600)
    found = await rolled(store, tier)
    assert [(b.start, b.count, b.low, b.high, b.mean) for b in found["cpu_percent",]] == [
        (b.start, b.count, b.low, b.high, b.mean) for b in expected(early + late, tier)["cpu_percent",]
    ]


async def test_packing_keeps_every_sample(store):
    times = every(10, 6)
    await record(store, times)
    await fold(store, BEGAN + 6 * 3600)
    await pack(store, BEGAN + 6 * 3600)
    assert await samples(store) == times


async def test_of_a_window_one_row_a_tier_remains(store):
    await record(store, every(30, 4))
    for hour in (1, 2, 3, 4):
        await fold(store, BEGAN + hour * 3600)
    await pack(store, BEGAN + 4 * 3600 + 3600)
    assert await row_counts(store) == {(0, 1): 1, (MINUTE, 1): 1, (QUARTER, 1): 1, (HOUR, 1): 1, (DAY, 1): 1}


async def test_a_window_is_not_packed_before_it_has_settled(store):
    await record(store, every(30, 4))
    await fold(store, BEGAN + 4 * 3600)
    assert await store.history.pack(BEGAN + 4 * 3600 + 3599) == 0


async def test_windows_of_several_hosts_are_packed_one_after_the_other(store):
    reports = [(report(seq, time, host), time) for host in (1, 2) for seq, time in enumerate(every(60, 1), 1)]
    await store.record(Turn(reports=reports))
    await fold(store, BEGAN + 3600)
    assert await store.history.pack(BEGAN + DAY) > 0
    assert await store.history.pack(BEGAN + DAY) > 0
    assert await store.history.pack(BEGAN + DAY) == 0


async def test_samples_between_two_moments_are_found_wherever_they_lie(store):
    times = every(60, 7)
    await record(store, times)
    await fold(store, BEGAN + 6.5 * 3600)
    await pack(store, BEGAN + 5.5 * 3600)
    first, end = BEGAN + 3.2 * 3600, BEGAN + 6.9 * 3600
    assert await samples(store, first, end) == [time for time in times if first <= time < end]


async def test_samples_stop_at_the_limit(store):
    times = every(60, 1)
    await record(store, times)
    assert await samples(store, limit=5) == times[:5]


async def test_only_the_buckets_of_the_time_asked_for_are_told(store):
    await record(store, every(10, 1))
    found = await rolled(store, MINUTE, BEGAN + 600, BEGAN + 720)
    assert [bucket.start for bucket in found["cpu_percent",]] == [BEGAN + 600, BEGAN + 660]


async def test_the_newest_samples_are_found_in_packed_windows(store):
    times = every(60, 3)
    await record(store, times)
    await fold(store, BEGAN + 3 * 3600)
    await pack(store, BEGAN + DAY)
    assert [sample.time for sample in await store.samples.newest(1, 100, 1 << 40)] == times


async def test_the_newest_sample_before_a_moment_is_found_in_packed_windows(store):
    times = every(60, 9)
    await record(store, times)
    await fold(store, BEGAN + 9 * 3600)
    await pack(store, BEGAN + DAY)
    found = await store.samples.newest_before(1, "cpu_monitor", BEGAN + 3601)
    assert found is not None
    assert found.time == BEGAN + 3600


async def test_a_deleted_host_leaves_no_history(store):
    await record(store, every(60, 1))
    await fold(store, BEGAN + 3600)
    await store.hosts.delete(1)
    assert await row_counts(store) == {}


async def test_a_host_that_is_deleted_while_its_window_is_packed_leaves_nothing_behind(store, monkeypatch):
    await record(store, every(60, 1))
    await fold(store, BEGAN + 3600)
    write = store.database.write

    async def delete_first(work):
        monkeypatch.setattr(store.database, "write", write)
        await store.hosts.delete(1)
        return await write(work)

    monkeypatch.setattr(store.database, "write", delete_first)
    await store.history.pack(BEGAN + DAY)
    assert await row_counts(store) == {}


async def test_a_host_that_is_deleted_while_its_reports_are_folded_leaves_nothing_behind(store, monkeypatch):
    await record(store, every(60, 1))
    write = store.database.write

    async def delete_first(work):
        monkeypatch.setattr(store.database, "write", write)
        await store.hosts.delete(1)
        return await write(work)

    monkeypatch.setattr(store.database, "write", delete_first)
    assert await store.samples.fold(BEGAN + 3600, 0.0, 0.0) == 0
    assert await row_counts(store) == {}


async def test_a_damaged_row_costs_what_is_in_it_and_nothing_else(store, caplog):
    await record(store, every(60, 12))
    await fold(store, BEGAN + 12 * 3600)
    await pack(store, BEGAN + 2 * DAY)
    damage = "UPDATE history SET data = x'00' WHERE tier = 60 AND start = ?"
    await store.database.write(lambda db: db.execute(damage, (int(BEGAN) + 4 * 3600,)))
    assert {bucket.start // 3600 for bucket in (await rolled(store, MINUTE))["cpu_percent",]} == {
        int(BEGAN) // 3600 + hour for hour in (0, 1, 2, 3, 8, 9, 10, 11)
    }
    assert "passed over" in caplog.text


async def test_old_rows_of_a_tier_are_forgotten_and_those_of_others_stay(store):
    await record(store, every(60, 1))
    await fold(store, BEGAN + 3600)
    await pack(store, BEGAN + DAY)
    assert await store.history.prune(MINUTE, BEGAN + DAY) == 1
    assert (await rolled(store, HOUR)).keys() == {("cpu_percent",), ("load", "one")}


async def test_minutes_that_wait_to_be_packed_are_not_forgotten(store):
    await record(store, every(60, 1))
    await fold(store, BEGAN + 3600)
    assert await store.history.prune(MINUTE, BEGAN + DAY) == 0


async def test_samples_that_are_too_many_for_one_chunk_stay_as_they_are(store, monkeypatch):
    for hour in (0, 1):
        times = every(60, 1, BEGAN + hour * 3600)
        await record(store, times, first_seq=1 + hour * 60)
        await fold(store, times[-1] + 1)

    def refuse(samples):
        raise ValueError("too many")

    monkeypatch.setattr("hbd.store.history.history.write_part", refuse)
    await pack(store, BEGAN + DAY)
    assert await samples(store) == every(60, 2)


def two_plugins(seq, time):
    body = [{"plugin": plugin, "time": time, "data": {name: data_at(time)["cpu_percent"]}} for plugin, name in PLUGINS]
    return Report(1, RUN, seq, (Sample("cpu_monitor", time, {}),), msgspec.json.encode(body)), time


PLUGINS = [("odd", "odd"), ("cpu_monitor", "cpu_percent")]


async def pack_all(store, now=BEGAN + DAY):
    for _ in range(20):
        if not await store.history.pack(now):
            return
    raise AssertionError("it goes on for ever")


async def test_a_plugin_whose_rollups_cannot_be_packed_keeps_no_other_from_it(store, monkeypatch, caplog):
    times = every(60, 1)
    await store.record(Turn(reports=[two_plugins(seq, time) for seq, time in enumerate(times, 1)]))
    await fold(store, BEGAN + 3600)
    encode = rollup_bytes.encode

    def broken(rolled, seconds):
        if ("odd",) in rolled:
            raise ZeroDivisionError("a bug")
        return encode(rolled, seconds)

    monkeypatch.setattr(rollup_bytes, "encode", broken)
    await pack_all(store)
    for tier in rollups.TIERS:
        assert (await rolled(store, tier))["cpu_percent",] == expected(times, tier)["cpu_percent",]
    assert [sample.time for sample in await store.history.samples(1, "odd", 0, 4e9, 1000)] == times
    assert caplog.text.count("rollups of 'odd' of host 1 cannot be packed") == 1


async def test_a_plugin_whose_samples_cannot_be_packed_keeps_them_as_they_are(store, monkeypatch):
    times = every(60, 1)
    await store.record(Turn(reports=[two_plugins(seq, time) for seq, time in enumerate(times, 1)]))
    await fold(store, BEGAN + 3600)
    write_part = history.write_part

    def broken(table):
        if "odd" in table.data.columns:
            raise ZeroDivisionError("a bug")
        return write_part(table)

    monkeypatch.setattr(history, "write_part", broken)
    await pack_all(store)
    left = await store.database.read(lambda db: db.execute("SELECT DISTINCT plugin FROM chunks").fetchall())
    assert left == [("odd",)]
    for plugin, _ in PLUGINS:
        assert [sample.time for sample in await store.history.samples(1, plugin, 0, 4e9, 1000)] == times


async def test_a_window_that_cannot_be_packed_keeps_no_other_from_it(store, monkeypatch, caplog):
    reports = [(report(seq, time, host), time) for host in (1, 2) for seq, time in enumerate(every(60, 1), 1)]
    await store.record(Turn(reports=reports))
    await fold(store, BEGAN + 3600)

    def broken(window, mishaps):
        if window.host_id == 1:
            raise ZeroDivisionError("a bug")
        return pack_window(window, mishaps)

    monkeypatch.setattr("hbd.store.history.pack_window", broken)
    await pack_all(store)
    query = "SELECT DISTINCT host_id FROM history WHERE packed = 1"
    assert await store.database.read(lambda db: db.execute(query).fetchall()) == [(2,)]
    assert await rolled(store, HOUR) == expected(every(60, 1), HOUR)
    assert caplog.text.count("history of host 1 cannot be packed") == 1


# What history.encode of version 1 made of five samples, a minute apart.
OLD = b64decode("AXicM2RgYIg21YmOVkouKI0vSC1KTs0rUdKJVsrJT0wB0fl5qUqxQABUYqBjCqJjY9kbdnxv4a0AauViYGJhYeHgYgABAEpxE0M=")


async def test_rows_of_earlier_versions_are_read_and_packed_with_what_comes_late(store):
    old = history.decode(OLD)
    part = b"\1\1\0\x0bcpu_monitor" + len(OLD).to_bytes(4, "little") + OLD
    row = (1, RAW, int(BEGAN), old[0][0], old[-1][0], 1, part)
    insert = "INSERT INTO history (host_id, tier, start, first, last, packed, data) VALUES (?, ?, ?, ?, ?, ?, ?)"
    await store.database.write(lambda db: db.execute(insert, row))
    assert await samples(store) == [time for time, _ in old]
    late = [old[0][0] + 1, old[-1][0] + 60]
    await record(store, late)
    await fold(store, BEGAN + 3600)
    await pack_all(store)
    assert await samples(store) == sorted([*(time for time, _ in old), *late])
    assert (await row_counts(store))[RAW, 1] == 1


async def test_a_disk_that_does_not_take_writes_leaves_a_window_to_be_packed_later(store, monkeypatch):
    await record(store, every(60, 1))
    await fold(store, BEGAN + 3600)

    async def refuse(work):
        raise StorageError("the disk is gone")

    monkeypatch.setattr(store.database, "write", refuse)
    with pytest.raises(StorageError):
        await store.history.pack(BEGAN + DAY)
    monkeypatch.undo()
    assert await store.history.pack(BEGAN + DAY) > 0
