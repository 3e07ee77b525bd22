"""Agents that are not who they say they are: S47, S48. More of the link is in ``tests/api/test_agent_link.py``."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hbc import wire
from hbd.config import Config
from hbd.config.structs import User
from hbd.daemon import Daemon
from hbd.enrolment import LiveKey

RUN = "0123456789abcdef"
Talk = Callable[..., Awaitable[dict[str, Any]]]
Dial = Callable[..., Awaitable[Talk]]


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    """A whole daemon with a user, so that agents need a key."""
    users = {"root": User(role="admin")}
    config = Config(hbd_port=0, hb_port=0, ws_port=0, database=tmp_path / "hbd.db", users=users)
    running = Daemon(config)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def dial(daemon: Daemon) -> AsyncIterator[Dial]:
    async with AsyncExitStack() as open_ones:
        http = await open_ones.enter_async_context(aiohttp.ClientSession())

        async def opened(path: str = wire.LINK_PATH) -> Talk:
            socket = await open_ones.enter_async_context(http.ws_connect(daemon.urls[0].rstrip("/") + path))

            async def talk(**frame: Any) -> dict[str, Any]:
                await socket.send_str(json.dumps(frame))
                return dict(json.loads(await socket.receive_str(timeout=10)))

            return talk

        yield opened


def hello(name: str, key: str | None) -> dict[str, Any]:
    said = {
        "type": "hello",
        "protocol": wire.PROTOCOL,
        "version": "0.1.0",
        "name": name,
        "boot_id": "boot",
        "run_id": RUN,
        "interval": 10.0,
        "event": "started",
        "capabilities": [],
        "tags": [],
        "time": time.time(),
    }
    return said if key is None else said | {"key": key}


def report(seq: int = 1, **extra: Any) -> dict[str, Any]:
    sample = {"plugin": "cpu_monitor", "time": time.time(), "data": {"cpu_percent": 66.0}}
    return {"type": "report", "run_id": RUN, "seq": seq, "time": time.time(), "samples": [sample]} | extra


async def test_s47_the_key_of_one_host_reports_for_no_other(daemon: Daemon, dial: Dial) -> None:
    key_of_a = await daemon.enrolment.add("host-a")
    await daemon.enrolment.add("host-b")
    talk = await dial()
    await talk(**hello("host-b", key_of_a))
    await talk(**report(host="host-b", hostname="host-b", name="host-b", host_id=2, agent_id="x"))
    host_b = daemon.hosts.require("host-b")
    assert daemon.rings.plugins(host_b.id) == []
    assert daemon.rings.plugins(daemon.hosts.require("host-a").id) == ["cpu_monitor"]


async def test_s47_a_host_in_the_address_is_nobodys_identity(daemon: Daemon, dial: Dial) -> None:
    key = await daemon.enrolment.add("host-a")
    await daemon.enrolment.add("host-b")
    talk = await dial(f"{wire.LINK_PATH}?host=host-b&name=host-b&key=x")
    await talk(**hello("host-a", key))
    await talk(**report())
    assert daemon.rings.plugins(daemon.hosts.require("host-b").id) == []


async def test_s47_the_key_of_a_deleted_host_is_refused(daemon: Daemon, dial: Dial) -> None:
    key = await daemon.enrolment.add("host-a")
    await daemon.enrolment.remove(daemon.hosts.require("host-a"))
    assert (await (await dial())(**hello("host-a", key)))["type"] == "refused"


async def test_s47_a_new_host_with_an_old_name_inherits_nothing(daemon: Daemon, dial: Dial) -> None:
    old_key = await daemon.enrolment.add("host-a")
    talk = await dial()
    await talk(**hello("host-a", old_key))
    await talk(**report())
    old = daemon.hosts.require("host-a")
    await daemon.enrolment.remove(old)
    await daemon.enrolment.add("host-a")
    new = daemon.hosts.require("host-a")
    assert new.id != old.id and new.agent_id != old.agent_id
    assert daemon.rings.plugins(new.id) == []
    assert (await (await dial())(**hello("host-a", old_key)))["type"] == "refused"


@pytest.mark.parametrize("key", [None, "", "0" * 64, "x" * 64, "5f" * 31, "5F" * 32 + "\n", "hbt_" + "a" * 43])
async def test_s48_with_users_nobody_is_enrolled_without_a_key(daemon: Daemon, dial: Dial, key: str | None) -> None:
    assert (await (await dial())(**hello("host-x", key)))["type"] == "refused"
    assert daemon.hosts.get("host-x") is None


async def test_s48_a_name_that_has_a_key_is_not_enrolled_again(daemon: Daemon, dial: Dial) -> None:
    key = await daemon.enrolment.add("host-a")
    assert (await (await dial())(**hello("host-a", None)))["type"] == "refused"
    assert (await (await dial())(**hello("host-a", key)))["type"] == "welcome"


async def test_s48_a_revoked_key_is_refused(daemon: Daemon, dial: Dial) -> None:
    key = await daemon.enrolment.add("host-a")
    await daemon.enrolment.revoke(daemon.hosts.require("host-a"))
    assert (await (await dial())(**hello("host-a", key)))["type"] == "refused"


async def test_s48_a_rotated_key_is_refused_after_the_overlap(daemon: Daemon, dial: Dial) -> None:
    old = await daemon.enrolment.add("host-a")
    new = await daemon.enrolment.rotate(daemon.hosts.require("host-a"), overlap=-1.0)
    assert (await (await dial())(**hello("host-a", old)))["type"] == "refused"
    assert (await (await dial())(**hello("host-a", new)))["type"] == "welcome"


async def test_s48_a_welcome_with_a_key_of_ones_own_holds_no_key(daemon: Daemon, dial: Dial) -> None:
    key = await daemon.enrolment.add("host-a")
    welcome = await (await dial())(**hello("host-a", key))
    assert key not in json.dumps(welcome)
    assert not welcome.get("key")


async def test_s48_a_link_ends_with_the_overlap_of_its_rotated_key(daemon: Daemon, dial: Dial) -> None:
    old = await daemon.enrolment.add("host-a")
    await (await dial())(**hello("host-a", old))
    host = daemon.hosts.require("host-a")
    assert host.link
    await daemon.enrolment.rotate(host, overlap=0.01)
    async with asyncio.timeout(30):
        while host.link:
            await asyncio.sleep(0.01)


async def test_s48_a_key_that_is_revoked_during_its_hello_opens_no_link(
    daemon: Daemon, dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await daemon.enrolment.add("host-a")
    host, prove = daemon.hosts.require("host-a"), daemon.enrolment.prove

    async def slowly(used: LiveKey, now: float) -> None:
        await daemon.enrolment.revoke(host)
        await prove(used, now)

    monkeypatch.setattr(daemon.enrolment, "prove", slowly)
    assert (await (await dial())(**hello("host-a", key)))["type"] == "refused"
    assert not host.link
