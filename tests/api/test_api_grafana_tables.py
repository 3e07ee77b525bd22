"""Flat tables for Grafana's data source Infinity, and for whatever else reads JSON."""

from __future__ import annotations

import time
from typing import Any

import pytest
from alarms import alarm
from asking import put
from world import WALL, Api, World

from hbd.model import Level

BASE = "/api/0/grafana"
CPU = "cpu_monitor.cpu_percent"


async def rows(api: Api, path: str, **options: Any) -> list[dict[str, Any]]:
    async with api.get(f"{BASE}{path}", **options) as answer:
        assert answer.status == 200, await answer.text()
        found: list[dict[str, Any]] = await answer.json()
        return found


async def refused(api: Api, path: str) -> tuple[int, str]:
    async with api.get(f"{BASE}{path}") as answer:
        return answer.status, (await answer.json())["error"]


@pytest.mark.parametrize(
    "path", ["/hosts", "/metrics", f"/latest?metric={CPU}", f"/series?metric={CPU}", "/alerts", "/annotations"]
)
async def test_what_is_empty_is_an_empty_list(api: Api, path: str) -> None:
    assert await rows(api, path) == []


@pytest.mark.parametrize(
    "path", ["/hosts", "/metrics", f"/latest?metric={CPU}", f"/series?metric={CPU}", "/alerts", "/annotations?from=0"]
)
async def test_a_row_has_no_rows_in_it(api: Api, world: World, path: str) -> None:
    host = await put(world, "web1", {7200: {"cpu_percent": 1.0}})
    world.sample(host, "cpu_monitor", {"cpu_percent": 1.0})
    host.tags = ["prod", "eu"]
    await alarm(world, host)
    found = await rows(api, path)
    assert found
    assert not [value for row in found for value in row.values() if isinstance(value, (list, dict))]


@pytest.mark.parametrize(
    "path", ["/hosts", "/metrics", f"/latest?metric={CPU}", f"/series?metric={CPU}", "/alerts", "/annotations?from=0"]
)
async def test_the_hosts_of_others_are_not_in_it(api: Api, world: World, path: str) -> None:
    await world.user("carol")
    for name in ("mine", "theirs"):
        host = await put(world, name, {7200: {"cpu_percent": 1.0}})
        world.sample(host, "cpu_monitor", {"cpu_percent": 1.0, f"of_{name}": 1})
        await alarm(world, host)
    world.hosts.hand(world.hosts.require("mine"), "carol", [], [])
    found = str(await rows(api, path, headers={"Authorization": f"Bearer {await world.session('carol')}"}))
    assert ("theirs" in found, found != "[]") == (False, True)


async def test_a_host_has_its_state_and_its_numbers(api: Api, world: World) -> None:
    host = await world.enrol("web1")
    world.beat(host)
    world.sample(host, "cpu_monitor", {"cpu_percent": 12.5})
    await alarm(world, host)
    (row,) = await rows(api, "/hosts")
    assert (row["host"], row["state"], row["up"], row["down"]) == ("web1", "UP", 1, 0)
    assert (row["cpu_percent"], row["memory_percent"], row["critical"]) == (12.5, None, 1)
    assert row["last_seen"] == WALL * 1000


@pytest.mark.parametrize("query", ["hosts=web*", "tags=prod", "hosts=web1", "hosts=(web1|none*)", "limit=1&hosts=web*"])
async def test_hosts_can_be_chosen(api: Api, world: World, query: str) -> None:
    (await world.enrol("web1")).tags = ["prod"]
    await world.enrol("db1")
    assert [row["host"] for row in await rows(api, f"/hosts?{query}")] == ["web1"]


async def test_the_points_of_all_series_come_in_the_order_of_their_times(api: Api, world: World) -> None:
    for name in ("web1", "web2"):
        await put(world, name, {7200: {"cpu_percent": 1.0}, 3600: {"cpu_percent": 2.0}})
    found = await rows(api, f"/series?metric={CPU}&interval=60000")
    assert [(row["host"], row["value"]) for row in found if row["value"] is not None] == [
        ("web1", 1.0), ("web2", 1.0), ("web1", 2.0), ("web2", 2.0),
    ]  # fmt: skip
    assert [row["time"] for row in found] == sorted(row["time"] for row in found)


@pytest.mark.parametrize(
    "span",
    [
        lambda now: f"from={int(now - 7200) * 1000}&to={int(now) * 1000}",
        lambda now: f"from={time.strftime('%Y-%m-%dT%H:%M:%S.000Z', time.gmtime(now - 7200))}",
        lambda now: "from=now-2h&to=now",
    ],
)
async def test_times_are_milliseconds_or_iso_8601(api: Api, world: World, span: Any) -> None:
    await put(world, "web1", {3 * 3600: {"cpu_percent": 1.0}, 3600: {"cpu_percent": 2.0}})
    found = await rows(api, f"/series?metric={CPU}&{span(time.time())}")
    assert [row["value"] for row in found] == [2.0]


@pytest.mark.parametrize(("interval", "count"), [("1h", 4), ("3600000", 4), ("10s", 13), ("", 13), ("raw", 25)])
async def test_an_interval_says_how_long_a_point_is(api: Api, world: World, interval: str, count: int) -> None:
    await put(world, "web1", {ago: {"cpu_percent": 1.0} for ago in range(3600, 3600 + 25 * 30, 30)})
    found = await rows(api, f"/series?metric={CPU}&from=now-2h&interval={interval}")
    known = [row for row in found if row["value"] is not None]
    assert count - 3 <= len(known) <= count


async def test_the_newest_rows_are_those_that_a_limit_leaves(api: Api, world: World) -> None:
    await put(world, "web1", {7200: {"cpu_percent": 1.0}, 3600: {"cpu_percent": 2.0}})
    assert [row["value"] for row in await rows(api, f"/series?metric={CPU}&limit=1")] == [2.0]


