"""Silences over HTTP: who may make and end them, who sees what of them, and what they hold."""

from __future__ import annotations

import time
from typing import Any

import pytest
from alarms import alarm
from world import Api, World

from hbd.hosts import Host
from hbd.model import Level

DAY = 86_400.0


async def make(api: Api, token: str | None = None, **given: Any) -> tuple[int, dict[str, Any]]:
    body = {"hosts": ["web1"], "reason": "new disks", "duration": 3600} | given
    body = {name: value for name, value in body.items() if value is not None}
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with api.post("/api/0/silences", json=body, headers=headers) as answer:
        return answer.status, await answer.json()


async def shown(api: Api, token: str | None = None, query: str = "") -> list[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with api.get(f"/api/0/silences{query}", headers=headers) as answer:
        assert answer.status == 200
        found: list[dict[str, Any]] = await answer.json()
        return found


async def end(api: Api, number: int, token: str | None = None) -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with api.delete(f"/api/0/silences/{number}", headers=headers) as answer:
        return answer.status


@pytest.fixture(name="hosts")
async def two_hosts(world: World) -> list[Host]:
    """Carol manages web1 and monitors nothing else; dave monitors it."""
    await world.user("root", "admin")
    for name in ("carol", "dave", "erin"):
        await world.user(name)
    await world.user("opal", "operator")
    made = [await world.enrol(name) for name in ("web1", "db1")]
    world.hosts.hand(made[0], "root", ["carol"], ["dave"])
    world.hosts.hand(made[1], "root", [], [])
    return made


# -------------------------------------------------------------------------------------------------------------- making


async def test_a_silence_is_answered_as_it_is_listed(api: Api, world: World) -> None:
    await world.enrol("web1")
    status, made = await make(api, tags=["prod"], metrics=["cpu_monitor.*"], levels=["WARNING"], duration="2h")
    assert (status, made.pop("ok")) == (201, True)
    assert await shown(api) == [made]
    assert made["ends"] - made["starts"] == pytest.approx(7200)
    assert (made["hosts"], made["tags"], made["metrics"], made["levels"], made["reason"], made["state"]) == (
        ["web1"],
        ["prod"],
        ["cpu_monitor.*"],
        ["WARNING"],
        "new disks",
        "active",
    )


@pytest.mark.parametrize("duration", [7200, "7200", "2h", "120m"])
async def test_a_duration_is_seconds_or_words(api: Api, duration: object) -> None:
    _, made = await make(api, duration=duration)
    assert made["ends"] - made["starts"] == pytest.approx(7200)


async def test_a_silence_may_begin_later(api: Api) -> None:
    starts = time.time() + 3600
    _, made = await make(api, starts=starts)
    assert (made["state"], made["starts"], made["ends"]) == ("pending", starts, starts + 3600)


async def test_a_start_in_the_past_is_now(api: Api) -> None:
    before = time.time()
    _, made = await make(api, starts=before - DAY)
    assert made["starts"] >= before


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"hosts": None}, "hosts"),
        ({"hosts": []}, "hosts"),
        ({"hosts": ["a\nb"]}, "hosts[0]"),
        ({"hosts": [""]}, "hosts[0]"),
        ({"hosts": ["x"] * 101}, "hosts"),
        ({"hosts": "web1"}, "hosts"),
        ({"metrics": ["x" * 1001]}, "metrics[0]"),
        ({"levels": ["OK"]}, "levels[0]"),
        ({"reason": None}, "reason"),
        ({"reason": " "}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"reason": "two\nlines"}, "reason"),
        ({"duration": None}, "ends"),
        ({"ends": time.time() + 60}, "ends"),
        ({"duration": 0}, "duration"),
        ({"duration": -5}, "duration"),
        ({"duration": "soon"}, "duration"),
        ({"duration": 1e300}, "duration"),
        ({"duration": 367 * DAY}, "duration"),
        ({"duration": None, "ends": time.time() - 60}, "ends"),
        ({"duration": None, "ends": time.time() + 367 * DAY}, "ends"),
        ({"starts": time.time() + 400 * DAY}, "duration"),
        ({"author": "somebody"}, "author"),
    ],
)
async def test_what_is_wrong_is_named(api: Api, given: dict[str, object], field: str) -> None:
    status, answer = await make(api, **given)
    assert status == 400
    assert field in answer["error"]
    assert await shown(api) == []


# --------------------------------------------------------------------------------------------------------------- rights


@pytest.mark.parametrize(
    ("name", "about", "status"),
    [
        ("carol", {"hosts": ["web1"]}, 201),
        ("carol", {"hosts": ["WEB1"]}, 201),
        ("carol", {"hosts": ["web1"], "metrics": ["cpu*"]}, 201),
        ("carol", {"hosts": ["web1", "db1"]}, 403),
        ("carol", {"hosts": ["web*"]}, 403),
        ("carol", {"hosts": ["nowhere"]}, 403),
        ("carol", {"hosts": None, "tags": ["prod"]}, 403),
        ("carol", {"hosts": None, "metrics": ["cpu*"]}, 403),
        ("dave", {"hosts": ["web1"]}, 403),
        ("opal", {"hosts": ["*"]}, 201),
        ("opal", {"hosts": ["nowhere"]}, 201),
        ("root", {"hosts": None, "tags": ["prod"]}, 201),
    ],
)
async def test_managers_silence_hosts_by_name_and_operators_anything(
    api: Api, world: World, hosts: list[Host], name: str, about: dict[str, Any], status: int
) -> None:
    assert (await make(api, await world.session(name), **about))[0] == status


