"""Odd questions to what Grafana asks: each is answered or refused."""

from __future__ import annotations

import random
from typing import Any

from world import Api, World

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