async def test_several_metrics_are_named_with_commas(api: Api, world: World) -> None:
    await put(world, "web1", {3600: {"cpu_percent": 1.0, "load_1min": 2.0, "load_5min": 3.0}})
    found = await rows(api, f"/series?metric={CPU},cpu_monitor.load_*")
    assert {row["metric"] for row in found} == {CPU, "cpu_monitor.load_1min", "cpu_monitor.load_5min"}


async def test_hosts_can_be_put_together(api: Api, world: World) -> None:
    for name, value in (("web1", 1.0), ("web2", 3.0)):
        await put(world, name, {3600: {"cpu_percent": value}})
    found = await rows(api, f"/series?metric={CPU}&aggregate=sum&interval=1d&from=now-2d")
    assert [(row["host"], row["value"]) for row in found] == [("", 4.0)]


async def test_the_largest_can_be_had(api: Api, world: World) -> None:
    for name, value in (("web1", 1.0), ("web2", 3.0)):
        world.sample(await put(world, name, {3600: {"cpu_percent": value}}), "cpu_monitor", {"cpu_percent": value})
    assert {row["host"] for row in await rows(api, f"/series?metric={CPU}&top=1")} == {"web2"}


async def test_newest_values_are_those_of_memory(api: Api, world: World) -> None:
    host = await world.enrol("web1")
    world.sample(host, "disk_monitor", {"/": {"percent": 1.0, "device": "sda"}, "/home": {"percent": 2.0}})
    assert await rows(api, "/latest?metric=disk_monitor.*.percent") == [
        {"time": WALL * 1000, "host": "web1", "metric": "disk_monitor./.percent", "value": 1.0},
        {"time": WALL * 1000, "host": "web1", "metric": "disk_monitor./home.percent", "value": 2.0},
    ]


async def test_names_of_metrics_can_be_searched(api: Api, world: World) -> None:
    world.sample(await world.enrol("web1"), "cpu_monitor", {"cpu_percent": 1.0, "load_1min": 1.0})
    assert await rows(api, "/metrics?find=Load") == [{"metric": "cpu_monitor.load_1min"}]


async def test_alerts_come_the_worst_first(api: Api, world: World) -> None:
    await alarm(world, await world.enrol("web1"), Level.WARNING)
    await alarm(world, await world.enrol("web2"), Level.CRITICAL)
    assert [row["level"] for row in await rows(api, "/alerts")] == ["CRITICAL", "WARNING"]
    assert [row["host"] for row in await rows(api, "/alerts?levels=warning")] == ["web1"]


async def test_who_looks_after_an_alert_is_told(api: Api, world: World) -> None:
    await alarm(world, await world.enrol("web1"))
    body = {"metric_path": "presence.host"}
    assert (await api.post("/api/0/hosts/web1/alerts/acknowledge", json=body)).status == 200
    (row,) = await rows(api, "/alerts")
    assert row["acknowledged_by"] is not None


async def test_annotations_are_spans_of_time(api: Api, world: World) -> None:
    host = await world.enrol("web1")
    await alarm(world, host)
    await alarm(world, host, Level.OK)
    (row,) = await rows(api, f"/annotations?from={int(WALL) * 1000}&to={int(WALL + 60) * 1000}")
    assert (row["time"], row["timeEnd"], row["open"]) == ((WALL + 1) * 1000, (WALL + 2) * 1000, False)


async def test_what_was_wrong_before_many_other_changes_is_found(
    api: Api, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hbd.web.grafana_series.EVENTS", 3)
    first, other = await world.enrol("web1"), await world.enrol("web2")
    await alarm(world, first)
    await alarm(world, first, Level.OK)
    for _ in range(5):
        await alarm(world, other)
        await alarm(world, other, Level.OK)
    found = await rows(api, f"/annotations?from={int(WALL) * 1000}&to={int(WALL + 60) * 1000}")
    assert sum(row["host"] == "web1" for row in found) == 1


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/series", "object missing required field metric"),
        (f"/series?metric={CPU}&from=${{__from}}", "from: "),
        (f"/series?metric={CPU}&from=now&to=now-1h", "from: must be before to"),
        (f"/series?metric={CPU}&interval=1parsec", "interval: "),
        (f"/series?metric={CPU}&of=p99", "of: "),
        (f"/series?metric={CPU}&top=0", "top: "),
        (f"/series?metric={CPU}&aggregate=sum&interval=raw", "aggregate: "),
        ("/series?metric=,", "metric: "),
        ("/alerts?levels=BAD", "levels: "),
        ("/hosts?limit=0", "limit: "),
        ("/hosts?hosts=" + "*" * 20, "hosts: "),
        ("/annotations?from=tomorrow", "from: "),
    ],
)
async def test_what_cannot_be_answered_says_which_parameter_is_wrong(
    api: Api, world: World, path: str, reason: str
) -> None:
    await world.enrol("web1")
    status, error = await refused(api, path)
    assert (status, error[: len(reason)]) == (400, reason)


@pytest.mark.parametrize("name", ["infinity.json", "prometheus.json"])
async def test_a_dashboard_can_be_downloaded(api: Api, name: str) -> None:
    async with api.get(f"{BASE}/dashboards/{name}") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Disposition"] == f"attachment; filename=hbd-{name}"
        assert (await answer.json())["title"].startswith("hbd")


@pytest.mark.parametrize("name", ["none.json", "..%2Fjs%2Flive.js", "infinity"])
async def test_nothing_else_is_a_dashboard(api: Api, name: str) -> None:
    async with api.get(f"{BASE}/dashboards/{name}") as answer:
        assert answer.status == 404
