"""What Grafana's JSON data source asks: the bodies are those that its versions send."""

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


def iso(ago: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() - ago))


def panel(*targets: dict[str, Any], ago: float = 6 * 3600, **more: Any) -> dict[str, Any]:
    """What a panel asks for the time since so many seconds ago."""
    return {
        "app": "dashboard",
        "panelId": 2,
        "range": {"from": iso(ago), "to": iso(-60), "raw": {"from": "now-6h", "to": "now"}},
        "interval": "1m",
        "intervalMs": 60_000,
        "maxDataPoints": 500,
        "scopedVars": {},
        "targets": [{"refId": "A", **target} for target in targets],
        **more,
    }


async def asked(api: Api, path: str, body: Any, **options: Any) -> Any:
    async with api.post(f"{BASE}{path}", json=body, **options) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def refused(api: Api, path: str, body: Any) -> tuple[int, str]:
    async with api.post(f"{BASE}{path}", json=body) as answer:
        return answer.status, (await answer.json())["error"]


def known(series: dict[str, Any]) -> list[float]:
    return [value for value, _ in series["datapoints"] if value is not None]


# --------------------------------------------------------------------------------------------------------- the source


@pytest.mark.parametrize("path", [BASE, f"{BASE}/"])
async def test_the_source_can_be_tried(api: Api, path: str) -> None:
    async with api.get(path) as answer:
        assert (answer.status, (await answer.json())["status"]) == (200, "ok")


async def test_a_wrong_token_is_told_and_sent_nowhere(api: Api, world: World) -> None:
    await world.user("alice")
    async with api.get(BASE, headers={"Authorization": "Bearer nonsense"}, allow_redirects=False) as answer:
        assert answer.status == 401


# -------------------------------------------------------------------------------------------------------------- query


async def test_a_metric_is_a_series_of_values_and_milliseconds(api: Api, world: World) -> None:
    await put(world, "web1", {7200: {"cpu_percent": 12.5}})
    (series,) = await asked(api, "/query", panel({"target": CPU, "payload": {}}))
    ((value, moment),) = series["datapoints"]
    assert (series["target"], series["refId"], value) == (f"web1 {CPU}", "A", 12.5)
    assert moment % 60_000 == 0
    assert abs(moment / 1000 - (time.time() - 7200)) <= 61


async def test_the_legend_of_a_series_is_its_name_and_not_its_labels(api: Api, world: World) -> None:
    await put(world, "web1", {7200: {"cpu_percent": 12.5}})
    (series,) = await asked(api, "/query", panel({"target": CPU}))
    assert series["title"] == series["target"]


async def test_the_labels_of_a_series_are_its_host_and_metric(api: Api, world: World) -> None:
    await put(world, "web1", {7200: {"cpu_percent": 12.5}})
    (series,) = await asked(api, "/query", panel({"target": CPU}))
    assert series["tags"] == {"host": "web1", "metric": CPU}


async def test_several_targets_have_series_of_several_hosts(api: Api, world: World) -> None:
    for name in ("web1", "web2"):
        await put(world, name, {7200: {"cpu_percent": 1.0, "load_1min": 2.0}})
    body = panel({"target": CPU}, {"target": "cpu_monitor.load_1min", "refId": "B", "payload": {"host": "web2"}})
    told = [(series["refId"], series["tags"]["host"]) for series in await asked(api, "/query", body)]
    assert told == [("A", "web1"), ("A", "web2"), ("B", "web2")]


@pytest.mark.parametrize("host", ["(web1|web2)", ["web1", "web2"], "web*", "{web1,web2}", "web1,web2", "", "*"])
async def test_a_variable_with_several_hosts_is_understood(api: Api, world: World, host: Any) -> None:
    for name in ("web1", "web2"):
        await put(world, name, {7200: {"cpu_percent": 1.0}})
    found = await asked(api, "/query", panel({"target": CPU, "payload": {"host": host}}))
    assert [series["tags"]["host"] for series in found] == ["web1", "web2"]


