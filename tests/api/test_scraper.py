"""hbd asks exporters that answer well, badly, or not at all."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from certificates import Authority
from programs import eventually
from world import World

from hbd.config import Config
from hbd.config.structs import ScrapeJob, ScrapeTarget, Secret
from hbd.model import Moment, State
from hbd.scraping import scraper
from hbd.scraping.scraper import Exporter, ScrapeFailed, Scraper

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
WITHIN = 20.0


def saying(text: str, **given: Any) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text, **given)

    return answer


@asynccontextmanager
async def exporter(answer: Answer, path: str = "/metrics") -> AsyncIterator[str]:
    """The URL of one that answers so."""
    app = web.Application()
    app.router.add_get(path, answer)
    async with TestServer(app) as server:
        yield str(server.make_url(path))


def target(url: str, **settings: Any) -> ScrapeTarget:
    return ScrapeTarget("shop", url, "web1", ScrapeJob(urls=(url,), **settings))


@asynccontextmanager
async def scraping(
    world: World, url: str, clock: Callable[[], Moment] = Moment.now, **settings: Any
) -> AsyncIterator[Scraper]:
    """One target, asked every second, of the host web1."""
    job = ScrapeJob(urls=(url,), host="web1", **{"interval": 1.0, "timeout": 5.0, **settings})
    config = Config(scrape={"shop": job})
    asking = Scraper(config, world.hosts, world.pipeline, world.report_log, world.stats, clock)
    task = asyncio.create_task(asking.run())
    try:
        yield asking
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def newest(world: World, plugin: str) -> Any:
    """The newest sample of a plugin of web1, when there is one."""

    async def look() -> Any:
        return world.rings.latest(world.hosts.require("web1").id, plugin)

    return await eventually(look, WITHIN, f"a sample of {plugin}")


async def failure(world: World) -> str:
    """Why web1 cannot be scraped, when that is known."""
    host = world.hosts.require("web1")

    async def look() -> str:
        return next((log.answer.get("error", "") for log in await world.report_log.recent(host, 1)), "")

    return await eventually(look, WITHIN, "a failure")


@pytest.fixture(autouse=True)
async def web1(world: World) -> None:
    await world.enrol("web1")


async def test_metrics_of_an_exporter_are_samples_of_its_host(world: World) -> None:
    async with exporter(saying('orders 3\nsold{kind="tea"} 4')) as url, scraping(world, url):
        assert (await newest(world, "shop")).data == {"orders": 3.0, "kind=tea": {"sold": 4.0}}


async def test_an_answer_is_a_sign_of_life_at_the_interval_of_the_job(world: World) -> None:
    async with exporter(saying("orders 3")) as url, scraping(world, url, interval=2.0):
        await newest(world, "shop")
        view = world.presence.view(world.hosts.require("web1").id)
        assert view is not None
        assert (view.state, view.interval, view.connections[0].address) == (State.UP, 2.0, "127.0.0.1")


async def test_node_exporter_goes_to_the_plugins_of_hbc(world: World) -> None:
    text = 'node_uname_info{nodename="w"} 1\nnode_load1 2.5\nnode_arp_entries{device="eth0"} 4'
    async with exporter(saying(text)) as url, scraping(world, url):
        assert (await newest(world, "cpu_monitor")).data == {"load_1min": 2.5}
        assert (await newest(world, "shop")).data == {"device=eth0": {"node_arp_entries": 4.0}}


async def test_the_first_sample_has_rates_already(world: World) -> None:
    hits = 0

    async def answer(_: web.Request) -> web.StreamResponse:
        nonlocal hits
        hits += 100
        return web.Response(text=f"# TYPE hits counter\nhits {hits}")

    seconds = iter(range(0, 10_000, 10))

    def clock() -> Moment:
        return Moment(world.now.wall, world.now.mono + next(seconds))

    async with exporter(answer) as url, scraping(world, url, clock):
        await newest(world, "shop")
    oldest = world.rings.newest(world.hosts.require("web1").id, "shop", 10)[-1]
    assert "hits_per_second" in oldest.data


async def test_a_bad_line_costs_itself_and_is_told_in_the_report_log(world: World) -> None:
    async with exporter(saying("orders 3\nthis is none\nsold 4")) as url, scraping(world, url):
        assert (await newest(world, "shop")).data == {"orders": 3.0, "sold": 4.0}

        async def told() -> list[Any]:
            return await world.report_log.recent(world.hosts.require("web1"), 1)

        (report,) = await eventually(told, WITHIN, "a report")
    assert (report.receiver, report.status) == ("prometheus", 200)
    assert report.request == {"url": url, "job": "shop"}
    assert report.answer["problems"] == ["line 2: 'this is none' is no name, labels and value"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (saying("no", status=503), "it answers 503 Service Unavailable"),
        (saying("", status=302, headers={"Location": "http://127.0.0.1:1/"}), "it answers 302 Found"),
        (saying("<html>\n"), "line 1: '<html>' is no name, labels and value"),
        (saying(""), "it answers no metrics"),
        (saying("x" * 200), f"line 1: '{'x' * 60}' is no name, labels and value"),
        (saying("a 1", headers={"Content-Encoding": "zstd"}), "it answers compressed, which was not asked for"),
    ],
)
async def test_an_answer_without_metrics_is_a_failure(world: World, answer: Answer, reason: str) -> None:
    async with exporter(answer) as url, scraping(world, url):
        assert await failure(world) == reason
    assert world.presence.view(world.hosts.require("web1").id).state is State.UNKNOWN  # type: ignore[union-attr]


async def test_an_exporter_that_does_not_answer_is_given_up(world: World) -> None:
    async def hang(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    async with exporter(hang) as url, scraping(world, url, timeout=0.2):
        assert await failure(world) == "no answer within 0.2 s"


async def test_an_endless_answer_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scraper, "MAX_BYTES", 1 << 20)

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"a 1\n" * 10_000)

    async with exporter(endless) as url, scraping(world, url):
        assert await failure(world) == "it answers more than 1 MiB"


async def test_who_cannot_be_reached_is_told_once_in_the_journal_and_again_when_it_works(world: World) -> None:
    answers: list[Answer] = [saying("a", status=500)]
    calls = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal calls
        calls += 1
        return await answers[0](request)

    async with exporter(answer) as url, scraping(world, url, interval=1.0):

        async def asked_again() -> bool:
            return calls >= 2

        await eventually(asked_again, WITHIN, "two scrapes")
        answers[0] = saying("a 1")
        await newest(world, "shop")

        async def lines() -> list[str]:
            found = [line.msg for line in await world.store.messages.recent(20) if line.msg.startswith("scraping")]
            return found if len(found) == 2 else []

        told = await eventually(lines, WITHIN, "both lines")
    assert told == [f"scraping {url} works again", f"scraping {url} fails: it answers 500 Internal Server Error"]


async def test_what_is_asked_in_a_url_is_sent_and_not_shown(world: World) -> None:
    seen: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(request.query_string)
        return web.Response(status=500)

    async with exporter(answer) as url, scraping(world, f"{url}?target=a&secret=b"):
        assert await failure(world) == "it answers 500 Internal Server Error"
        (report,) = await world.report_log.recent(world.hosts.require("web1"), 1)
    assert (seen[0], report.request["url"]) == ("target=a&secret=b", url)


@asynccontextmanager
async def no_exporter(answer: Callable[[bytes], bytes]) -> AsyncIterator[str]:
    """The URL of something that answers a request with bytes of its own."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            writer.write(answer(await reader.readuntil(b"\r\n\r\n")))
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/metrics"


