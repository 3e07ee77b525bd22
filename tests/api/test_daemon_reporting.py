"""Whether and how often a host may report, in a whole daemon: for agents of all kinds, over restarts and reloads."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import aiohttp
from house import House

from hbc import wire
from hbd.daemon import Daemon
from hbd.model import State

REPORT = {"cpu_usage": 1, "memory_usage": 2, "disk_usage": []}


async def put(daemon: Daemon, **terms: Any) -> Any:
    async with aiohttp.request("PUT", f"{daemon.urls[0]}api/0/hosts/web-1/reporting", json=terms) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def post(daemon: Daemon, key: str) -> int:
    async with aiohttp.request("POST", f"{daemon.urls[0]}agent/report", json={"agent_key": key} | REPORT) as answer:
        return answer.status


async def test_it_survives_a_restart(house: House) -> None:
    daemon = await house.start()
    key = await daemon.enrolment.add("web-1")
    await put(daemon, enabled=False)
    assert await post(daemon, key) == 403
    daemon = await house.restart()
    assert await post(daemon, key) == 403
    assert not daemon.hosts.require("web-1").watched
    await put(daemon, enabled=True)
    assert await post(daemon, key) == 200
    assert daemon.hosts.require("web-1").watched


async def test_at_a_reload_the_config_counts_again_for_what_it_names(house: House) -> None:
    daemon = await house.start()
    key = await daemon.enrolment.add("web-1")
    await put(daemon, enabled=False, min_report_interval=60)
    house.write("hosts: {web-1: {enabled: true}}\n")
    assert (await daemon.reload()).ok
    assert [await post(daemon, key) for _ in range(2)] == [200, 429]
    house.write("hosts: {web-1: {min_report_interval: 0}}\n")
    assert (await daemon.reload()).ok
    assert await post(daemon, key) == 200


async def test_an_agent_of_our_own_is_sent_away_too(house: House) -> None:
    daemon = await house.start()
    key = await daemon.enrolment.add("web-1")
    hello = {
        "type": "hello", "protocol": wire.PROTOCOL, "version": "0.1.0", "name": "web-1", "boot_id": "b",
        "run_id": "0123456789abcdef", "time": time.time(), "interval": 10.0, "key": key,
    }  # fmt: skip
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(daemon.urls[0].rstrip("/") + wire.LINK_PATH) as link:
            await link.send_json(hello)
            assert json.loads(await link.receive_str(timeout=10))["type"] == "welcome"
            await put(daemon, enabled=False)
            while (frame := await link.receive(timeout=30)).type is aiohttp.WSMsgType.TEXT:
                pass
            assert frame.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
        async with session.ws_connect(daemon.urls[0].rstrip("/") + wire.LINK_PATH) as link:
            await link.send_json(hello)
            assert json.loads(await link.receive_str(timeout=10))["code"] == "disabled"


async def test_a_host_that_is_dead_when_it_is_switched_on_again_is_an_alert(house: House) -> None:
    house.write("interval: 1\ngrace: 1\nhosts: {web-1: {interval: 1}}\n")
    daemon = await house.start()
    assert await post(daemon, await daemon.enrolment.add("web-1")) == 200
    await put(daemon, enabled=False)
    host = daemon.hosts.require("web-1")

    async def until(true: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not true():
                await asyncio.sleep(0.02)

    await until(lambda: daemon.pipeline.told.get(host.id) is State.DOWN)
    assert not daemon.alerts.is_down(host.id)
    await put(daemon, enabled=True)
    await until(lambda: daemon.alerts.is_down(host.id))
