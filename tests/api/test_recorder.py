"""The recorder over real parts: what it notes, and what becomes of it when the disk or the clock fail."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from alarms import alarm
from world import WALL, Api, World

from hbd import chronicle
from hbd.errors import StorageError
from hbd.hosts import Host
from hbd.hushes import Held
from hbd.model import Level, Moment
from hbd.web import past, recorder
from hbd.web.call import Call


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


async def test_after_the_clock_was_set_back_the_past_is_that_of_the_new_time(api: Api, world: World) -> None:
    host = await world.enrol("ant")
    await alarm(world, host)
    await world.recorder.look()
    wait(world, 40)
    await alarm(world, host, Level.OK)
    await world.recorder.look()
    await world.recorder.flush()
    wait(world, -30)
    await world.recorder.look()
    for second in range(60):
        wait(world, 1)
        if second == 40:
            await alarm(world, host)
        await world.recorder.look()
    await world.recorder.flush()
    await world.store.chronicle.pack(world.now.wall + 7200)
    totals = []
    for at in range(2, 60):
        async with api.get("/api/0/alerts", params={"at": str(WALL + at)}) as answer:
            assert answer.status in (200, 404)
            totals.append((await answer.json())["summary"]["total"] if answer.status == 200 else None)
    assert set(totals[:9]) == {1}
    assert set(totals[11:49]) == {0}
    assert set(totals[53:]) == {1}


async def test_a_daemon_that_began_with_a_clock_ahead_has_a_past_once_it_is_right(api: Api, world: World) -> None:
    await world.enrol("ant")
    await world.recorder.look()
    wait(world, -7200)
    for _ in range(5):
        await world.recorder.look()
        wait(world, 60)
    async with api.get("/api/0/hosts?at=now-60s") as answer:
        assert [host["name"] for host in await answer.json()] == ["ant"]


async def test_a_clock_that_goes_back_by_little_is_waited_for(world: World) -> None:
    host = await world.enrol("ant")
    await world.recorder.look()
    wait(world, -0.5)
    world.beat(host)
    await world.recorder.look()
    assert [change.base for change in world.recorder.waiting(host.id)] == [True, False]


async def test_asking_for_the_past_writes_nothing(api: Api, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    host = await world.enrol("ant")
    await world.recorder.look()
    monkeypatch.setattr(world.store.chronicle, "write", None)
    for number in range(3):
        wait(world, 1)
        world.sample(host, "cpu_monitor", {"cpu_percent": number})
        await world.recorder.look()
        async with api.get("/api/0/hosts?at=now") as answer:
            assert (await answer.json())[0]["summary"]["cpu_percent"] == number
    monkeypatch.undo()


async def test_one_host_that_cannot_be_noted_takes_no_other_with_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = await world.enrol("ant"), await world.enrol("bee")
    fragment = world.views.fragment

    def breaks(host: Host) -> bytes:
        return b"{" if host is bad else fragment(host)

    monkeypatch.setattr(world.views, "fragment", breaks)
    await world.recorder.look()
    await world.recorder.flush()
    assert (await shown(world, good, WALL + 1))["name"] == "bee"


async def test_who_has_gone_is_not_answered_any_more(api: Api, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(120):
        await world.enrol(f"host-{number}")
    await world.recorder.look()
    wait(world, 5)
    some, asked, go_on = past._shown, asyncio.Event(), asyncio.Event()
    calls: list[Call] = []

    async def slow(call: Call, *of_what: Any) -> list[past.Shown]:
        calls.append(call)
        asked.set()
        await go_on.wait()
        return await some(call, *of_what)

    monkeypatch.setattr(past, "_shown", slow)
    request = asyncio.create_task(api.get("/api/0/hosts?at=now-3s"))
    await asyncio.wait_for(asked.wait(), 10)
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    async with asyncio.timeout(30):
        while (transport := calls[0].request.transport) is not None and not transport.is_closing():
            await asyncio.sleep(0.01)
        go_on.set()
        while world.parts.past_readers.waiting:
            await asyncio.sleep(0.01)
    assert len(calls) == 1


async def test_a_crash_leaves_no_time_that_seems_known_and_is_not(world: World) -> None:
    ant, bee = await world.enrol("ant"), await world.enrol("bee")
    await world.recorder.look()
    await world.recorder.flush()
    wait(world, 5)
    world.beat(ant)
    await world.recorder.look()
    wait(world, 5)
    world.beat(bee)
    await world.recorder.look()
    await world.recorder._write([bee.id])  # what ant showed five seconds ago is not on disk
    run, _ = await world.store.chronicle.run_at(round(world.now.wall * 1000))
    assert run is not None
    assert run.last == round((WALL + 5) * 1000)
