"""hbd as an InfluxDB, for those who write to one."""

import gzip
from base64 import b64encode
from typing import Any

import pytest
from world import Api, World

from hbd.hosts import Host
from hbd.model import State

LINE = "temperature_of_tea degrees=80"


@pytest.fixture
async def host(world: World) -> Host:
    return await world.enrol("web1")


@pytest.fixture
async def key(world: World, host: Host) -> str:
    return await world.key(host)


def stored(world: World, host: Host, plugin: str) -> Any:
    sample = world.rings.latest(host.id, plugin)
    return None if sample is None else sample.data


async def test_a_write_is_a_sample_and_a_sign_of_life(api: Api, world: World, host: Host, key: str) -> None:
    response = await api.post("/api/v2/write", data=LINE, headers={"Authorization": f"Token {key}"})
    assert (response.status, await response.read()) == (204, b"")
    assert stored(world, host, "temperature_of_tea") == {"degrees": 80.0}
    view = world.presence.view(host.id)
    assert view is not None
    assert (view.state, view.interval) == (State.UP, 60.0)


@pytest.mark.parametrize(
    ("path", "header"),
    [
        ("/write?db=telegraf", "Basic {basic}"),
        ("/write?db=x&u=me&p={key}", ""),
        ("/write", "Token me:{key}"),
        ("/api/v2/write?org=o&bucket=b", "Token {key}"),
        ("/api/v2/write", "Bearer {key}"),
    ],
)
async def test_the_key_may_be_shown_in_all_ways_that_clients_know(
    api: Api, world: World, host: Host, key: str, path: str, header: str
) -> None:
    basic = b64encode(f"me:{key}".encode()).decode()
    headers = {"Authorization": header.format(key=key, basic=basic)} if header else {}
    assert (await api.post(path.format(key=key), data=LINE, headers=headers)).status == 204
    assert stored(world, host, "temperature_of_tea") == {"degrees": 80.0}


@pytest.mark.parametrize(
    "header", ["", "Token", "Token wrong", "Basic ???", "Basic bWU=", "Digest x", f"Token {'0' * 64}"]
)
@pytest.mark.parametrize("path", ["/write", "/api/v2/write", "/query"])
async def test_without_a_key_nothing_is_taken(api: Api, world: World, host: Host, path: str, header: str) -> None:
    response = await api.post(path, data=LINE, headers={"Authorization": header} if header else {})
    assert response.status == 401
    assert stored(world, host, "temperature_of_tea") is None


async def test_a_host_tag_does_not_make_it_another_host(api: Api, world: World, host: Host, key: str) -> None:
    other = await world.enrol("db1")
    await api.post("/write", data="tea,host=db1 degrees=80", headers={"Authorization": f"Token {key}"})
    assert stored(world, other, "tea") is None
    assert stored(world, host, "tea") == {"degrees": 80.0}


async def test_a_compressed_body_is_read(api: Api, world: World, host: Host, key: str) -> None:
    headers = {"Authorization": f"Token {key}", "Content-Encoding": "gzip"}
    assert (await api.post("/write", data=gzip.compress(LINE.encode()), headers=headers)).status == 204
    assert stored(world, host, "temperature_of_tea") == {"degrees": 80.0}


async def test_a_body_that_is_not_what_it_says_is_refused(api: Api, key: str) -> None:
    headers = {"Authorization": f"Token {key}", "Content-Encoding": "gzip"}
    assert (await api.post("/write", data=b"not compressed", headers=headers)).status == 400


async def test_a_small_body_does_not_become_a_large_one(api: Api, key: str) -> None:
    headers = {"Authorization": f"Token {key}", "Content-Encoding": "gzip"}
    response = await api.post("/write", data=gzip.compress(b"m a=1\n" * 2_000_000), headers=headers)
    assert response.status == 413


@pytest.mark.parametrize(("precision", "time"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("u", 10**6), ("ns", 10**9)])
async def test_times_are_in_the_precision_of_the_write(
    api: Api, world: World, host: Host, key: str, precision: str, time: int
) -> None:
    at = int(world.now.wall) - 5
    line = f"tea degrees=80 {at * time}"
    await api.post(f"/write?precision={precision}", data=line, headers={"Authorization": f"Token {key}"})
    sample = world.rings.latest(host.id, "tea")
    assert sample is not None
    assert sample.time == pytest.approx(at)


async def test_an_unknown_precision_is_refused(api: Api, key: str) -> None:
    response = await api.post("/write?precision=d", data=LINE, headers={"Authorization": f"Token {key}"})
    assert (response.status, (await response.json())["error"]) == (
        400,
        "precision: expected one of ns, n, us, u, µ, ms, s, m, h",
    )


async def test_a_bad_line_is_named_and_the_others_are_stored(api: Api, world: World, host: Host, key: str) -> None:
    response = await api.post("/write", data=f"{LINE}\nbad", headers={"Authorization": f"Token {key}"})
    assert (response.status, await response.json()) == (
        400,
        {"error": "partial write: line 2: 'bad' is no measurement, fields and time dropped=1"},
    )
    assert stored(world, host, "temperature_of_tea") == {"degrees": 80.0}


async def test_a_host_that_is_switched_off_is_refused(api: Api, host: Host, key: str) -> None:
    host.enabled = False
    assert (await api.post("/write", data=LINE, headers={"Authorization": f"Token {key}"})).status == 403


async def test_writes_that_come_too_early_are_told_when(api: Api, host: Host, key: str) -> None:
    host.min_report_interval = 60.0
    headers = {"Authorization": f"Token {key}"}
    assert (await api.post("/write", data=LINE, headers=headers)).status == 204
    response = await api.post("/write", data=LINE, headers=headers)
    assert (response.status, response.headers["Retry-After"]) == (429, "60")


async def test_writes_are_in_the_report_log_without_the_key(api: Api, world: World, host: Host, key: str) -> None:
    await api.post(f"/write?p={key}", data=f'{LINE}\nm key="{key}",a=1')
    (report,) = await world.report_log.recent(host, 1)
    assert (report.receiver, report.status, report.answer) == ("influx", 204, {"points": 2})
    assert report.request.startswith(LINE)
    assert key not in report.request


async def test_clients_find_the_database_that_they_ask_for(api: Api, key: str) -> None:
    headers = {"Authorization": f"Token {key}"}
    response = await api.get("/query?q=SHOW+DATABASES&db=glances", headers=headers)
    assert (await response.json())["results"][0]["series"][0]["values"] == [["glances"]]
    response = await api.post("/query?q=CREATE+DATABASE+telegraf", headers=headers)
    assert (response.status, await response.json()) == (200, {"results": [{"statement_id": 0}]})


async def test_clients_hear_that_there_is_a_database(api: Api) -> None:
    response = await api.get("/ping")
    assert (response.status, response.headers["X-Influxdb-Version"]) == (204, "1.8.10")


async def test_one_threshold_holds_for_whoever_measures(api: Api, world: World, host: Host, key: str) -> None:
    line = "mem total=1000,available=10,used=990"
    await api.post("/write", data=line, headers={"Authorization": f"Token {key}"})
    assert stored(world, host, "memory_monitor")["percent"] == 99.0
    assert world.alerts.get(host.id, "memory_monitor.percent") is not None
