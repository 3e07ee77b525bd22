"""GET /api/0/hosts and /api/0/hosts/{host}."""

from __future__ import annotations

import msgspec
import pytest
from world import Api, World

from hbd.model import Family
from hbd.web import schemas


async def test_no_hosts_are_an_empty_list(api: Api) -> None:
    assert await (await api.get("/api/0/hosts")).json() == []


async def test_hosts_are_listed_in_the_order_of_their_names(api: Api, world: World) -> None:
    for name in ("web", "Db", "app"):
        await world.enrol(name)
    assert [host["name"] for host in await (await api.get("/api/0/hosts")).json()] == ["app", "Db", "web"]


async def test_a_host_has_the_fields_of_the_contract(api: Api, world: World) -> None:
    host = await world.enrol("web")
    host.owner, host.managers, host.monitors, host.dyn = "alice", ["bob"], ["carol"], True
    world.feed.host(host.id)
    (shown,) = await (await api.get("/api/0/hosts")).json()
    assert (shown["owner"], shown["managers"], shown["monitors"], shown["dyn"]) == ("alice", ["bob"], ["carol"], True)
    assert {"connections", "id", "state", "last_seen", "tags", "os", "alerts"} <= shown.keys()


async def test_an_answer_fits_its_declared_type(api: Api, world: World) -> None:
    world.beat(await world.enrol("web"), rtt=0.0012)
    body = await (await api.get("/api/0/hosts")).read()
    (host,) = msgspec.json.decode(body, type=list[schemas.Host])
    assert host.state == "UP"


async def test_a_host_that_was_never_heard_is_unknown(api: Api, world: World) -> None:
    await world.enrol("web")
    shown = await (await api.get("/api/0/hosts/web")).json()
    assert (shown["state"], shown["last_seen"], shown["connections"]) == ("UNKNOWN", None, [])


async def test_each_family_is_one_connection_with_its_round_trip(api: Api, world: World) -> None:
    host = await world.enrol("web")
    world.beat(host, family=Family.IPV4, rtt=0.0012)
    world.beat(host, family=Family.IPV6)
    connections = (await (await api.get("/api/0/hosts/web")).json())["connections"]
    assert [(c["family"], c["state"], c["rtt_ms"]) for c in connections] == [("IPv4", "UP", 1.2), ("IPv6", "UP", None)]


async def test_the_summary_comes_from_the_newest_samples(api: Api, world: World) -> None:
    host = await world.enrol("web")
    world.sample(host, "cpu_monitor", {"cpu_percent": 99.0, "cpu_count": 4, "load_1min": 3.0}, age=10)
    world.sample(host, "cpu_monitor", {"cpu_percent": 12.5, "cpu_count": 4, "load_1min": 0.5})
    world.sample(host, "memory_monitor", {"percent": 40.0})
    world.sample(host, "disk_monitor", {"/": {"percent": 50.0}, "/srv": {"percent": 91.0}})
    world.sample(host, "network_monitor", {"total": {"rx_bytes_per_second": 10.0, "tx_bytes_per_second": 20.0}})
    assert (await (await api.get("/api/0/hosts/web")).json())["summary"] == {
        "cpu_percent": 12.5,
        "cpu_count": 4,
        "load_1min": 0.5,
        "memory_percent": 40.0,
        "disk_percent": 91.0,
        "disk_mount": "/srv",
        "rx_bytes_per_second": 10.0,
        "tx_bytes_per_second": 20.0,
    }


async def test_a_summary_leaves_out_what_is_no_number(api: Api, world: World) -> None:
    host = await world.enrol("web")
    world.sample(host, "cpu_monitor", {"cpu_percent": "lots", "cpu_count": True, "load_1min": None})
    world.sample(host, "disk_monitor", {"/": "full", "/srv": {"percent": "91"}})
    world.sample(host, "network_monitor", {"total": [1, 2]})
    assert set((await (await api.get("/api/0/hosts/web")).json())["summary"].values()) == {None}


async def test_a_change_is_seen_at_once(api: Api, world: World) -> None:
    host = await world.enrol("web")
    await api.get("/api/0/hosts")
    world.beat(host)
    (shown,) = await (await api.get("/api/0/hosts")).json()
    assert shown["state"] == "UP"


async def test_the_strip_moves_on_without_news(api: Api, world: World) -> None:
    host = await world.enrol("web")
    world.beat(host)
    before = (await (await api.get("/api/0/hosts/web")).json())["strip"]
    world.now = type(world.now)(world.now.wall + 120, world.now.mono + 120)
    world.presence.tick(world.now)
    after = (await (await api.get("/api/0/hosts/web")).json())["strip"]
    assert before != after


@pytest.mark.parametrize("name", ["web", "WEB", "Web"])
async def test_names_match_in_any_case(api: Api, world: World, name: str) -> None:
    await world.enrol("Web")
    assert (await (await api.get(f"/api/0/hosts/{name}")).json())["name"] == "Web"


async def test_a_name_may_hold_every_allowed_character(api: Api, world: World) -> None:
    await world.enrol("A-z_0.9:x")
    for path in ("/api/0/hosts/A-z_0.9:x", "/api/0/hosts/A-z_0.9%3Ax"):
        assert (await api.get(path)).status == 200


async def test_an_unknown_host_is_named_in_the_words_of_the_contract(api: Api) -> None:
    answer = await api.get("/api/0/hosts/unknown-host")
    assert (answer.status, await answer.json()) == (404, {"error": "Host 'unknown-host' not found"})


async def test_percent_encoding_is_undone_once(api: Api) -> None:
    answer = await api.get("/api/0/hosts/a%2541")
    assert (await answer.json())["error"] == "Host 'a%41' not found"


async def test_the_list_is_not_sent_again_to_whoever_has_it(api: Api, world: World) -> None:
    host = await world.enrol("web")
    etag = (await api.get("/api/0/hosts")).headers["ETag"]
    again = await api.get("/api/0/hosts", headers={"If-None-Match": etag})
    assert (again.status, await again.read()) == (304, b"")
    world.beat(host)
    assert (await api.get("/api/0/hosts", headers={"If-None-Match": etag})).status == 200


async def test_the_list_is_packed_for_whoever_takes_gzip(api: Api, world: World) -> None:
    await world.enrol("web")
    plain = await api.get("/api/0/hosts", headers={"Accept-Encoding": "identity"})
    packed = await api.get("/api/0/hosts", headers={"Accept-Encoding": "br, gzip;q=0.5"})
    assert (plain.headers.get("Content-Encoding"), packed.headers.get("Content-Encoding")) == (None, "gzip")
    assert await plain.read() == await packed.read()


@pytest.mark.parametrize("path", ["/api/0/hosts", "/live", "/status"])
async def test_nothing_is_packed_for_whoever_refuses_gzip(api: Api, path: str) -> None:
    answer = await api.get(path, headers={"Accept-Encoding": "gzip;q=0, identity"})
    assert "Content-Encoding" not in answer.headers
