"""The processes API: its shapes, statuses and errors, to the letter of its text."""

from __future__ import annotations

import asyncio
import itertools
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from msgspec.structs import fields
from world import WALL, Api, World

from hbd.access import Identity
from hbd.config import Config
from hbd.config.structs import Plan
from hbd.hosts import Host
from hbd.model import Moment, Report, Sample
from hbd.processes import Watched
from hbd.web import servers
from hbd.web.call import Call
from hbd.web.process_view import NewProcess, ProcessChange
from hbd.web.processes import _FIELDS

PLACE = "/servers/web-1/processes"
NGINX = {
    "count": 4,
    "cpu_percent": 12.4,
    "memory_percent": 8.1,
    "oldest_start_time": 1716566400.5,
    "oldest_after_boot_seconds": 9.5,
}

_seqs = itertools.count(1)


@pytest.fixture(name="host")
async def a_host(world: World) -> Host:
    host = await world.enrol("web-1")
    host.agent_version = "2.4.1"
    return host


async def ask(api: Api, method: str, path: str = PLACE, token: str | None = None, **given: Any) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with api.request(method, path, headers=headers, **given) as answer:
        return answer.status, await answer.json()


async def watch(api: Api, name: str = "nginx", **settings: Any) -> dict[str, Any]:
    status, answer = await ask(api, "POST", json={"process_name": name} | settings)
    assert status == 201, answer
    made: dict[str, Any] = answer["process"]
    return made


async def seen(world: World, host: Host, at: float = 0.0, name: str = "nginx", **values: Any) -> None:
    """A sample of a process, so many seconds after the start of the world."""
    data, time = {name: NGINX | values}, world.now.wall + at
    body = msgspec.json.encode([{"plugin": "watched_processes", "time": time, "data": data}])
    report = Report(host.id, "a" * 16, next(_seqs), (Sample("watched_processes", time, data),), body, interval=10.0)
    await world.pipeline.accept(report, Moment(time, world.now.mono + at))


async def listed(api: Api) -> dict[str, Any]:
    (process,) = (await ask(api, "GET"))[1]["processes"]
    found: dict[str, Any] = process
    return found


# ------------------------------------------------------------------------------------------------------------- shapes


async def test_a_process_that_was_seen_has_the_shape_of_the_text(api: Api, world: World, host: Host) -> None:
    made = await watch(api, alert_on_cpu=True, cpu_threshold_pct=80, alert_on_memory=True, memory_threshold_pct=75)
    await seen(world, host)
    assert await ask(api, "GET") == (
        200,
        {
            "processes": [
                {
                    "id": made["id"],
                    "server_id": host.id,
                    "user_id": None,
                    "process_name": "nginx",
                    "enabled": 1,
                    "alert_on_down": 1,
                    "alert_on_restart": 0,
                    "alert_on_cpu": 1,
                    "alert_on_memory": 1,
                    "cpu_threshold_pct": 80,
                    "memory_threshold_pct": 75,
                    "last_count": 4,
                    "last_cpu_pct": 12.4,
                    "last_memory_pct": 8.1,
                    "last_sample_at": "2025-06-15T15:06:40Z",
                    "alerted_state": None,
                    "status": "up",
                }
            ],
            "plan_limit": 100,
            "current_count": 1,
            "plan": "self-hosted",
            "server": {"id": host.id, "hostname": "web-1", "last_agent_version": "2.4.1"},
        },
    )


async def test_yes_and_no_are_numbers_and_defaults_are_those_of_the_text(api: Api, host: Host) -> None:
    made = await watch(api)
    assert {name: made[name] for name in made if name.startswith(("alert_on", "enabled"))} == {
        "enabled": 1,
        "alert_on_down": 1,
        "alert_on_restart": 0,
        "alert_on_cpu": 0,
        "alert_on_memory": 0,
    }
    assert all(type(made[name]) is int for name in ("enabled", "alert_on_down", "alert_on_cpu"))
    assert (made["cpu_threshold_pct"], made["memory_threshold_pct"], made["status"]) == (50, 25, "pending")


