"""GET /api/0/explain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from world import Api, World

from hbd.config import Config, load
from hbd.config.structs import ChannelSettings
from hbd.explanation import NoticeState
from hbd.hosts import Host
from hbd.model import Data, Level, Moment, Report, Sample
from hbd.rules import RuleBook
from hbd.store import Turn
from hbd.store.notices import Delivery, Item

PATH = "cpu_monitor.cpu_percent"
URL = f"/api/0/explain?host=web&metric={PATH}"
RULES = """
threshold_configs:
  default: {cpu_monitor: {cpu_percent: {warning: 80, critical: 90, display: CPU}}}
  database: {cpu_monitor: {cpu_percent: {warning: 95, for: 10m}}}
threshold_assignments:
  databases: {tags: database, config: database}
"""


async def judged(world: World, host: Host, data: Data, *, age: float = 0.0, seq: int = 1) -> None:
    """A sample that is stored, in memory and judged, as the pipeline does it."""
    at = world.now.wall - age
    sample = world.sample(host, "cpu_monitor", data, age=age)
    names = tuple(host.threshold_config)
    rules = RuleBook(world.parts.config.threshold_configs).of(names)
    plan = world.alerts.begin(Moment(at, world.now.mono - age))
    plan.judge(host.id, "cpu_monitor", rules.judge("cpu_monitor", data, lambda path: Level.OK), at, plan.now)
    plan.tick(plan.now)
    report = Report(host.id, "a" * 16, seq, (sample,), _body(sample))
    await world.store.record(Turn(reports=[(report, at)], alerts=plan.rows, gone=plan.gone, events=plan.events))
    world.alerts.adopt(plan)


def _body(sample: Sample) -> bytes:
    return msgspec.json.encode([{"plugin": sample.plugin, "time": sample.time, "data": sample.data}])


@pytest.fixture(name="web")
async def a_host(world: World, tmp_path: Path) -> Host:
    (tmp_path / "hbd.yaml").write_text(RULES)
    world.parts.config = load(tmp_path / "hbd.yaml")
    return await world.enrol("web")


async def explained(api: Api, url: str = URL) -> Any:
    answer = await api.get(url)
    assert answer.status == 200, await answer.text()
    return await answer.json()


async def test_all_parts_of_the_answer_are_there(api: Api, world: World, web: Host) -> None:
    await judged(world, web, {"cpu_percent": 85.0})
    found = await explained(api)
    assert found["hostname"] == "web"
    assert found["metric_path"] == PATH
    assert found["layers"] == [{"config": "default", "because": ""}]
    assert [(rule["config"], rule["applies"]) for rule in found["rules"]] == [
        ("default", True),
        ("default (shipped)", False),
        ("database", False),
    ]
    assert found["sample"] == {"time": world.now.wall, "value": 85.0}
    assert (found["alert"]["level"], found["alert"]["reason"]) == ("WARNING", "CPU 85 > 80")
    assert [(event["before"], event["after"]) for event in found["events"]] == [("OK", "WARNING")]
    assert found["deliveries"] == []
    assert "is WARNING since" in found["text"][0]


async def test_a_tag_brings_a_config_and_the_answer_says_so(api: Api, world: World, web: Host) -> None:
    web.tags = ["database"]
    found = await explained(api)
    assert found["layers"][-1] == {"config": "database", "because": "threshold_assignments.databases"}
    (rule,) = [rule for rule in found["rules"] if rule["applies"]]
    assert (rule["config"], rule["warning"], rule["for"]) == ("database", 95.0, 600.0)


async def test_what_was_then_is_told_with_the_sample_and_level_of_then(api: Api, world: World, web: Host) -> None:
    await judged(world, web, {"cpu_percent": 10.0}, age=300)
    await judged(world, web, {"cpu_percent": 95.0}, age=200, seq=2)
    await judged(world, web, {"cpu_percent": 20.0}, age=100, seq=3)
    found = await explained(api, f"{URL}&at={world.now.wall - 150}")
    assert found["sample"] == {"time": world.now.wall - 200, "value": 95.0}
    assert found["alert"]["level"] == "CRITICAL"
    assert [event["after"] for event in found["events"]] == ["CRITICAL"]


async def test_before_the_first_change_nothing_was_told(api: Api, world: World, web: Host) -> None:
    await judged(world, web, {"cpu_percent": 95.0}, age=200)
    found = await explained(api, f"{URL}&at={world.now.wall - 1000}")
    assert (found["sample"], found["alert"], found["events"]) == (None, None, [])


async def test_samples_that_memory_no_longer_holds_come_from_the_database(api: Api, world: World, web: Host) -> None:
    await judged(world, web, {"cpu_percent": 7.0}, age=500)
    for seq in range(2, 40):
        await judged(world, web, {"cpu_percent": 8.0}, age=400 - seq, seq=seq)
    for _ in range(2):
        found = await explained(api, f"{URL}&at={world.now.wall - 450}")
        assert found["sample"] == {"time": world.now.wall - 500, "value": 7.0}
        await world.store.samples.fold(world.now.wall + 1.0, 0.0, 0.0)


async def test_a_metric_that_nobody_knows_is_explained_too(api: Api, web: Host) -> None:
    found = await explained(api, "/api/0/explain?host=web&metric=nonsense.x")
    assert (found["rules"], found["sample"], found["alert"]) == ([], None, None)
    assert found["text"][0] == "nonsense.x of web is not judged: no threshold counts for it."


@pytest.mark.parametrize("slip", ["cpu", "cpu_monitor.cpu_precent"])
async def test_a_name_that_is_not_quite_one_leads_to_those_alike(api: Api, world: World, web: Host, slip: str) -> None:
    await judged(world, web, {"cpu_percent": 7.0})
    found = await explained(api, f"/api/0/explain?host=web&metric={slip}")
    assert found["similar"] == [PATH]
    assert found["text"][1] == f"What is judged of web and called alike: {PATH}."


async def test_names_with_dots_are_found(api: Api, world: World, web: Host) -> None:
    world.sample(web, "my.check", {"a.b": {"c": 5}})
    found = await explained(api, "/api/0/explain?host=web&metric=my.check.a.b.c")
    assert found["sample"]["value"] == 5.0


async def test_what_the_notifier_says_is_in_the_answer(api: Api, world: World, web: Host) -> None:
    class Told:
        def explain(self, host_id: int, path: str, at: float) -> list[NoticeState]:
            assert (host_id, path) == (web.id, PATH)
            return [NoticeState(channel="ops", why="owner", wanted=Level.WARNING)]

    world.parts.explainer.notices = Told()
    found = await explained(api)
    assert [notice["channel"] for notice in found["notices"]] == ["ops"]
    assert any("Channel ops (owner)" in sentence for sentence in found["text"])


async def test_an_unknown_host_is_not_found(api: Api, world: World) -> None:
    answer = await api.get(URL)
    assert (answer.status, await answer.json()) == (404, {"error": "Host 'web' not found"})


async def test_whoever_may_not_see_a_host_gets_no_explanation(api: Api, world: World, web: Host) -> None:
    await world.configure(Config())
    await world.user("eve")
    token = await world.session("eve")
    assert (await api.get(URL, headers={"Authorization": f"Bearer {token}"})).status == 403


@pytest.mark.parametrize(
    "query",
    ["host=web", f"metric={PATH}", "host=web&metric=", f"host=web&metric={PATH}&at=noon", "host=web&metric=x&at=-1"],
)
async def test_what_is_missing_or_wrong_is_refused(api: Api, web: Host, query: str) -> None:
    assert (await api.get(f"/api/0/explain?{query}")).status == 400


async def test_a_channel_that_is_private_is_not_named_to_others(world: World, api: Api, web: Host) -> None:
    await world.user("ann", "admin")
    await world.user("bob", "operator")
    settings = ChannelSettings(type="webhook", url="https://x.test", private=True)
    world.parts.config = msgspec.structs.replace(world.parts.config, notification_channels={"secret phone": settings})
    await world.channels.configure(world.parts.config)
    await world.store.notices.save(
        Delivery(
            time=world.now.wall - 5,
            channel="secret phone",
            outcome="sent",
            title="CRITICAL web: CPU",
            items=(Item(web.id, PATH, "p1", Level.CRITICAL, 1),),
        )
    )
    named = {}
    for name in ("ann", "bob"):
        answer = await api.get(URL, headers={"X-Auth-Token": await world.session(name)})
        named[name] = [one["channel"] for one in (await answer.json())["deliveries"]]
    assert named == {"ann": ["secret phone"], "bob": ["of somebody"]}