ODD_ANSWERS = {
    "another protocol": lambda _: b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "the request": lambda request: request,
    "a head that is too long": lambda request: b"HTTP/1.1 200 OK\r\nX: " + request.split()[1] + b"x" * 20_000,
    "a part of what was announced": lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\na 1",
    "broken chunks": lambda request: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + request,
    "nothing": lambda _: b"",
}


@pytest.mark.parametrize("answer", ODD_ANSWERS.values(), ids=ODD_ANSWERS)
@pytest.mark.parametrize("question", ["token=swordfish", "a='&token=swordfish"])
async def test_what_is_no_http_does_not_tell_what_is_asked_in_a_url(
    world: World, answer: Callable[[bytes], bytes], question: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with no_exporter(answer) as url, scraping(world, f"{url}?{question}") as asking:
        reason = await failure(world)
        (one,) = asking.exporters
        assert one.last is not None
        told = [reason, one.last.error, caplog.text, *(line.msg for line in await world.store.messages.recent(20))]
    assert reason and "\n" not in reason
    assert not [text for text in told if "swordfish" in text]


async def test_what_is_no_http_is_told_so() -> None:
    async with no_exporter(ODD_ANSWERS["another protocol"]) as url:
        with pytest.raises(ScrapeFailed, match=r"^it answers no HTTP: Bad status line"):
            await Exporter(target(f"{url}?token=swordfish")).fetch()


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"token": Secret("open sesame")}, "Bearer open sesame"),
        ({"username": "hbd", "password": Secret("pw")}, "Basic aGJkOnB3"),
        ({}, None),
    ],
)
async def test_who_wants_to_know_is_told_who_asks(world: World, settings: dict[str, Any], shown: str | None) -> None:
    seen: list[str | None] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization"))
        return web.Response(text="a 1")

    async with exporter(answer) as url, scraping(world, url, **settings):
        await newest(world, "shop")
    assert seen[0] == shown


