"""GET /api/0/hosts/{host}/plugins and …/plugins/{plugin}."""

from __future__ import annotations

import json

import pytest
from world import WALL, Api, World

PLUGINS = "/api/0/hosts/web/plugins"


async def test_the_newest_sample_of_each_plugin_is_shown(api: Api, world: World) -> None:
    host = await world.enrol("web")
    world.sample(host, "cpu_monitor", {"cpu_percent": 1.0}, age=10)
    world.sample(host, "cpu_monitor", {"cpu_percent": 2.0})
    assert await (await api.get(PLUGINS)).json() == {
        "hostname": "web",
        "plugins": {"cpu_monitor": {"timestamp": WALL, "data": {"cpu_percent": 2.0}, "sample_count": 2}},
    }


async def test_a_host_without_samples_has_no_plugins(api: Api, world: World) -> None:
    await world.enrol("web")
    assert await (await api.get(PLUGINS)).json() == {"hostname": "web", "plugins": {}}


async def test_samples_come_newest_first(api: Api, world: World) -> None:
    host = await world.enrol("web")
    for age in (20, 10, 0):
        world.sample(host, "cpu_monitor", {"age": age}, age=age)
    shown = await (await api.get(f"{PLUGINS}/cpu_monitor")).json()
    assert [sample["data"]["age"] for sample in shown["samples"]] == [0, 10, 20]
    assert (shown["hostname"], shown["plugin"], shown["sample_count"]) == ("web", "cpu_monitor", 3)


@pytest.mark.parametrize(("query", "count"), [("", 10), ("?limit=1", 1), ("?limit=20", 20), ("?limit=99999", 20)])
async def test_limit_says_how_many_up_to_what_is_held(api: Api, world: World, query: str, count: int) -> None:
    host = await world.enrol("web")
    for age in range(30):
        world.sample(host, "cpu_monitor", {"age": age}, age=30 - age)
    shown = await (await api.get(f"{PLUGINS}/cpu_monitor{query}")).json()
    assert (shown["sample_count"], len(shown["samples"])) == (count, count)


@pytest.mark.parametrize("limit", ["0", "-1", "abc", "", "1.5", "1e400", "NaN", "true", "٥", "9" * 5000, "1&limit=2"])
async def test_a_limit_that_is_none_is_refused_by_name(api: Api, world: World, limit: str) -> None:
    world.sample(await world.enrol("web"), "cpu_monitor", {"a": 1})
    answer = await api.get(f"{PLUGINS}/cpu_monitor?limit={limit}")
    assert answer.status == 400
    assert (await answer.json())["error"].startswith("limit: ")


async def test_parameters_that_nobody_knows_are_left_alone(api: Api, world: World) -> None:
    world.sample(await world.enrol("web"), "cpu_monitor", {"a": 1})
    assert (await api.get(f"{PLUGINS}/cpu_monitor?_=1&limit=1")).status == 200


async def test_nested_and_odd_values_come_back_as_they_went_in(api: Api, world: World) -> None:
    data = {"/": {"percent": 1.5, "inodes": 2**40}, "a.b": "ünï\u202e<script>", "list": [1, "x", None], "ok": True}
    world.sample(await world.enrol("web"), "disk_monitor", data)
    shown = json.loads(await (await api.get(f"{PLUGINS}/disk_monitor")).read())
    assert shown["samples"][0]["data"] == data


async def test_an_unknown_plugin_of_a_known_host_is_named(api: Api, world: World) -> None:
    await world.enrol("web")
    answer = await api.get(f"{PLUGINS}/nope")
    assert (answer.status, await answer.json()) == (404, {"error": "Plugin 'nope' not found on host 'web'"})


async def test_an_unknown_host_comes_before_an_unknown_plugin(api: Api) -> None:
    answer = await api.get(f"{PLUGINS}/nope")
    assert (answer.status, await answer.json()) == (404, {"error": "Host 'web' not found"})


async def test_a_plugin_name_may_need_encoding(api: Api, world: World) -> None:
    world.sample(await world.enrol("web"), "my plugin/1:é", {"a": 1})
    answer = await api.get(f"{PLUGINS}/my%20plugin%2F1%3A%C3%A9", allow_redirects=False)
    assert (await answer.json())["plugin"] == "my plugin/1:é"
