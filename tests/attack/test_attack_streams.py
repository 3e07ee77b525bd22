"""Streams belong to whoever asked for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import WSServerHandshakeError
from stream_agent import StreamAgent, policy, stream_agent
from stream_events import Events
from world import Api, World

from hbc.wire import STREAM_HEADER, STREAM_PATH, STREAM_TOKEN_HEADER

LOGS = "/api/agents/web1/stream/logs"


@pytest.fixture
async def agent(world: World, api: Api, tmp_path: Path) -> AsyncIterator[StreamAgent]:
    (tmp_path / "app.log").write_text("line\n")
    await world.user("ops", "operator")
    async with stream_agent(world, api, "web1", policy(logs=[tmp_path])) as agent:
        yield agent


def params(tmp_path: Path) -> dict[str, str]:
    return {"source": "file", "path": str(tmp_path / "app.log")}


async def attached(api: Api, name: str, token: str, **headers: str) -> int:
    """The status that a connection with these is answered with; 101 when it is let in."""
    shown = {STREAM_HEADER: name, STREAM_TOKEN_HEADER: token} | headers
    try:
        async with api.ws_connect(STREAM_PATH, headers=shown):
            return 101
    except WSServerHandshakeError as error:
        return error.status


async def test_s45_a_token_in_the_address_opens_streams_and_no_other_route(
    api: Api, world: World, agent: StreamAgent, tmp_path: Path
) -> None:
    shown = {"token": await world.session("ops")}
    async with api.get(LOGS, params=params(tmp_path) | shown) as answer:
        assert answer.status == 200
        assert await Events(answer).texts(1) == ["line"]
    for path in ("files", "files/list", "files/upload"):
        async with api.get(f"/api/agents/web1/{path}", params=shown | {"path": "/x"}) as answer:
            assert answer.status == 401
    async with api.post("/api/agents/web1/files", params=shown) as answer:
        assert answer.status == 401


async def test_s55_a_stream_is_let_in_with_its_own_token_alone_and_once(
    api: Api, world: World, agent: StreamAgent, tmp_path: Path
) -> None:
    agent.deaf = True
    headers = {"Authorization": f"Bearer {await world.session('ops')}"}
    asking = asyncio.create_task(api.get(LOGS, params=params(tmp_path), headers=headers))
    async with asyncio.timeout(30):
        while not agent.asked:
            await asyncio.sleep(0.01)
    name, token = agent.asked[0]["id"], agent.asked[0]["token"]
    for wrong in (("", ""), (name, ""), (name, "0" * 64), (name, token.upper() + "x"), ("str_" + "0" * 24, token)):
        assert await attached(api, *wrong) == 404
    assert await attached(api, name, token, Origin="http://evil.example") == 403
    agent.streams.open(agent.asked[0])
    async with await asking as answer:
        assert await Events(answer).texts(1) == ["line"]
        assert await attached(api, name, token) == 404


async def test_s55_a_stream_that_nobody_waits_for_any_more_lets_nobody_in(
    api: Api, world: World, agent: StreamAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hbd.remote.streams.ANSWER_SECONDS", 0.05)
    agent.deaf = True
    headers = {"Authorization": f"Bearer {await world.session('ops')}"}
    async with api.get(LOGS, params=params(tmp_path), headers=headers) as answer:
        assert answer.status == 502
    assert await attached(api, agent.asked[0]["id"], agent.asked[0]["token"]) == 404


async def test_s55_another_agent_cannot_refuse_somebody_elses_stream(
    api: Api, world: World, agent: StreamAgent, tmp_path: Path
) -> None:
    agent.deaf = True
    other = await world.enrol("web2")
    headers = {"Authorization": f"Bearer {await world.session('ops')}"}
    asking = asyncio.create_task(api.get(LOGS, params=params(tmp_path), headers=headers))
    async with asyncio.timeout(30):
        while not agent.asked:
            await asyncio.sleep(0.01)
    stolen = StreamAgent.__new__(StreamAgent)
    stolen.host, stolen._world = other, world
    stolen._tell({"type": "unopened", "id": agent.asked[0]["id"], "code": "denied", "reason": "no"})
    agent.streams.open(agent.asked[0])
    async with await asking as answer:
        assert answer.status == 200


async def test_s55_whoever_may_not_see_the_host_does_not_get_its_streams(
    api: Api, world: World, agent: StreamAgent, tmp_path: Path
) -> None:
    await world.user("eve", "viewer")
    headers = {"Authorization": f"Bearer {await world.session('eve')}"}
    for path in ("stream/logs", "stream/metrics", "files", "files/list", "files/upload"):
        async with api.get(f"/api/agents/web1/{path}", params=params(tmp_path), headers=headers) as answer:
            assert answer.status == 403
    assert agent.asked == []
