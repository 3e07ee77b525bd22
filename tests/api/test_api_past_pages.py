"""The pages as they were: ``/live?at=``, ``/alerts?at=`` and ``/plugins?at=``."""

from __future__ import annotations

import html
import re
import time

import msgspec
from alarms import alarm
from world import RUN, WALL, Api, World

from hbd.hosts import Host
from hbd.model import Moment, Report
from hbd.store import Turn

HTML = re.compile(r"<[^>]+>")


def wait(world: World, seconds: float) -> None:
    world.now = Moment(world.now.wall + seconds, world.now.mono + seconds)


async def page(api: Api, path: str, status: int = 200, token: str | None = None) -> str:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with api.get(path, headers=headers) as answer:
        assert answer.status == status
        return await answer.text()


def words(text: str) -> str:
    return html.unescape(re.sub(r"\s+", " ", HTML.sub(" ", text.split("<main")[1].split("</main>")[0])))


async def with_an_alarm(world: World) -> Host:
    """ant is heard, and three minutes later it is told that it is not; that was ten minutes ago."""
    host = await world.enrol("ant")
    world.beat(host, rtt=0.0045)
    world.sample(host, "cpu_monitor", {"cpu_percent": 12.5})
    await world.note("UP", host)
    await world.recorder.look()
    wait(world, 180)
    await alarm(world, host)
    await world.note("a word of later", host)
    await world.recorder.look()
    wait(world, 600)
    return host


async def test_the_live_page_shows_the_hosts_as_they_were(api: Api, world: World) -> None:
    await with_an_alarm(world)
    shown = words(await page(api, f"/live?at={WALL + 60}"))
    assert "As it was on 2025-06-15 15:07:40 UTC" in shown
    assert "4.5 ms" in shown
    assert "12 %" in shown


async def test_the_live_page_of_the_past_has_no_message_of_later(api: Api, world: World) -> None:
    await with_an_alarm(world)
    assert "a word of later" not in words(await page(api, f"/live?at={WALL + 60}"))
    assert "a word of later" in words(await page(api, f"/live?at={WALL + 240}"))


async def test_ages_on_a_page_of_the_past_are_told_from_its_moment(api: Api, world: World) -> None:
    await with_an_alarm(world)
    assert re.search(r'class="c-seen"><time[^>]*>1 min</time>', await page(api, f"/live?at={WALL + 60}"))


async def test_a_page_of_the_past_runs_no_script_that_would_change_it(api: Api, world: World) -> None:
    await with_an_alarm(world)
    shown = await page(api, f"/live?at={WALL + 60}")
    assert "/js/past.js" in shown
    assert "/js/live.js" not in shown
    assert 'id="data"' not in shown


async def test_the_page_of_alerts_shows_what_was_open(api: Api, world: World) -> None:
    await with_an_alarm(world)
    assert "All is well" in words(await page(api, f"/alerts?at={WALL + 60}"))
    shown = words(await page(api, f"/alerts?at={WALL + 240}"))
    assert "Heartbeat" in shown
    assert "no heartbeat" in shown


async def test_nothing_can_be_done_about_an_alert_of_the_past(api: Api, world: World) -> None:
    await with_an_alarm(world)
    shown = await page(api, f"/alerts?at={WALL + 240}")
    assert re.findall(r'data-does="(?:acknowledge|silence)"[^>]*>', shown)
    assert all("hidden" in one for one in re.findall(r'data-does="(?:acknowledge|silence)"[^>]*>', shown))


async def test_links_and_filters_of_a_page_of_the_past_stay_in_it(api: Api, world: World) -> None:
    await with_an_alarm(world)
    shown = await page(api, "/alerts?at=2025-06-15T15:10:40Z")
    assert 'href="/alerts?level=CRITICAL&amp;at=2025-06-15T15%3A10%3A40Z"' in shown
    assert '<input type="hidden" name="at" value="2025-06-15T15:10:40Z">' in shown


async def test_hosts_on_a_page_of_the_past_lead_to_what_they_were(api: Api, world: World) -> None:
    await with_an_alarm(world)
    for path in ("/live", "/alerts"):
        shown = await page(api, f"{path}?at=2025-06-15T15:10:40Z")
        assert 'href="/plugins?host=ant&amp;at=2025-06-15T15%3A10%3A40Z"' in shown
        assert 'href="/agent/ant"' not in shown
    assert 'href="/alerts?host=ant&amp;at=2025-06-15T15%3A10%3A40Z"' in await page(api, f"/live?at={WALL + 240}")


async def test_charts_on_a_page_of_the_past_lead_to_the_time_around_it(api: Api, world: World) -> None:
    host = await world.enrol("ant")
    sample = world.sample(host, "cpu_monitor", {"cpu_percent": 12.5})
    body = msgspec.json.encode([{"plugin": "cpu_monitor", "time": sample.time, "data": sample.data}])
    await world.store.record(Turn(reports=[(Report(host.id, RUN, 1, (sample,), body), sample.time)]))
    await world.recorder.look()
    wait(world, 600)
    shown = await page(api, f"/plugins?host=ant&at={WALL + 240}")
    assert re.search(r'href="/history\?host=ant&amp;metric=[\w.]+&amp;at=2025-06-15T15%3A10%3A40Z"', shown)
    assert 'href="/history?host=ant&amp;at=2025-06-15T15%3A10%3A40Z"' in shown


