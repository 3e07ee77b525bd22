"""How far others were told: on disk, through folding, packing, late reports, deletions and restarts."""

import math
import sqlite3
from contextlib import closing

import msgspec
import pytest

from hbd.model import Report, Sample
from hbd.stats import Stats
from hbd.store import Store, Turn
from hbd.store.database import migrate
from hbd.store.exports import Fresh, Owed
from hbd.store.migrations import migrations

LATER = 4e9
BEGAN = 1_750_003_200.0  # when a window of four hours begins


@pytest.fixture
async def store(store):
    await store.hosts.enrol("web-1", "agent_1", [], None, 0.0)
    await store.hosts.enrol("web-2", "agent_2", [], None, 0.0)
    await store.exports.begin(["there"])
    return store


async def record(store, *seqs, host_id=1, pad=0, at=None):
    reports = []
    for seq in seqs:
        time = BEGAN + (seq * 10 if at is None else at)
        data = {"cpu_percent": float(seq), **({"note": "x" * pad} if pad else {})}
        body = msgspec.json.encode([{"plugin": "cpu_monitor", "time": time, "data": data}])
        reports.append((Report(host_id, "a" * 16, seq, (Sample("cpu_monitor", time, data),), body), time))
    await store.record(Turn(reports=reports))


async def fold(store, before=1e6):
    """Fold what was received up to that many seconds after the beginning."""
    while await store.samples.fold(LATER, LATER - BEGAN - before, LATER - BEGAN - before):
        pass


def read(due):
    """[(host id, number)] in the order of time."""
    found = sorted((sample.time, host_id, sample.data["cpu_percent"]) for host_id, sample in due.samples())
    return [(host_id, int(number)) for _, host_id, number in found]


async def drained(store, seconds=math.inf):
    """All that is due, each part of it done before the next."""
    found = []
    while (due := await store.exports.next("there", seconds)) is not None:
        found += read(due)
        await store.exports.done("there", due)
    return found


def of(host_id, *seqs):
    return [(host_id, seq) for seq in seqs]


async def test_reports_are_due_in_the_order_in_which_they_came(store):
    await record(store, 2, 1, 3)
    due = await store.exports.next("there", math.inf)
    assert [sample.data["cpu_percent"] for _, sample in due.samples()] == [2, 1, 3]
    assert due.since == BEGAN + 20


async def test_nothing_is_due_when_all_is_done(store):
    await record(store, 1, 2)
    assert await drained(store) == of(1, 1, 2)
    assert await store.exports.next("there", math.inf) is None


async def test_what_is_not_done_stays_due(store):
    await record(store, 1, 2)
    assert read(await store.exports.next("there", math.inf)) == of(1, 1, 2)
    await record(store, 3)
    assert await drained(store) == of(1, 1, 2, 3)


async def test_a_new_export_gets_what_comes_from_now_on(store):
    await record(store, 1)
    await store.exports.begin(["there", "here"])
    await record(store, 2)
    assert read(await store.exports.next("here", math.inf)) == of(1, 2)
    assert await drained(store) == of(1, 1, 2)


async def test_a_position_outlives_a_restart(store, tmp_path):
    await record(store, 1)
    await drained(store)
    await record(store, 2)
    await store.close()
    again = Store(tmp_path / "hbd.db", Stats())
    await again.open()
    await again.exports.begin(["there"])
    assert await drained(again) == of(1, 2)
    await again.close()


async def test_an_export_that_is_gone_from_the_config_is_forgotten(store):
    await record(store, 1)
    await fold(store)
    await store.exports.begin([])
    await store.exports.begin(["there"])
    assert await drained(store) == []


async def test_without_exports_folding_leaves_no_debt(store):
    await store.exports.begin([])
    await record(store, 1)
    await fold(store)
    assert await store.database.read(lambda db: db.execute("SELECT * FROM export_debts").fetchall()) == []


async def test_what_is_folded_before_it_was_sent_is_still_due(store):
    await record(store, *range(1, 101))
    await record(store, *range(1, 51), host_id=2)
    await fold(store)
    assert sorted(await drained(store)) == of(1, *range(1, 101)) + of(2, *range(1, 51))


async def test_what_is_packed_before_it_was_sent_is_still_due(store):
    await record(store, *range(1, 2001))
    await fold(store)
    while await store.history.pack(LATER):
        pass
    assert await drained(store, 600) == of(1, *range(1, 2001))


async def test_what_was_sent_is_not_due_again_when_it_is_folded(store):
    await record(store, *range(1, 101))
    await drained(store)
    await record(store, *range(101, 201))
    await fold(store)
    assert await drained(store) == of(1, *range(101, 201))


async def test_debts_come_before_newer_reports(store):
    await record(store, *range(1, 101))
    await fold(store, 500)
    assert await drained(store) == of(1, *range(1, 101))


