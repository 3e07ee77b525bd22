"""GET /api/0/alerts and /api/0/alerts/history, and the page of alerts for those who may see some hosts only."""

from __future__ import annotations

from typing import Any

import pytest
from world import WALL, Api, World

from hbd.hosts import Host
from hbd.model import Level, Moment
from hbd.rules import RuleBook
from hbd.store import Turn

HISTORY = "/api/0/alerts/history"
PATH = "disk_monitor./.percent"
SAMPLE = "disk_monitor"


async def judge(world: World, host: Host, percent: float, at: float = 0.0, mount: str = "/") -> None:
    """at: seconds after the start of the world."""
    now = Moment(WALL + at, 1000.0 + at)
    plan = world.alerts.begin(now)
    rules = RuleBook({}).of()
    data: dict[str, Any] = {mount: {"percent": percent}}
    plan.judge(
        host.id, SAMPLE, rules.judge(SAMPLE, data, lambda path: world.alerts.level(host.id, path)), now.wall, now
    )
    plan.tick(now)
    await world.store.record(Turn(alerts=plan.rows, gone=plan.gone, events=plan.events))
    world.alerts.adopt(plan)


async def signed_in(world: World, name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {await world.session(name)}"}


async def two_owners(world: World) -> None:
    """web of ann and db of bob have been critical and are well again; db is critical once more."""
    for name in ("ann", "bob"):
        await world.user(name)
    web, db = await world.enrol("web"), await world.enrol("db")
    world.hosts.hand(web, "ann", (), ())
    world.hosts.hand(db, "bob", (), ())
    for number, (host, percent) in enumerate([(web, 96.0), (db, 97.0), (web, 10.0), (db, 10.0), (db, 98.0)]):
        await judge(world, host, percent, number * 10.0)


async def test_history_is_newest_first_and_tells_the_way_from_level_to_level(api: Api, world: World) -> None:
    host = await world.enrol("web")
    for number, percent in enumerate((90.0, 96.0, 10.0)):
        await judge(world, host, percent, number * 10.0)
    found = await (await api.get(HISTORY)).json()
    told = [(event["before"], event["after"], event["value"], event["time"] - WALL) for event in found["events"]]
    assert told == [("CRITICAL", "OK", 10.0, 20.0), ("WARNING", "CRITICAL", 96.0, 10.0), ("OK", "WARNING", 90.0, 0.0)]
    assert len({event["problem"] for event in found["events"]}) == 1
    assert {(event["hostname"], event["metric_path"]) for event in found["events"]} == {("web", PATH)}
    assert found["next"] is None


async def test_history_comes_in_pages(api: Api, world: World) -> None:
    host = await world.enrol("web")
    for number in range(5):
        await judge(world, host, 96.0 if number % 2 == 0 else 10.0, number * 10.0)
    seen: list[int] = []
    query = f"{HISTORY}?limit=2"
    while True:
        found = await (await api.get(query)).json()
        seen += [event["id"] for event in found["events"]]
        if found["next"] is None:
            break
        query = f"{HISTORY}?limit=2&before={found['next']}"
    assert len(seen) == 5
    assert seen == sorted(seen, reverse=True)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("host=web", ["web", "web"]),
        ("host=WEB&level=OK", ["web"]),
        (f"metric={PATH}", ["db", "db", "web", "db", "web"]),
        ("metric=disk_monitor./srv.percent", []),
        ("level=CRITICAL", ["db", "db", "web"]),
        ("host=db&level=CRITICAL&limit=1", ["db"]),
    ],
)
async def test_history_is_chosen_by_host_metric_and_level(
    api: Api, world: World, query: str, expected: list[str]
) -> None:
    await two_owners(world)
    await world.user("root", "admin")
    found = await (await api.get(f"{HISTORY}?{query}", headers=await signed_in(world, "root"))).json()
    assert [event["hostname"] for event in found["events"]] == expected


async def test_history_of_hosts_of_others_is_not_told(api: Api, world: World) -> None:
    await two_owners(world)
    headers = await signed_in(world, "ann")
    found = await (await api.get(HISTORY, headers=headers)).json()
    assert [event["hostname"] for event in found["events"]] == ["web", "web"]
    assert (await api.get(f"{HISTORY}?host=db", headers=headers)).status == 403
    assert (await api.get(f"{HISTORY}?host=nosuch", headers=headers)).status == 404


@pytest.mark.parametrize("query", ["level=BAD", "limit=0", "limit=1001", "before=0", "before=x"])
async def test_history_refuses_what_makes_no_sense(api: Api, query: str) -> None:
    assert (await api.get(f"{HISTORY}?{query}")).status == 400


async def test_numbers_are_about_all_alerts_however_few_are_asked_for(api: Api, world: World) -> None:
    for name in ("a", "b"):
        await judge(world, await world.enrol(name), 96.0)
    found = await (await api.get("/api/0/alerts?limit=0")).json()
    assert found["alerts"] == []
    assert found["summary"] == {"critical": 2, "warning": 0, "unknown": 0, "total": 2}
    assert (found["open_count"], found["open_level"], found["metric_count"]) == (2, "CRITICAL", 2)


async def test_alert_tells_name_limits_tags_and_what_the_caller_may_do(api: Api, world: World) -> None:
    await two_owners(world)
    db = world.hosts.require("db")
    db.tags = ["prod"]
    world.hosts.hand(db, "bob", (), ("ann",))
    for name, allowed in (("bob", ["acknowledge", "silence"]), ("ann", ["acknowledge"])):
        found = await (await api.get("/api/0/alerts", headers=await signed_in(world, name))).json()
        (alert,) = found["alerts"]
        named = [alert[field] for field in ("name", "key", "unit", "operator", "warning", "critical")]
        assert named == ["Disk space", "/", "%", ">", 85.0, 95.0]
        assert (alert["tags"], alert["allowed"]) == (["prod"], allowed)


async def test_page_and_its_number_are_about_the_hosts_of_the_viewer(api: Api, world: World) -> None:
    await two_owners(world)
    pages = {}
    for name in ("ann", "bob"):
        answer = await api.get("/alerts", headers={"Cookie": f"hbd_session={await world.session(name)}"})
        pages[name] = await answer.text()
    assert ">db<" not in pages["ann"]
    assert ">db<" in pages["bob"]
    assert 'data-alerts="0"' in pages["ann"]
    assert 'data-alerts="1"' in pages["bob"]


async def test_a_level_that_is_acknowledged_is_not_open(api: Api, world: World) -> None:
    await judge(world, await world.enrol("web"), 96.0)
    body = {"metric_path": PATH, "note": "mine"}
    assert (await api.post("/api/0/hosts/web/alerts/acknowledge", json=body)).status == 200
    found = await (await api.get("/api/0/alerts")).json()
    assert (found["summary"]["total"], found["open_count"], found["open_level"]) == (1, 0, Level.OK)
