"""The world and the client of ``tests/api``, and everybody who may call."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import DummyCookieJar
from aiohttp.test_utils import TestClient

sys.path.insert(0, str(Path(__file__).parents[1] / "api"))

from callers import Callers
from world import Api, RealServer, World

from hbd.web import make_app


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path / "hbd.db")
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def api(world: World) -> AsyncIterator[Api]:
    """A client of the whole application, with the feed running. It keeps no cookies: each test says who is calling."""
    ticking = asyncio.create_task(world.feed.run())
    async with TestClient(RealServer(make_app(world.parts)), cookie_jar=DummyCookieJar()) as client:
        yield client
        world.feed.close()
    ticking.cancel()


@pytest.fixture
async def callers(world: World) -> Callers:
    """All kinds of callers, and the hosts ``alpha`` and ``beta``."""
    made = Callers(world)
    await made.settle()
    return made
