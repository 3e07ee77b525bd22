"""The page of history in a real browser: charts, tables, ranges."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from conftest import NO_DAEMON, OpenPage
from fed import FedDaemon
from looks import loaded_bytes, overflows, violations
from playwright.async_api import Page, expect
from stored_samples import keep

from hbd.hosts import Host
from hbd.web import paint

pytestmark = pytest.mark.asyncio(loop_scope="session")

CPU = "metric=cpu_monitor.cpu_percent"
HERE = "/history?host=alpha"
LOAD_BYTES = 200 * 1024
HOSTILE = '"><img src=x onerror="document.title=1"></script><script>document.title=1</script>'


async def remember(fed: FedDaemon, host: Host, plugin: str, values: dict[float, dict[str, Any]]) -> None:
    """values: seconds ago → data. The newest is what the host says now, too."""
    await keep(fed.store, host, plugin, {fed.now.wall - ago: data for ago, data in values.items()})
    fed.sample(host, plugin, values[min(values)])


async def watched(fed: FedDaemon) -> Host:
    """A host with six hours of numbers and an hour in which it was silent."""
    host = await fed.enrol("alpha", owner="amy")
    times = [ago for ago in range(30, 6 * 3600, 120) if not 7200 < ago < 10800]
    cpu = {float(ago): {"cpu_percent": 20.0 + ago % 7, "load_1min": 0.5, "sent_total": 900_000 - ago} for ago in times}
    await remember(fed, host, "cpu_monitor", cpu)
    await remember(fed, host, "memory_monitor", {30.0: {"percent": 43.2, "available_bytes": 8 << 30}})
    disks = {"/": {"percent": 93.5, "free_gb": 12.5}, "/home": {"percent": 12.0, "free_gb": 100.0}}
    await remember(fed, host, "disk_monitor", {30.0: disks})
    return host


async def picture(page: Page) -> Any:
    return msgspec.json.decode(await page.locator("#picture").text_content() or "")


async def inked(page: Page, *colour: int) -> bool:
    """Whether the first chart has anything in that colour."""
    script = """([red, green, blue]) => {
      const canvas = document.querySelector('.plot canvas');
      const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
      const near = (at, wanted) => Math.abs(pixels[at] - wanted) < 10;
      for (let at = 0; at < pixels.length; at += 4) {
        if (near(at, red) && near(at + 1, green) && near(at + 2, blue)) return true;
      }
      return false;
    }"""
    return bool(await page.evaluate(script, colour))


async def test_a_metric_is_drawn_and_told_in_numbers(fed: FedDaemon, open_page: OpenPage) -> None:
    await watched(fed)
    page = await open_page(f"{fed.origin}{HERE}&{CPU}")
    await expect(page.locator(".plot canvas")).to_have_count(1)
    assert await inked(page, 0x2A, 0x5B, 0xD0)
    await expect(page.locator(".curves tbody tr")).to_contain_text(re.compile(r"CPU.*cpu_monitor"))
    await expect(page.locator(".curves [data-label=Least]")).to_have_text("20.0 %")


async def test_curves_follow_the_theme(fed: FedDaemon, open_page: OpenPage) -> None:
    await watched(fed)
    page = await open_page(f"{fed.origin}{HERE}&{CPU}")
    await page.locator("#theme").click()
    await page.locator("#theme").click()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await page.evaluate("new Promise(requestAnimationFrame)")
    assert await inked(page, 0x86, 0xAC, 0xFF)


async def test_one_unit_is_one_chart(fed: FedDaemon, open_page: OpenPage) -> None:
    await watched(fed)
    page = await open_page(
        f"{fed.origin}{HERE}&{CPU}&metric=memory_monitor.percent&metric=disk_monitor.*.percent"
        "&metric=memory_monitor.available_bytes"
    )
    await expect(page.locator(".chart h2")).to_have_text(["CPU, Memory used, / · Disk used and 1 more", "Available"])
    await expect(page.locator(".chart").first.locator(".curves tbody tr")).to_have_count(4)


async def test_without_metrics_the_usual_ones_are_shown(fed: FedDaemon, open_page: OpenPage) -> None:
    await watched(fed)
    page = await open_page(fed.origin + HERE)
    await expect(page.locator(".chart h2")).to_have_text(["CPU, Memory used", "Load 1 min"])


async def test_silence_is_a_gap(fed: FedDaemon, open_page: OpenPage) -> None:
    await watched(fed)
    page = await open_page(f"{fed.origin}{HERE}&{CPU}")
    gaps = """async () => {
      const { columns } = await import(`/static/${document.body.dataset.version}/js/series.js`);
      const { charts } = JSON.parse(document.getElementById('picture').textContent);
      return columns([charts[0].curves[0].points])[3].filter((value) => value === null).length;
    }"""
    assert await page.evaluate(gaps) == 1


async def test_a_gap_stays_one_where_another_curve_goes_on(fed: FedDaemon, open_page: OpenPage) -> None:
    page = await open_page(fed.origin + "/history")
    columns = """async () => {
      const { columns } = await import(`/static/${document.body.dataset.version}/js/series.js`);
      const row = (at) => [at, 1, 1, 1];
      return columns([[0, 1, 2, 10, 11].map(row), [0, 2, 4, 6, 8, 10].map(row)])[3].map((value) => value ?? 0);
    }"""
    assert await page.evaluate(columns) == [1, 1, 1, 0, 0, 0, 0, 1, 1]


async def test_a_counter_is_shown_as_its_rate(fed: FedDaemon, open_page: OpenPage) -> None:
    await watched(fed)
    page = await open_page(f"{fed.origin}{HERE}&metric=cpu_monitor.sent_total")
    await expect(page.locator(".curves tbody th")).to_contain_text("Sent a second")
    await expect(page.locator(".curves [data-label=Mean]")).to_have_text("1.0 /s")


async def test_dragging_over_a_chart_zooms_and_back_leads_back(fed: FedDaemon, open_page: OpenPage) -> None:
    await watched(fed)
    page = await open_page(fed.origin + HERE)
    box = await page.locator(".u-over").first.bounding_box()
    assert box is not None
    before = await picture(page)
    await page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 50)
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50, steps=3)
    await page.mouse.up()
    await expect(page).to_have_url(re.compile("from="))
    query = parse_qs(urlsplit(page.url).query)
    start, end = int(query["from"][0]), int(query["to"][0])
    assert start == pytest.approx(before["start"] + 5400, abs=120) and end - start == pytest.approx(5400, abs=240)
    await expect(page.locator("#later")).to_have_attribute("href", re.compile("/history"))
    await page.go_back()
    await expect(page.locator(".ranges [aria-current]")).to_have_text("6 h")


async def test_ranges_change_the_url_in_place(fed: FedDaemon, open_page: OpenPage) -> None:
    await watched(fed)
    page = await open_page(f"{fed.origin}{HERE}&{CPU}")
    await page.evaluate("window.same = true")
    await page.locator(".ranges a", has_text="24 h").click()
    await expect(page.locator(".ranges [aria-current]")).to_have_text("24 h")
    await expect(page).to_have_url(re.compile("range=24h"))
    assert await page.evaluate("window.same")


async def test_an_alert_is_marked_and_told(fed: FedDaemon, open_page: OpenPage) -> None:
    host = await watched(fed)
    for ago, value in ((4200.0, 97.0), (3600.0, 30.0), (900.0, 97.0)):
        await fed.judge(host, "cpu_monitor", {"cpu_percent": value}, age=ago)
    page = await open_page(f"{fed.origin}{HERE}&{CPU}")
    rows = page.locator("#spans tbody tr")
    await expect(rows).to_have_count(2)
    await expect(rows.first).to_contain_text("goes on")
    ended = (await picture(page))["alerts"][1]
    assert (ended["metric"], round(ended["end"] - ended["start"])) == ("cpu_monitor.cpu_percent", 600)


async def test_new_samples_come_in_by_themselves(fed: FedDaemon, open_page: OpenPage) -> None:
    host = await watched(fed)
    page = await open_page(f"{fed.origin}{HERE}&metric=memory_monitor.percent")
    await expect(page.locator("#feed")).to_have_text("live")
    await remember(fed, host, "memory_monitor", {0.0: {"percent": 77.7}})
    await expect(page.locator(".curves [data-label=Newest]")).to_have_text("77.7 %", timeout=40_000)


async def test_metrics_are_picked_by_searching(fed: FedDaemon, open_page: OpenPage) -> None:
    await watched(fed)
    page = await open_page(f"{fed.origin}{HERE}&{CPU}")
    await page.locator("#metrics summary").click()
    await expect(page.locator("#search-metrics")).to_be_focused()
    await page.keyboard.type("home free")
    await expect(page.locator(".choices label:visible")).to_have_text(["/home · Free"])
    await page.locator(".choices label:visible input").check()
    await page.get_by_role("button", name="Show").click()
    await expect(page.locator(".chart")).to_have_count(2)
    assert parse_qs(urlsplit(page.url).query)["metric"] == ["cpu_monitor.cpu_percent", "disk_monitor./home.free_gb"]


async def test_without_scripts_the_numbers_are_a_table(fed: FedDaemon, open_page: OpenPage) -> None:
    await watched(fed)
    page = await open_page(f"{fed.origin}{HERE}&{CPU}&metric=memory_monitor.percent", scripts=False)
    await page.locator(".values summary").click()
    await expect(page.locator(".values thead th")).to_have_text(["Time", "CPU", "Memory used"])
    await expect(page.locator(".values tbody tr").first).to_contain_text("43.2 %")
    await page.locator(".ranges a", has_text="24 h").click()
    await expect(page.locator(".ranges [aria-current]")).to_have_text("24 h")


async def test_the_csv_is_about_what_is_shown(fed: FedDaemon, open_page: OpenPage) -> None:
    await watched(fed)
    page = await open_page(f"{fed.origin}{HERE}&{CPU}")
    answer = await page.request.get(fed.origin + (await page.locator("#csv").get_attribute("href") or ""))
    assert answer.headers["content-type"].startswith("text/csv")
    assert len((await answer.text()).splitlines()) - 1 == len((await picture(page))["charts"][0]["curves"][0]["points"])


async def test_what_cannot_be_asked_is_told_with_the_reason(fed: FedDaemon, open_page: OpenPage) -> None:
    await watched(fed)
    page = await open_page(f"{fed.origin}{HERE}&{CPU}&from=yesterday", expected="400")
    await expect(page.locator("#problem")).to_contain_text("from: Unix seconds")


async def test_a_metric_without_points_is_named(fed: FedDaemon, open_page: OpenPage) -> None:
    await watched(fed)
    page = await open_page(f"{fed.origin}{HERE}&{CPU}&metric=cpu_monitor.gone")
    await expect(page.locator(".hostline")).to_contain_text("nothing in this time of cpu_monitor.gone")


async def test_a_time_of_which_nothing_is_kept_is_told(fed: FedDaemon, open_page: OpenPage) -> None:
    await watched(fed)
    page = await open_page(f"{fed.origin}{HERE}&metric=cpu_monitor.cpu_percent&from=1000000&to=2000000")
    await expect(page.locator("#nothing")).to_contain_text("No sample of cpu_monitor.cpu_percent")


async def test_a_lost_daemon_is_told_and_can_be_asked_again(fed: FedDaemon, open_page: OpenPage) -> None:
    await watched(fed)
    page = await open_page(f"{fed.origin}{HERE}&{CPU}", expected=NO_DAEMON)
    await fed.stop()
    await page.locator(".ranges a", has_text="24 h").click()
    await expect(page.locator("#failed")).to_contain_text("the daemon cannot be reached")
    await fed.start()
    await page.locator("#again").click()
    await expect(page.locator("#failed")).to_be_hidden()
    await expect(page.locator(".ranges [aria-current]")).to_have_text("24 h")


async def test_unknown_host_is_named_and_is_404(fed: FedDaemon, open_page: OpenPage) -> None:
    page = await open_page(fed.origin + "/history?host=%3Cb%3Enope", expected="404")
    await expect(page.locator(".empty")).to_contain_text("“<b>nope”")


async def test_hostile_names_are_shown_as_text(fed: FedDaemon, open_page: OpenPage) -> None:
    host = await fed.enrol("alpha", owner="amy")
    await remember(fed, host, "own", {60.0: {HOSTILE: 1.0}, 30.0: {HOSTILE: 2.0}})
    page = await open_page(fed.origin + HERE)
    await expect(page.locator(".plot canvas")).to_have_count(1)
    await expect(page).to_have_title("History · hbd")
    assert await page.locator("img").count() == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_axe_finds_nothing_on_the_page_of_history(fed: FedDaemon, open_page: OpenPage, theme: str) -> None:
    host = await watched(fed)
    await fed.judge(host, "cpu_monitor", {"cpu_percent": 97.0}, age=4200.0)
    page = await open_page(fed.origin + HERE, theme=theme)
    await expect(page.locator("#feed")).to_have_text("live")
    await page.evaluate("document.querySelectorAll('details').forEach(details => { details.open = true })")
    assert await violations(page) == []


async def test_history_fits_a_small_phone(fed: FedDaemon, open_page: OpenPage) -> None:
    await watched(fed)
    page = await open_page(fed.origin + HERE, width=360, height=740)
    await expect(page.locator(".plot canvas")).to_have_count(2)
    assert not await overflows(page)


async def test_first_load_with_charts_is_small(fed: FedDaemon, open_page: OpenPage) -> None:
    await watched(fed)
    page = await open_page(fed.origin + HERE)
    await expect(page.locator("#feed")).to_have_text("live")
    assert 0 < await loaded_bytes(page) <= LOAD_BYTES


async def test_cards_and_columns_of_plugins_lead_to_their_history(fed: FedDaemon, open_page: OpenPage) -> None:
    await watched(fed)
    page = await open_page(fed.origin + "/plugins?host=alpha&plugin=disk_monitor")
    await page.locator(".data thead a", has_text="Used").click()
    await expect(page.locator(".curves tbody tr")).to_have_count(2)
    await page.goto(fed.origin + "/plugins?host=alpha&plugin=cpu_monitor")
    await page.locator(".card h3 a", has_text="CPU").first.click()
    await expect(page.locator(".chart h2")).to_have_text(["CPU"])


async def test_server_and_script_say_numbers_alike(fed: FedDaemon, open_page: OpenPage) -> None:
    page = await open_page(fed.origin + "/history")
    values = [0, 0.3, 1, 9.97, 42, 99.96, 999, 1234, 123456.7, 8589934592]
    said = {
        unit: [str(paint.reading(unit, value)) for value in values]
        for unit, _ in paint.UNITS
        if unit not in (*paint.MOMENTS, "pid")
    }
    script = """async ([units, values]) => {
      const { say } = await import(`/static/${document.body.dataset.version}/js/units.js`);
      return Object.fromEntries(units.map((unit) => [unit, values.map((value) => say(unit, value))]));
    }"""
    assert await page.evaluate(script, [list(said), values]) == said
