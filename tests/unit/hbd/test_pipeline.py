"""The path of a report, with real parts and a real SQLite file."""

import asyncio

import msgspec
import pytest
from one_host import START, OneHost, at

from hbd.errors import InvalidInput, NotFound, StorageError
from hbd.model import Beat, Family, Heartbeat, Report, Sample, State
from hbd.pipeline import Outcome, Source
from hbd.presence import KnownConnection

RUN = "0123456789abcdef"


class World(OneHost):
    def report(self, seq, time=START.wall, value=1.0, plugin="cpu_monitor"):
        data = {"cpu_percent": value}
        body = msgspec.json.encode([{"plugin": plugin, "time": time, "data": data}])
        return Report(self.host.id, RUN, seq, (Sample(plugin, time, data),), body, 0.0, 10.0, Family.IPV4, "192.0.2.1")

    def beat(self, seq, kind=Beat.ALIVE, family=Family.IPV4):
        return Heartbeat(self.host.id, family, "192.0.2.1", RUN, seq, kind, 10.0)

    async def journal(self):
        await self.pipeline.accept(self.report(10_000), at(0))
        return [(message.host, message.msg) for message in reversed(await self.store.messages.recent(100))]

    async def stored(self):
        return await self.store.database.read(
            lambda db: db.execute("SELECT run_id, seq FROM samples ORDER BY seq").fetchall()
        )


@pytest.fixture
async def world(tmp_path):
    opened = await World(tmp_path / "hbd.db").open()
    yield opened
    await opened.close()


async def test_a_report_is_on_disk_when_it_is_acknowledged(world):
    assert await world.pipeline.accept(world.report(1), at(0)) is Outcome.STORED
    assert await world.stored() == [(RUN, 1)]


async def test_a_report_can_be_read_when_it_is_acknowledged(world):
    await world.pipeline.accept(world.report(1, value=42.0), at(0))
    assert world.rings.latest(world.host.id, "cpu_monitor").data == {"cpu_percent": 42.0}


async def test_a_resend_is_a_duplicate_and_stored_once(world):
    await world.pipeline.accept(world.report(1), at(0))
    assert await world.pipeline.accept(world.report(1), at(1)) is Outcome.DUPLICATE
    assert await world.stored() == [(RUN, 1)]
    assert world.rings.count(world.host.id, "cpu_monitor") == 1


async def test_a_resend_that_overtakes_the_commit_shares_its_answer(world):
    first = world.pipeline.accept(world.report(1), at(0))
    second = world.pipeline.accept(world.report(1), at(0))
    assert await asyncio.gather(first, second) == [Outcome.STORED, Outcome.STORED]
    assert world.rings.count(world.host.id, "cpu_monitor") == 1


async def test_reports_that_arrive_together_share_a_transaction(world):
    commits = world.stats.histogram("commit_seconds").count
    await asyncio.gather(*(world.pipeline.accept(world.report(seq), at(0)) for seq in range(1, 200)))
    assert world.stats.histogram("commit_seconds").count - commits <= 2


async def test_a_failed_commit_fails_its_reports_and_leaves_no_trace_in_memory(world):
    await world.store.database.write(lambda db: db.execute("ALTER TABLE samples RENAME TO hidden"))
    with pytest.raises(StorageError):
        await world.pipeline.accept(world.report(1), at(0))
    assert world.rings.count(world.host.id, "cpu_monitor") == 0
    await world.store.database.write(lambda db: db.execute("ALTER TABLE hidden RENAME TO samples"))
    assert await world.pipeline.accept(world.report(1), at(1)) is Outcome.STORED


async def test_a_failed_commit_is_never_a_host_state(world):
    await world.store.database.write(lambda db: db.execute("ALTER TABLE samples RENAME TO hidden"))
    with pytest.raises(StorageError):
        await world.pipeline.accept(world.report(1), at(0))
    assert world.presence.view(world.host.id).state is State.UP
    await world.store.database.write(lambda db: db.execute("ALTER TABLE hidden RENAME TO samples"))


async def test_journal_lines_outlive_a_failed_commit(world):
    await world.store.database.write(lambda db: db.execute("ALTER TABLE samples RENAME TO hidden"))
    world.pipeline.note("something happened", at(0))
    with pytest.raises(StorageError):
        await world.pipeline.accept(world.report(1), at(0))
    await world.store.database.write(lambda db: db.execute("ALTER TABLE hidden RENAME TO samples"))
    assert ("", "something happened") in await world.journal()


