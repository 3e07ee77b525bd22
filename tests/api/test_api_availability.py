"""Availability as it is asked for over HTTP."""

from __future__ import annotations

import time

import pytest
from asking import asked, refused
from world import Api, World

from hbd.availability import Unseen
from hbd.config import Config
from hbd.config.structs import HostConfig
from hbd.model import Family, State, Transition
from hbd.store import Turn
from hbd.web import availability

HERE = "/api/0/hosts/web1/availability"
UP, OVERDUE, DOWN = State.UP, State.OVERDUE, State.DOWN
NOW = time.time()


async def put(world, name, *changes, family=None, unseen=()):
    """changes: (hours ago, state)."""
    host = world.hosts.get(name) or await world.enrol(name)
    transitions = [
        Transition(host.id, family, State.UNKNOWN, state, NOW - hours * 3600, f"is {state}") for hours, state in changes
    ]
    times = [Unseen(NOW - since * 3600, NOW - until * 3600, restarted) for since, until, restarted in unseen]
    await world.store.record(Turn(transitions=transitions, unseen=times))
    return host


async def test_a_host_is_told_with_seconds_percent_and_outages(world: World, api: Api) -> None:
    await put(world, "web1", (10, UP), (4, DOWN), (3, UP))
    answer = await asked(api, f"{HERE}?from={NOW - 8 * 3600}&to={NOW}")
    told = answer["availability"]
    assert (told["up"], told["down"], told["unknown"]) == (7 * 3600, 3600, 0)
    assert (told["percent"], told["outages"], told["longest"], told["mean_time_to_repair"]) == (87.5, 1, 3600, 3600)
    (outage,) = answer["outages"]
    assert (outage["start"], outage["reason"], outage["over"]) == (pytest.approx(NOW - 4 * 3600), "is DOWN", True)


async def test_a_family_is_told_apart(world: World, api: Api) -> None:
    await put(world, "web1", (10, UP))
    await put(world, "web1", (10, UP), (2, DOWN), family=Family.IPV6)
    answer = await asked(api, f"{HERE}?from={NOW - 4 * 3600}&to={NOW}")
    assert answer["availability"]["percent"] == 100
    assert {name: told["percent"] for name, told in answer["families"].items()} == {"IPv6": 50}
    assert [outage["family"] for outage in answer["outages"]] == ["IPv6"]


async def test_the_time_in_which_hbd_was_stopped_is_left_out(world: World, api: Api) -> None:
    await put(world, "web1", (8, UP), (4, DOWN), unseen=[(3, 1, True)])
    told = (await asked(api, f"{HERE}?from={NOW - 8 * 3600}&to={NOW}"))["availability"]
    assert (told["up"], told["down"], told["unknown"]) == (4 * 3600, 3600, 3 * 3600)
    assert told["percent"] == 80


async def test_a_host_that_was_never_heard_has_no_percentage(world: World, api: Api) -> None:
    await world.enrol("web1")
    answer = await asked(api, HERE)
    assert answer["availability"]["percent"] is None
    assert answer["availability"]["unknown"] == pytest.approx(30 * 86_400, abs=1)


async def test_the_formula_is_told_in_words(world: World, api: Api) -> None:
    await world.enrol("web1")
    assert "(up + overdue) / (up + overdue + down)" in (await asked(api, HERE))["formula"]


async def test_the_future_is_left_out(world: World, api: Api) -> None:
    await put(world, "web1", (1, UP))
    answer = await asked(api, f"{HERE}?from=now-1h&to={NOW + 86_400}")
    assert answer["to"] <= time.time()


@pytest.mark.parametrize(
    "asked_for",
    ["from=now-1h&to=now-2h", pytest.param(f"from={NOW + 86_400}", id="from tomorrow on"), "from=yesterday"],
)
async def test_a_span_that_is_none_is_refused(world: World, api: Api, asked_for: str) -> None:
    await world.enrol("web1")
    status, error = await refused(api, f"{HERE}?{asked_for}")
    assert status == 400
    assert "from" in error


async def test_outages_come_newest_first_in_pages(world: World, api: Api) -> None:
    changes = [(hours, DOWN if hours % 2 else UP) for hours in range(20, 0, -1)]
    await put(world, "web1", *changes)
    await put(world, "web1", *changes, family=Family.IPV4)
    seen, before = [], ""
    while True:
        answer = await asked(api, f"{HERE}?from=now-1d&limit=3{before}")
        seen += answer["outages"]
        if answer["next"] is None:
            break
        before = f"&before={answer['next']!r}"
    starts = [outage["start"] for outage in seen]
    assert starts == sorted(starts, reverse=True)
    assert len({(outage["start"], outage["family"]) for outage in seen}) == len(seen) == 20


