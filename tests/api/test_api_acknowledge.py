"""Acknowledging alerts over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from alarms import PATH, alarm
from world import Api, World

from hbd.model import Level

URL = "/api/0/hosts/web1/alerts/acknowledge"


async def acknowledge(api: Api, token: str | None = None, **given: Any) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with api.post(URL, json={"metric_path": PATH} | given, headers=headers) as answer:
        return answer.status, await answer.json()


async def acknowledged(api: Api) -> list[dict[str, Any] | None]:
    answer = await (await api.get("/api/0/hosts/web1/alerts")).json()
    return [alert["acknowledged"] for alert in answer["alerts"]]


async def test_an_alert_says_who_looks_after_it(api: Api, world: World) -> None:
    await alarm(world, await world.enrol("web1"))
    assert await acknowledge(api, note=" on my way ") == (200, {"ok": True})
    (alert,) = (await (await api.get("/api/0/alerts")).json())["alerts"]
    assert (alert["acknowledged"]["user"], alert["acknowledged"]["note"]) == ("", "on my way")
    assert alert["held"]["kind"] == "acknowledged"
    assert await acknowledged(api) == [alert["acknowledged"]]


async def test_it_is_told_in_journal_and_audit_log(api: Api, world: World) -> None:
    await world.user("root", "admin")
    await alarm(world, await world.enrol("web1"))
    await acknowledge(api, await world.session("root"), note="on my way")
    (line,) = await world.store.messages.recent(1)
    assert (line.host, line.msg) == ("web1", "root acknowledged Heartbeat on web1: on my way")
    (entry,) = await world.store.audit.recent(1)
    assert (entry.user, entry.action, entry.object, entry.detail) == (
        "root",
        "alert.acknowledge",
        "presence.host on web1",
        "on my way",
    )


async def test_it_can_be_taken_back(api: Api, world: World) -> None:
    await alarm(world, await world.enrol("web1"))
    await acknowledge(api)
    answer = await api.delete(URL, json={"metric_path": PATH})
    assert (answer.status, await answer.json()) == (200, {"ok": True})
    assert await acknowledged(api) == [None]
    assert (await world.store.messages.recent(1))[0].msg == "somebody no longer looks after Heartbeat on web1"


async def test_nothing_is_taken_back_that_nobody_said(api: Api, world: World) -> None:
    await alarm(world, await world.enrol("web1"))
    answer = await api.delete(URL, json={"metric_path": PATH})
    assert (answer.status, await answer.json()) == (409, {"error": "Nobody has acknowledged this"})


async def test_what_is_ok_needs_nobody(api: Api, world: World) -> None:
    await alarm(world, host := await world.enrol("web1"))
    await alarm(world, host, Level.OK)
    status, answer = await acknowledge(api)
    assert (status, answer["error"]) == (409, "Heartbeat is OK: there is nothing to acknowledge")


async def test_what_is_not_judged_is_not_found(api: Api, world: World) -> None:
    await world.enrol("web1")
    assert (await acknowledge(api))[0] == 404


async def test_a_problem_that_gets_worse_has_been_acknowledged_by_nobody(api: Api, world: World) -> None:
    await alarm(world, host := await world.enrol("web1"), Level.WARNING)
    await acknowledge(api)
    await alarm(world, host, Level.CRITICAL)
    assert await acknowledged(api) == [None]


async def test_a_problem_that_comes_back_is_another_one(api: Api, world: World) -> None:
    await alarm(world, host := await world.enrol("web1"))
    await acknowledge(api)
    await alarm(world, host, Level.OK)
    await alarm(world, host)
    assert await acknowledged(api) == [None]


@pytest.mark.parametrize(
    "given", [{"note": "two\nlines"}, {"note": "x" * 501}, {"metric_path": 5}, {"user": "root"}, {"note": None}]
)
async def test_what_is_wrong_changes_nothing(api: Api, world: World, given: dict[str, Any]) -> None:
    await alarm(world, await world.enrol("web1"))
    status, answer = await acknowledge(api, **given)
    assert status == 400
    assert next(iter(given)) in answer["error"]
    assert await acknowledged(api) == [None]


async def test_whoever_sees_a_host_may_acknowledge_and_others_may_not(api: Api, world: World) -> None:
    await world.user("root", "admin")
    host = await world.enrol("web1")
    await alarm(world, host)
    for name in ("dave", "erin"):
        await world.user(name)
    world.hosts.hand(host, "root", [], ["dave"])
    assert (await acknowledge(api, await world.session("dave")))[0] == 200
    assert (await acknowledge(api, await world.session("erin")))[0] == 403


async def test_open_pages_hear_of_it(api: Api, world: World) -> None:
    await alarm(world, await world.enrol("web1"))
    async with api.ws_connect("/hbd?types=alert,message") as ws:
        await acknowledge(api)
        frames = [await ws.receive_json(timeout=30) for _ in range(2)]
    assert {frame["type"] for frame in frames} == {"alert", "message"}