async def test_a_report_of_a_deleted_host_is_refused(world):
    world.hosts.remove(world.host)
    with pytest.raises(NotFound):
        await world.pipeline.accept(world.report(1), at(0))


async def test_what_was_taken_before_closing_is_written(tmp_path):
    world = await World(tmp_path / "hbd.db").open()
    futures = [world.pipeline.accept(world.report(seq), at(0)) for seq in range(1, 20)]
    world.pipeline.close()
    await world.turns
    assert {future.result() for future in futures} == {Outcome.STORED}
    await world.store.close()


async def test_after_closing_reports_are_refused(tmp_path):
    world = await World(tmp_path / "hbd.db").open()
    await world.close()
    with pytest.raises(StorageError, match="stopping"):
        await world.pipeline.accept(world.report(1), at(0))


async def test_a_late_sample_fills_the_ring_but_is_not_the_newest(world):
    await world.pipeline.accept(world.report(1, time=START.wall, value=1.0), at(0))
    await world.pipeline.accept(world.report(2, time=START.wall - 500, value=2.0), at(1))
    assert world.rings.latest(world.host.id, "cpu_monitor").data == {"cpu_percent": 1.0}
    assert world.rings.count(world.host.id, "cpu_monitor") == 2


async def test_os_info_says_what_runs_on_the_host(world):
    body = b'[{"plugin": "os_info", "time": 1, "data": {"os": "Debian 12", "agent_version": "0.1.0"}}]'
    sample = Sample("os_info", 1.0, {"os": "Debian 12", "agent_version": "0.1.0"})
    await world.pipeline.accept(Report(world.host.id, RUN, 1, (sample,), body), at(0))
    await world.pipeline.accept(world.report(2), at(0))
    assert world.host.os == "Debian 12"
    assert (await world.store.hosts.all())[0].os == "Debian 12"


# --------------------------------------------------------------------------------------------------------- the journal


async def test_a_host_that_comes_up_leaves_one_line(world):
    world.pipeline.beat(world.beat(1), 4, at(0))
    world.pipeline.beat(world.beat(1, family=Family.IPV6), 6, at(0))
    lines = [message for host, message in await world.journal() if host == "web-1"]
    assert [line.split(":")[0] for line in lines] == ["UP"]


async def test_a_host_that_falls_silent_is_told_overdue_and_down_once_each(world):
    world.pipeline.beat(world.beat(1), 4, at(0))
    world.pipeline.beat(world.beat(1, family=Family.IPV6), 6, at(0))
    for seconds in range(1, 60):
        world.pipeline.tick(at(seconds))
    lines = [message.split(":")[0] for _, message in await world.journal()]
    assert lines[:3] == ["UP", "OVERDUE", "DOWN"]