async def test_a_target_that_is_taken_from_the_config_is_asked_no_more(world: World) -> None:
    async with exporter(saying("a 1")) as url, scraping(world, url) as asking:
        await newest(world, "shop")
        asking.config = Config()

        async def nobody_is_asked() -> bool:
            return world.stats.gauges["scrape_targets"]() == 0

        await eventually(nobody_is_asked, WITHIN, "nobody is asked")


async def test_a_host_that_is_switched_off_is_not_asked(world: World) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.Response(text="a 1")

    host = world.hosts.require("web1")
    async with exporter(answer) as url:
        config = Config(scrape={"shop": ScrapeJob(urls=(url,), host="web1")})
        asking = Scraper(config, world.hosts, world.pipeline, world.report_log, world.stats)
        host.enabled = False
        await asking.scrape(Exporter(config.scrape_targets[0]))
        assert asked == []
        host.enabled = True
        await asking.scrape(Exporter(config.scrape_targets[0]))
        assert asked == ["/metrics"]


async def test_an_exporter_is_believed_by_the_authority_of_its_job_alone(world: World, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    app = web.Application()
    app.router.add_get("/metrics", saying("a 1"))
    server = TestServer(app)
    await server.start_server(ssl=context)
    try:
        url = str(server.make_url("/metrics"))
        with pytest.raises(ScrapeFailed, match="certificate verify failed"):
            await Exporter(target(url)).fetch()
        text, source = await Exporter(target(url, ca_file=authority.file)).fetch()
    finally:
        await server.close()
    assert (text, source.address) == ("a 1", "127.0.0.1")


async def test_a_scrape_that_fails_in_an_unexpected_way_is_known_to_fail(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("odd")

    monkeypatch.setattr(Scraper, "scrape", broken)
    async with exporter(saying("orders 3")) as url, scraping(world, url) as asking:

        async def failing() -> list[Exporter]:
            return [one for one in asking.exporters if one.failing]

        (one,) = await eventually(failing, WITHIN, "it fails")
    assert one.last is not None
    assert one.last.error == "it failed in an unexpected way; the log of hbd says how"
