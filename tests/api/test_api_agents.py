"""The agents API: list, detail, enrolment, label and tags, keys, deletion."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from world import WALL, Api, World

from hbc.wire import key_hash
from hbd.config import Config
from hbd.config.structs import HostConfig, Limits
from hbd.hosts import Host
from hbd.model import Family, State
from hbd.web import agent_view

FIELDS = {"id", "label", "hostname", "ip", "os", "version", "status", "last_seen", "tags"}


async def listed(api: Api) -> list[dict[str, Any]]:
    async with api.get("/api/agents") as answer:
        assert answer.status == 200
        found: list[dict[str, Any]] = await answer.json()
        return found


async def enrolled(api: Api, **body: Any) -> dict[str, Any]:
    async with api.post("/api/agents", json={"hostname": "web"} | body) as answer:
        assert answer.status == 201
        found: dict[str, Any] = await answer.json()
        return found


async def refused(api: Api, body: object, status: int = 400) -> str:
    async with api.post("/api/agents", json=body) as answer:
        assert answer.status == status
        return str((await answer.json())["error"])


async def detail(api: Api, name: str = "web") -> dict[str, Any]:
    async with api.get(f"/api/agents/{name}") as answer:
        assert answer.status == 200
        found: dict[str, Any] = await answer.json()
        return found


# ---------------------------------------------------------------------------------------------------------------- list


async def test_an_agent_has_the_fields_of_the_contract(api: Api, world: World) -> None:
    host = await world.enrol("web")
    host.os, host.agent_version, host.tags = "Ubuntu 24.04", "2.1.0", ["web", "production"]
    world.beat(host)
    (shown,) = await listed(api)
    assert shown.keys() >= FIELDS
    assert {name: shown[name] for name in FIELDS} == {
        "id": host.agent_id,
        "label": "web",
        "hostname": "web",
        "ip": "192.0.2.7",
        "os": "Ubuntu 24.04",
        "version": "2.1.0",
        "status": "online",
        "last_seen": int(WALL),
        "tags": ["web", "production"],
    }


async def test_a_host_that_was_never_heard_is_pending(api: Api, world: World) -> None:
    await world.enrol("web")
    (shown,) = await listed(api)
    assert (shown["status"], shown["last_seen"], shown["ip"]) == ("pending", None, "")


@pytest.mark.parametrize("silence", [16.0, 3600.0])
async def test_a_host_that_is_overdue_or_down_is_offline(api: Api, world: World, silence: float) -> None:
    world.beat(await world.enrol("web"))
    for second in range(int(silence) + 1):
        world.presence.tick(type(world.now)(world.now.wall + second, world.now.mono + second))
    (shown,) = await listed(api)
    assert shown["status"] == "offline"


async def test_the_address_is_that_of_the_family_heard_last(api: Api, world: World) -> None:
    host = await world.enrol("web")
    world.beat(host)
    world.now = type(world.now)(world.now.wall + 1, world.now.mono + 1)
    world.beat(host, family=Family.IPV6)
    (shown,) = await listed(api)
    assert shown["ip"] == "2001:db8::7"


async def test_agents_are_listed_in_the_order_of_their_names(api: Api, world: World) -> None:
    for name in ("web", "Db", "app"):
        await world.enrol(name)
    assert [agent["hostname"] for agent in await listed(api)] == ["app", "Db", "web"]


async def test_answers_fit_their_declared_types(api: Api, world: World) -> None:
    world.beat(await world.enrol("web"))
    async with api.get("/api/agents") as answer:
        msgspec.json.decode(await answer.read(), type=list[agent_view.Agent])
    async with api.get("/api/agents/web") as answer:
        msgspec.json.decode(await answer.read(), type=agent_view.AgentDetail)


# -------------------------------------------------------------------------------------------------------------- detail


async def test_an_agent_is_found_by_its_id_and_by_its_name_in_any_case(api: Api, world: World) -> None:
    host = await world.enrol("web")
    assert [(await detail(api, name))["id"] for name in (host.agent_id, "web", "WEB")] == [host.agent_id] * 3


async def test_an_unknown_agent_is_not_found(api: Api) -> None:
    async with api.get("/api/agents/agent_ffffffffffff") as answer:
        assert (answer.status, await answer.json()) == (404, {"error": "Agent 'agent_ffffffffffff' not found"})


async def test_the_detail_has_the_newest_metrics(api: Api, world: World) -> None:
    host = await world.enrol("web")
    world.sample(host, "cpu_monitor", {"cpu_percent": 90.0}, age=60)
    world.sample(host, "cpu_monitor", {"cpu_percent": 12.4, "load_1min": 0.5})
    world.sample(host, "memory_monitor", {"percent": 45.0})
    world.sample(host, "disk_monitor", {"/": {"percent": 62.0}, "/srv": {"percent": 99.0}})
    world.sample(host, "os_info", {"uptime_seconds": 86400, "kernel": "6.1", "arch": "x86_64", "hostname": "web-01"})
    shown = await detail(api)
    metrics = shown["metrics"]
    assert (shown["kernel"], shown["arch"], shown["reported_hostname"]) == ("6.1", "x86_64", "web-01")
    assert (metrics["cpu_percent"], metrics["mem_percent"], metrics["disk_percent"]) == (12.4, 45.0, 62.0)
    assert (metrics["uptime_s"], metrics["load_1min"], metrics["timestamp"]) == (86400, 0.5, WALL)
    assert metrics["plugins"]["disk_monitor"]["data"]["/srv"] == {"percent": 99.0}


async def test_without_a_root_the_fullest_disk_stands_for_all(api: Api, world: World) -> None:
    world.sample(await world.enrol("web"), "disk_monitor", {"/a": {"percent": 10.0}, "/b": {"percent": 20.0}})
    assert (await detail(api))["metrics"]["disk_percent"] == 20.0


async def test_an_agent_that_never_reported_has_no_metrics(api: Api, world: World) -> None:
    await world.enrol("web")
    metrics = (await detail(api))["metrics"]
    assert (metrics["timestamp"], metrics["cpu_percent"], metrics["plugins"]) == (None, None, {})


# ----------------------------------------------------------------------------------------------------------- enrolment


async def test_enrolling_gives_the_ids_and_a_key(api: Api, world: World) -> None:
    made = await enrolled(api, label="Web 1", tags=["web", "prod"])
    host = world.hosts.require("web")
    assert made.keys() == {"agent_id", "id", "key"}
    assert (made["agent_id"], made["id"]) == (host.agent_id, host.id)
    assert world.enrolment.host_of(made["key"], time.time()) is host


async def test_label_and_tags_are_kept(api: Api) -> None:
    await enrolled(api, label="Web 1", tags=["web", "prod", "web"])
    shown = await detail(api)
    assert (shown["label"], shown["given_tags"]) == ("Web 1", ["web", "prod"])


async def test_a_key_is_told_once_and_then_by_its_fingerprint(api: Api) -> None:
    made = await enrolled(api)
    async with api.get("/api/agents/web") as answer:
        text = await answer.text()
    assert made["key"] not in text
    assert key_hash(made["key"]).hex() not in text
    (key,) = (await detail(api))["keys"]
    assert (len(key["fingerprint"]), key["expires"], key["used"]) == (16, None, False)


async def test_a_host_that_has_a_key_is_not_enrolled_again(api: Api) -> None:
    await enrolled(api)
    assert "rotate or revoke" in await refused(api, {"hostname": "WEB"}, 409)


async def test_a_host_that_the_config_names_gets_its_first_key(api: Api, world: World) -> None:
    host = await world.enrol("web")
    made = await enrolled(api, label="Web 1")
    assert (made["id"], host.label) == (host.id, "Web 1")


async def test_a_host_in_drophosts_is_not_enrolled(api: Api, world: World) -> None:
    world.parts.config = Config(drophosts=("old*",))
    assert "drophosts" in await refused(api, {"hostname": "old1"}, 409)
    assert world.hosts.known("old1") is None


async def test_there_may_be_so_many_hosts_and_no_more(api: Api, world: World) -> None:
    world.parts.config = Config(limits=Limits(max_hosts=1))
    await enrolled(api)
    assert "limit of 1 hosts" in await refused(api, {"hostname": "db"}, 409)


@pytest.mark.parametrize("name", ["", "..", "a b", "x" * 254, "a/b", "ümlaut", "a\n"])
async def test_a_name_that_cannot_be_one_is_refused_by_its_field(api: Api, world: World, name: str) -> None:
    assert (await refused(api, {"hostname": name})).startswith("hostname: ")
    assert len(world.hosts) == 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "hostname"),
        ({"hostname": 5}, "hostname"),
        ({"hostname": "web", "label": "x" * 201}, "label"),
        ({"hostname": "web", "label": "a\nb"}, "label"),
        ({"hostname": "web", "tags": "web"}, "tags"),
        ({"hostname": "web", "tags": ["x"] * 65}, "tags"),
        ({"hostname": "web", "tags": ["ok", " "]}, "tags[1]"),
        ({"hostname": "web", "tags": ["a\tb"]}, "tags[0]"),
        ({"hostname": "web", "owner": "me"}, "owner"),
    ],
)
async def test_what_is_wrong_is_named(api: Api, world: World, body: dict[str, Any], field: str) -> None:
    assert field in await refused(api, body)
    assert len(world.hosts) == 0


# ------------------------------------------------------------------------------------------------------ label and tags


async def test_label_and_tags_can_be_changed_one_at_a_time(api: Api) -> None:
    await enrolled(api, label="Web 1", tags=["web"])
    async with api.put("/api/agents/web", json={"label": "Web 2"}) as answer:
        assert (answer.status, (await answer.json())["label"]) == (200, "Web 2")
    async with api.put("/api/agents/web", json={"tags": ["db"]}):
        shown = await detail(api)
    assert (shown["label"], shown["given_tags"]) == ("Web 2", ["db"])


async def test_without_a_label_an_agent_is_called_by_its_name(api: Api) -> None:
    await enrolled(api, label="Web 1")
    async with api.put("/api/agents/web", json={"label": ""}) as answer:
        assert (await answer.json())["label"] == "web"


async def test_a_change_that_names_something_else_changes_nothing(api: Api, world: World) -> None:
    await enrolled(api)
    async with api.put("/api/agents/web", json={"label": "x", "hostname": "y"}) as answer:
        assert answer.status == 400
    assert world.hosts.require("web").label == ""


# ---------------------------------------------------------------------------------------------------------------- keys


async def test_a_rotated_key_works_beside_the_one_before(api: Api, world: World) -> None:
    old = (await enrolled(api))["key"]
    async with api.post("/api/agents/web/key") as answer:
        made = await answer.json()
    assert {world.enrolment.host_of(key, time.time()) for key in (old, made["key"])} == {world.hosts.require("web")}
    newest, before = (await detail(api))["keys"]
    assert (newest["fingerprint"], newest["expires"]) == (made["fingerprint"], None)
    assert time.time() < before["expires"] <= time.time() + 86_400


async def test_revoked_keys_are_nobodys_at_once(api: Api, world: World) -> None:
    key = (await enrolled(api))["key"]
    async with api.delete("/api/agents/web/key") as answer:
        assert (answer.status, await answer.json()) == (200, {"status": "revoked"})
    assert world.enrolment.host_of(key, time.time()) is None
    shown = await detail(api)
    assert (shown["has_key"], shown["keys"]) == (False, [])


# ------------------------------------------------------------------------------------------------------------ deletion


async def gone(api: Api, world: World, host: Host, key: str) -> bool:
    async with api.get(f"/api/0/hosts/{host.name}") as answer:
        shown = answer.status
    rows = [row.name for row in await world.store.hosts.all()]
    return shown == 404 and rows == [] and world.enrolment.host_of(key, time.time()) is None


async def test_a_deleted_agent_is_gone_with_its_key(api: Api, world: World) -> None:
    key = (await enrolled(api))["key"]
    host = world.hosts.require("web")
    async with api.delete(f"/api/agents/{host.agent_id}") as answer:
        assert (answer.status, await answer.json()) == (200, {"status": "deleted"})
    assert await gone(api, world, host, key)


async def test_a_host_can_be_dropped_under_its_own_address(api: Api, world: World) -> None:
    key = (await enrolled(api))["key"]
    host = world.hosts.require("web")
    async with api.delete("/api/0/hosts/web") as answer:
        assert (answer.status, await answer.json()) == (200, {"ok": True})
    assert await gone(api, world, host, key)


async def test_a_new_host_of_an_old_name_inherits_nothing(api: Api, world: World) -> None:
    await enrolled(api, label="Web 1", tags=["web"])
    before = world.hosts.require("web")
    async with api.delete("/api/agents/web"):
        made = await enrolled(api)
    shown = await detail(api)
    assert made["id"] != before.id
    assert (shown["label"], shown["given_tags"], len(shown["keys"])) == ("web", [], 1)


# --------------------------------------------------------------------------------------------------------------- audit


async def test_what_is_done_is_in_the_audit_log_with_who_did_it(api: Api, world: World) -> None:
    await world.user("root", "admin")
    await world.configure(Config(hosts={"web": HostConfig(owner="root")}))
    headers = {"Authorization": f"Bearer {await world.session('root')}"}
    async with api.post("/api/agents", json={"hostname": "web"}, headers=headers) as answer:
        key = (await answer.json())["key"]
    for method, path, body in (
        ("PUT", "", {"tags": ["a", "b"]}),
        ("POST", "/key", None),
        ("DELETE", "/key", None),
        ("DELETE", "", None),
    ):
        async with api.request(method, f"/api/agents/web{path}", json=body, headers=headers) as answer:
            assert answer.status == 200
    entries = [entry for entry in await world.store.audit.recent(20) if entry.action.startswith("agent.")]
    assert [(entry.action, entry.user, entry.object, entry.detail) for entry in reversed(entries)] == [
        ("agent.add", "root", "host web", ""),
        ("agent.change", "root", "host web", "tags: a, b"),
        ("agent.rotate", "root", "host web", ""),
        ("agent.revoke", "root", "host web", ""),
        ("agent.remove", "root", "host web", ""),
    ]
    assert key not in str(entries)


async def test_a_key_is_used_once_an_agent_has_shown_it(api: Api) -> None:
    key = (await enrolled(api))["key"]
    assert [shown["used"] for shown in (await detail(api))["keys"]] == [False]
    async with api.post("/api/agent/report", json={"cpu_percent": 1}, headers={"X-Agent-Key": key}) as answer:
        assert answer.status == 200
    assert [shown["used"] for shown in (await detail(api))["keys"]] == [True]
    async with api.post("/api/agents/web/key") as answer:
        assert answer.status == 200
    assert [shown["used"] for shown in (await detail(api))["keys"]] == [False, True]


@pytest.mark.parametrize(
    ("told", "status"), [(State.UP, "online"), (State.DOWN, "offline"), (State.OVERDUE, "offline"), (None, "online")]
)
async def test_after_a_restart_an_agent_is_as_it_was_until_it_is_known_better(
    api: Api, world: World, told: State | None, status: str
) -> None:
    host = await world.enrol("web")
    world.presence.forget(host.id)
    world.presence.know(host.id, interval=10.0, last_seen=WALL - 60, now=world.now)
    if told is not None:
        world.pipeline.told[host.id] = told
    assert (await detail(api))["status"] == status