async def test_one_process_comes_with_its_samples(api: Api, world: World, host: Host) -> None:
    made = await watch(api)
    await seen(world, host)
    status, found = await ask(api, "GET", f"{PLACE}/{made['id']}")
    (sample,) = found["samples"]
    assert isinstance(sample.pop("id"), int)
    assert (status, found["process"]["status"], sample, found["samples_total"], found["recent_restarts"]) == (
        200,
        "up",
        {
            "watched_process_id": made["id"],
            "count": 4,
            "cpu_pct": 12.4,
            "memory_pct": 8.1,
            "oldest_start_unix": 1716566400,
            "recorded_at": "2025-06-15T15:06:40Z",
        },
        1,
        0,
    )


async def test_the_last_hundred_samples_are_shown_newest_first_and_all_are_counted(
    api: Api, world: World, host: Host
) -> None:
    made = await watch(api)
    for at in range(103):
        await seen(world, host, at, count=at + 1)
    _, found = await ask(api, "GET", f"{PLACE}/{made['id']}")
    assert [sample["count"] for sample in found["samples"]] == list(range(103, 3, -1))
    assert found["samples_total"] == 103


async def test_servers_are_found_by_number_and_by_name(api: Api, host: Host) -> None:
    await watch(api)
    listed = {
        "id": host.id,
        "hostname": "web-1",
        "last_agent_version": "2.4.1",
        "agent_id": host.agent_id,
        "state": "UNKNOWN",
        "process_count": 1,
    }
    assert await ask(api, "GET", "/servers") == (200, {"servers": [listed]})
    for place in (f"/servers/{host.id}", "/servers/WEB-1", f"/api/0/servers/{host.id}"):
        assert await ask(api, "GET", place) == (200, {"server": listed})


async def test_a_server_whose_agent_never_said_its_version_has_none(api: Api, world: World) -> None:
    await world.enrol("web-2")
    _, found = await ask(api, "GET", "/servers/web-2/processes")
    assert found["server"]["last_agent_version"] is None


async def test_the_same_is_served_beside_our_own_api(api: Api, host: Host) -> None:
    made = await watch(api)
    assert await ask(api, "GET", f"/api/0{PLACE}") == await ask(api, "GET")
    assert (await ask(api, "DELETE", f"/api/0/servers/{host.id}/processes/{made['id']}"))[0] == 200


# ------------------------------------------------------------------------------------------------------------- status


@pytest.mark.parametrize(
    ("settings", "values", "status", "alerted"),
    [
        ({}, {}, "up", None),
        ({}, {"count": 0}, "down", "down"),
        ({"alert_on_down": False}, {"count": 0}, "down", None),
        ({"alert_on_cpu": True}, {"cpu_percent": 50.1}, "alerting", "cpu"),
        ({"alert_on_cpu": True}, {"cpu_percent": 50}, "up", None),
        ({"alert_on_cpu": True, "cpu_threshold_pct": 80}, {"cpu_percent": 79}, "up", None),
        ({"alert_on_memory": True}, {"memory_percent": 30}, "alerting", "memory"),
        ({"alert_on_memory": True, "alert_on_cpu": True}, {"memory_percent": 30, "cpu_percent": 99}, "alerting", "cpu"),
        ({}, {"memory_percent": 99, "cpu_percent": 99}, "up", None),
    ],
)
async def test_the_status_follows_from_the_last_sample(
    api: Api, world: World, host: Host, settings: dict[str, Any], values: dict[str, Any], status: str, alerted: Any
) -> None:
    await watch(api, **settings)
    await seen(world, host, **values)
    process = await listed(api)
    assert (process["status"], process["alerted_state"]) == (status, alerted)


async def test_one_that_is_switched_off_is_paused_whatever_was_seen(api: Api, world: World, host: Host) -> None:
    made = await watch(api)
    await seen(world, host, count=0)
    _, found = await ask(api, "PUT", f"{PLACE}/{made['id']}", json={"enabled": 0})
    assert (found["process"]["status"], found["process"]["alerted_state"]) == ("paused", None)


async def test_what_is_seen_of_one_that_is_paused_is_not_kept(api: Api, world: World, host: Host) -> None:
    made = await watch(api, enabled=False)
    await seen(world, host)
    assert (await ask(api, "GET", f"{PLACE}/{made['id']}"))[1]["samples_total"] == 0


