"""What hbd says of the exporters that it asks."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from world import Api, World

from hbd.config import Config
from hbd.config.structs import HostConfig, ScrapeJob, ScrapeTarget
from hbd.scraping.scraper import Exporter

SECRET = "token=swordfish"


@pytest.fixture(name="asked")
async def an_exporter(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Exporter]:
    """One of web1 that answers with one good line and one bad one; it is asked by hand."""
    await world.enrol("web1")

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="orders 3\nthis is none")

    app = web.Application()
    app.router.add_get("/metrics", answer)
    async with TestServer(app) as server:
        job = ScrapeJob(interval=15.0, timeout=5.0)
        exporter = Exporter(ScrapeTarget("shop", f"{server.make_url('/metrics')}?{SECRET}", "web1", job))
        monkeypatch.setattr(type(world.scraper), "exporters", [exporter])
        yield exporter


async def shown(api: Api, token: str = "") -> list[dict[str, Any]]:
    response = await api.get("/api/0/scrapes", headers={"Authorization": f"Bearer {token}"} if token else {})
    assert response.status == 200
    answer: list[dict[str, Any]] = (await response.json())["scrapes"]
    return answer


async def test_without_exporters_there_are_none(api: Api) -> None:
    assert await shown(api) == []


async def test_one_that_was_not_asked_yet_waits(api: Api, asked: Exporter) -> None:
    (one,) = await shown(api)
    assert (one["state"], one["asked"], one["seconds"], one["error"]) == ("waiting", None, None, "")


async def test_an_answer_is_told_with_what_could_not_be_taken(api: Api, world: World, asked: Exporter) -> None:
    await world.scraper.scrape(asked)
    (one,) = await shown(api)
    assert one | {"url": "", "seconds": 0} == {
        "job": "shop",
        "url": "",
        "host": "web1",
        "state": "up",
        "interval": 15.0,
        "timeout": 5.0,
        "asked": world.now.wall,
        "seconds": 0,
        "status": 200,
        "series": 1,
        "left_out": 0,
        "unreadable": 1,
        "problems": ["line 2: 'this is none' is no name, labels and value"],
        "error": "",
        "failing_since": None,
    }


async def test_one_that_fails_says_why_and_since_when(api: Api, world: World, asked: Exporter) -> None:
    asked.target = ScrapeTarget("shop", "http://127.0.0.1:1/metrics", "web1", ScrapeJob(timeout=5.0))
    await world.scraper.scrape(asked)
    (one,) = await shown(api)
    assert (one["state"], one["status"], one["failing_since"]) == ("failing", 0, world.now.wall)
    assert "127.0.0.1:1" in one["error"]


async def test_one_that_answers_again_is_up(api: Api, world: World, asked: Exporter) -> None:
    good, asked.target = asked.target, ScrapeTarget("shop", "http://127.0.0.1:1/", "web1", ScrapeJob(timeout=5.0))
    await world.scraper.scrape(asked)
    asked.target = good
    await world.scraper.scrape(asked)
    (one,) = await shown(api)
    assert (one["state"], one["error"], one["failing_since"]) == ("up", "", None)


async def test_that_of_a_host_that_is_switched_off_is_off(api: Api, world: World, asked: Exporter) -> None:
    world.hosts.require("web1").enabled = False
    (one,) = await shown(api)
    assert one["state"] == "off"


async def test_the_question_in_an_address_is_kept_secret(api: Api, asked: Exporter) -> None:
    assert SECRET not in await (await api.get("/api/0/scrapes")).text()
    assert SECRET not in await (await api.get("/scrapes")).text()


async def test_only_who_sees_a_host_sees_its_exporters(api: Api, world: World, asked: Exporter) -> None:
    for name in ("bob", "eve"):
        await world.user(name)
    await world.configure(Config(hosts={"web1": HostConfig(monitors=("bob",))}))
    assert [one["host"] for one in await shown(api, await world.session("bob"))] == ["web1"]
    assert await shown(api, await world.session("eve")) == []
