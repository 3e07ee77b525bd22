from __future__ import annotations

import asyncio
import json
import logging
import math
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import pytest
from websockets.asyncio.server import ServerConnection, serve

from hbc.agent import PAYLOAD_BYTES, Agent
from hbc.config import Config, HeartbeatConfig
from hbc.identity import Identity, KeyProblem, read_key, state_directory, write_private
from hbc.spool import Spool
from hbc.wire import (
    HEARTBEAT_PORT,
    MAX_FRAME_BYTES,
    MAX_SAMPLE_BYTES,
    MAX_SAMPLES_PER_REPORT,
    Welcome,
    WireSample,
    daemon_proof,
    key_hash,
)

KEY = "0123456789abcdef" * 4
QUIET = ("cpu_monitor", "disk_monitor", "network_monitor", "process_monitor", "temperature", "os_info", "agent_monitor")
PLUGINS: dict[str, Any] = dict.fromkeys(QUIET, False)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


def agent_in(path: Path, server: str = "http://127.0.0.1:9", **options: Any) -> Agent:
    settings: dict[str, Any] = {"name": "web1", "plugins": PLUGINS, "heartbeat": HeartbeatConfig(port=0)} | options
    config = Config(servers=(server,), **settings)
    identity = Identity(path, options.pop("key", None), path / "key")
    return Agent(config, identity, Spool(path / "spool", max_bytes=1 << 24, max_age=1e6))


def sample(plugin: str = "cpu", **data: Any) -> WireSample:
    return {"plugin": plugin, "time": 1.8e9, "data": data}


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    agent = agent_in(tmp_path)
    agent.spool.open(now=0.0, wall=1.8e9)
    return agent


def queued(agent: Agent) -> list[list[Any]]:
    agent.spool.rewind()
    return [json.loads(agent.spool.payload(entry) or b"[]") for entry in iter(agent.spool.read, None)]


# ---------------------------------------------------------------------------------------------------------------- queue


def test_round_becomes_one_report(agent: Agent) -> None:
    agent.queue([sample("cpu", percent=1.5), sample("memory", text="ä")])
    assert queued(agent) == [[sample("cpu", percent=1.5), sample("memory", text="ä")]]
    assert agent.seq == 1


def test_round_without_samples_is_no_report(agent: Agent) -> None:
    agent.queue([])
    assert (queued(agent), agent.seq) == ([], 0)


def test_too_many_samples_become_several_reports(agent: Agent) -> None:
    agent.queue([sample(f"p{n}") for n in range(MAX_SAMPLES_PER_REPORT + 1)])
    assert [len(report) for report in queued(agent)] == [MAX_SAMPLES_PER_REPORT, 1]


