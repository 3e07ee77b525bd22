"""Changes of state on their way to disk, and what is read of them."""

import pytest
from one_host import START, OneHost, at

from hbd.availability import Change, Unseen, timeline
from hbd.errors import StorageError
from hbd.model import Beat, Family, Heartbeat, Moment, State, Transition
from hbd.store import Turn
from hbd.store import transitions as module

UP, OVERDUE, DOWN, UNKNOWN = State.UP, State.OVERDUE, State.DOWN, State.UNKNOWN
DAY = 86_400.0


class World(OneHost):
    beats = 0

    def beat(self, now):
        self.beats += 1
        self.pipeline.beat(
            Heartbeat(self.host.id, Family.IPV4, "192.0.2.1", "0123456789abcdef", self.beats, Beat.ALIVE, 10.0), 4, now
        )

    def pass_time(self, first, end):
        for second in range(first, end):
            self.pipeline.tick(at(second))

    async def recorded(self):
        return await self.store.transitions.between([self.host.id], 0, 2e9)

    async def changes(self, family=None):
        found = (await self.recorded()).hosts[self.host.id].get(family, [])
        return [(change.at - START.wall, change.state) for change in found]


@pytest.fixture
async def world(tmp_path):
    opened = await World(tmp_path / "hbd.db").open()
    yield opened
    await opened.close()


@pytest.fixture
async def store(store):
    assert await store.hosts.enrol("web-1", "agent_1", [], None, 0.0) == 1
    return store


def change(when, state, family=None, host_id=1):
    return Transition(host_id, family, UNKNOWN, state, when, "why")


async def put(store, *changes, unseen=()):
    await store.record(Turn(transitions=[change(*one) for one in changes], unseen=list(unseen)))


async def read(store, first=0.0, end=1e9, family=None):
    return (await store.transitions.between([1], first, end)).hosts[1].get(family, [])


# -------------------------------------------------------------------------------------------------------- the pipeline


async def test_changes_of_a_host_and_of_its_family_are_written(world):
    world.beat(at(0))
    world.pass_time(1, 40)
    await world.settle()
    expected = [(0, UP), (13, OVERDUE), (30, DOWN)]
    assert await world.changes() == expected == await world.changes(Family.IPV4)
    assert await world.changes(Family.IPV6) == []


async def test_a_time_in_which_the_daemon_was_stopped_is_written(world):
    world.beat(at(0))
    world.pass_time(1, 5)
    world.pipeline.tick(at(500))
    await world.settle()
    assert (await world.recorded()).unseen == [Unseen(START.wall + 4, START.wall + 500, False)]


async def test_a_time_in_which_the_machine_slept_is_written(world):
    world.pass_time(0, 5)
    world.pipeline.tick(Moment(START.wall + 3605, START.mono + 5))
    await world.settle()
    assert (await world.recorded()).unseen == [Unseen(START.wall + 5, START.wall + 3605, False)]


async def test_a_clock_that_is_set_back_makes_no_time_unseen(world):
    world.pass_time(0, 5)
    world.pipeline.tick(Moment(START.wall - 3600, START.mono + 5))
    await world.settle()
    assert (await world.recorded()).unseen == []


async def test_changes_wait_for_a_disk_that_refuses_them(world):
    await world.store.database.write(lambda db: db.execute("ALTER TABLE transitions RENAME TO hidden"))
    world.beat(at(0))
    with pytest.raises(StorageError):
        await world.store.record(Turn(transitions=[change(0, UP)]))
    await world.store.database.write(lambda db: db.execute("ALTER TABLE hidden RENAME TO transitions"))
    world.pass_time(1, 14)
    await world.settle()
    assert await world.changes() == [(0, UP), (13, OVERDUE)]


async def test_every_turn_says_until_when_the_daemon_was_watching(world):
    world.pipeline.note("something", at(7))
    world.pipeline.tick(at(7))
    await world.settle()
    assert await world.store.transitions.watched_until() == START.wall + 7


async def test_the_time_from_the_last_turn_to_a_start_is_unseen(world):
    world.pipeline.resume(START.wall - 300, START)
    world.pipeline.note("started", START)
    await world.settle()
    assert (await world.recorded()).unseen == [Unseen(START.wall - 300, START.wall, True)]


async def test_the_first_start_of_all_has_nothing_before_it(world):
    world.pipeline.resume(await world.store.transitions.watched_until(), START)
    world.pipeline.note("started", START)
    await world.settle()
    assert (await world.recorded()).unseen == []


async def test_of_a_host_that_is_looked_after_no_more_nothing_is_known(world):
    world.beat(at(0))
    world.pipeline.lose_sight(world.host, at(5))
    await world.settle()
    assert await world.changes() == await world.changes(Family.IPV4) == [(0, UP), (5, UNKNOWN)]


async def test_changes_of_a_deleted_host_are_forgotten(world):
    world.beat(at(0))
    world.pipeline.note("up", at(0))
    await world.settle()
    await world.store.hosts.delete(world.host.id)
    assert await world.changes() == []


# ----------------------------------------------------------------------------------------------------------- the table


async def test_what_held_before_the_span_is_read_with_it(store):
    await put(store, (10, UP), (20, DOWN), (30, UP))
    assert [one.at for one in await read(store, 25)] == [20, 30]


async def test_a_change_at_the_beginning_of_the_span_is_read_once(store):
    await put(store, (10, UP), (20, DOWN))
    assert [one.at for one in await read(store, 20)] == [20]


async def test_changes_are_read_in_the_order_in_which_they_were_written(store):
    await put(store, (10, UP), (90_000, DOWN), (20, UP))
    assert [one.at for one in await read(store)] == [10, 90_000, 20]


async def test_the_last_restart_before_the_span_is_read_with_it(store):
    restarts = [Unseen(5, 10, True), Unseen(15, 20, True), Unseen(21, 22, False)]
    await put(store, (1, UP), unseen=restarts)
    assert (await store.transitions.between([1], 50, 60)).unseen == [restarts[1]]


async def test_what_is_older_than_can_be_looked_at_is_unknown(store, monkeypatch):
    monkeypatch.setattr(module, "MOST_CHANGES", 3)
    await put(store, (0, UP), *((place * 10, UP if place % 2 else DOWN) for place in range(1, 6)))
    pieces = timeline(await read(store), [], 0, 100)
    assert (pieces[0].end, pieces[0].state) == (30, UNKNOWN)


async def test_pruning_keeps_what_says_how_things_were(store):
    await put(store, (10, UP), (20, DOWN), (30, UP), (200, DOWN))
    before = timeline(await read(store, 100), [], 100, 300)
    while await store.transitions.prune(100):
        pass
    assert [one.at for one in await read(store)] == [30, 200]
    assert timeline(await read(store, 100), [], 100, 300) == before


async def test_pruning_forgets_what_a_restart_took_the_place_of(store):
    await put(store, (10, UP), unseen=[Unseen(20, 30, True)])
    while await store.transitions.prune(100):
        pass
    recorded = await store.transitions.between([1], 100, 200)
    assert recorded.unseen == []
    assert timeline(recorded.hosts[1].get(None, []), recorded.unseen, 100, 200)[0].state is UNKNOWN


async def test_reading_gives_the_reason(store):
    await put(store, (10, UP))
    assert await read(store) == [Change(10, UP, "why")]
