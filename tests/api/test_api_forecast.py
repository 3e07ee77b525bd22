"""When disks will be full, as it is asked for over HTTP and told on the pages."""

from __future__ import annotations

import time
from typing import Any

import pytest
from asking import asked
from stored_samples import keep
from world import Api, World

from hbd.hosts import Host
from hbd.model import Sample

HERE = "/api/0/hosts/web1/forecast"
DAY = 86_400.0


async def filled(world: World, days: int, percent_a_day: float, **newest: Any) -> Host:
    """A host whose disk was looked at every hour for some days and is at 60 % now."""
    host = await world.enrol("web1")
    now = time.time()
    hours = [now - ago * 3600 for ago in range(days * 24)]
    disks = {at: {"/": {"percent": 60 - percent_a_day * (now - at) / DAY, "free_gb": 10.0}} for at in hours}
    await keep(world.store, host, "disk_monitor", disks)
    world.rings.add(host.id, Sample("disk_monitor", now, {"/": disks[now]["/"] | newest}))
    return host


async def test_a_disk_that_fills_up_is_told_with_its_days(world: World, api: Api) -> None:
    await filled(world, 5, 4.0)
    (disk,) = (await asked(api, HERE))["disks"]
    assert (disk["mount"], disk["metric"], disk["percent"]) == ("/", "percent", pytest.approx(60, abs=1))
    assert disk["full_in"] == pytest.approx(10 * DAY, rel=0.1)
    assert (disk["words"], disk["not_within"]) == ("in about 10 days", None)


async def test_a_disk_that_stays_as_it_is_is_told_as_far_as_that_is_known(world: World, api: Api) -> None:
    await filled(world, 4, 0.0)
    (disk,) = (await asked(api, HERE))["disks"]
    assert (disk["full_in"], disk["not_within"], disk["words"]) == (None, 24 * DAY, "not within 3 weeks")


async def test_a_disk_that_was_watched_for_too_short_is_told_without_a_word(world: World, api: Api) -> None:
    await filled(world, 1, 0.0)
    host = await world.enrol("new")
    world.rings.add(host.id, Sample("disk_monitor", time.time(), {"/": {"percent": 60.0}}))
    (disk,) = (await asked(api, "/api/0/hosts/new/forecast"))["disks"]
    assert (disk["full_in"], disk["not_within"], disk["words"]) == (None, None, "")


async def test_what_the_last_hours_foretell_comes_first(world: World, api: Api) -> None:
    await filled(world, 5, 4.0, hours_to_full=5.0)
    (disk,) = (await asked(api, HERE))["disks"]
    assert (disk["full_in"], disk["words"]) == (5 * 3600, "in about 5 hours")


async def test_an_end_that_the_last_hours_do_not_see_is_no_word_against_days(world: World, api: Api) -> None:
    await filled(world, 5, 4.0, hours_to_full=1000.0)
    assert (await asked(api, HERE))["disks"][0]["words"] == "in about 10 days"


async def test_a_host_without_disks_has_no_forecast(world: World, api: Api) -> None:
    await world.enrol("web1")
    assert await asked(api, HERE) == {"host": "web1", "disks": []}


@pytest.mark.parametrize(
    "page",
    [
        "/agent/web1",
        "/plugins?host=web1&plugin=disk_monitor",
        "/history?host=web1&metric=disk_monitor./.percent&range=7d",
    ],
)
async def test_the_pages_tell_it(world: World, api: Api, page: str) -> None:
    await filled(world, 5, 4.0)
    async with api.get(page) as answer:
        text = await answer.text()
        assert answer.status == 200, text
    assert "in about 10 days" in text


async def test_a_chart_that_ends_in_the_past_says_nothing_of_what_comes(world: World, api: Api) -> None:
    await filled(world, 5, 4.0)
    url = f"/history?host=web1&metric=disk_monitor./.percent&from={time.time() - 4 * DAY}&to={time.time() - DAY}"
    async with api.get(url) as answer:
        assert "in about 10 days" not in await answer.text()
