"""Text 001: the report of a Monitron-style agent."""

import json
from typing import Any

import pytest
from foreign_agent import ForeignAgent
from world import WALL, Api, World

from hbd.config import Config
from hbd.config.structs import Limits, Threshold, Thresholds
from hbd.model import State
from hbd.rules import RuleBook

REPORT = {
    "cpu_usage": 23.5,
    "cpu_iowait": 1.2,
    "memory_usage": 67.4,
    "memory_total_mb": 8192,
    "swap_usage": 5.0,
    "disk_usage": [{"mount": "/", "usage": 45, "size": "50G", "used": "22G", "avail": "28G"}],
    "network_rx_bytes": 1234567890,
    "network_tx_bytes": 987654321,
    "load_1m": 0.5,
    "load_5m": 0.3,
    "load_15m": 0.2,
    "os": "Ubuntu 24.04 LTS",
    "hostname": "web-server-1",
    "kernel": "6.5.0-44-generic",
}
NEEDED = {"cpu_usage": 1, "memory_usage": 2, "disk_usage": []}


class Agent(ForeignAgent):
    """An agent of that system on the host web1."""

    async def post(self, report: Any, **changes: Any) -> tuple[int, Any]:
        body = {"agent_key": self.key} | report | changes
        async with self.api.post("/agent/report", json=body) as answer:
            return answer.status, await answer.json()


@pytest.fixture(name="agent")
async def an_agent(api: Api, world: World) -> Agent:
    host = await world.enrol("web1")
    return Agent(api, world, host, await world.key(host))


async def test_the_example_of_the_text_is_taken(agent: Agent) -> None:
    assert await agent.post(REPORT) == (200, {"status": "ok"})
    assert agent.data("cpu_monitor") == {
        "cpu_percent": 23.5,
        "iowait_percent": 1.2,
        "load_1min": 0.5,
        "load_5min": 0.3,
        "load_15min": 0.2,
    }
    assert agent.data("memory_monitor") == {
        "percent": 67.4,
        "total_mb": 8192,
        "used_mb": 5521.4,
        "available_mb": 2670.6,
        "swap_percent": 5.0,
    }
    assert agent.data("disk_monitor") == {"/": {"percent": 45.0, "total_gb": 50.0, "used_gb": 22.0, "free_gb": 28.0}}
    assert agent.data("os_info") == {
        "os": "Ubuntu 24.04 LTS",
        "kernel": "6.5.0-44-generic",
        "hostname": "web-server-1",
    }
    assert agent.data("network_monitor") == {"total": {"rx_bytes": 1234567890, "tx_bytes": 987654321}}


async def test_the_host_is_up_at_once_under_its_own_name(agent: Agent) -> None:
    await agent.post(REPORT)
    view = agent.world.presence.view(agent.host.id)
    assert view is not None
    assert (view.state, [link.family for link in view.connections]) == (State.UP, ["IPv4"])
    assert agent.world.hosts.get("web-server-1") is None
    assert agent.host.os == "Ubuntu 24.04 LTS"


async def test_what_is_needed_is_enough(agent: Agent) -> None:
    assert (await agent.post(NEEDED))[0] == 200
    assert agent.data("cpu_monitor") == {"cpu_percent": 1.0}
    assert agent.data("os_info") is agent.data("disk_monitor") is agent.data("network_monitor") is None


async def test_optional_fields_may_be_null(agent: Agent) -> None:
    report = dict.fromkeys(REPORT) | NEEDED | {"disk_usage": [{"mount": "/", "usage": 3, "size": None}]}
    assert (await agent.post(report))[0] == 200
    assert agent.data("disk_monitor") == {"/": {"percent": 3.0}}


async def test_counters_become_rates_beside_what_was_sent(agent: Agent) -> None:
    await agent.post(REPORT)
    agent.later(10)
    await agent.post(REPORT, network_rx_bytes=1234567890 + 5000, network_tx_bytes=987654321)
    assert agent.data("network_monitor")["total"] == {
        "rx_bytes": 1234572890,
        "tx_bytes": 987654321,
        "rx_bytes_per_second": 500.0,
        "tx_bytes_per_second": 0.0,
    }


async def test_alert_levels_can_be_read_when_the_answer_is_there(agent: Agent) -> None:
    agent.world.pipeline.rules = RuleBook(
        {"default": Thresholds({("cpu_monitor", "cpu_percent"): Threshold(warning=50.0, critical=90.0)})}
    )
    await agent.post(REPORT, cpu_usage=99)
    (alert,) = agent.world.alerts.not_ok()
    assert (alert.path, str(alert.level)) == ("cpu_monitor.cpu_percent", "CRITICAL")