async def test_maintenance_windows_are_told_beside(world: World, api: Api) -> None:
    await put(world, "web1", (48, UP), (30, DOWN), (29, UP))
    start = time.strftime("%Y-%m-%dT%H:%M", time.gmtime(NOW - 30 * 3600 - 60))
    body = {"name": "move", "hosts": ["web*"], "start": start, "duration": "2h"}
    async with api.post("/api/0/windows", json=body) as answer:
        assert answer.status == 201, await answer.text()
    about_metrics = body | {"name": "noise", "metrics": ["cpu_monitor.*"]}
    async with api.post("/api/0/windows", json=about_metrics) as answer:
        assert answer.status == 201, await answer.text()
    told = (await asked(api, f"{HERE}?from={NOW - 40 * 3600}&to={NOW}"))["availability"]
    assert (told["planned"], told["planned_down"], told["down"]) == (7200, 3600, 3600)
    assert told["percent"] == 97.5


async def window(api, **given):
    body = {"hosts": ["web*"], "start": "2000-01-01T00:00", "duration": "1h", "repeat": "daily"} | given
    async with api.post("/api/0/windows", json=body) as answer:
        assert answer.status == 201, await answer.text()


async def test_maintenance_counts_from_when_on_a_host_is_known(world: World, api: Api) -> None:
    await put(world, "web1", (48, UP))
    await put(world, "web2", (24, UP))
    await window(api, name="nightly")
    told = (await asked(api, f"/api/0/availability?from=0&to={NOW}"))["hosts"]
    assert [one["availability"]["planned"] for one in told] == pytest.approx([7200, 3600], abs=1)


async def test_windows_since_long_ago_cost_as_much_as_what_is_known(
    world: World, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(availability, "MAX_PLANNED", 50)
    await put(world, "web1", (48, UP))
    for number in range(5):
        await window(api, name=f"nightly{number}")
    assert (await asked(api, f"{HERE}?from=0&to={NOW}"))["availability"]["planned"] == pytest.approx(7200, abs=1)


async def test_maintenance_that_comes_back_too_often_is_not_counted(
    world: World, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(availability, "MAX_PLANNED", 20)
    await put(world, "web1", (600, UP), (30, DOWN), (29, UP))
    await put(world, "db1", (600, UP))
    await window(api, name="nightly")
    yesterday = time.strftime("%Y-%m-%dT%H:%M", time.gmtime(NOW - 86_400))
    await window(api, name="move", hosts=["db*"], repeat="once", start=yesterday)
    answer = await asked(api, f"{HERE}?from=0&to={NOW}")
    told = answer["availability"]
    assert (told["planned"], told["planned_down"], answer["outages"][0]["planned"]) == (None, None, None)
    assert told["down"] == pytest.approx(3600)
    last_day = (await asked(api, f"{HERE}?from={NOW - 86_400}&to={NOW}"))["availability"]
    assert last_day["planned"] == pytest.approx(3600, abs=1)
    fleet = (await asked(api, f"/api/0/availability?from=0&to={NOW}"))["hosts"]
    assert [(one["host"], one["availability"]["planned"]) for one in fleet] == [("db1", 3600), ("web1", None)]


async def test_windows_of_other_hosts_are_not_looked_at(
    world: World, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(availability, "MAX_PLANNED", 20)
    await put(world, "web1", (600, UP))
    await window(api, name="nightly", hosts=["db*"])
    assert (await asked(api, HERE))["availability"]["planned"] == 0


async def test_the_page_of_a_host_says_what_is_not_counted(
    world: World, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(availability, "MAX_PLANNED", 20)
    await put(world, "web1", (600, UP))
    await window(api, name="nightly")
    async with api.get("/agent/web1?tab=availability") as answer:
        assert (answer.status, (await answer.text()).count("not counted")) == (200, 4)


async def test_all_hosts_are_told_by_name_in_pages(world: World, api: Api) -> None:
    for name in ("web3", "Web1", "web2"):
        await put(world, name, (2, UP))
    first = await asked(api, "/api/0/availability?from=now-1h&limit=2")
    assert [one["host"] for one in first["hosts"]] == ["Web1", "web2"]
    rest = await asked(api, f"/api/0/availability?from=now-1h&limit=2&after={first['next']}")
    assert ([one["host"] for one in rest["hosts"]], rest["next"]) == (["web3"], None)
    assert rest["hosts"][0]["availability"]["percent"] == 100


async def test_only_hosts_that_one_sees_are_told(world: World, api: Api) -> None:
    await put(world, "web1", (2, UP))
    await put(world, "web2", (2, UP))
    await world.user("vera")
    await world.configure(Config(hosts={"web2": HostConfig(monitors=("vera",))}))
    headers = {"Authorization": f"Bearer {await world.session('vera')}"}
    async with api.get("/api/0/availability", headers=headers) as answer:
        assert [one["host"] for one in (await answer.json())["hosts"]] == ["web2"]