async def test_one_family_that_is_lost_is_told_while_the_host_stays_up(world):
    for seconds in range(60):
        if seconds % 10 == 0:
            world.pipeline.beat(world.beat(seconds // 10 + 1), 4, at(seconds))
        if seconds == 0:
            world.pipeline.beat(world.beat(1, family=Family.IPV6), 6, at(seconds))
        world.pipeline.tick(at(seconds))
    lines = [message.split(":")[0] for _, message in await world.journal()]
    assert lines == ["UP", "IPv6 is DOWN"]


async def test_a_family_that_was_lost_before_the_restart_is_not_told_again(world):
    world.pipeline.lost_families.add((world.host.id, Family.IPV6))
    world.presence.forget(world.host.id)
    known = [KnownConnection(Family.IPV6, "::1", START.wall - 900, 10.0)]
    world.presence.know(world.host.id, interval=10.0, known=known, now=START)
    for seconds in range(60):
        world.pipeline.beat(world.beat(seconds + 1), 4, at(seconds))
        world.pipeline.tick(at(seconds))
    assert [line.split(":")[0] for _, line in await world.journal()] == ["UP"]


async def test_a_time_in_which_the_daemon_could_not_see_is_told_once_and_blames_nobody(world):
    world.pipeline.beat(world.beat(1), 4, at(0))
    for seconds in (0.5, 3600.5, 3601, 3602):
        world.pipeline.tick(at(seconds))
    lines = [line for _, line in await world.journal()]
    assert [line for line in lines if "could not see" in line] == [
        "hbd itself could not see for 3600 s; nobody is blamed for silence in that time"
    ]
    assert not any(line.startswith(("DOWN", "OVERDUE")) for line in lines)


async def test_a_state_that_was_told_before_the_restart_is_not_told_again(world):
    world.pipeline.told[world.host.id] = State.UP
    world.pipeline.beat(world.beat(1), 4, at(0))
    assert await world.journal() == []


async def test_a_stop_on_purpose_is_told_once_however_often_it_is_said(world):
    world.pipeline.beat(world.beat(1), 4, at(0))
    world.pipeline.farewell(world.host.id, Beat.STOPPED, at(1))
    world.pipeline.beat(world.beat(2, kind=Beat.STOPPED), 4, at(1))
    lines = [message for _, message in await world.journal()]
    assert lines.count("agent stopped on purpose") == 1


HERE = Source(Family.IPV4, "192.0.2.1")


@pytest.mark.parametrize(
    ("event", "line"),
    [
        ("booted", "UP: host booted, agent started"),
        ("started", "UP: agent started"),
        ("reconnected", "UP: first report"),
    ],
)
async def test_a_host_that_comes_up_with_a_hello_leaves_one_line_that_tells_why(world, event, line):
    world.pipeline.hello(world.host, RUN, event, 10.0, HERE, at(0))
    assert [message for _, message in await world.journal()] == [line]


async def test_an_agent_that_starts_while_its_host_is_up_leaves_a_line_of_its_own(world):
    world.pipeline.beat(world.beat(1), 4, at(0))
    world.pipeline.hello(world.host, "f" * 16, "started", 10.0, HERE, at(1))
    assert [message for _, message in await world.journal()] == ["UP: first heartbeat", "agent started"]


async def test_an_agent_that_says_twice_that_it_started_is_told_once(world):
    for seconds in range(5):
        world.pipeline.hello(world.host, RUN, "started", 10.0, HERE, at(seconds))
    assert len(await world.journal()) == 1


async def test_who_said_farewell_is_not_called_overdue(world):
    world.pipeline.beat(world.beat(1), 4, at(0))
    world.pipeline.farewell(world.host.id, Beat.STOPPED, at(1))
    for seconds in range(1, 60):
        world.pipeline.tick(at(seconds))
    lines = [message for _, message in await world.journal()]
    assert lines[1:3] == ["agent stopped on purpose", "DOWN: agent stopped on purpose"]


async def test_what_an_agent_says_of_its_system_is_text_or_nothing(world):
    world.pipeline.facts(world.host, os="Debian")
    world.pipeline.facts(world.host, os=["x"] * 1000)
    world.pipeline.facts(world.host, agent_version="v" * 1000)
    assert (world.host.os, len(world.host.agent_version)) == ("Debian", 256)


async def test_a_row_that_can_never_be_written_takes_nothing_else_with_it(world):
    world.pipeline.beat(world.beat(1 << 70), 4, at(0))
    world.pipeline.note("kept", at(0))
    assert await world.pipeline.accept(world.report(1), at(0)) is Outcome.STORED
    assert await world.pipeline.accept(world.report(2), at(1)) is Outcome.STORED
    assert ("", "kept") in await world.journal()
    assert world.stats.value("rows_dropped_total", kind="beats") == 1


async def test_a_report_that_can_never_be_written_is_refused_for_good(world):
    bad = world.report(1 << 70)
    good = world.report(1)
    outcomes = await asyncio.gather(
        world.pipeline.accept(bad, at(0)), world.pipeline.accept(good, at(0)), return_exceptions=True
    )
    assert isinstance(outcomes[0], InvalidInput)
    assert outcomes[1] is Outcome.STORED


async def test_heartbeats_are_remembered_without_waiting_for_a_report(world):
    world.pipeline.beat(world.beat(7), 4, at(0))
    world.pipeline.tick(at(1))

    async def remembered():
        while not (rows := await world.store.hosts.beats()):
            await asyncio.sleep(0.01)
        return rows

    assert [row.seq for row in await asyncio.wait_for(remembered(), 10)] == [7]


async def test_two_machines_with_one_key_are_told_once_in_a_while(world):
    for seconds in (0, 5, 700):
        world.pipeline.conflict(world.host, at(seconds))
    lines = [message for _, message in await world.journal()]
    assert sum("two machines" in line for line in lines) == 2