@pytest.mark.parametrize("field", ["agent_key", "cpu_usage", "memory_usage", "disk_usage"])
@pytest.mark.parametrize("null", [False, True])
async def test_a_needed_field_that_is_missing_is_a_422_that_names_it(agent: Agent, field: str, null: bool) -> None:
    report = {"agent_key": agent.key} | NEEDED
    report[field] = None
    async with agent.api.post("/agent/report", data=json.dumps(report if null else without(report, field))) as answer:
        body = await answer.json()
    assert (answer.status, body["errors"]) == (422, {field: ["is required"]})
    assert body["message"] == f"{field}: is required"


def without(report: dict[str, Any], field: str) -> dict[str, Any]:
    return {name: value for name, value in report.items() if name != field}


@pytest.mark.parametrize("field", ["mount", "usage"])
async def test_a_needed_field_of_a_disk_is_named_by_its_place(agent: Agent, field: str) -> None:
    disks = [{"mount": "/", "usage": 1}, without({"mount": "/srv", "usage": 1}, field)]
    status, body = await agent.post(NEEDED, disk_usage=disks)
    assert (status, body["errors"]) == (422, {f"disk_usage.1.{field}": ["is required"]})


PERCENT = "must be between 0 and 100"


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("cpu_usage", -0.1, PERCENT),
        ("cpu_usage", 100.1, PERCENT),
        ("cpu_usage", "23.5", "must be a number"),
        ("cpu_usage", True, "must be a number"),
        ("cpu_usage", [], "must be a number"),
        ("memory_usage", 101, PERCENT),
        ("memory_usage", {}, "must be a number"),
        ("disk_usage", {}, "must be a list"),
        ("disk_usage", "/", "must be a list"),
        ("disk_usage", [{"mount": "/", "usage": 1}] * 257, "must have at most 256 entries"),
        ("cpu_iowait", "1", "must be a number"),
        ("cpu_iowait", 101, PERCENT),
        ("swap_usage", -1, PERCENT),
        ("swap_usage", "none", "must be a number"),
        ("memory_total_mb", 8192.5, "must be a whole number"),
        ("memory_total_mb", "8192", "must be a whole number"),
        ("memory_total_mb", -1, "must be between 0 and 9.22337203685478e+18"),
        ("network_rx_bytes", 1.5, "must be a whole number"),
        ("network_tx_bytes", False, "must be a whole number"),
        ("network_tx_bytes", 10**30, "must be between 0 and 9.22337203685478e+18"),
        ("load_1m", "0.5", "must be a number"),
        ("load_5m", -1, "must be between 0 and 1000000"),
        ("load_15m", [1], "must be a number"),
        ("os", 24, "must be a text"),
        ("hostname", ["web"], "must be a text"),
        ("kernel", "6" * 256, "must have at most 255 characters"),
        ("os", "Ubuntu\0", "has characters that no text has"),
        ("agent_key", "your-agent-key-here", "is no agent key: those have 64 hexadecimal digits"),
        ("agent_key", 7, "must be a text"),
        ("agent_key", "", "is no agent key: those have 64 hexadecimal digits"),
    ],
)
async def test_a_wrong_field_is_a_422_that_says_why_and_nothing_is_stored(
    agent: Agent, field: str, value: Any, reason: str
) -> None:
    status, body = await agent.post(REPORT, **{field: value})
    assert (status, body["errors"]) == (422, {field: [reason]})
    assert agent.data("cpu_monitor") is agent.data("os_info") is None


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("mount", "", "must have 1 to 256 characters"),
        ("mount", "m" * 257, "must have 1 to 256 characters"),
        ("mount", 1, "must be a text"),
        ("usage", 100.5, PERCENT),
        ("usage", "45", "must be a number"),
        ("size", 50, "must be a text"),
        ("used", "much", "is no size such as 50G"),
        ("avail", "1" * 33, "must have at most 32 characters"),
    ],
)
async def test_a_wrong_field_of_a_disk_is_named(agent: Agent, field: str, value: Any, reason: str) -> None:
    status, body = await agent.post(NEEDED, disk_usage=[{"mount": "/", "usage": 1, field: value}])
    assert (status, body["errors"]) == (422, {f"disk_usage.0.{field}": [reason]})


