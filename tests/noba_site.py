"""A whole daemon for tests with NOBA-style agents: its admin, and a host ``web`` with its agent. Whoever imports the
fixtures has them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import bcrypt
import pytest
from noba_client import NobaClient, NobaSocket

from hbd.config import Config
from hbd.config.structs import Secret, User
from hbd.daemon import Daemon
from hbd.hosts import Host
from hbd.store.audit import Entry

PASSWORD = "correct horse"
ROOT = User(role="admin", password=Secret(bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()))


def config(folder: Path, **changes: Any) -> Config:
    settings: dict[str, Any] = {"users": {"root": ROOT}, "database": folder / "hbd.db"}
    return Config(hbd_port=0, hb_port=0, ws_port=0, **settings | changes)


@pytest.fixture(name="settings")
def no_settings() -> dict[str, Any]:
    """What a test's daemon is told beside its ports, its database and its one user."""
    return {}


@pytest.fixture(name="daemon")
async def a_daemon(tmp_path: Path, settings: dict[str, Any]) -> AsyncIterator[Daemon]:
    running = Daemon(config(tmp_path, **settings))
    await running.start()
    yield running
    await running.stop()


Ask = Callable[..., Awaitable[tuple[int, Any]]]


@pytest.fixture(name="ask")
async def a_person(daemon: Daemon) -> AsyncIterator[Ask]:
    """Asks as the admin; status and answer."""
    async with aiohttp.ClientSession(daemon.urls[0]) as session:
        async with session.post("api/0/auth/login", json={"username": "root", "password": PASSWORD}) as answer:
            session.headers["Authorization"] = f"Bearer {(await answer.json())['token']}"

        async def ask(method: str, path: str, **options: Any) -> tuple[int, Any]:
            async with session.request(method, path, **options) as answered:
                return answered.status, await answered.json()

        yield ask


async def enrolled(daemon: Daemon, name: str = "web") -> NobaClient:
    entry = Entry(time=time.time(), user="", via="cli", action="agent.add")
    _, key = await daemon.agents.enrol(name, entry)
    return NobaClient(daemon.urls[0], key)


@pytest.fixture(name="client")
async def a_client(daemon: Daemon) -> NobaClient:
    return await enrolled(daemon)


@pytest.fixture(name="sockets")
def open_sockets() -> Iterator[list[NobaSocket]]:
    opened: list[NobaSocket] = []
    yield opened
    for ws in opened:
        ws.close()


async def connected(client: NobaClient, daemon: Daemon, sockets: list[NobaSocket]) -> NobaSocket:
    ws = await asyncio.to_thread(client.connect)
    sockets.append(ws)
    ws.identify()
    await until(lambda: daemon.noba_sockets.holds(web(daemon)))
    return ws


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.01)


async def reported(client: NobaClient, body: object = None, path: str = "/api/agent/report") -> tuple[int, Any]:
    return await asyncio.to_thread(client.report, body, path)


def newest(daemon: Daemon, plugin: str, host: str = "web") -> Any:
    sample = daemon.rings.latest(daemon.hosts.require(host).id, plugin)
    return None if sample is None else sample.data


def web(daemon: Daemon) -> Host:
    return daemon.hosts.require("web")
