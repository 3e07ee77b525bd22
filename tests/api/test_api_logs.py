"""Logs and live numbers of a host over HTTP, through what hbc does with them."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse
from stream_agent import StreamAgent, policy, stream_agent
from stream_events import Events
from world import Api, World

from hbd.config import Config
from hbd.config.structs import HostConfig, Limits

LOGS = "/api/agents/web1/stream/logs"
METRICS = "/api/agents/web1/stream/metrics"


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "log"
    folder.mkdir()
    (folder / "app.log").write_text("one\ntwo\nthree\n")
    return folder


@pytest.fixture
async def agent(
    world: World, api: Api, logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[StreamAgent]:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    await world.user("ops", "operator")
    allowed = policy(logs=[logs], units=["app.service"])
    async with stream_agent(world, api, "web1", allowed) as agent:
        yield agent


@pytest.fixture
async def token(world: World, agent: StreamAgent) -> str:
    return await world.session("ops")


def path(logs: Path, **more: Any) -> dict[str, str]:
    return {"source": "file", "path": str(logs / "app.log")} | {name: str(value) for name, value in more.items()}


async def error(answer: ClientResponse) -> tuple[int, str]:
    return answer.status, (await answer.json())["error"]


async def test_a_log_is_followed(api: Api, token: str, logs: Path) -> None:
    async with api.get(LOGS, params=path(logs, lines=2, token=token)) as answer:
        assert (answer.status, answer.content_type) == (200, "text/event-stream")
        events = Events(answer)
        assert await events.texts(2) == ["two", "three"]
        with (logs / "app.log").open("a") as file:
            file.write("four\n")
        assert await events.texts(1) == ["four"]


async def test_a_reader_that_comes_again_goes_on_where_it_was(api: Api, token: str, logs: Path) -> None:
    async with api.get(LOGS, params=path(logs, token=token)) as answer:
        first = await Events(answer).next()
    async with api.get(LOGS, params=path(logs, token=token), headers={"Last-Event-ID": first["id"]}) as answer:
        assert await Events(answer).texts(2) == ["two", "three"]


async def test_words_about_the_log_are_events_of_their_own(api: Api, token: str, logs: Path) -> None:
    async with api.get(LOGS, params=path(logs, lines=0, token=token)) as answer:
        (logs / "app.log").write_text("")
        event = await Events(answer).next()
        assert (event["event"], json.loads(event["data"])["what"]) == ("notice", "truncated")


async def test_a_log_of_a_unit_is_followed_through_journalctl(api: Api, token: str, tmp_path: Path) -> None:
    program = tmp_path / "journalctl"
    entry = {"__CURSOR": "s=1", "__REALTIME_TIMESTAMP": "1750000000000000", "MESSAGE": "hello", "_COMM": "app"}
    program.write_text(f"#!/bin/sh\necho '{json.dumps(entry)}'\nsleep 60\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    async with api.get(LOGS, params={"source": "journald", "unit": "app", "token": token}) as answer:
        event = await Events(answer).next()
        assert (event["id"], event["data"]) == ("s=1", "2025-06-15T15:06:40Z app: hello")


async def test_a_journalctl_that_fails_is_told(api: Api, token: str, tmp_path: Path) -> None:
    program = tmp_path / "journalctl"
    program.write_text("#!/bin/sh\necho 'no access' >&2\nexit 1\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    async with api.get(LOGS, params={"unit": "app", "token": token}) as answer:
        event = await Events(answer).next()
        assert event["event"] == "error"
        assert "no access" in json.loads(event["data"])["error"]
        assert await answer.content.read() == b""


@pytest.mark.parametrize(
    ("params", "status", "text"),
    [
        ({"source": "file"}, 400, "path: is needed"),
        ({"source": "journald"}, 400, "unit: is needed"),
        ({"source": "syslog"}, 400, "source"),
        ({"source": "file", "path": "/etc/shadow"}, 403, "allow.log_paths"),
        ({"source": "file", "path": "{}/none"}, 404, "no such file"),
        ({"unit": "other"}, 403, "allow.log_units"),
        ({"unit": "*"}, 403, "systemd unit"),
        ({"unit": "app", "lines": "1001"}, 400, "lines"),
    ],
)
async def test_a_log_that_cannot_be_followed_is_refused_before_it_begins(
    api: Api, token: str, logs: Path, params: dict[str, str], status: int, text: str
) -> None:
    asked = {name: value.format(logs) for name, value in params.items()}
    async with api.get(LOGS, params=asked | {"token": token}) as answer:
        found, said = await error(answer)
    assert found == status
    assert text in said


async def test_the_agent_lets_go_when_the_reader_leaves(
    api: Api, token: str, logs: Path, agent: StreamAgent, world: World
) -> None:
    async with api.get(LOGS, params=path(logs, token=token)) as answer:
        await Events(answer).texts(3)
        assert agent.open == 1
    await agent.idle()
    await world.security.audit.write()
    ended, begun = await world.store.audit.recent(2, action="log.")
    assert (begun.action, begun.object, begun.detail) == ("log.follow", "host web1", f"path {logs}/app.log")
    assert (ended.action, ended.detail) == ("log.followed", f"path {logs}/app.log: 3 lines")


async def test_the_reader_is_told_when_the_agent_goes(api: Api, token: str, logs: Path, agent: StreamAgent) -> None:
    async with api.get(LOGS, params=path(logs, token=token)) as answer:
        events = Events(answer)
        await events.texts(3)
        await agent.streams.end()
        event = await events.next()
        assert (event["event"], json.loads(event["data"])["error"]) == ("error", "The agent's connection has ended")


async def test_a_host_whose_key_has_ended_loses_its_streams(
    api: Api, token: str, logs: Path, agent: StreamAgent, world: World
) -> None:
    async with api.get(LOGS, params=path(logs, token=token)) as answer:
        events = Events(answer)
        await events.texts(3)
        world.streams.drop(agent.host)
        assert (await events.next())["event"] == "error"
    await agent.idle()


async def test_whoever_loses_the_right_loses_the_stream(
    api: Api, token: str, logs: Path, agent: StreamAgent, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hbd.web.sse.RIGHT_SECONDS", 0.05)
    monkeypatch.setattr("hbd.web.sse.LOOK_SECONDS", 0.02)
    await world.user("bob", "viewer")
    await world.configure(Config(hosts={"web1": HostConfig(managers=("bob",))}))
    bob = await world.session("bob")
    async with api.get(LOGS, params=path(logs, token=bob)) as answer:
        await Events(answer).texts(3)
        await world.configure(Config())
        async with asyncio.timeout(30):
            await answer.content.read()
    await agent.idle()


async def test_s56_one_user_cannot_have_all_streams(
    api: Api, token: str, logs: Path, world: World, agent: StreamAgent
) -> None:
    await world.user("other", "operator")
    other = await world.session("other")
    await world.configure(Config(limits=Limits(max_streams_per_user=3, max_streams=5)))
    answers = [await api.get(LOGS, params=path(logs, token=token)) for _ in range(20)]
    assert sorted(answer.status for answer in answers) == [200] * 3 + [429] * 17
    assert {answer.headers.get("Retry-After") for answer in answers if answer.status == 429} == {"5"}
    more = [await api.get(METRICS, params={"token": other}) for _ in range(3)]
    assert [answer.status for answer in more] == [200, 200, 429]
    for answer in answers + more:
        answer.close()
    await agent.idle()


async def test_streams_that_ended_make_room(api: Api, token: str, logs: Path, world: World, agent: StreamAgent) -> None:
    await world.configure(Config(limits=Limits(max_streams_per_user=1)))
    for _ in range(3):
        async with api.get(LOGS, params=path(logs, token=token)) as answer:
            await Events(answer).texts(3)
        await agent.idle()
        async with asyncio.timeout(30):
            while world.streams._of_user:
                await asyncio.sleep(0.01)


async def test_the_agents_own_limit_is_429(
    api: Api, world: World, logs: Path, agent: StreamAgent, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hbc.streams.PLACE_SECONDS", 0.05)
    url, params = LOGS.replace("web1", "web2"), path(logs, token=token)
    async with (
        stream_agent(world, api, "web2", policy(logs=[logs], streams=1)),
        api.get(url, params=params) as first,
        api.get(url, params=params) as second,
    ):
        assert first.status == 200
        assert await error(second) == (429, "1 streams are open on this host already")


# -------------------------------------------------------------------------------------------------------------- metrics


async def test_live_numbers_come_again_and_again(
    api: Api, token: str, world: World, agent: StreamAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hbd.web.live_metrics.EVERY_SECONDS", 0.02)
    world.sample(agent.host, "cpu_monitor", {"cpu_percent": 12.5})
    async with api.get(METRICS, params={"token": token}) as answer:
        events = Events(answer)
        assert json.loads((await events.next())["data"])["cpu_percent"] == 12.5
        world.sample(agent.host, "cpu_monitor", {"cpu_percent": 99.0})
        async with asyncio.timeout(30):
            while json.loads((await events.next())["data"])["cpu_percent"] != 99.0:
                pass
