"""The recorder over real parts: what it notes, and what becomes of it when the disk or the clock fail."""

from __future__ import annotations

from typing import Any

import pytest
from alarms import alarm
from world import WALL, World

from hbd import chronicle
from hbd.errors import StorageError
from hbd.hosts import Host
from hbd.hushes import Held
from hbd.model import Level, Moment
from hbd.web import recorder


def wait(world: World, seconds: float) -> None:
    world.now = Moment(world.now.wall + seconds, world.now.mono + seconds)


async def shown(world: World, host: Host, at: float) -> dict[str, Any]:
    leaves = await world.store.chronicle.at([host.id], round(at * 1000))
    return chronicle.unflatten(leaves.get(host.id, {}))


async def test_a_look_without_news_notes_nothing(world: World) -> None:
    await world.enrol("ant")
    await world.recorder.look()
    before = world.stats.counters["chronicle_changes_total"][()]
    wait(world, 1)
    await world.recorder.look()
    assert world.stats.counters["chronicle_changes_total"][()] == before == 1


async def test_what_the_disk_refused_is_written_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    host = await world.enrol("ant")
    await world.recorder.look()

    async def refuse(*_: object) -> None:
        raise StorageError("full")

    with monkeypatch.context() as patched:
        patched.setattr(world.store.chronicle, "write", refuse)
        with pytest.raises(StorageError):
            await world.recorder.flush()
    wait(world, 5)
    world.beat(host)
    await world.recorder.look()
    await world.recorder.flush()
    assert (await shown(world, host, WALL + 1))["state"] == "UNKNOWN"
    assert (await shown(world, host, WALL + 6))["state"] == "UP"


async def test_when_too_much_waits_for_the_disk_it_begins_anew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "MOST_WAITING", 3)
    host = await world.enrol("ant")
    for number in range(5):
        world.sample(host, "cpu_monitor", {"cpu_percent": number})
        await world.recorder.look()
        wait(world, 1)
    await world.recorder.flush()
    assert world.stats.counters["chronicle_dropped_total"][()] == 3
    assert (await shown(world, host, world.now.wall))["summary"]["cpu_percent"] == 4


async def test_a_clock_that_is_set_back_begins_anew(world: World) -> None:
    host = await world.enrol("ant")
    await world.recorder.look()
    wait(world, -7200)
    await world.recorder.look()
    await world.recorder.flush()
    assert (await shown(world, host, world.now.wall))["name"] == "ant"


async def test_each_hour_can_be_read_alone(world: World) -> None:
    host = await world.enrol("ant")
    await world.recorder.look()
    await world.recorder.flush()
    await world.store.database.write(lambda db: db.execute("DELETE FROM chronicle"))
    wait(world, 3600)
    world.beat(host)
    await world.recorder.look()
    await world.recorder.flush()
    assert (await shown(world, host, world.now.wall))["agent_id"] == host.agent_id


async def test_a_host_that_is_hidden_is_noted_as_gone(world: World) -> None:
    host = await world.enrol("ant")
    await world.recorder.look()
    wait(world, 5)
    world.hosts.drop(host, True)
    await world.recorder.look()
    await world.recorder.flush()
    assert (await shown(world, host, WALL + 1))["name"] == "ant"
    assert await shown(world, host, WALL + 6) == {}


async def test_alerts_without_news_are_looked_at_in_turn(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "AGAIN", 1)
    hosts = [await world.enrol(name) for name in ("ant", "bee", "cat")]
    for host in hosts:
        await alarm(world, host)
    await world.recorder.look()
    wait(world, 1)
    # What nobody tells the recorder of:
    monkeypatch.setattr(world.hushing, "held", lambda *_: Held("silence", 1, "", None, ""))
    for _ in hosts:
        await world.recorder.look()
    await world.recorder.flush()
    for host in hosts:
        alerts = (await shown(world, host, world.now.wall))[recorder.OPEN]
        assert [words[recorder.STANDS] for words in alerts.values()] == [False]


async def test_an_alert_that_is_over_is_not_open_any_more(world: World) -> None:
    host = await world.enrol("ant")
    await alarm(world, host)
    await world.recorder.look()
    wait(world, 5)
    await alarm(world, host, Level.OK)
    await world.recorder.look()
    await world.recorder.flush()
    assert recorder.OPEN in await shown(world, host, WALL + 2)
    assert recorder.OPEN not in await shown(world, host, world.now.wall)