async def test_a_restart_is_counted_and_told_for_a_while(api: Api, world: World, host: Host) -> None:
    made = await watch(api, alert_on_restart=True)
    world.now = Moment.now()
    for at, start in enumerate((1000.0, 1000.0, 2000.0, 2000.0)):
        await seen(world, host, at * 10, oldest_start_time=start, oldest_after_boot_seconds=start)
    _, found = await ask(api, "GET", f"{PLACE}/{made['id']}")
    assert (found["process"]["status"], found["process"]["alerted_state"]) == ("alerting", "restart")
    assert found["recent_restarts"] == 1


async def test_restarts_of_yesterday_are_not_recent(api: Api, world: World, host: Host) -> None:
    made = await watch(api)
    watched = world.processes.get(host.id, made["id"]).watched
    for at, start in ((0, 1000.0), (10, 2000.0), (3600, 3000.0)):
        await seen(world, host, at, oldest_start_time=start, oldest_after_boot_seconds=start)
    for now, count in ((WALL + 3601, 2), (WALL + 86_400 + 60, 1), (WALL + 86_400 + 3601, 0)):
        assert (await world.processes.history(watched, now)).restarts == count


# ------------------------------------------------------------------------------------------------------------ changes


async def test_what_is_left_out_of_a_change_stays(api: Api, host: Host) -> None:
    made = await watch(api, alert_on_cpu=True, cpu_threshold_pct=80)
    status, found = await ask(api, "PUT", f"{PLACE}/{made['id']}", json={"cpu_threshold_pct": 90})
    assert (status, found["process"]) == (200, made | {"cpu_threshold_pct": 90})


async def test_another_name_is_another_process(api: Api, world: World, host: Host) -> None:
    made = await watch(api, "ngnix")
    await seen(world, host, name="ngnix", count=0)
    _, found = await ask(api, "PUT", f"{PLACE}/{made['id']}", json={"process_name": "nginx"})
    assert (found["process"]["id"], found["process"]["status"]) == (made["id"], "pending")
    assert (await ask(api, "GET", f"{PLACE}/{made['id']}"))[1]["samples_total"] == 0


async def test_the_same_name_once_more_changes_nothing(api: Api, world: World, host: Host) -> None:
    made = await watch(api)
    await seen(world, host)
    _, found = await ask(api, "PUT", f"{PLACE}/{made['id']}", json={"process_name": "nginx", "enabled": True})
    assert found["process"]["status"] == "up"
    assert (await ask(api, "GET", f"{PLACE}/{made['id']}"))[1]["samples_total"] == 1


async def test_one_that_is_deleted_is_gone_with_its_samples(api: Api, world: World, host: Host) -> None:
    made = await watch(api)
    await seen(world, host)
    assert await ask(api, "DELETE", f"{PLACE}/{made['id']}") == (200, {"ok": True})
    assert await ask(api, "GET", f"{PLACE}/{made['id']}") == (404, {"error": "not_found"})
    count = await world.store.database.read(lambda db: db.execute("SELECT count(*) FROM process_samples").fetchone())
    assert count == (0,)


async def test_changes_are_in_the_audit_log(api: Api, world: World, host: Host) -> None:
    made = await watch(api)
    await ask(api, "PUT", f"{PLACE}/{made['id']}", json={"enabled": False})
    await ask(api, "DELETE", f"{PLACE}/{made['id']}")
    entries = await world.store.audit.recent(3)
    assert [(entry.action, entry.object) for entry in entries] == [
        (f"process.{what}", "process nginx of host web-1") for what in ("delete", "change", "create")
    ]


async def test_who_made_it_is_told(api: Api, world: World, host: Host) -> None:
    user = await world.user("alice", "admin")
    status, answer = await ask(api, "POST", token=await world.session("alice"), json={"process_name": "nginx"})
    assert (status, answer["process"]["user_id"]) == (201, user.id)


# ------------------------------------------------------------------------------------------------------------- errors


