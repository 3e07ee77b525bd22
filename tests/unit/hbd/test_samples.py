"""Samples on disk, against a real SQLite file."""

import msgspec
import pytest

from hbd import history, rollups
from hbd.errors import StorageError
from hbd.model import Report, Sample
from hbd.stats import Stats
from hbd.store import Store, Turn
from hbd.store.reading import read_report
from hbd.store.samples import fold_rows


@pytest.fixture
async def store(store):
    await store.hosts.enrol("web-1", "agent_1", [], None, 0.0)
    await store.hosts.enrol("web-2", "agent_2", [], None, 0.0)
    return store


def report(seq, time=None, host_id=1, run_id="a" * 16, plugin="cpu_monitor", shift=0.0):
    time = 1000.0 + seq * 10 if time is None else time
    data = {"cpu_percent": float(seq)}
    body = msgspec.json.encode([{"plugin": plugin, "time": time - shift, "data": data}])
    return Report(host_id, run_id, seq, (Sample(plugin, time, data),), body, shift)


async def record(store, *reports):
    await store.record(Turn(reports=[(each, each.samples[0].time) for each in reports]))


async def times(store, host_id=1, per_plugin=1000):
    return [sample.time for sample in await store.samples.newest(host_id, per_plugin, 1 << 40)]


async def fold(store, due, before, now=9e9):
    """Fold what was received before ``before``, of a host that has something from before ``due``."""
    return await store.samples.fold(now, now - before, now - due)


async def test_samples_come_back_as_they_went_in(store):
    await record(store, report(1))
    assert await store.samples.newest(1, 10, 1 << 40) == [Sample("cpu_monitor", 1010.0, {"cpu_percent": 1.0})]


async def test_a_clock_that_was_corrected_stays_corrected(store):
    await record(store, report(1, time=5000.0, shift=100.0))
    assert await times(store) == [5000.0]


async def test_a_report_stored_twice_is_there_once(store):
    await record(store, report(1))
    await record(store, report(1))
    assert await times(store) == [1010.0]


async def test_a_report_of_a_deleted_host_is_passed_over(store):
    await record(store, report(1, host_id=99), report(1))
    assert await times(store) == [1010.0]


async def test_rows_after_the_given_one_are_left_out(store):
    await record(store, report(1))
    last = await store.samples.last_id()
    await record(store, report(2))
    assert [sample.time for sample in await store.samples.newest(1, 10, last)] == [1010.0]


async def test_folding_changes_nothing_that_is_read(store):
    await record(store, *(report(seq) for seq in range(1, 51)))
    before = await store.samples.newest(1, 1000, 1 << 40)
    assert await fold(store, due=1100.0, before=1300.0) == 29
    assert await store.samples.newest(1, 1000, 1 << 40) == before


async def test_nothing_is_folded_before_it_is_due(store):
    await record(store, *(report(seq) for seq in range(1, 51)))
    assert await fold(store, due=1010.0, before=1300.0) == 0


async def test_one_host_is_folded_at_a_time_and_then_the_next(store):
    await record(store, report(1, host_id=1), report(1, host_id=2))
    assert await fold(store, 2000.0, 2000.0) == 1
    assert await fold(store, 2000.0, 2000.0) == 1
    assert await fold(store, 2000.0, 2000.0) == 0


async def test_the_numbers_of_folded_reports_are_still_known(store):
    await record(store, *(report(seq) for seq in (1, 2, 3, 7, 8)))
    before = sorted(await store.samples.ranges())
    await fold(store, 2000.0, 2000.0)
    assert sorted(await store.samples.ranges()) == before
    assert [(known.first, known.last) for known in before] == [(1, 3), (7, 8)]


async def test_ranges_of_a_later_fold_join_those_of_an_earlier_one(store):
    await record(store, report(1), report(2))
    await fold(store, 2000.0, 2000.0)
    await record(store, report(3), report(4))
    await fold(store, 2000.0, 2000.0)
    assert [(known.first, known.last) for known in await store.samples.ranges()] == [(1, 4)]