async def test_who_may_not_silence_learns_nothing_of_which_hosts_there_are(
    api: Api, world: World, hosts: list[Host]
) -> None:
    token = await world.session("carol")
    assert await make(api, token, hosts=["db1"]) == await make(api, token, hosts=["nowhere"])


async def test_a_silence_is_by_who_made_it(api: Api, world: World, hosts: list[Host]) -> None:
    assert (await make(api, await world.session("carol")))[1]["author"] == "carol"


async def test_a_refusal_is_in_the_audit_log(api: Api, world: World, hosts: list[Host]) -> None:
    await make(api, await world.session("dave"))
    await world.security.audit.write()
    newest = (await world.store.audit.recent(1))[0]
    assert (newest.user, newest.action, newest.outcome) == ("dave", "POST /api/0/silences", "refused")


async def test_making_and_ending_one_are_in_the_audit_log(api: Api, world: World, hosts: list[Host]) -> None:
    _, made = await make(api, token := await world.session("carol"))
    await end(api, made["id"], token)
    newest = await world.store.audit.recent(2)
    assert [(found.user, found.action, found.object) for found in newest] == [
        ("carol", "silence.end", f"silence {made['id']}"),
        ("carol", "silence.create", f"silence {made['id']}"),
    ]


# --------------------------------------------------------------------------------------------------------------- seeing


async def test_everybody_sees_the_silences_about_their_hosts(api: Api, world: World, hosts: list[Host]) -> None:
    token = await world.session("root")
    await make(api, token, hosts=["web1"], reason="one")
    await make(api, token, hosts=["db1"], reason="other")
    await make(api, token, hosts=["*"], reason="all")
    seen = {
        name: {one["reason"] for one in await shown(api, await world.session(name))}
        for name in ("dave", "erin", "opal")
    }
    assert seen == {"dave": {"one", "all"}, "erin": set(), "opal": {"one", "other", "all"}}


async def test_names_of_hosts_that_one_does_not_see_are_left_out(api: Api, world: World, hosts: list[Host]) -> None:
    await make(api, await world.session("root"), hosts=["web1", "db1", "d*", "w*", "future"])
    (seen,) = await shown(api, await world.session("dave"))
    assert seen["hosts"] == ["web1", "w*"]


async def test_it_says_whether_one_may_end_it(api: Api, world: World, hosts: list[Host]) -> None:
    await make(api, await world.session("root"))
    answers = {
        name: [one["editable"] for one in await shown(api, await world.session(name))] for name in ("carol", "dave")
    }
    assert answers == {"carol": [True], "dave": [False]}


# --------------------------------------------------------------------------------------------------------------- ending


async def test_a_silence_that_is_ended_stays_on_the_list_of_all(api: Api) -> None:
    _, made = await make(api)
    assert await end(api, made["id"]) == 200
    assert await shown(api) == []
    (ended,) = await shown(api, query="?all=1")
    assert (ended["id"], ended["state"]) == (made["id"], "ended")
    assert ended["ends"] < made["ends"]


@pytest.mark.parametrize(("name", "status"), [("carol", 200), ("dave", 403), ("erin", 404), ("opal", 200)])
async def test_who_may_make_it_may_end_it(api: Api, world: World, hosts: list[Host], name: str, status: int) -> None:
    _, made = await make(api, await world.session("root"))
    assert await end(api, made["id"], await world.session(name)) == status


@pytest.mark.parametrize("number", ["0", "x", "-1", "9" * 40, "%00", "1e3", "٣"])
async def test_what_is_no_silence_is_not_found(api: Api, number: str) -> None:
    assert (await api.delete(f"/api/0/silences/{number}")).status == 404


# -------------------------------------------------------------------------------------------------------------- holding


async def test_an_alert_says_what_holds_it(api: Api, world: World) -> None:
    await alarm(world, await world.enrol("web1"))
    _, made = await make(api)
    (alert,) = (await (await api.get("/api/0/alerts")).json())["alerts"]
    held = {"kind": "silence", "id": made["id"], "by": "", "until": made["ends"], "reason": "new disks"}
    assert alert["held"] == held
    assert (await (await api.get("/api/0/hosts/web1/alerts")).json())["alerts"][0]["held"] == held
    await end(api, made["id"])
    (alert,) = (await (await api.get("/api/0/alerts")).json())["alerts"]
    assert alert["held"] is None


async def test_open_pages_hear_of_alerts_that_a_silence_is_about(api: Api, world: World) -> None:
    await alarm(world, await world.enrol("web1"))
    await alarm(world, await world.enrol("db1"))
    async with api.ws_connect("/hbd?types=alert") as ws:
        await make(api)
        frame = await ws.receive_json(timeout=30)
    assert (frame["type"], frame["data"]["hostname"], frame["data"]["level"]) == ("alert", "web1", Level.CRITICAL)