async def test_the_oldest_debt_of_all_hosts_is_paid_first(store):
    await record(store, *range(101, 201))
    await record(store, *range(1, 101), host_id=2)
    await fold(store)
    assert await drained(store) == of(2, *range(1, 101)) + of(1, *range(101, 201))


async def test_a_debt_is_paid_in_parts(store):
    await record(store, *range(1, 101))
    await fold(store)
    due = await store.exports.next("there", 300)
    assert (due.since, due.end, read(due)) == (BEGAN + 10, BEGAN + 310, of(1, *range(1, 31)))
    await store.exports.done("there", due)
    assert read(await store.exports.next("there", math.inf)) == of(1, *range(31, 101))


async def test_one_go_of_a_host_is_one_debt_however_often_it_is_folded(store):
    await record(store, *range(1, 1001))
    for before in range(1000, 12_000, 1000):
        await fold(store, before)
    rows = await store.database.read(lambda db: db.execute("SELECT host_id, first, last FROM export_debts").fetchall())
    assert rows == [(1, BEGAN + 10, BEGAN + 10_000)]


async def test_a_debt_that_grows_while_its_end_is_sent_goes_on_there(store):
    await record(store, *range(1, 101))
    await fold(store, 500)
    due = await store.exports.next("there", math.inf)
    await fold(store)
    await store.exports.done("there", due)
    assert await drained(store) == of(1, *range(50, 101))


async def test_reports_that_are_folded_while_they_are_sent_are_not_owed(store):
    await record(store, *range(1, 101))
    due = await store.exports.next("there", math.inf)
    assert isinstance(due, Fresh)
    await fold(store)
    await store.exports.done("there", due)
    assert await drained(store) == []


async def test_a_late_report_that_is_folded_makes_no_debt_of_the_hours_between(store):
    await record(store, *range(1, 101))
    await drained(store)
    await record(store, 101, at=-20_000)
    await record(store, *range(102, 111))
    await fold(store)
    assert await drained(store) == of(1, 101, *range(102, 111))


async def test_a_late_report_within_a_debt_that_was_sent_already_is_due(store):
    await record(store, *range(1, 101))
    await fold(store)
    due = await store.exports.next("there", math.inf)
    await record(store, 101, at=505)
    await fold(store)
    await store.exports.done("there", due)
    assert await drained(store) == of(1, 101)


async def test_numbers_of_reports_are_never_used_again(store):
    await record(store, *range(1, 101))
    due = await store.exports.next("there", math.inf)
    await fold(store)  # no row is left
    await record(store, 101)
    await store.exports.done("there", due)
    assert await drained(store) == of(1, 101)


async def test_a_deleted_host_leaves_no_debt_and_hides_no_report(store):
    await record(store, *range(1, 101))
    await fold(store, 500)
    await store.hosts.delete(1)
    await record(store, 1, host_id=2)
    assert await drained(store) == of(2, 1)


async def test_what_retention_deleted_is_no_longer_there_to_be_sent(store):
    await record(store, *range(1, 101))
    await fold(store)
    while await store.samples.prune(LATER):
        pass
    due = await store.exports.next("there", math.inf)
    assert isinstance(due, Owed)
    assert due.chunks == []
    assert await drained(store) == []


async def test_a_part_has_a_limit(store):
    await record(store, *range(1, 1001))
    due = await store.exports.next("there", math.inf)
    assert due.full
    assert len(read(due)) == 500
    await record(store, 1, host_id=2, pad=300_000)
    await record(store, 2, host_id=2)
    await store.exports.done("there", due)
    due = await store.exports.next("there", math.inf)
    await store.exports.done("there", due)
    assert read(await store.exports.next("there", math.inf)) == of(2, 1)


async def test_an_upgrade_keeps_the_reports_that_are_not_folded_yet(tmp_path):
    path = tmp_path / "old.db"
    before = [step for step in migrations() if step.number < 15]
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        migrate(db, path, before)
        db.execute("INSERT INTO hosts (id, name, agent_id, created) VALUES (1, 'web-1', 'agent_1', 0)")
        db.execute("INSERT INTO samples VALUES (7, 1, 'a', 1, 10.0, 10.0, 0.5, CAST('[]' AS BLOB))")
    upgraded = Store(path, Stats())
    await upgraded.open()
    await upgraded.exports.begin(["there"])
    rows = await upgraded.database.read(lambda db: db.execute("SELECT * FROM samples").fetchall())
    assert rows == [(7, 1, "a", 1, 10.0, 10.0, 0.5, b"[]")]
    assert await upgraded.exports.next("there", math.inf) is None
    await record(upgraded, 2)
    assert await drained(upgraded) == of(1, 2)
    await upgraded.close()
