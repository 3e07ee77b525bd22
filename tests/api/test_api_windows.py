"""Maintenance windows over HTTP."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from alarms import alarm
from world import Api, World

from hbd.config import Config
from hbd.config.structs import Maintenance

ZURICH = ZoneInfo("Europe/Zurich")


def local(ago: float) -> str:
    """What clocks in Zurich showed so many seconds ago."""
    return f"{datetime.fromtimestamp(time.time() - ago, ZURICH):%Y-%m-%dT%H:%M}"


def body(**given: Any) -> dict[str, Any]:
    right = {
        "name": "backup",
        "hosts": ["web1"],
        "timezone": "Europe/Zurich",
        "start": "2030-06-01T22:00",
        "duration": 7200,
        "repeat": "weekly",
        "days": ["mon", "thu"],
        "until": "2031-01-01",
    }
    return {name: value for name, value in (right | given).items() if value is not ...}


async def make(api: Api, token: str | None = None, **given: Any) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with api.post("/api/0/windows", json=body(**given), headers=headers) as answer:
        return answer.status, await answer.json()


async def shown(api: Api, token: str | None = None) -> list[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with api.get("/api/0/windows", headers=headers) as answer:
        found: list[dict[str, Any]] = await answer.json()
        return found


async def test_a_window_is_answered_as_it_is_listed(api: Api) -> None:
    status, made = await make(api, tags=["prod"], metrics=["disk*"])
    assert (status, made.pop("ok")) == (201, True)
    assert await shown(api) == [made]
    first = datetime(2030, 6, 3, 22, tzinfo=ZURICH).timestamp()  # the Monday after
    assert made == body(tags=["prod"], metrics=["disk*"]) | {
        "id": made["id"],
        "author": "",
        "source": "api",
        "active": False,
        "current": None,
        "next": {"start": first, "end": first + 7200},
        "editable": True,
    }


async def test_what_is_left_out_has_defaults(api: Api) -> None:
    _, made = await make(api, timezone=..., repeat=..., days=..., until=..., duration="90m")
    assert (made["timezone"], made["repeat"], made["days"], made["until"], made["duration"]) == (
        "UTC",
        "once",
        [],
        None,
        5400,
    )


async def test_a_window_is_active_within_it(api: Api) -> None:
    _, made = await make(api, start=local(600), repeat="daily", days=[], until=None)
    assert made["active"]
    assert made["current"]["start"] <= time.time() < made["current"]["end"]
    assert timedelta(seconds=made["next"]["start"] - made["current"]["start"]) > timedelta(hours=22)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": " "}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"hosts": []}, "hosts"),
        ({"timezone": "Mars/Base"}, "timezone"),
        ({"timezone": "../../etc/passwd"}, "timezone"),
        ({"timezone": "x" * 65}, "timezone"),
        ({"start": "tomorrow"}, "start"),
        ({"start": "2030-02-30T10:00"}, "start"),
        ({"start": "9999-12-31T23:59"}, "start"),
        ({"start": ...}, "start"),
        ({"duration": 5}, "duration"),
        ({"duration": 8 * 86_400}, "duration"),
        ({"duration": "long"}, "duration"),
        ({"repeat": "hourly"}, "repeat"),
        ({"days": ["someday"]}, "days"),
        ({"days": ["mon"], "repeat": "daily"}, "days"),
        ({"until": "2029-01-01"}, "until"),
        ({"levels": ["WARNING"]}, "levels"),
    ],
)
async def test_what_is_wrong_is_named(api: Api, given: dict[str, Any], field: str) -> None:
    status, answer = await make(api, **given)
    assert status == 400
    assert field in answer["error"]


async def test_a_window_is_put_in_place_of_another(api: Api) -> None:
    _, made = await make(api)
    async with api.put(f"/api/0/windows/{made['id']}", json=body(name="later", start="2030-06-01T23:00")) as answer:
        changed = await answer.json()
    assert (answer.status, changed.pop("ok"), changed["id"], changed["name"]) == (200, True, made["id"], "later")
    assert await shown(api) == [changed]


async def test_a_window_is_deleted(api: Api) -> None:
    _, made = await make(api)
    assert (await api.delete(f"/api/0/windows/{made['id']}")).status == 200
    assert await shown(api) == []
    assert (await api.delete(f"/api/0/windows/{made['id']}")).status == 404


async def test_what_is_changed_is_in_the_audit_log(api: Api, world: World) -> None:
    _, made = await make(api)
    await api.put(f"/api/0/windows/{made['id']}", json=body(name="later"))
    await api.delete(f"/api/0/windows/{made['id']}")
    told = [(found.action, found.object) for found in await world.store.audit.recent(3)]
    assert told == [
        ("window.delete", "window later"),
        ("window.change", "window later"),
        ("window.create", "window backup"),
    ]


async def test_managers_have_windows_for_their_hosts_alone(api: Api, world: World) -> None:
    await world.user("root", "admin")
    await world.user("carol")
    web, db = await world.enrol("web1"), await world.enrol("db1")
    world.hosts.hand(web, "root", ["carol"], [])
    world.hosts.hand(db, "root", [], [])
    root, carol = await world.session("root"), await world.session("carol")
    _, foreign = await make(api, root, hosts=["web1", "db1"])
    _, hidden = await make(api, root, hosts=["db1"])
    _, own = await make(api, carol)
    assert own["author"] == "carol"
    assert [(one["hosts"], one["editable"]) for one in await shown(api, carol)] == [(["web1"], False), (["web1"], True)]
    headers = {"Authorization": f"Bearer {carol}"}
    for number, given, status in (
        (own["id"], {"name": "later"}, 200),
        (own["id"], {"hosts": ["db1"]}, 403),
        (foreign["id"], {}, 403),
        (hidden["id"], {}, 404),
    ):
        answer = await api.put(f"/api/0/windows/{number}", json=body(**given), headers=headers)
        assert answer.status == status
    for number, status in ((foreign["id"], 403), (hidden["id"], 404), (own["id"], 200)):
        assert (await api.delete(f"/api/0/windows/{number}", headers=headers)).status == status


async def test_windows_of_the_config_are_listed_and_cannot_be_changed(api: Api, world: World) -> None:
    section = Maintenance(hosts=("web*",), start="2030-06-01T22:00", duration=7200.0)
    world.hushing.configure(Config(maintenance={"nightly": section}))
    (found,) = await shown(api)
    assert (found["id"], found["name"], found["source"], found["editable"]) == (None, "nightly", "config", False)
    assert (await api.delete("/api/0/windows/None")).status == 404


async def test_an_alert_says_which_window_holds_it(api: Api, world: World) -> None:
    await alarm(world, await world.enrol("web1"))
    _, made = await make(api, start=local(600), repeat="once", days=[], until=None)
    (alert,) = (await (await api.get("/api/0/alerts")).json())["alerts"]
    assert alert["held"] == {
        "kind": "window",
        "id": made["id"],
        "by": "",
        "until": made["current"]["end"],
        "reason": "backup",
    }
