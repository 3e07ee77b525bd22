"""Text 000: the report of a HitFlow-style agent."""

import json
from typing import Any

import pytest
from foreign_agent import ForeignAgent
from world import Api, World

from hbd.errors import StorageError
from hbd.hosts import Host
from hbd.model import State

MEMORY = {"available": 4096, "total": 16384, "used": 12288}
REPORT: dict[str, Any] = {
    "operating_system": "Debian GNU/Linux 12",
    "uptime": 86400,
    "load_average": [0.5, 0.25, 1.0],
    "cpu": 12.5,
    "memory": MEMORY,
    "swap": {"available": 1536, "total": 2048, "used": 512},
    "storage": [{"name": "/", "total": 100, "used": 25}, {"name": "/srv", "total": 1000, "used": 999}],
    "process": [["nginx", "www-data", 1.5, 120], ["mariadbd", "mysql", "S", 20.25, 4096], ["idle", "root", 0, 0]],
}
NUMBER, WHOLE, TEXT, LIST = "must be a number", "must be a whole number", "must be a text", "must be a list"
SIZE = "must be between 0 and 1048576"


class Agent(ForeignAgent):
    """An agent of that system on the host web1. answer: headers of the last one."""

    def __init__(self, api: Api, world: World, host: Host, key: str) -> None:
        super().__init__(api, world, host, key)
        self.headers = {"HitFlow-Agent-Server": str(host.id), "HitFlow-Agent-Token": key}
        self.answer: dict[str, str] = {}

    async def post(self, report: Any, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        sent = self.headers if headers is None else headers
        body = report if isinstance(report, bytes) else json.dumps(report)
        async with self.api.post("/agent/v1/report", data=body, headers=sent) as answer:
            self.answer = dict(answer.headers)
            return answer.status, await answer.json()

    async def wrong(self, report: Any) -> dict[str, str]:
        """What is wrong with a report that is refused."""
        status, body = await self.post(report)
        assert (status, body["error"]) == (400, 21101)
        assert self.data("cpu_monitor") is None
        found: dict[str, str] = body["input"]
        return found


@pytest.fixture(name="agent")
async def an_agent(api: Api, world: World) -> Agent:
    host = await world.enrol("web1")
    return Agent(api, world, host, await world.key(host))


async def test_a_report_is_taken(agent: Agent) -> None:
    assert await agent.post(REPORT) == (200, {"error": 0, "msg": "the report was taken"})
    assert agent.data("os_info") == {"os": "Debian GNU/Linux 12", "uptime_seconds": 86400}
    assert agent.data("cpu_monitor") == {"cpu_percent": 12.5, "load_1min": 0.5, "load_5min": 0.25, "load_15min": 1.0}
    assert agent.data("memory_monitor") == {
        "percent": 75.0,
        "total_mb": 16384,
        "available_mb": 4096,
        "used_mb": 12288,
        "swap_percent": 25.0,
        "swap_total_mb": 2048,
        "swap_used_mb": 512,
    }
    assert agent.data("disk_monitor") == {
        "/": {"percent": 25.0, "total_gb": 100, "used_gb": 25, "free_gb": 75},
        "/srv": {"percent": 99.9, "total_gb": 1000, "used_gb": 999, "free_gb": 1},
    }


async def test_processes_are_taken_with_four_members_and_with_five(agent: Agent) -> None:
    await agent.post(REPORT)
    nginx = {"name": "nginx", "user": "www-data", "cpu_percent": 1.5, "memory_mb": 120, "memory_percent": 0.7}
    maria = {"name": "mariadbd", "user": "mysql", "cpu_percent": 20.25, "memory_mb": 4096, "memory_percent": 25.0}
    assert agent.data("process_monitor") == {"listed": 3, "top_cpu": [maria, nginx], "top_memory": [maria, nginx]}


@pytest.mark.parametrize("server", ["web1", "WEB1", "1"])
async def test_the_server_is_named_by_its_number_or_its_name(agent: Agent, server: str) -> None:
    assert agent.host.id == 1
    assert (await agent.post(REPORT, agent.headers | {"HitFlow-Agent-Server": server}))[0] == 200


@pytest.mark.parametrize("missing", ["HitFlow-Agent-Server", "HitFlow-Agent-Token"])
async def test_a_missing_header_is_10000(agent: Agent, missing: str) -> None:
    for headers in ({name: value for name, value in agent.headers.items() if name != missing}, {missing: " "}, {}):
        status, body = await agent.post(REPORT, headers)
        assert (status, body["error"]) == (401, 10000)
        assert isinstance(body["msg"], str)


@pytest.mark.parametrize(
    "change",
    [
        {"HitFlow-Agent-Server": "2"},
        {"HitFlow-Agent-Server": "web2"},
        {"HitFlow-Agent-Server": "99999999999999999999999"},
        {"HitFlow-Agent-Token": "0" * 64},
        {"HitFlow-Agent-Token": "wrong"},
        {"HitFlow-Agent-Token": "x" * 4000},
    ],
)
async def test_a_wrong_header_is_22036(agent: Agent, world: World, change: dict[str, str]) -> None:
    await world.enrol("web2")
    status, body = await agent.post(REPORT, agent.headers | change)
    assert (status, body["error"]) == (401, 22036)


async def test_the_token_of_another_server_is_22036(agent: Agent, world: World) -> None:
    other = await world.key(await world.enrol("web2"))
    status, body = await agent.post(REPORT, agent.headers | {"HitFlow-Agent-Token": other})
    assert (status, body["error"]) == (401, 22036)


async def test_a_server_that_is_switched_off_is_22038_and_nothing_is_logged(agent: Agent) -> None:
    agent.host.enabled = False
    status, body = await agent.post(REPORT)
    assert (status, body["error"]) == (403, 22038)
    assert agent.data("cpu_monitor") is None
    assert await agent.world.report_log.recent(agent.host, 10) == []


async def test_a_report_that_comes_too_early_is_22037_and_says_when(agent: Agent) -> None:
    agent.host.min_report_interval = 60.0
    assert (await agent.post(REPORT))[0] == 200
    agent.later(10)
    status, body = await agent.post(REPORT)
    assert (status, body["error"], agent.answer["Retry-After"]) == (429, 22037, "50")
    agent.later(50)
    assert (await agent.post(REPORT))[0] == 200


async def test_a_report_that_was_not_taken_makes_none_too_early(agent: Agent) -> None:
    agent.host.min_report_interval = 60.0
    assert (await agent.post(REPORT | {"cpu": 101}))[0] == 400
    assert (await agent.post(REPORT))[0] == 200


async def test_a_disk_that_does_not_take_it_asks_to_come_again(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    agent.host.min_report_interval = 60.0

    async def full(turn: object) -> None:
        raise StorageError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(agent.world.store, "record", full)
        status, body = await agent.post(REPORT)
    assert (status, body["error"], agent.answer["Retry-After"]) == (503, 503, "5")
    assert (await agent.post(REPORT))[0] == 200


@pytest.mark.parametrize("field", sorted(REPORT))
async def test_every_attribute_is_needed(agent: Agent, field: str) -> None:
    report = {name: value for name, value in REPORT.items() if name != field}
    assert await agent.wrong(report) == {field: "is required"}
    assert await agent.wrong(REPORT | {field: None}) == {field: "is required"}


@pytest.mark.parametrize("part", ["memory", "swap"])
@pytest.mark.parametrize("field", ["available", "total", "used"])
async def test_every_attribute_of_memory_is_needed_and_within_limits(agent: Agent, part: str, field: str) -> None:
    sizes = {name: value for name, value in MEMORY.items() if name != field}
    path = f"{part}.{field}"
    assert await agent.wrong(REPORT | {part: sizes}) == {path: "is required"}
    for value, reason in ((-1, SIZE), (1048577, SIZE), (1.5, WHOLE), ("1", WHOLE), (True, WHOLE)):
        assert await agent.wrong(REPORT | {part: MEMORY | {field: value}}) == {path: reason}


LOAD = "load_average"


@pytest.mark.parametrize(
    ("field", "value", "path", "reason"),
    [
        ("operating_system", "", "operating_system", "must have 1 to 32 characters"),
        ("operating_system", "x" * 33, "operating_system", "must have 1 to 32 characters"),
        ("operating_system", 12, "operating_system", TEXT),
        ("uptime", -1, "uptime", "must be between 0 and 157680000"),
        ("uptime", 157680001, "uptime", "must be between 0 and 157680000"),
        ("uptime", 1.5, "uptime", WHOLE),
        ("uptime", "1", "uptime", WHOLE),
        (LOAD, [1, 2], LOAD, "must have 3 entries"),
        (LOAD, [1, 2, 3, 4], LOAD, "must have 3 entries"),
        (LOAD, 1.0, LOAD, LIST),
        (LOAD, [1, -0.1, 3], "load_average.1", "must be between 0 and 100"),
        (LOAD, [1, 2, 100.1], "load_average.2", "must be between 0 and 100"),
        (LOAD, ["1", 2, 3], "load_average.0", NUMBER),
        ("cpu", -1, "cpu", "must be between 0 and 100"),
        ("cpu", 100.5, "cpu", "must be between 0 and 100"),
        ("cpu", "12", "cpu", NUMBER),
        ("memory", [], "memory", "must be an object"),
        ("swap", 5, "swap", "must be an object"),
        ("storage", [], "storage", "must have 1 to 32 entries"),
        ("storage", [{"name": "/", "total": 1, "used": 1}] * 33, "storage", "must have 1 to 32 entries"),
        ("storage", {}, "storage", LIST),
        ("storage", ["/"], "storage.0", "must be an object"),
        ("storage", [{"name": "", "total": 1, "used": 1}], "storage.0.name", "must have 1 to 256 characters"),
        ("storage", [{"name": "n" * 257, "total": 1, "used": 1}], "storage.0.name", "must have 1 to 256 characters"),
        ("storage", [{"name": "/", "total": 1048577, "used": 1}], "storage.0.total", SIZE),
        ("storage", [{"name": "/", "total": 1, "used": -1}], "storage.0.used", SIZE),
        ("storage", [{"name": "/", "total": 1}], "storage.0.used", "is required"),
        ("process", [["sh", "root", 1, 1]] * 101, "process", "must have at most 100 entries"),
        ("process", {}, "process", LIST),
        ("process", ["sh"], "process.0", "must be a list of name, user, CPU and memory"),
        ("process", [["sh", "root", 1]], "process.0", "must be a list of name, user, CPU and memory"),
        ("process", [["sh", "root", 1, 2, 3, 4]], "process.0", "must be a list of name, user, CPU and memory"),
        ("process", [["", "root", 1, 1]], "process.0.0", "must have 1 to 96 characters"),
        ("process", [["s" * 97, "root", 1, 1]], "process.0.0", "must have 1 to 96 characters"),
        ("process", [["sh", "", 1, 1]], "process.0.1", "must have 1 to 48 characters"),
        ("process", [["sh", "r" * 49, 1, 1]], "process.0.1", "must have 1 to 48 characters"),
        ("process", [["sh", "root", 100.1, 1]], "process.0.2", "must be between 0 and 100"),
        ("process", [["sh", "root", None, -1, 1]], "process.0.3", "must be between 0 and 100"),
        ("process", [["sh", "root", 1, 1048577]], "process.0.3", SIZE),
        ("process", [["sh", "root", 7, 1, 1.5]], "process.0.4", WHOLE),
    ],
)
async def test_what_is_beyond_a_limit_is_21101_with_its_path(
    agent: Agent, field: str, value: Any, path: str, reason: str
) -> None:
    assert await agent.wrong(REPORT | {field: value}) == {path: reason}


async def test_the_limits_themselves_are_taken(agent: Agent) -> None:
    most, least = {"available": 1048576, "total": 1048576, "used": 1048576}, {"available": 0, "total": 0, "used": 0}
    disk = {"total": 1048576, "used": 1048576}
    report = {
        "operating_system": "x" * 32,
        "uptime": 157680000,
        "load_average": [0, 100, 100.0],
        "cpu": 100,
        "memory": most,
        "swap": least,
        "storage": [{"name": f"{number:0256}"} | disk for number in range(32)],
        "process": [["p" * 96, "u" * 48, 100, 1048576]] * 100,
    }
    assert (await agent.post(report))[0] == 200
    assert (await agent.post(report | {"process": [], "storage": report["storage"][:1], "uptime": 0}))[0] == 200  # type: ignore[index]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"cpu=1&uptime=2", b"[" * 100_000])
async def test_a_body_that_is_no_json_is_21101(agent: Agent, body: bytes) -> None:
    assert (await agent.wrong(body)).keys() == {"body"}


async def test_a_body_that_is_too_long_is_a_413_in_the_same_words(agent: Agent) -> None:
    status, body = await agent.post(b" " * 300_000)
    assert (status, body["error"]) == (413, 21101)


async def test_five_minutes_of_silence_are_down(agent: Agent) -> None:
    await agent.post(REPORT)
    agent.later(299)
    assert agent.state is State.OVERDUE
    agent.later(2)
    assert agent.state is State.DOWN


async def test_who_may_report_seldom_is_not_missed_meanwhile(agent: Agent) -> None:
    agent.host.min_report_interval = 600.0
    await agent.post(REPORT)
    agent.later(599)
    assert agent.state is State.UP


async def test_the_report_log_has_what_was_sent_and_answered(agent: Agent) -> None:
    await agent.post(REPORT)
    await agent.post(b"cpu=1")
    text, good = await agent.world.report_log.recent(agent.host, 10)
    assert (good.receiver, good.status, good.request, good.answer["error"]) == ("hitflow", 200, REPORT, 0)
    assert (text.status, text.request, text.answer["input"]) == (400, "cpu=1", {"body": "is not JSON"})


async def test_the_counters_of_strangers_fill_no_log(agent: Agent) -> None:
    await agent.post(REPORT, agent.headers | {"HitFlow-Agent-Token": "0" * 64})
    assert await agent.world.report_log.recent(agent.host, 10) == []


async def test_what_came_too_early_can_be_looked_at(agent: Agent) -> None:
    agent.host.min_report_interval = 600
    for _ in range(2):
        await agent.post(REPORT)
    (early, _) = await agent.world.report_log.recent(agent.host, 2)
    assert (early.status, early.request) == (429, REPORT)


async def test_who_may_not_report_now_is_told_so_whatever_was_sent(agent: Agent) -> None:
    agent.host.min_report_interval = 600
    await agent.post(REPORT)
    assert (await agent.post(b"{"))[0] == 429