@pytest.mark.parametrize("target", ["disk_monitor.*.percent", r"disk_monitor.(\/|\/home).percent"])
async def test_a_metric_can_stand_for_several(api: Api, world: World, target: str) -> None:
    await put(world, "web1", {7200: {"/": {"percent": 1.0}, "/home": {"percent": 2.0}}}, "disk_monitor")
    found = await asked(api, "/query", panel({"target": target}))
    assert [series["tags"]["metric"] for series in found] == ["disk_monitor./.percent", "disk_monitor./home.percent"]


async def test_the_settings_of_a_query_may_be_text(api: Api, world: World) -> None:
    await put(world, "web1", {7201: {"cpu_percent": 1.0}, 7200: {"cpu_percent": 3.0}})
    body = panel({"target": CPU, "payload": '{"of": "max"}'}, maxDataPoints=1, intervalMs=6 * 3_600_000)
    (series,) = await asked(api, "/query", body)
    assert max(known(series)) == 3.0


async def test_all_hosts_can_be_one_series(api: Api, world: World) -> None:
    await put(world, "web1", {7200: {"cpu_percent": 1.0}})
    await put(world, "web2", {7200: {"cpu_percent": 3.0}})
    body = panel({"target": CPU, "payload": {"aggregate": "sum"}}, intervalMs=3_600_000)
    (series,) = await asked(api, "/query", body)
    assert (series["target"], sum(known(series))) == (f"sum of all {CPU}", 4.0)


async def test_of_many_hosts_the_largest_can_be_had(api: Api, world: World) -> None:
    for number in range(3):
        host = await put(world, f"web{number}", {7200: {"cpu_percent": 1.0}})
        world.sample(host, "cpu_monitor", {"cpu_percent": float(number)})
    found = await asked(api, "/query", panel({"target": CPU, "payload": {"top": "2"}}))
    assert [series["tags"]["host"] for series in found] == ["web2", "web1"]


async def test_a_gap_is_null(api: Api, world: World) -> None:
    await put(world, "web1", {ago * 60: {"cpu_percent": 1.0} for ago in (30, 31, 32, 33, 50, 51, 52, 53)})
    (series,) = await asked(api, "/query", panel({"target": CPU}, ago=3900))
    assert [value for value, _ in series["datapoints"]].count(None) == 1


async def test_a_short_time_is_shown_sample_by_sample(api: Api, world: World) -> None:
    await put(world, "web1", {ago: {"cpu_percent": 1.0} for ago in range(100, 200, 10)})
    (series,) = await asked(api, "/query", panel({"target": CPU}, ago=900, intervalMs=1000))
    assert len(known(series)) == 10


async def test_a_panel_gets_no_more_points_than_it_draws(api: Api, world: World) -> None:
    await put(world, "web1", {ago * 60: {"cpu_percent": 1.0} for ago in range(1, 300)})
    (series,) = await asked(api, "/query", panel({"target": CPU}, maxDataPoints=20, intervalMs=1000))
    assert len(series["datapoints"]) <= 22


async def test_a_hidden_or_empty_target_is_passed_over(api: Api, world: World) -> None:
    await put(world, "web1", {7200: {"cpu_percent": 1.0}})
    assert await asked(api, "/query", panel({"target": CPU, "hide": True}, {}, {"target": ""})) == []


async def test_a_metric_that_nobody_has_is_no_series(api: Api, world: World) -> None:
    await world.enrol("web1")
    assert await asked(api, "/query", panel({"target": "cpu_monitor.none"})) == []


async def test_without_hosts_there_are_no_series(api: Api) -> None:
    assert await asked(api, "/query", panel({"target": CPU})) == []