async def test_all_that_is_wrong_is_told_at_once(agent: Agent) -> None:
    status, body = await agent.post(NEEDED, cpu_usage=101, disk_usage=["/"], load_1m="x")
    assert status == 422
    assert body["errors"].keys() >= {"cpu_usage", "disk_usage.0", "load_1m"}
    assert "more)" in body["message"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[]", "must be an object"),
        (b"null", "must be an object"),
        (b"[" * 100_000, "is nested too deeply"),
    ],
)
async def test_a_body_that_is_no_report_is_a_422(agent: Agent, body: bytes, reason: str) -> None:
    async with agent.api.post("/agent/report", data=body) as answer:
        assert (answer.status, (await answer.json())["errors"]) == (422, {"body": [reason]})


async def test_a_value_that_json_has_no_word_for_is_named(agent: Agent) -> None:
    text = json.dumps({"agent_key": agent.key} | NEEDED | {"load_1m": float("nan"), "load_5m": float("inf")})
    async with agent.api.post("/agent/report", data=text) as answer:
        wrong = (await answer.json())["errors"]
    assert wrong == {"load_1m": ["must be a number"], "load_5m": ["must be a number"]}


async def test_a_body_that_is_too_long_is_a_413(agent: Agent) -> None:
    assert (await agent.post(NEEDED, os="x" * 300_000))[0] == 413


async def test_a_well_formed_key_that_nobody_has_is_a_404(agent: Agent) -> None:
    assert await agent.post(REPORT, agent_key="0" * 64) == (404, {"message": "nobody has this agent key"})


async def test_a_key_that_was_revoked_is_a_404(agent: Agent) -> None:
    await agent.world.enrolment.revoke(agent.world.hosts.require("web1"))
    assert (await agent.post(REPORT))[0] == 404


async def test_the_media_type_does_not_matter(agent: Agent) -> None:
    body = json.dumps({"agent_key": agent.key} | REPORT)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}  # what curl -d says
    async with agent.api.post("/agent/report", data=body, headers=headers) as answer:
        assert answer.status == 200


async def test_a_host_that_is_switched_off_is_a_403(agent: Agent) -> None:
    agent.host.enabled = False
    status, body = await agent.post(REPORT)
    assert (status, body) == (403, {"message": "monitoring of this host is switched off"})
    assert agent.data("cpu_monitor") is None


async def test_a_report_that_comes_too_early_is_a_429_that_says_when(agent: Agent) -> None:
    agent.host.min_report_interval = 60.0
    assert (await agent.post(REPORT))[0] == 200
    agent.later(20)
    async with agent.api.post("/agent/report", json={"agent_key": agent.key} | REPORT) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "40")
    agent.later(40)
    assert (await agent.post(REPORT))[0] == 200


async def test_five_minutes_of_silence_are_down_and_less_is_not(agent: Agent) -> None:
    await agent.post(REPORT)
    agent.later(299)
    assert agent.state is State.OVERDUE
    agent.later(2)
    assert agent.state is State.DOWN


async def test_an_interval_in_the_config_times_the_silence(agent: Agent) -> None:
    agent.host.interval = 600.0
    await agent.post(REPORT)
    agent.later(590)
    assert agent.state is State.UP


async def test_the_report_log_has_what_was_sent_without_the_key(agent: Agent) -> None:
    await agent.post(REPORT)
    await agent.post(NEEDED, cpu_usage=200)
    async with agent.api.get("/api/0/hosts/web1/reports") as answer:
        body = await answer.json()
    wrong, good = body["reports"]
    assert body["hostname"] == "web1"
    assert good == {
        "receiver": "monitron",
        "time": WALL,
        "status": 200,
        "request": {"agent_key": "•••"} | REPORT,
        "answer": {"status": "ok"},
        "cut": False,
    }
    assert (wrong["status"], wrong["answer"]["errors"]) == (422, {"cpu_usage": [PERCENT]})
    assert agent.key not in json.dumps(body)


async def test_a_host_that_may_report_seldom_is_not_late_meanwhile(agent: Agent) -> None:
    agent.host.min_report_interval = 600
    await agent.post(NEEDED)
    agent.later(600)
    assert agent.state is State.UP
    agent.host.interval = 10
    await agent.post(NEEDED)
    agent.later(600)
    assert agent.state is State.UP


async def test_a_report_with_too_much_in_it_is_refused(agent: Agent) -> None:
    await agent.world.configure(Config(limits=Limits(max_metrics_per_report=10)))
    disks = [{"mount": f"/{number}", "usage": 1} for number in range(11)]
    status, answer = await agent.post(NEEDED, disk_usage=disks)
    assert (status, answer["errors"]) == (422, {"disk_monitor": ["more than 10 metrics in one report"]})