async def test_only_as_many_chunks_are_read_as_are_needed(store):
    for start in range(0, 100, 10):
        await record(store, *(report(seq) for seq in range(start + 1, start + 11)))
        await fold(store, 9e9, 9e9)
    newest = await times(store, per_plugin=15)
    assert newest == [1000.0 + seq * 10 for seq in range(81, 101)]


async def test_a_rare_plugin_is_found_behind_many_samples_of_another(store):
    await record(store, report(1, plugin="os_info"), *(report(seq) for seq in range(2, 200)))
    await fold(store, 9e9, 9e9)
    plugins = {sample.plugin for sample in await store.samples.newest(1, 5, 1 << 40)}
    assert plugins == {"os_info", "cpu_monitor"}


async def test_samples_that_are_too_large_for_one_chunk_are_folded_into_several(store):
    text = "x" * 300_000
    for seq in range(1, 41):
        data = {"text": f"{seq}{text}"}
        body = msgspec.json.encode([{"plugin": "big", "time": float(seq), "data": data}])
        await store.record(Turn(reports=[(Report(1, "a" * 16, seq, (), body), float(seq))]))
    folded = 0
    while count := await fold(store, 9e9, 9e9):
        folded += count
    assert folded == 40
    assert await times(store) == [float(seq) for seq in range(1, 41)]


async def test_a_report_from_the_future_is_folded_and_hides_nothing(store):
    await store.record(Turn(reports=[(report(1), 5_000.0)]))
    await record(store, report(2), report(3))
    assert await fold(store, due=1_100.0, before=1_100.0, now=1_200.0) == 3


async def test_a_damaged_report_is_passed_over_and_hides_nothing(store):
    await record(store, report(1), report(2), report(3))
    await store.database.write(lambda db: db.execute("UPDATE samples SET body = X'00FF' WHERE seq = 2"))
    assert await times(store) == [1010.0, 1030.0]
    assert await fold(store, 9e9, 9e9) == 3
    assert await times(store) == [1010.0, 1030.0]


async def test_a_damaged_chunk_is_passed_over(store):
    await record(store, report(1))
    await fold(store, 9e9, 9e9)
    await record(store, report(2))
    await fold(store, 9e9, 9e9)
    await store.database.write(lambda db: db.execute("UPDATE chunks SET data = X'0102' WHERE first = 1020"))
    assert await times(store) == [1010.0]


async def test_samples_that_came_late_are_not_taken_for_the_newest(store):
    await record(store, *(report(seq) for seq in range(1, 31)))
    await store.record(Turn(reports=[(report(100 + seq, time=float(seq)), 5_000.0) for seq in range(100)]))
    newest = await store.samples.newest(1, 5, 1 << 40)
    assert [sample.time for sample in newest][-5:] == [1000.0 + seq * 10 for seq in range(26, 31)]


async def test_many_reports_are_folded_some_at_a_time(store):
    await record(store, *(report(seq) for seq in range(1, 601)))
    folded = []
    while count := await fold(store, 9e9, 9e9):
        folded.append(count)
    assert sum(folded) == 600
    assert max(folded) <= 250
    assert [(known.first, known.last) for known in await store.samples.ranges()] == [(1, 600)]


async def test_old_chunks_are_pruned_and_young_ones_stay(store):
    await record(store, report(1))
    await fold(store, 9e9, 9e9)
    await record(store, report(50))
    await fold(store, 9e9, 9e9)
    assert await store.samples.prune(before=1400.0) == 1
    assert await times(store) == [1500.0]


async def test_a_deleted_host_leaves_no_samples(store):
    await record(store, report(1), report(2))
    await fold(store, 1015.0, 1015.0)
    await store.hosts.delete(1)
    left = await store.database.read(
        lambda db: [
            db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("samples", "chunks", "sequences")
        ]
    )
    assert left == [0, 0, 0]


def broken_for(working, broken):
    """A function that raises something that nobody expects where its first argument is one that ``broken`` says."""

    def work(first, *rest):
        if broken(first):
            raise ZeroDivisionError("a bug")
        return working(first, *rest)

    return work


async def fold_all(store, now=9e9):
    for _ in range(20):
        if not await fold(store, 9e9, 9e9, now):
            return
    raise AssertionError("it goes on for ever")


