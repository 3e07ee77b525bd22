"""Calls to the outside, to a real server on loopback."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from hbd.config import Config
from hbd.stats import Stats
from hbd.watchdog import Watchdog


@pytest.fixture
async def outside():
    """(URL, methods of the calls it got, [status that it answers])"""
    calls: list[str] = []
    answer = [200]

    async def called(request: web.Request) -> web.Response:
        calls.append(request.method)
        return web.Response(status=answer[0])

    app = web.Application()
    app.router.add_route("*", "/ping", called)
    async with TestServer(app) as server:
        yield str(server.make_url("/ping")), calls, answer


def watchdog(problems: list[str]) -> Watchdog:
    return Watchdog(Config(), lambda: problems, Stats())


async def test_a_daemon_that_works_is_reported(outside):
    url, calls, _ = outside
    assert await watchdog([]).call(url)
    assert calls == ["GET"]


async def test_a_daemon_that_does_not_work_keeps_silent(outside):
    url, calls, _ = outside
    assert not await watchdog(["the database does not take writes"]).call(url)
    assert calls == []


async def test_a_watchdog_that_refuses_is_told_once_in_the_log(outside, caplog):
    url, _, answer = outside
    answer[0] = 500
    dog = watchdog([])
    for _ in range(3):
        assert not await dog.call(url)
    told = [record.message for record in caplog.records if record.name == "hbd.watchdog"]
    assert told == ["the outside watchdog could not be called: status 500"]