@pytest.mark.parametrize("name", ["adhocFilters", "filters"])
async def test_ad_hoc_filters_leave_what_fits(api: Api, world: World, name: str) -> None:
    for host in ("web1", "web2"):
        (await put(world, host, {7200: {"cpu_percent": 1.0}})).tags = [host.replace("web", "rack")]
    for wanted in (
        {"key": "host", "operator": "=", "value": "web2"},
        {"key": "tag", "operator": "!=", "value": "rack1"},
    ):
        found = await asked(api, "/query", panel({"target": CPU}, **{name: [wanted]}))
        assert [series["tags"]["host"] for series in found] == ["web2"]


async def test_the_hosts_are_a_table(api: Api, world: World) -> None:
    world.beat(await world.enrol("web1"))
    (table,) = await asked(api, "/query", panel({"target": "hosts"}))
    assert (table["type"], table["refId"]) == ("table", "A")
    row = dict(zip([column["text"] for column in table["columns"]], table["rows"][0], strict=True))
    assert (row["host"], row["state"], row["up"], row["last_seen"]) == ("web1", "UP", 1, WALL * 1000)
    types = {column["text"]: column["type"] for column in table["columns"]}
    assert (types["host"], types["last_seen"], types["cpu_percent"]) == ("string", "time", "number")


async def test_what_is_wrong_is_a_table(api: Api, world: World) -> None:
    await alarm(world, await world.enrol("web1"))
    (table,) = await asked(api, "/query", panel({"target": "alerts"}))
    row = dict(zip([column["text"] for column in table["columns"]], table["rows"][0], strict=True))
    assert (row["host"], row["metric"], row["level"]) == ("web1", "presence.host", "CRITICAL")


async def test_when_something_was_wrong_is_a_table_that_grafana_takes_for_annotations(api: Api, world: World) -> None:
    host = await world.enrol("web1")
    await alarm(world, host)
    await alarm(world, host, Level.OK)
    body = panel({"target": "alert_history"})
    body["range"] = {"from": int(WALL - 60) * 1000, "to": int(WALL + 60) * 1000}
    (table,) = await asked(api, "/query", body)
    row = dict(zip([column["text"] for column in table["columns"]], table["rows"][0], strict=True))
    assert (row["time"], row["timeEnd"]) == ((WALL + 1) * 1000, (WALL + 2) * 1000)
    assert (row["title"], row["text"], row["tags"]) == ("CRITICAL on web1", "presence.host", "CRITICAL,web1")


RANGE = {"from": "2026-11-21T10:00:00Z", "to": "2026-11-21T11:00:00Z"}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"targets": []}, "object missing required field range"),
        ({"range": {"from": "yesterday", "to": "now"}}, "range.from: "),
        ({"range": {"from": "now", "to": "now-1h"}}, "range.from: must be before range.to"),
        ({"range": RANGE, "targets": [{"target": 1}]}, "targets[0].target: expected str"),
        ({"range": RANGE, "targets": [{"target": CPU}] * 27}, "targets: expected array of length <= 26"),
        ({"range": RANGE, "intervalMs": 0}, "intervalMs: expected float > 0"),
        ({"range": RANGE, "adhocFilters": [{"key": "os"}]}, "adhocFilters[0].key: "),
        ({"range": RANGE, "targets": [{"target": CPU, "payload": "{"}]}, "targets[0].payload: is not JSON"),
        ({"range": RANGE, "targets": [{"target": CPU, "payload": '{"of": "p99"}'}]}, "targets[0].payload.of: "),
        ({"range": RANGE, "targets": [{}, {"target": CPU, "payload": {"top": "x"}}]}, "targets[1].payload.top: "),
        ({"range": RANGE, "targets": [{"target": CPU, "payload": {"host": "*" * 20}}]}, "targets[0].payload.host: "),
        ({"range": RANGE, "targets": [{"target": "(a|b)" * 13}]}, "targets[0].target: stands for more than"),
    ],
)
async def test_what_cannot_be_answered_says_which_field_is_wrong(
    api: Api, world: World, body: Any, reason: str
) -> None:
    await world.enrol("web1")
    status, error = await refused(api, "/query", body)
    assert (status, error[: len(reason)]) == (400, reason)


