"""How often hosts are put into bytes."""

from __future__ import annotations

import pytest
from world import World

from hbd.hosts import Host
from hbd.model import Moment
from hbd.web import schemas
from hbd.web.hostview import LATE_SECONDS, HostViews


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of hosts as they are put into bytes."""
    names: list[str] = []
    original = HostViews.host

    def host(self: HostViews, host: Host) -> schemas.Host:
        names.append(host.name)
        return original(self, host)

    monkeypatch.setattr(HostViews, "host", host)
    return names


def pass_time(world: World, seconds: float) -> None:
    world.now = Moment(world.now.wall + seconds, world.now.mono + seconds)


async def test_a_host_is_made_again_only_after_a_change(world: World, made: list[str]) -> None:
    for name in ("app", "db"):
        await world.enrol(name)
    first = world.views.all()
    assert world.views.all() is first
    world.beat(world.hosts.require("db"))
    world.views.all()
    assert made == ["app", "db", "db"]


async def test_the_list_and_a_single_host_share_their_bytes(world: World, made: list[str]) -> None:
    host = await world.enrol("app")
    assert world.views.all().data == b"[" + world.views.fragment(host) + b"]"
    assert made == ["app"]


async def test_the_silent_are_made_again_some_time_into_a_minute(world: World, made: list[str]) -> None:
    await world.enrol("app")
    pass_time(world, 60 - world.now.wall % 60 - 1)
    world.views.all()
    pass_time(world, LATE_SECONDS)
    world.views.all()
    assert made == ["app"]
    pass_time(world, 1)
    world.views.all()
    world.views.all()
    assert made == ["app", "app"]


async def test_every_list_has_an_etag_of_its_own(world: World) -> None:
    host = await world.enrol("app")
    before = world.views.all().etag
    world.views.forget(host.id)
    assert world.views.all().etag != before


async def test_a_packed_list_is_packed_once(world: World) -> None:
    await world.enrol("app")
    listed = world.views.all()
    assert await listed.packed() is await listed.packed()
