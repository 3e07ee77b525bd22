"""/healthz, /readyz, /metrics and /api/0/status."""

from __future__ import annotations

import pytest
from alarms import alarm
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from world import WALL, Api, World

from hbd.model import Level

OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}


async def samples(api: Api, headers: dict[str, str] | None = None) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Name of each sample to its labels and values."""
    text = await (await api.get("/metrics", headers=headers)).text()
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in (parse_openmetrics if headers else parse_text)(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


async def test_the_daemon_lives(api: Api) -> None:
    answer = await api.get("/healthz")
    assert (answer.status, await answer.json()) == (200, {"status": "ok"})


async def test_the_daemon_is_ready_without_problems(api: Api) -> None:
    answer = await api.get("/readyz")
    assert (answer.status, (await answer.json())["ready"]) == (200, True)


async def test_the_daemon_says_why_it_is_not_ready(api: Api, world: World) -> None:
    world.problems += ["disk full", "port taken"]
    answer = await api.get("/readyz")
    body = await answer.json()
    assert (answer.status, body["ready"], body["problems"]) == (503, False, ["disk full", "port taken"])
    assert body["error"] == "disk full; port taken"
    assert "Retry-After" in answer.headers


async def test_the_status_is_what_the_daemon_says(api: Api, world: World) -> None:
    assert (await (await api.get("/api/0/status")).json())["started"] == WALL


@pytest.mark.parametrize(("headers", "media"), [(None, "text/plain"), (OPENMETRICS, "application/openmetrics-text")])
async def test_metrics_come_in_the_format_that_is_asked_for(
    api: Api, headers: dict[str, str] | None, media: str
) -> None:
    answer = await api.get("/metrics", headers=headers)
    assert (answer.content_type, answer.charset) == (media, "utf-8")
    assert (await answer.text()).endswith("# EOF\n") is bool(headers)


@pytest.mark.parametrize("headers", [None, OPENMETRICS])
async def test_hosts_are_shown_with_their_presence(api: Api, world: World, headers: dict[str, str] | None) -> None:
    world.beat(await world.enrol("web"), rtt=0.25)
    await world.enrol("db")
    shown = await samples(api, headers)
    assert shown["hbd_host_up"] == [({"host": "db"}, 0.0), ({"host": "web"}, 1.0)]
    assert shown["hbd_host_rtt_seconds"] == [({"host": "web", "family": "IPv4"}, 0.25)]
    assert shown["hbd_host_last_seen_timestamp_seconds"] == [({"host": "web"}, WALL)]
    assert ({"state": "UP"}, 1.0) in shown["hbd_hosts"]
    assert ({"state": "UNKNOWN"}, 1.0) in shown["hbd_hosts"]


@pytest.mark.parametrize("headers", [None, OPENMETRICS])
async def test_counters_gauges_and_histograms_are_shown(api: Api, world: World, headers: dict[str, str] | None) -> None:
    world.stats.describe("dropped_total", "Dropped things.")
    world.stats.count("odd_total", 2, why='a "quoted"\\ word\nand a line')
    world.stats.gauge("depth", "How deep.", lambda: 3)
    world.stats.histogram("wait_seconds", "Waiting.").observe(0.003)
    shown = await samples(api, headers)
    assert shown["hbd_dropped_total"] == [({}, 0.0)]
    assert shown["hbd_odd_total"] == [({"why": 'a "quoted"\\ word\nand a line'}, 2.0)]
    assert shown["hbd_depth"] == [({}, 3.0)]
    assert shown["hbd_wait_seconds_count"] == [({}, 1.0)]
    assert ({"le": "+Inf"}, 1.0) in shown["hbd_wait_seconds_bucket"]
    assert ({"le": "0.0025"}, 0.0) in shown["hbd_wait_seconds_bucket"]


async def test_every_metric_has_help_and_type(api: Api, world: World) -> None:
    world.beat(await world.enrol("web"))
    text = await (await api.get("/metrics")).text()
    for family in parse_text(text):
        assert family.documentation, family.name
        assert family.type != "unknown", family.name


@pytest.mark.parametrize("headers", [None, OPENMETRICS])
async def test_the_newest_sample_of_a_host_is_told_in_base_units(
    world: World, api: Api, headers: dict[str, str] | None
) -> None:
    host = await world.enrol("web1")
    world.beat(host)
    world.sample(host, "disk_monitor", {"/": {"percent": 50.0}})
    assert (await samples(api, headers))["hbd_disk_ratio"] == [({"host": "web1", "key": "/"}, 0.5)]


async def test_a_host_that_is_not_heard_has_no_samples(world: World, api: Api) -> None:
    host = await world.enrol("web1")
    world.sample(host, "disk_monitor", {"/": {"percent": 50.0}})
    assert "hbd_disk_ratio" not in await samples(api)


async def test_a_plugin_whose_name_is_like_one_of_our_own_does_not_spoil_the_page(world: World, api: Api) -> None:
    host = await world.enrol("web1")
    world.beat(host)
    world.sample(host, "host", {"up": 7})
    assert [value for _, value in (await samples(api))["hbd_host_up"]] in ([0.0], [1.0])


async def test_what_an_agent_names_its_disks_is_escaped(world: World, api: Api) -> None:
    host = await world.enrol("web1")
    world.beat(host)
    world.sample(host, "disk_monitor", {'a"\n\\b': {"percent": 50.0}})
    assert (await samples(api))["hbd_disk_ratio"][0][0] == {"host": "web1", "key": 'a"\n\\b'}


async def test_the_alerts_of_a_host_are_counted_by_level(world: World, api: Api) -> None:
    await alarm(world, await world.enrol("web1"), Level.WARNING)
    counts = {labels["level"]: value for labels, value in (await samples(api))["hbd_host_alerts"]}
    assert counts == {"critical": 0.0, "warning": 1.0, "unknown": 0.0}


async def test_a_counter_and_a_gauge_that_are_called_alike_do_not_spoil_the_page(world: World, api: Api) -> None:
    host = await world.enrol("web1")
    world.beat(host)
    world.sample(host, "own", {"errors": 1, "errors_total": 2})
    shown = await samples(api, OPENMETRICS)
    assert [shown[name][0][1] for name in ("hbd_own_errors", "hbd_own_errors_total")] == [1.0, 2.0]