async def test_a_host_that_there_is_not_is_told(api: Api) -> None:
    status, error = await refused(api, "/query", panel({"target": CPU, "payload": {"host": "web9"}}))
    assert (status, error) == (404, "Host 'web9' not found")


async def test_more_hosts_than_can_be_drawn_are_refused_unless_the_largest_are_wanted(api: Api, world: World) -> None:
    for number in range(101):
        await world.enrol(f"web{number}")
    status, error = await refused(api, "/query", panel({"target": CPU}))
    assert (status, error[:42]) == (400, "targets[0].payload.host: at most 100 at on")
    assert await asked(api, "/query", panel({"target": CPU, "payload": {"top": 5}})) == []


async def test_of_many_hosts_there_are_fewer_points_of_each(
    api: Api, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hbd.web.grafana.MOST_POINTS", 40)
    for name in ("web1", "web2"):
        await put(world, name, {ago * 60: {"cpu_percent": 1.0} for ago in range(1, 300)})
    found = await asked(api, "/query", panel({"target": CPU}))
    assert 10 < sum(len(series["datapoints"]) for series in found) <= 40


async def test_an_answer_that_would_be_too_large_is_refused(
    api: Api, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hbd.web.grafana.MOST_POINTS", 10)
    await put(world, "web1", {7200: {f"m{number}": 1 for number in range(20)}}, "own")
    status, error = await refused(api, "/query", panel({"target": "own.*"}))
    assert (status, error[:18]) == (400, "targets[0].target:")


async def test_a_body_that_is_no_json_is_refused(api: Api) -> None:
    async with api.post(f"{BASE}/query", data=b"{", headers={"Content-Type": "application/json"}) as answer:
        assert answer.status == 400


# ------------------------------------------------------------------------------------------------ whose hosts they are


async def test_everything_is_about_the_hosts_of_the_caller_alone(api: Api, world: World) -> None:
    user = await world.user("carol")
    for name in ("mine", "theirs"):
        host = await put(world, name, {7200: {"cpu_percent": 1.0}})
        world.sample(host, f"{name}_plugin", {"value": 1})
        await alarm(world, host)
        host.tags = [f"tag of {name}"]
    world.hosts.hand(world.hosts.require("mine"), user.name, [], [])
    headers = {"Authorization": f"Bearer {await world.session('carol')}"}
    wide = {"from": 0, "to": int(time.time() * 1000)}
    for path, body in (
        ("/query", panel({"target": CPU}, {"target": "hosts"}, {"target": "alerts"})),
        ("/query", panel({"target": "alert_history"}) | {"range": wide}),
        ("/metrics", {}),
        ("/metric-payload-options", {"metric": CPU, "payload": {}, "name": "host"}),
        ("/variable", {"payload": {"target": "hosts"}}),
        ("/variable", {"payload": {"target": "tags"}}),
        ("/search", {"target": "hosts"}),
        ("/search", {"target": "plugin"}),
        ("/tag-values", {"key": "host"}),
        ("/annotations", {"range": wide, "annotation": {}}),
    ):
        async with api.post(f"{BASE}{path}", json=body, headers=headers) as answer:
            text = await answer.text()
        assert answer.status == 200
        assert "mine" in text, path
        assert "theirs" not in text, path


# ------------------------------------------------------------------------------------------------------------- editors


async def test_the_editor_is_offered_every_metric_with_its_settings(api: Api, world: World) -> None:
    world.sample(await world.enrol("web1"), "cpu_monitor", {"cpu_percent": 1.0, "text": "x", "deep": {"a": 1}})
    found = {metric["value"]: metric for metric in await asked(api, "/metrics", {})}
    assert [*found] == ["hosts", "alerts", "alert_history", CPU, "cpu_monitor.deep.a"]
    assert [setting["name"] for setting in found[CPU]["payloads"]] == ["host", "tag", "of", "show", "aggregate", "top"]
    assert [setting["name"] for setting in found["hosts"]["payloads"]] == ["host", "tag"]


async def test_a_metric_that_was_typed_in_stays_in_the_editor(api: Api) -> None:
    found = await asked(api, "/metrics", {"metric": "disk_monitor.*.percent", "payload": {"host": "web1"}})
    assert found[-1]["value"] == "disk_monitor.*.percent"


@pytest.mark.parametrize(("name", "values"), [("host", ["web1"]), ("tag", ["prod"]), ("of", [])])
async def test_the_editor_is_told_the_choices_of_a_setting(
    api: Api, world: World, name: str, values: list[str]
) -> None:
    (await world.enrol("web1")).tags = ["prod"]
    found = await asked(api, "/metric-payload-options", {"metric": CPU, "payload": {}, "name": name})
    assert [choice["value"] for choice in found] == values


@pytest.mark.parametrize(
    ("payload", "values"),
    [
        ({"target": "hosts"}, ["db1", "web1"]),
        ({"target": "hosts", "tag": "prod"}, ["web1"]),
        ({"target": "hosts", "find": "DB"}, ["db1"]),
        ({"target": "tags"}, ["prod"]),
        ({"target": "metrics", "host": "web1"}, [CPU]),
        ({}, ["db1", "web1"]),
    ],
)
async def test_a_variable_has_the_values_that_were_asked_for(
    api: Api, world: World, payload: dict[str, str], values: list[str]
) -> None:
    host = await world.enrol("web1")
    host.tags = ["prod"]
    world.sample(host, "cpu_monitor", {"cpu_percent": 1.0})
    world.sample(await world.enrol("db1"), "disk_monitor", {"/": {"percent": 1.0}})
    body = {"payload": payload, "range": {"from": iso(60), "to": iso(0), "raw": {"from": "now-7d", "to": "now"}}}
    found = await asked(api, "/variable", body)
    assert found == [{"__text": value, "__value": value} for value in values]


async def test_a_variable_that_there_is_not_is_told(api: Api) -> None:
    status, error = await refused(api, "/variable", {"payload": {"target": "plugins"}})
    assert (status, error[:16]) == (400, "payload.target: ")


async def test_the_keys_of_filters_are_asked_for_without_a_body(api: Api) -> None:
    async with api.post(f"{BASE}/tag-keys") as answer:
        assert await answer.json() == [{"type": "string", "text": "host"}, {"type": "string", "text": "tag"}]


async def test_the_values_of_a_filter_are_told(api: Api, world: World) -> None:
    (await world.enrol("web1")).tags = ["prod"]
    assert await asked(api, "/tag-values", {"key": "tag"}) == [{"text": "prod"}]


# ---------------------------------------------------------------------------------------------------------- SimpleJSON


async def test_simplejson_finds_metrics_by_what_is_typed(api: Api, world: World) -> None:
    world.sample(await world.enrol("web1"), "cpu_monitor", {"cpu_percent": 1.0, "load_1min": 1.0})
    assert await asked(api, "/search", {"target": "LOAD"}) == ["cpu_monitor.load_1min"]
    assert await asked(api, "/search", {"target": ""}) == [
        "hosts", "alerts", "alert_history", CPU, "cpu_monitor.load_1min",
    ]  # fmt: skip


async def test_simplejson_is_told_annotations_with_the_one_that_asks(api: Api, world: World) -> None:
    await alarm(world, await world.enrol("web1"))
    await alarm(world, await world.enrol("db1"))
    annotation = {"name": "wrong", "datasource": "hbd", "enable": True, "iconColor": "red", "query": "web*"}
    body = {"range": {"from": int(WALL) * 1000, "to": int(WALL + 60) * 1000}, "annotation": annotation}
    (span,) = await asked(api, "/annotations", body)
    assert (span["annotation"], span["time"], span["isRegion"]) == (annotation, (WALL + 1) * 1000, True)
    assert (span["timeEnd"], span["tags"]) == ((WALL + 60) * 1000, ["CRITICAL", "web1"])