def reasons(answer: dict[str, Any]) -> dict[str, str]:
    assert answer["error"] == "validation_failed"
    return {issue["field"]: issue["reason"] for issue in answer["issues"]}


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_unknown_server_is_told(api: Api, method: str) -> None:
    given: dict[str, Any] = {"json": {"process_name": "nginx"}} if method == "POST" else {}
    assert await ask(api, method, "/servers/4711/processes", **given) == (404, {"error": "server_not_found"})


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("number", ["4711", "0", "-1", "x", "9" * 30, "²"])
async def test_an_unknown_process_is_told(api: Api, host: Host, method: str, number: str) -> None:
    given: dict[str, Any] = {"json": {"enabled": True}} if method == "PUT" else {}
    assert await ask(api, method, f"{PLACE}/{number}", **given) == (404, {"error": "not_found"})


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_a_process_of_another_server_is_none_here(api: Api, world: World, host: Host, method: str) -> None:
    made = await watch(api)
    await world.enrol("web-2")
    given: dict[str, Any] = {"json": {"enabled": False}} if method == "PUT" else {}
    place = f"/servers/web-2/processes/{made['id']}"
    assert await ask(api, method, place, **given) == (404, {"error": "not_found"})
    assert (await listed(api))["enabled"] == 1


@pytest.mark.parametrize("character", list(";&$`\\\"'<>(){}| \n\t\r\v\f\u00a0\u2028\x00\x1b\u202e"))
async def test_a_name_with_what_a_shell_or_a_page_would_take_for_its_own_is_refused(
    api: Api, host: Host, character: str
) -> None:
    status, answer = await ask(api, "POST", json={"process_name": f"a{character}b"})
    assert (status, list(reasons(answer))) == (400, ["process_name"])


