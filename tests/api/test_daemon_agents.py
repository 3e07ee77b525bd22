"""What is done over the agents API, on a whole daemon: its other parts hear of it at once."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hbc import wire
from hbd.config import load
from hbd.daemon import Daemon

CONFIG = """
hbd_port: 0
hb_port: 0
ws_port: 0
threshold_configs:
  strict:
    cpu_monitor: {cpu_percent: {warning: 5}}
threshold_assignments:
  databases: {config: strict, tags: [database]}
"""


@pytest.fixture(name="daemon")
async def a_daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    file = tmp_path / "hbd.yaml"
    file.write_text(f"database: {tmp_path / 'hbd.db'}\n{CONFIG}", "utf-8")
    running = Daemon(load(file))
    await running.start()
    yield running
    await running.stop()


@pytest.fixture(name="session")
async def a_session(daemon: Daemon) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(daemon.urls[0], raise_for_status=True) as session:
        yield session


async def enrolled(session: aiohttp.ClientSession, **body: Any) -> str:
    async with session.post("api/agents", json={"hostname": "db1"} | body) as answer:
        return str((await answer.json())["key"])


async def report(session: aiohttp.ClientSession, key: str, cpu_percent: float) -> None:
    async with session.post("api/agent/report", json={"cpu_percent": cpu_percent}, headers={"X-Agent-Key": key}):
        pass


async def alerts(session: aiohttp.ClientSession) -> list[tuple[str, str]]:
    async with session.get("api/0/alerts") as answer:
        return [(alert["metric_path"], alert["level"]) for alert in (await answer.json())["alerts"]]


async def greeted(session: aiohttp.ClientSession, key: str) -> aiohttp.ClientWebSocketResponse:
    link = await session.ws_connect(wire.LINK_PATH)
    hello = wire.Hello(
        type="hello",
        protocol=wire.PROTOCOL,
        version="0.1.0",
        name="db1",
        boot_id="boot",
        run_id="0123456789abcdef",
        time=time.time(),
        interval=10.0,
        event="started",
        key=key,
        capabilities=[],
        tags=["its own"],
    )
    await link.send_str(json.dumps(hello))
    assert (await link.receive_json(timeout=30))["type"] == "welcome"
    return link


async def ended(link: aiohttp.ClientWebSocketResponse) -> int | None:
    """The code that a link is closed with; what comes before is passed over."""
    while (await link.receive(timeout=30)).type is aiohttp.WSMsgType.TEXT:
        pass
    return link.close_code


async def test_tags_of_an_enrolment_choose_thresholds(session: aiohttp.ClientSession) -> None:
    key = await enrolled(session, tags=["database"])
    await report(session, key, 10.0)
    assert await alerts(session) == [("cpu_monitor.cpu_percent", "WARNING")]


async def test_tags_that_are_given_later_choose_thresholds_at_once(session: aiohttp.ClientSession) -> None:
    key = await enrolled(session)
    await report(session, key, 10.0)
    assert await alerts(session) == []
    async with session.put("api/agents/db1", json={"tags": ["database"]}):
        await report(session, key, 10.0)
    assert await alerts(session) == [("cpu_monitor.cpu_percent", "WARNING")]


async def test_an_alert_ends_with_the_tag_that_its_threshold_came_with(session: aiohttp.ClientSession) -> None:
    key = await enrolled(session, tags=["database"])
    await report(session, key, 10.0)
    async with session.put("api/agents/db1", json={"tags": []}):
        await report(session, key, 10.0)
    assert await alerts(session) == []


async def test_given_tags_outlive_what_an_agent_says_of_itself(daemon: Daemon, session: aiohttp.ClientSession) -> None:
    key = await enrolled(session, tags=["database"])
    link = await greeted(session, key)
    assert not link.closed
    assert daemon.hosts.require("db1").tags == ["its own", "database"]


@pytest.mark.parametrize("path", ["api/agents/db1/key", "api/agents/db1", "api/0/hosts/db1"])
async def test_the_link_of_an_agent_ends_with_its_key_or_its_host(session: aiohttp.ClientSession, path: str) -> None:
    link = await greeted(session, await enrolled(session))
    async with session.delete(path):
        assert await ended(link) == 1008


async def test_a_link_stays_when_its_key_is_rotated(daemon: Daemon, session: aiohttp.ClientSession) -> None:
    link = await greeted(session, await enrolled(session))
    async with session.post("api/agents/db1/key"):
        assert daemon.hosts.require("db1").link and not link.closed


async def test_what_is_done_stands_in_the_journal(session: aiohttp.ClientSession) -> None:
    await enrolled(session)
    async with session.post("api/agents/db1/key"):
        pass
    async with session.delete("api/agents/db1/key"):
        pass

    async def told() -> list[str]:
        async with session.get("api/0/messages?host=db1") as answer:
            return [message["msg"] for message in await answer.json()]

    async with asyncio.timeout(30):
        while len(await told()) < 3:
            await asyncio.sleep(0.02)
    assert await told() == ["the key was revoked", "the key was rotated", "enrolled"]
