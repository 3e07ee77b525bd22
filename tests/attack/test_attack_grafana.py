"""Odd questions to what Grafana asks: each is answered or refused."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from alarms import alarm
from stored_samples import keep
from world import WALL, Api, World

from hbd.rollups import Column

BASE = "/api/0/grafana"
ODD: list[Any] = [
    *("", "\x00", "(", ")", "((", "(a|", "{", "a.b\\", "\\", "*.*", "cpu_monitor.[", "cpu_monitor.[!]", "é.ü"),
    *("a" * 3000 + ".b", "cpu_monitor.*" * 50, "(a|b)" * 20, "hosts", "alerts", "alert_history", "cpu_monitor.*"),
    *("1e999", "-1", "now-99999999w", "9" * 50, "0001-01-01T00:00:00+14:00", "2026-11-21T00:00:00+99:99", "raw"),
    *(None, 1, 1e308, -5, [], {}, True, "now-1h", "now"),
]
SETTINGS = ("host", "tag", "of", "show", "aggregate", "top")
TABLES = ("hosts", "series", "latest", "alerts", "annotations", "metrics")
PARAMETERS = ["hosts", "tags", "metric", "from", "to", "interval", "of", "show", "aggregate", "top", "limit", "levels"]


async def furnish(world: World) -> random.Random:
    world.sample(await world.enrol("web1"), "cpu_monitor", {"cpu_percent": 1.0})
    return random.Random(7)


async def test_no_panel_makes_the_daemon_fail(api: Api, world: World) -> None:
    chance = await furnish(world)

    def odd(usual: Any) -> Any:
        return chance.choice(ODD) if chance.random() < 0.3 else usual

    for _ in range(400):
        body = {
            "range": {"from": odd("now-1h"), "to": odd("now")},
            "targets": [{"target": chance.choice(ODD), "payload": odd({name: odd("") for name in SETTINGS})}],
            "intervalMs": odd(1000),
            "maxDataPoints": odd(100),
            "adhocFilters": odd([{"key": odd("host"), "operator": odd("="), "value": odd("web1")}]),
        }
        async with api.post(f"{BASE}/query", json=body) as answer:
            assert answer.status < 500, body


async def test_no_table_makes_the_daemon_fail(api: Api, world: World) -> None:
    chance = await furnish(world)
    for _ in range(400):
        parameters = {name: str(chance.choice(ODD)) for name in PARAMETERS if chance.random() < 0.3}
        async with api.get(f"{BASE}/{chance.choice(TABLES)}", params=parameters) as answer:
            assert answer.status < 500, answer.url


def choices(*of: str) -> str:
    return f"({'|'.join(of)})"


THREE_GROUPS = "".join(choices(*(f"{group}{number}" for number in range(17))) for group in "abc")


@pytest.mark.parametrize(
    ("host", "error"),
    [
        ([THREE_GROUPS] * 250, "stands for too much"),
        ("()" * 40_000 + choices(*(str(number) for number in range(2000))), "at most 100 groups"),
        (",".join("a" * 100) + choices("a", "b") * 11, "stands for too much"),
        (["a"] * 2001, "expected array of length <= 2000"),
        ([f"web{number}*" for number in range(101)], "at most 100 patterns"),
    ],
)
async def test_a_small_question_that_stands_for_much_is_refused_with_its_field(api: Api, host: Any, error: str) -> None:
    async with api.post(f"{BASE}/variable", json={"payload": {"target": "hosts", "host": host}}) as answer:
        told = (await answer.json())["error"]
    assert (answer.status, told[: len(error) + 14]) == (400, f"payload.host: {error}")


async def test_the_same_choice_many_times_is_one(api: Api, world: World) -> None:
    await furnish(world)
    host = ["".join(choices(*"*" * 17) for _ in range(3))] * 250
    async with api.post(f"{BASE}/variable", json={"payload": {"target": "hosts", "host": host}}) as answer:
        assert [each["__value"] for each in await answer.json()] == ["web1"]


async def test_what_all_targets_of_a_panel_stand_for_is_counted_together(api: Api, world: World) -> None:
    await furnish(world)
    targets = [{"target": "hosts", "payload": {"tag": THREE_GROUPS}} for _ in range(26)]
    async with api.post(f"{BASE}/query", json={"range": {"from": "now-1h", "to": "now"}, "targets": targets}) as answer:
        error = (await answer.json())["error"]
    assert answer.status == 400
    assert error.endswith("].payload.tag: stands for too much, with what else is asked for")


async def put(world: World, metrics: int) -> None:
    """One sample that old that it is told as rollups."""
    host, at = await world.enrol("big"), time.time() - 7200
    await keep(world.store, host, "own", {at: {f"m{number}": number for number in range(metrics)}})


@pytest.mark.parametrize(
    ("path", "metrics", "error"),
    [
        (f"{BASE}/series?metric=own.*&interval=1m&from=now-7d", 600, "would be too many points"),
        (f"{BASE}/series?metric=own.*&interval=1h&from=now-1d", 600, "names more than 500 series"),
        ("/api/0/hosts/big/history?metric=own.*&step=1m&from=now-7d", 60, "would be too many points"),
        ("/api/0/hosts/big/history?metric=own.*&step=raw", 600, "names more than 500 series"),
    ],
)
async def test_a_pattern_that_means_too_much_is_refused_before_points_are_made(
    api: Api, world: World, monkeypatch: pytest.MonkeyPatch, path: str, metrics: int, error: str
) -> None:
    await put(world, metrics)
    made: list[Column] = []
    monkeypatch.setattr(Column, "buckets", made.append)
    async with api.get(path) as answer:
        told = (await answer.json())["error"]
    assert (answer.status, told[: len(error) + 8], made) == (400, f"metric: {error}", [])


async def annotated(api: Api, annotation: dict[str, Any]) -> Any:
    body = {"range": {"from": int(WALL) * 1000, "to": int(WALL + 60) * 1000}, "annotation": annotation}
    async with api.post(f"{BASE}/annotations", json=body) as answer:
        return answer.status, await answer.json()


async def test_of_an_annotation_only_what_tells_it_from_others_comes_back(api: Api, world: World) -> None:
    await alarm(world, await world.enrol("web1"))
    status, (span,) = await annotated(api, {"name": "wrong", "enable": True, "other": "x" * 100_000})
    assert (status, span["annotation"]) == (200, {"name": "wrong", "enable": True})


@pytest.mark.parametrize("name", ["name", "datasource", "query"])
async def test_an_annotation_that_is_too_long_to_come_back_is_refused(api: Api, world: World, name: str) -> None:
    await world.enrol("web1")
    status, told = await annotated(api, {name: "x" * 4000})
    assert (status, told["error"][:33]) == (400, "annotation: more than 4,000 bytes")