def test_large_samples_become_reports_that_fit_a_frame(agent: Agent) -> None:
    agent.queue([sample(f"p{n}", text="x" * (PAYLOAD_BYTES // 10 - 200)) for n in range(25)])
    agent.spool.rewind()
    assert [len(report) for report in queued(agent)] == [10, 10, 5]
    agent.spool.rewind()
    assert all(entry.length + 1024 <= MAX_FRAME_BYTES for entry in iter(agent.spool.read, None))


@pytest.mark.parametrize("data", [{"x": float("nan")}, {"x": b"raw"}, {"x": "y" * MAX_SAMPLE_BYTES}, {"x": "\ud800"}])
def test_sample_that_cannot_be_sent_costs_only_itself(agent: Agent, data: dict[str, Any]) -> None:
    agent.queue([sample("bad", **data), sample("good", x=1)])
    assert queued(agent) == [[sample("good", x=1)]]
    assert agent.unsendable == 1


# ------------------------------------------------------------------------------------------------------------- identity


def test_each_start_is_a_run_of_its_own(tmp_path: Path) -> None:
    runs = {Identity(tmp_path, None, tmp_path / "key").run_id for _ in range(5)}
    assert len(runs) == 5
    assert all(len(bytes.fromhex(run)) == 8 for run in runs)


@pytest.mark.parametrize(("before", "event"), [(None, "started"), ("same", "started"), ("other", "booted")])
def test_start_after_a_boot_is_told_from_a_restart(tmp_path: Path, before: str | None, event: str) -> None:
    identity = Identity(tmp_path, None, tmp_path / "key")
    if before is not None:
        (tmp_path / "boot_id").write_text(identity.boot_id if before == "same" else before)
    identity.note_start()
    assert identity.event == event
    assert (tmp_path / "boot_id").read_text().strip() == identity.boot_id


def test_key_handed_out_is_kept_private_and_used(tmp_path: Path) -> None:
    identity = Identity(tmp_path, None, tmp_path / "deep" / "key")
    identity.enrolled(KEY)
    assert identity.key == KEY
    assert read_key(tmp_path / "deep" / "key") == KEY
    assert (tmp_path / "deep" / "key").stat().st_mode & 0o777 == 0o600


def test_what_is_no_key_is_not_kept(tmp_path: Path) -> None:
    identity = Identity(tmp_path, None, tmp_path / "key")
    with pytest.raises(ValueError, match="64 characters"):
        identity.enrolled("../../etc")
    assert not (tmp_path / "key").exists()


def test_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    write_private(tmp_path / "key", KEY)
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(KeyProblem, match="chmod 600"):
        read_key(tmp_path / "key")


def test_missing_key_file_is_no_key(tmp_path: Path) -> None:
    assert read_key(tmp_path / "none") is None


def test_key_file_with_something_else_is_refused(tmp_path: Path) -> None:
    write_private(tmp_path / "key", "hello")
    with pytest.raises(KeyProblem, match="64 characters"):
        read_key(tmp_path / "key")


def test_key_file_that_is_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "key", 0o600)
    with pytest.raises(KeyProblem, match=r"key: not a regular file$"):
        read_key(tmp_path / "key")


def test_boot_id_that_is_a_pipe_is_an_error_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "boot_id")
    with pytest.raises(OSError, match="not a regular file"):
        Identity(tmp_path, None, tmp_path / "key").note_start()


def test_state_directory_is_what_systemd_gives(tmp_path: Path) -> None:
    assert state_directory({"STATE_DIRECTORY": f"{tmp_path}/a:{tmp_path}/b"}) == tmp_path / "a"


def test_state_directory_of_a_user_follows_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert state_directory({"XDG_STATE_HOME": str(tmp_path)}) == tmp_path / "hbc"
    assert (tmp_path / "hbc").stat().st_mode & 0o777 == 0o700


# ---------------------------------------------------------------------------------------------------------- whole agent


class Daemon:
    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.welcome: dict[str, Any] = {
            "type": "welcome", "protocol": 1, "version": "9", "host": "web1", "time": 1.0, "heartbeat_port": 0,
        }  # fmt: skip
        self.port = 0
        self.sockets: list[ServerConnection] = []

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["type"] == kind]

    async def talk(self, socket: ServerConnection) -> None:
        self.sockets.append(socket)
        async for text in socket:
            frame = json.loads(text)
            self.frames.append(frame)
            if "key_id" in frame:
                proof = daemon_proof(key_hash(KEY), frame["nonce"], "0" * 32)
                await socket.send(json.dumps({"type": "challenge", "nonce": "0" * 32, "proof": proof}))
            elif frame["type"] in ("hello", "proof"):
                await socket.send(json.dumps(self.welcome))
            elif frame["type"] == "report":
                ack = {"type": "ack", "run_id": frame["run_id"], "seqs": [frame["seq"]]}
                await socket.send(json.dumps(ack))


@pytest.fixture
async def daemon() -> AsyncIterator[Daemon]:
    daemon = Daemon()
    async with serve(daemon.talk, "127.0.0.1", 0) as server:
        daemon.port = next(iter(server.sockets)).getsockname()[1]
        yield daemon


async def stopped(agent: Agent, task: asyncio.Task[None]) -> None:
    agent.stop()
    await asyncio.wait_for(task, 8.0)


async def test_agent_enrolls_reports_and_says_bye(tmp_path: Path, daemon: Daemon) -> None:
    daemon.welcome["key"] = KEY
    agent = agent_in(tmp_path, f"http://127.0.0.1:{daemon.port}")
    task = asyncio.create_task(agent.run())
    await until(lambda: bool(daemon.of("report")) and agent.spool.records == 0)
    await stopped(agent, task)
    hello, report, bye = daemon.frames[0], daemon.of("report")[0], daemon.frames[-1]
    assert (hello["name"], hello["event"], "key" in hello) == ("web1", "started", False)
    assert [sample["plugin"] for sample in report["samples"]] == ["memory_monitor"]
    assert (report["seq"], report["run_id"]) == (1, hello["run_id"])
    assert bye == {"type": "bye", "reason": "stopped"}
    assert read_key(tmp_path / "key") == KEY


async def test_key_that_the_agent_has_is_not_replaced(
    tmp_path: Path, daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    daemon.welcome["key"] = KEY[::-1]
    identity = Identity(tmp_path, KEY, tmp_path / "key")
    config = Config(servers=(f"http://127.0.0.1:{daemon.port}",), plugins=PLUGINS, heartbeat=HeartbeatConfig(port=0))
    agent = Agent(config, identity, Spool(tmp_path / "spool", max_bytes=1 << 24, max_age=1e6))
    task = asyncio.create_task(agent.link.run())
    await until(lambda: agent.link.connected)
    agent.link.stop("stopped")
    await asyncio.wait_for(task, 5.0)
    assert identity.key == KEY
    assert not (tmp_path / "key").exists()
    assert "gave a key to an agent that has one" in caplog.text


async def test_interval_the_daemon_wants_is_obeyed(tmp_path: Path, daemon: Daemon) -> None:
    daemon.welcome["interval"] = 1.0
    agent = agent_in(tmp_path, f"http://127.0.0.1:{daemon.port}", interval=3600.0)
    task = asyncio.create_task(agent.run())
    await until(lambda: len(daemon.of("report")) >= 2)
    assert (agent.interval, agent.heart.interval) == (1.0, 1.0)
    await stopped(agent, task)


async def test_interval_the_daemon_wants_holds_for_reports_plugins_and_heartbeats_at_once(tmp_path: Path) -> None:
    agent = agent_in(tmp_path, interval=600.0)
    agent.collector._due["memory_monitor"] = 1e12
    agent._obey_interval(5)
    assert (agent.interval, agent.heart.interval) == (5.0, 5.0)
    assert agent.collector.entries["memory_monitor"].interval == 5.0
    assert agent.collector.next_due() == -math.inf


async def test_hello_tells_the_own_interval_whatever_the_daemon_wants(tmp_path: Path) -> None:
    agent = agent_in(tmp_path, interval=7.0)
    agent._obey_interval(5)
    assert agent._hello()["interval"] == 7.0


async def test_welcome_without_an_interval_brings_back_the_own_one(tmp_path: Path, daemon: Daemon) -> None:
    daemon.welcome["interval"] = 5.0
    agent = agent_in(tmp_path, f"http://127.0.0.1:{daemon.port}", interval=7.0)
    task = asyncio.create_task(agent.run())
    await until(lambda: agent.interval == 5.0)
    del daemon.welcome["interval"]
    await daemon.sockets[0].close(1001, "config changed")
    await until(lambda: (agent.interval, agent.heart.interval) == (7.0, 7.0))
    await stopped(agent, task)
    assert [hello["interval"] for hello in daemon.of("hello")] == [7.0, 7.0]


async def test_heartbeats_keep_an_interval_of_their_own(tmp_path: Path) -> None:
    agent = agent_in(tmp_path, heartbeat=HeartbeatConfig(port=0, interval=30.0))
    agent._obey_interval(5)
    assert (agent.interval, agent.heart.interval) == (5.0, 30.0)


ABSURD: dict[str, list[Any]] = {
    "interval": [0, -1, True, "5", [], {}, 1e308, float("nan"), float("inf"), 10**400],
    "heartbeat_port": [-1, 65536, True, "50003", 1.5, [], float("nan"), 10**400],
    "key": ["", "x", KEY + "\n", KEY.upper(), 5, True, [KEY], {}, "\ud800" * 64],
    "host": ["", "a\nb", 5, [], "x" * 100_000, "\ud800"],
    "protocol": [None, "x", -1],
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field in ABSURD for value in ABSURD[field]])
async def test_absurd_welcome_changes_nothing(tmp_path: Path, daemon: Daemon, field: str, value: Any) -> None:
    daemon.welcome[field] = value
    agent = agent_in(tmp_path, f"http://127.0.0.1:{daemon.port}", interval=7.0)
    task = asyncio.create_task(agent.link.run())
    await until(lambda: agent.link.connected)
    assert (agent.interval, agent.heart.interval, agent._identity.key) == (7.0, 7.0, None)
    assert not (tmp_path / "key").exists()
    agent.link.stop("stopped")
    await asyncio.wait_for(task, 5.0)


@pytest.mark.parametrize("port", ABSURD["heartbeat_port"])
async def test_absurd_heartbeat_port_is_the_usual_one(tmp_path: Path, port: Any) -> None:
    agent = agent_in(tmp_path, heartbeat=HeartbeatConfig())
    agent._welcomed("http://127.0.0.1:9", cast(Welcome, {"heartbeat_port": port}))
    assert agent.heart._target == ("127.0.0.1", HEARTBEAT_PORT)


@pytest.mark.parametrize(
    ("code", "key", "advice"),
    [
        ("enrollment", None, "no key in {}/key"),
        ("key", KEY, "the key is from {}/key"),
        ("busy", None, ""),
    ],
)
def test_refusal_for_the_key_names_its_file(tmp_path: Path, code: str, key: str | None, advice: str) -> None:
    identity = Identity(tmp_path, key, tmp_path / "key")
    agent = Agent(Config(plugins=PLUGINS), identity, Spool(tmp_path / "spool", max_bytes=1 << 24, max_age=1e6))
    assert agent._advise(code) == advice.format(tmp_path)


async def test_refusal_is_logged_with_the_key_file(
    tmp_path: Path, daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    daemon.welcome = {"type": "refused", "code": "enrollment", "reason": "a key is needed", "retry": 60}
    agent = agent_in(tmp_path, f"http://127.0.0.1:{daemon.port}")
    task = asyncio.create_task(agent.link.run())
    await until(lambda: "refused" in caplog.text)
    agent.link.stop("stopped")
    await asyncio.wait_for(task, 5.0)
    assert f"refused: a key is needed (enrollment); no key in {tmp_path}/key; trying again" in caplog.text


@pytest.mark.parametrize("wanted", [0, -1, "5", 1e9, float("nan"), None])
async def test_interval_out_of_range_is_not_obeyed(tmp_path: Path, wanted: Any) -> None:
    agent = agent_in(tmp_path, interval=7.0)
    agent._obey_interval(wanted)
    assert agent.interval == 7.0


async def test_reports_of_an_outage_arrive_after_a_restart_of_the_agent(tmp_path: Path, daemon: Daemon) -> None:
    first = agent_in(tmp_path)
    task = asyncio.create_task(first.run())
    await until(lambda: first.seq == 1)
    await stopped(first, task)
    second = agent_in(tmp_path, f"http://127.0.0.1:{daemon.port}")
    task = asyncio.create_task(second.run())
    await until(lambda: len(daemon.of("report")) == 2)
    await stopped(second, task)
    assert len({report["run_id"] for report in daemon.of("report")}) == 2


async def test_agent_without_a_usable_spool_reports_from_memory(
    tmp_path: Path, daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "spool").write_text("a file")
    agent = agent_in(tmp_path, f"http://127.0.0.1:{daemon.port}")
    task = asyncio.create_task(agent.run())
    await until(lambda: bool(daemon.of("report")))
    await stopped(agent, task)
    assert "reports wait in memory" in caplog.text


async def test_later_hellos_of_a_run_say_reconnected(agent: Agent) -> None:
    assert agent._hello()["event"] == "started"
    agent.link.welcomes = 1
    assert agent._hello()["event"] == "reconnected"


def test_facts_tell_of_spool_and_link(agent: Agent) -> None:
    agent.queue([sample("cpu", x=1)])
    agent._tell_facts()
    assert agent.facts["spool_records"] == 1
    assert agent.facts["spool_bytes"] > 0
    assert (agent.facts["dropped_total"], agent.facts["rejected_total"], agent.facts["reconnects_total"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("server", "warned"),
    [
        ("http://mon.example", True),
        ("https://mon.example", False),
        ("http://127.0.0.1:1", False),
        ("http://[::1]", False),
    ],
)
def test_plain_server_elsewhere_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, server: str, warned: bool
) -> None:
    with caplog.at_level(logging.WARNING):
        agent_in(tmp_path, server)._warn_of_plain_servers()
    assert ("not encrypted" in caplog.text) is warned


def test_port_in_the_own_config_wins_over_the_daemons(tmp_path: Path) -> None:
    agent = agent_in(tmp_path, "http://[::1]:50004", heartbeat=HeartbeatConfig(port=7000))
    agent._aim("http://[::1]:50004", 50003)
    assert agent.heart._target == ("::1", 7000)


def test_plugin_that_cannot_be_built_leaves_the_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    agent = agent_in(tmp_path, plugins=PLUGINS | {"cpu_monitor": {"nonsense": 1}})
    assert "cpu_monitor" not in agent.collector.entries
    assert "memory_monitor" in agent.collector.entries
    assert "plugins.cpu_monitor.nonsense" in caplog.text
