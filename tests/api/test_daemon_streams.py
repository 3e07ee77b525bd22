"""Streams of a whole daemon, over a real link."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from hbc import wire
from hbd.config import Config
from hbd.config.structs import Agents
from hbd.daemon import Daemon
from hbd.errors import AgentFailed, Conflict, Forbidden
from hbd.hosts import Host
from hbd.remote import streams
from hbd.store.audit import Entry

HELLO = {
    "type": "hello", "protocol": wire.PROTOCOL, "version": "0.1.0", "name": "web-1", "boot_id": "boot",
    "run_id": "0123456789abcdef", "interval": 10.0, "event": "started", "capabilities": [], "tags": [],
}  # fmt: skip


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    agents = Agents(enrollment="open")
    running = Daemon(Config(hbd_port=0, hb_port=0, ws_port=0, database=tmp_path / "hbd.db", agents=agents))
    await running.start()
    yield running
    await running.stop()


class Agent:
    """The agent of a host, frame by frame."""

    def __init__(self, daemon: Daemon, http: aiohttp.ClientSession, link: aiohttp.ClientWebSocketResponse) -> None:
        self.host: Host = daemon.hosts.require("web-1")
        self.link = link
        self.sockets = [link]
        self._url = daemon.urls[0].rstrip("/")
        self._http = http

    async def asked(self) -> dict[str, Any]:
        """The next ``open``."""
        while True:
            frame: dict[str, Any] = json.loads(await self.link.receive_str(timeout=10))
            if frame["type"] == "open":
                return frame

    async def attach(self, frame: dict[str, Any]) -> aiohttp.ClientWebSocketResponse:
        headers = {wire.STREAM_HEADER: frame["id"], wire.STREAM_TOKEN_HEADER: frame["token"]}
        self.sockets.append(await self._http.ws_connect(self._url + wire.STREAM_PATH, headers=headers))
        return self.sockets[-1]


@pytest.fixture
async def agent(daemon: Daemon) -> AsyncIterator[Agent]:
    async with aiohttp.ClientSession() as http:
        link = await http.ws_connect(daemon.urls[0].rstrip("/") + wire.LINK_PATH)
        await link.send_json(HELLO | {"time": time.time()})
        assert json.loads(await link.receive_str(timeout=10))["type"] == "welcome"
        agent = Agent(daemon, http, link)
        yield agent
        for socket in agent.sockets:
            await socket.close()


def entry(action: str) -> Entry:
    return Entry(time=time.time(), user="", via="cli", action=action)


async def heard(daemon: Daemon, host: Host) -> Any:
    """The first frame of a stream."""
    async with daemon.streams.open(host, "logs", {"unit": "app"}, "ops") as stream:
        return await stream.hear()


async def test_an_agent_is_asked_over_its_link_and_answers_over_a_connection_of_its_own(
    daemon: Daemon, agent: Agent
) -> None:
    hearing = asyncio.create_task(heard(daemon, agent.host))
    frame = await agent.asked()
    assert (frame["kind"], frame["params"]) == ("logs", {"unit": "app"})
    socket = await agent.attach(frame)
    await socket.send_json({"type": "end"})
    assert await hearing == {"type": "end"}
    assert (await socket.receive(timeout=30)).type is aiohttp.WSMsgType.CLOSE


async def test_an_agents_refusal_comes_over_the_link(daemon: Daemon, agent: Agent) -> None:
    hearing = asyncio.create_task(heard(daemon, agent.host))
    frame = await agent.asked()
    refusal = {"type": "unopened", "id": frame["id"], "code": "denied", "reason": "not here"}
    await agent.link.send_json(refusal)
    with pytest.raises(Forbidden, match="not here"):
        await hearing


async def test_without_a_link_the_agent_is_offline(daemon: Daemon, agent: Agent) -> None:
    await daemon.links.drop(agent.host, "test")
    async with asyncio.timeout(30):
        while agent.host.link:
            await asyncio.sleep(0.01)
    with pytest.raises(Conflict, match="agent_offline"):
        await heard(daemon, agent.host)


@pytest.mark.parametrize("way", ["revoke", "remove"])
async def test_s09_a_key_that_is_worthless_ends_its_streams(daemon: Daemon, agent: Agent, way: str) -> None:
    hearing = asyncio.create_task(heard(daemon, agent.host))
    socket = await agent.attach(await agent.asked())
    await getattr(daemon.agents, way)(agent.host, entry(f"agent.{way}"))
    assert (await socket.receive(timeout=30)).type is aiohttp.WSMsgType.CLOSE
    with pytest.raises(AgentFailed):
        await hearing


async def test_an_agent_that_takes_nothing_is_cut_off(
    daemon: Daemon, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hbd.remote.streams.TAKING_SECONDS", 0.2)
    monkeypatch.setattr("hbd.remote.streams.CLOSE_SECONDS", 0.05)
    sent = taken = 0
    closed = asyncio.Event()
    close = streams._close

    async def and_tell(socket: web.WebSocketResponse, transport: asyncio.Transport | None) -> None:
        await close(socket, transport)
        closed.set()

    monkeypatch.setattr(streams, "_close", and_tell)

    async def send() -> None:
        nonlocal sent
        async with daemon.streams.open(agent.host, "upload", {}, "ops") as stream:
            while True:
                sent += 1
                await stream.send(bytes(1 << 20))

    sending = asyncio.create_task(send())
    socket = await agent.attach(await agent.asked())
    with pytest.raises(AgentFailed, match="takes nothing"):
        await sending
    async with asyncio.timeout(30):
        await closed.wait()
        while (await socket.receive()).type is aiohttp.WSMsgType.BINARY:
            taken += 1
    assert taken < sent