async def test_where_single_samples_are_gone_there_are_charts(api: Api, world: World) -> None:
    await with_an_alarm(world)
    wait(world, 3 * 86_400)
    shown = await page(api, f"/plugins?host=ant&at={WALL + 240}")
    assert "Single samples are kept for 48 h" in words(shown)
    assert 'href="/history?host=ant&amp;at=2025-06-15T15%3A10%3A40Z">Charts of that time</a>' in shown


async def test_the_page_of_plugins_says_when_the_host_was_not_there(api: Api, world: World) -> None:
    await with_an_alarm(world)
    await world.enrol("bee")
    await world.recorder.look()
    assert "Host 'bee' was not known at" in words(await page(api, f"/plugins?host=bee&at={WALL + 60}"))


async def test_a_page_without_a_past_leads_to_one_that_has_it(api: Api, world: World) -> None:
    await with_an_alarm(world)
    for path, place in (
        ("/agent/ant?at=2025-06-15T15:10:40Z", "/plugins?host=ant&at=2025-06-15T15%3A10%3A40Z"),
        (
            "/history?host=ant&metric=cpu_monitor.cpu_percent&at=1750000240",
            "/history?host=ant&metric=cpu_monitor.cpu_percent&from=1749998440&to=1750002040",
        ),
    ):
        async with api.get(path, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, place)


async def test_charts_around_a_moment_shortly_ago_go_on(api: Api, world: World) -> None:
    await with_an_alarm(world)
    async with api.get("/history?host=ant&metric=a.b&at=now-10m", allow_redirects=False) as answer:
        assert answer.headers["Location"] == "/history?host=ant&metric=a.b&range=1h"


async def test_charts_around_a_moment_of_the_future_are_told_to_be_none(api: Api, world: World) -> None:
    await with_an_alarm(world)
    async with api.get(f"/history?host=ant&metric=a.b&at={time.time() + 1e6:.0f}", allow_redirects=False) as answer:
        assert "Location" not in answer.headers


async def test_a_moment_that_is_none_is_told_on_the_page_of_history(api: Api, world: World) -> None:
    await with_an_alarm(world)
    assert "ISO 8601" in words(await page(api, "/history?host=ant&metric=cpu_monitor.cpu_percent&at=soon", 400))


async def test_a_moment_that_is_none_is_told_on_the_page(api: Api, world: World) -> None:
    await with_an_alarm(world)
    assert "“soon” is no moment of the past: Unix seconds, ISO 8601" in words(await page(api, "/live?at=soon"))
    assert "Nothing is known of 2025-06-15 14:06:40 UTC" in words(await page(api, f"/live?at={WALL - 3600}"))


async def test_markup_in_the_moment_is_shown_as_text(api: Api, world: World) -> None:
    assert "<b>x" not in await page(api, "/live?at=%3Cb%3Ex")


async def test_steps_lead_earlier_and_later_but_not_into_the_future(api: Api, world: World) -> None:
    await with_an_alarm(world)
    shown = await page(api, f"/live?q=an&at={WALL + 240}")
    assert 'href="/live?q=an&amp;at=2025-06-15T15:09:40Z">−1 min</a>' in shown
    assert ">+1 min</a>" in shown
    assert ">+10 min</a>" not in shown


async def test_live_pages_lead_to_the_past(api: Api, world: World) -> None:
    await with_an_alarm(world)
    for path in ("/live", "/alerts", "/plugins?host=ant"):
        assert re.search(rf'href="{re.escape(path)}[?&a-z_;=]*at=2025-06-15T15:09:41Z"', await page(api, path))
    assert 'title="Look back"' not in await page(api, "/status")


async def test_the_past_shows_only_hosts_that_the_caller_may_see_now(api: Api, world: World) -> None:
    await world.user("root", "admin")
    await world.user("dave")
    host = await with_an_alarm(world)
    await world.enrol("bee")
    world.hosts.hand(host, "root", [], ["dave"])
    token = await world.session("dave")
    await world.recorder.look()
    world.now = Moment(world.now.wall + 5, world.now.mono + 5)
    assert "ant" in words(await page(api, f"/live?at={world.now.wall - 1}", token=token))
    assert "bee" not in words(await page(api, f"/live?at={world.now.wall - 1}", token=token))
    headers = {"Authorization": f"Bearer {token}"}
    for path, status in (("hosts/bee", 403), ("hosts/bee/plugins", 403), ("hosts/ant", 200)):
        async with api.get(f"/api/0/{path}", params={"at": str(world.now.wall - 1)}, headers=headers) as answer:
            assert answer.status == status
    async with api.get("/api/0/alerts", params={"at": str(WALL + 240)}, headers=headers) as answer:
        assert (await answer.json())["summary"]["total"] == 1
    world.hosts.hand(host, "root", [], [])
    async with api.get("/api/0/alerts", params={"at": str(WALL + 240)}, headers=headers) as answer:
        assert (await answer.json())["summary"]["total"] == 0