async def test_a_sample_that_cannot_be_folded_costs_itself(store, monkeypatch, caplog):
    await record(store, *(report(seq) for seq in range(1, 11)))
    broken = broken_for(history.table, lambda samples: any(data["cpu_percent"] == 4.0 for _, data in samples))
    monkeypatch.setattr(history, "table", broken)
    await fold_all(store)
    monkeypatch.undo()
    assert await times(store) == [1000.0 + seq * 10 for seq in range(1, 11) if seq != 4]
    assert caplog.text.count("a sample of 'cpu_monitor' of host 1 cannot be folded") == 1


async def test_a_sample_that_cannot_be_written_costs_itself(store, monkeypatch):
    await record(store, *(report(seq) for seq in range(1, 11)))
    monkeypatch.setattr(
        history, "write_quickly", broken_for(history.write_quickly, lambda table: 1040.0 in table.times)
    )
    await fold_all(store)
    assert await times(store) == [1000.0 + seq * 10 for seq in range(1, 11) if seq != 4]


async def test_a_plugin_that_cannot_be_rolled_up_is_folded_as_are_others(store, monkeypatch):
    await record(store, report(1, plugin="odd"), report(2, plugin="cpu_monitor"))
    monkeypatch.setattr(rollups, "roll_table", broken_for(rollups.roll_table, lambda table: 1010.0 in table.times))
    await fold_all(store)
    assert await times(store) == [1010.0, 1020.0]
    assert (await store.history.rolled(1, ["cpu_monitor"], 60, 0, 9e9))["cpu_monitor"]


async def test_a_report_that_cannot_be_read_is_passed_over_whatever_is_wrong(store, monkeypatch):
    await record(store, *(report(seq) for seq in range(1, 4)))
    await store.database.write(lambda db: db.execute("UPDATE samples SET shift = 7 WHERE seq = 2"))
    monkeypatch.setattr("hbd.store.samples.read_report", broken_for(read_report, lambda shift: shift == 7))
    await fold_all(store)
    assert await times(store) == [1010.0, 1030.0]


async def test_a_host_that_cannot_be_folded_keeps_no_other_from_it(store, monkeypatch, caplog):
    await record(store, report(1, host_id=1), report(1, host_id=2))
    broken = broken_for(fold_rows, lambda due: due.host_id == 1)
    monkeypatch.setattr("hbd.store.samples.fold_rows", broken)
    await fold_all(store)
    chunks = await store.database.read(lambda db: db.execute("SELECT host_id FROM chunks").fetchall())
    assert chunks == [(2,)]
    assert caplog.text.count("reports of host 1 cannot be folded") == 1


async def test_a_host_that_could_not_be_folded_is_tried_again_after_an_hour(store, monkeypatch):
    await record(store, report(1))
    monkeypatch.setattr("hbd.store.samples.fold_rows", broken_for(fold_rows, lambda due: True))
    await fold_all(store)
    monkeypatch.undo()
    assert await fold(store, 9e9, 9e9, now=9e9 + 3599) == 0
    assert await fold(store, 9e9, 9e9, now=9e9 + 3600) == 1


async def test_what_could_not_be_made_history_is_counted(tmp_path, monkeypatch):
    stats = Stats()
    store = Store(tmp_path / "hbd.db", stats)
    await store.open()
    await store.hosts.enrol("web-1", "agent_1", [], None, 0.0)
    await record(store, report(1))
    monkeypatch.setattr("hbd.store.samples.fold_rows", broken_for(fold_rows, lambda due: True))
    await fold_all(store)
    await store.close()
    assert stats.value("history_failures_total") == 1


async def test_a_disk_that_does_not_take_writes_is_not_passed_over(store, monkeypatch):
    await record(store, report(1))

    async def refuse(work):
        raise StorageError("the disk is gone")

    monkeypatch.setattr(store.database, "write", refuse)
    with pytest.raises(StorageError):
        await fold(store, 9e9, 9e9)
    monkeypatch.undo()
    assert await fold(store, 9e9, 9e9) == 1
