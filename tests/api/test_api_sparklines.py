"""The small lines of the live page as they are asked for over HTTP."""

from __future__ import annotations

import time

import pytest
from stored_samples import keep
from world import Api, World

from hbd.config import Config
from hbd.config.structs import HostConfig
from hbd.hosts import Host
from hbd.model import Sample

HERE = "/api/0/sparklines"


def heard(world: World, host: Host, minutes_ago: int, cpu: float) -> None:
    """A sample in the middle of a minute."""
    at = time.time() // 60 * 60 - minutes_ago * 60 + 30
    world.rings.add(host.id, Sample("cpu_monitor", at, {"cpu_percent": cpu}))


async def stored(world: World, host: Host, minutes_ago: int, cpu: float) -> None:
    """A sample that an earlier run of the daemon took."""
    at = time.time() // 60 * 60 - minutes_ago * 60 + 30
    await keep(world.store, host, "cpu_monitor", {at: {"cpu_percent": cpu}})


async def asked(api: Api, hosts: str, headers: dict[str, str] | None = None) -> dict[str, list[int | None]]:
    """The CPU of each host, newest first."""
    async with api.get(f"{HERE}?hosts={hosts}", headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        told = await answer.json()
    assert told["step"] == 60
    assert told["to"] % 60 == 0
    return {name: line["cpu_percent"][::-1] for name, line in told["hosts"].items()}


async def test_a_host_is_told_with_a_point_for_each_minute_of_an_hour(world: World, api: Api) -> None:
    heard(world, await world.enrol("web1"), 3, 42.4)
    line = (await asked(api, "web1"))["web1"]
    assert len(line) == 60
    assert [place for place, value in enumerate(line) if value == 42] in ([2], [3])  # a minute may just have ended


async def test_several_hosts_are_told_at_once(world: World, api: Api) -> None:
    for name in ("web1", "web2"):
        heard(world, await world.enrol(name), 3, 1.0)
    assert set(await asked(api, "web1,web2,web1")) == {"web1", "web2"}


async def test_hosts_that_nobody_knows_or_that_said_nothing_are_left_out(world: World, api: Api) -> None:
    await world.enrol("mute")
    heard(world, await world.enrol("web1"), 3, 1.0)
    assert set(await asked(api, "web1,mute,gone")) == {"web1"}


async def test_hosts_that_one_does_not_see_are_left_out(world: World, api: Api) -> None:
    for name in ("web1", "web2"):
        heard(world, await world.enrol(name), 3, 1.0)
    await world.user("vera")
    await world.configure(Config(hosts={"web2": HostConfig(monitors=("vera",))}))
    headers = {"Authorization": f"Bearer {await world.session('vera')}"}
    assert set(await asked(api, "web1,web2", headers)) == {"web2"}


async def test_what_an_earlier_run_of_the_daemon_took_is_in_the_line(world: World, api: Api) -> None:
    host = await world.enrol("web1")
    await stored(world, host, 20, 33.0)
    await stored(world, host, 3, 99.0)
    heard(world, host, 3, 5.0)
    assert [value for value in (await asked(api, "web1"))["web1"] if value is not None] == [5, 33]


@pytest.mark.parametrize("odd", [1e39, -1e300, pytest.param(10**400, id="huge")])
async def test_a_number_of_one_host_that_is_no_percent_leaves_the_lines_of_others(
    world: World, api: Api, odd: float
) -> None:
    heard(world, await world.enrol("web1"), 3, 5.0)
    heard(world, await world.enrol("web2"), 3, odd)
    assert set(await asked(api, "web1,web2")) == {"web1"}


async def test_a_number_that_is_no_percent_does_not_come_back_with_a_restart(world: World, api: Api) -> None:
    await stored(world, await world.enrol("web1"), 3, 1e39)
    heard(world, await world.enrol("web2"), 3, 5.0)
    assert set(await asked(api, "web1,web2")) == {"web2"}


@pytest.mark.parametrize("hosts", ["", ",".join(f"web{place}" for place in range(201))])
async def test_none_and_too_many_hosts_are_refused(world: World, api: Api, hosts: str) -> None:
    async with api.get(f"{HERE}?hosts={hosts}") as answer:
        assert answer.status == 400
        assert "hosts" in (await answer.json())["error"]