@pytest.mark.parametrize("name", ["a", "x" * 100, "php-fpm8.2", "[kworker]", "systemd@1", "日本語", "a/b", "-x"])
async def test_any_other_name_is_taken(api: Api, host: Host, name: str) -> None:
    assert (await watch(api, name))["process_name"] == name


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["process_name"]),
        ({"process_name": ""}, ["process_name"]),
        ({"process_name": "x" * 101}, ["process_name"]),
        ({"process_name": "*"}, ["process_name"]),
        ({"process_name": None}, ["process_name"]),
        ({"process_name": 7}, ["process_name"]),
        ({"process_name": "a", "enabled": "yes"}, ["enabled"]),
        ({"process_name": "a", "enabled": 2}, ["enabled"]),
        ({"process_name": "a", "alert_on_down": None}, ["alert_on_down"]),
        ({"process_name": "a", "cpu_threshold_pct": 0}, ["cpu_threshold_pct"]),
        ({"process_name": "a", "cpu_threshold_pct": 100.01}, ["cpu_threshold_pct"]),
        ({"process_name": "a", "memory_threshold_pct": True}, ["memory_threshold_pct"]),
        ({"process_name": "a", "memory_threshold_pct": "75"}, ["memory_threshold_pct"]),
        ({"process_name": ";", "enabled": 7, "alert_on_cpu": 7}, ["process_name", "enabled", "alert_on_cpu"]),
    ],
)
async def test_everything_that_is_wrong_is_told_at_once(
    api: Api, host: Host, body: dict[str, Any], fields: list[str]
) -> None:
    status, answer = await ask(api, "POST", json=body)
    assert (status, list(reasons(answer))) == (400, fields)
    assert (await ask(api, "GET"))[1]["processes"] == []


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null", '"nginx"', "\udc80", "[" * 2000])
async def test_a_body_that_is_no_object_is_refused(api: Api, host: Host, text: str) -> None:
    headers = {"Content-Type": "application/json"}
    async with api.post(PLACE, data=text.encode("utf-8", "surrogateescape"), headers=headers) as answer:
        assert (answer.status, list(reasons(await answer.json()))) == (400, [""])


async def test_a_body_of_another_type_is_refused(api: Api, host: Host) -> None:
    async with api.post(PLACE, data={"process_name": "nginx"}) as answer:
        assert answer.status == 415


@pytest.mark.parametrize("value", [0.01, 100, 33.3])
async def test_limits_may_be_anything_between_a_hundredth_and_a_hundred(api: Api, host: Host, value: float) -> None:
    assert (await watch(api, cpu_threshold_pct=value))["cpu_threshold_pct"] == value


@pytest.mark.parametrize("body", [{}, {"id": 7, "status": "up", "server_id": 1}])
async def test_a_change_of_nothing_is_refused(api: Api, host: Host, body: dict[str, Any]) -> None:
    made = await watch(api)
    status, answer = await ask(api, "PUT", f"{PLACE}/{made['id']}", json=body)
    assert (status, reasons(answer)) == (400, {"": "no updatable fields provided"})


async def test_a_change_is_checked_like_a_new_one(api: Api, host: Host) -> None:
    made = await watch(api)
    status, answer = await ask(api, "PUT", f"{PLACE}/{made['id']}", json={"process_name": "a b", "enabled": 1})
    assert (status, list(reasons(answer))) == (400, ["process_name"])
    assert await listed(api) == made


async def test_a_name_is_watched_once(api: Api, host: Host) -> None:
    await watch(api)
    other = await watch(api, "cron")
    duplicate = (409, {"error": "duplicate_process"})
    assert await ask(api, "POST", json={"process_name": "nginx"}) == duplicate
    assert await ask(api, "PUT", f"{PLACE}/{other['id']}", json={"process_name": "nginx"}) == duplicate


async def test_names_differ_in_case_and_between_servers(api: Api, world: World, host: Host) -> None:
    await world.enrol("web-2")
    await watch(api)
    assert (await watch(api, "NGINX"))["process_name"] == "NGINX"
    status, _ = await ask(api, "POST", "/servers/web-2/processes", json={"process_name": "nginx"})
    assert status == 201


async def test_the_plan_limits_each_server(api: Api, world: World, host: Host) -> None:
    await world.configure(Config(plans={"home": Plan(limit=1), "pro": Plan(limit=5)}))
    await watch(api)
    body = {"error": "plan_limit_reached", "scope": "per_server", "plan_limit": 1, "current_count": 1}
    assert await ask(api, "POST", json={"process_name": "cron"}) == (402, body)
    await world.enrol("web-2")
    assert (await ask(api, "POST", "/servers/web-2/processes", json={"process_name": "cron"}))[0] == 201
    _, found = await ask(api, "GET")
    assert (found["plan"], found["plan_limit"], found["current_count"]) == ("home", 1, 1)


def test_the_document_has_the_fields_that_are_read_with_the_defaults_that_count() -> None:
    named = {field: name for name, (field, _) in _FIELDS.items()}
    settings = {named[field.name]: field.default for field in fields(Watched) if field.name in named}
    documented = {field.name: field.default for field in fields(NewProcess)}
    assert documented == settings
    assert [field.name for field in fields(ProcessChange)] == list(documented)


# ---------------------------------------------------------------------------------------------------------------- who


async def test_who_monitors_a_host_sees_its_processes_and_changes_none(api: Api, world: World, host: Host) -> None:
    made = await watch(api)
    await world.user("root", "admin")
    await world.user("dave")
    await world.enrol("db-1")
    world.hosts.hand(host, "root", [], ["dave"])
    token = await world.session("dave")
    assert [server["hostname"] for server in (await ask(api, "GET", "/servers", token))[1]["servers"]] == ["web-1"]
    assert (await ask(api, "GET", f"{PLACE}/{made['id']}", token))[0] == 200
    assert (await ask(api, "POST", PLACE, token, json={"process_name": "cron"}))[0] == 403
    assert (await ask(api, "GET", "/servers/db-1/processes", token))[0] == 403


async def test_a_right_that_is_lost_while_the_body_comes_is_lost(api: Api, world: World, host: Host) -> None:
    await world.user("root", "admin")
    await world.user("carol")
    world.hosts.hand(host, "root", ["carol"], [])
    token = await world.session("carol")

    async def slowly() -> Any:
        yield b'{"process_name": '
        world.hosts.hand(host, "root", [], [])
        yield b'"nginx"}'

    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    async with api.post(PLACE, data=slowly(), headers=headers) as answer:
        assert answer.status == 403
    assert world.processes.watches.of(host.id) == []


async def test_a_process_of_a_host_that_is_gone_on_disk_is_a_404(api: Api, world: World, host: Host) -> None:
    await world.store.hosts.delete(host.id)
    assert await ask(api, "POST", json={"process_name": "nginx"}) == (404, {"error": "server_not_found"})
    assert world.processes.watches.of(host.id) == []


async def test_others_get_their_turn_while_many_hosts_are_listed(api: Api, world: World) -> None:
    for number in range(3 * servers.AT_ONCE):
        world.hosts.add(Host(1000 + number, f"h{number}", f"agent_{number:012x}"))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await asyncio.sleep(0)
    began = turns
    call = SimpleNamespace(identity=Identity(open=True), parts=world.parts)
    listed = await servers.index(cast(Call, call))
    counting.cancel()
    assert (len(listed.servers), turns - began) == (3 * servers.AT_ONCE, 3)
