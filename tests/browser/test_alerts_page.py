"""The page of alerts in a real browser, fed by hand."""

from __future__ import annotations

import re
from typing import Any

import pytest
from conftest import OpenPage
from fed import PASSWORD, FedDaemon
from looks import violations
from playwright.async_api import Locator, Page, expect

from hbd.hosts import Host

pytestmark = pytest.mark.asyncio(loop_scope="session")

SOON = 5_000  # milliseconds; less than the page waits until it asks without being told
TEMPERATURE = {"cpu": {"celsius": 92.5}}


def rows(page: Page) -> Locator:
    return page.locator("li.alert")


def hosts(page: Page) -> Locator:
    return page.locator("li.alert .where a")


async def disk(fed: FedDaemon, host: Host, percent: float, age: float = 0.0, mount: str = "/") -> None:
    await fed.judge(host, "disk_monitor", {mount: {"percent": percent}}, age)


async def opened(fed: FedDaemon, open_page: OpenPage, path: str = "/alerts", **options: Any) -> Page:
    page = await open_page(fed.origin + path, **options)
    await expect(page.locator("#feed")).to_have_text("live")
    return page


async def trouble(fed: FedDaemon) -> None:
    """Two alerts of web-1, one of pi."""
    web, pi = fed.add("web-1", "prod", "web"), fed.add("pi", "home")
    fed.add("fine")
    await disk(fed, web, 96.4, age=750)
    await fed.judge(web, "cpu_monitor", {"cpu_percent": 97.25}, age=90)
    await fed.judge(pi, "temperature", TEMPERATURE, age=30)


async def test_alert_shows_as_soon_as_its_sample_is_judged(fed: FedDaemon, open_page: OpenPage) -> None:
    host = fed.add("web-1", "prod")
    page = await opened(fed, open_page)
    await expect(page.locator("#quiet")).to_contain_text("Nothing is wrong on 1 host")
    await disk(fed, host, 96.4)
    await expect(rows(page)).to_have_count(1, timeout=SOON)
    for part, text in {".level": "■Critical", ".what": "Disk space /", ".value": "96.4 % > 95 %"}.items():
        await expect(rows(page).locator(part)).to_have_text(text)
    await expect(rows(page).locator(".where")).to_have_text("web-1 prod")
    await expect(page.locator("#quiet")).to_be_hidden()
    await expect(page).to_have_title("(1) Alerts · hbd")


async def test_alert_that_is_over_leaves_and_all_is_well(fed: FedDaemon, open_page: OpenPage) -> None:
    host = fed.add("web-1")
    await disk(fed, host, 96.4, age=60)
    page = await opened(fed, open_page)
    await expect(rows(page)).to_have_count(1)
    await disk(fed, host, 40.0)
    await expect(rows(page)).to_have_count(0, timeout=SOON)
    await expect(page.locator("#quiet")).to_contain_text(re.compile(r"The last alert ended \d+ s ago"))
    await expect(page).to_have_title("Alerts · hbd")


async def test_all_is_well_since_the_last_alert_that_is_remembered(fed: FedDaemon, open_page: OpenPage) -> None:
    host = await fed.enrol("web-1", owner="")
    await disk(fed, host, 96.4, age=7200)
    await disk(fed, host, 40.0, age=3700)
    page = await open_page(fed.origin + "/alerts", scripts=False)
    await expect(page.locator("#quiet")).to_contain_text("The last alert ended 1 h ago.")
    await expect(page.locator("#quiet")).to_contain_text("1 metrics are watched")


async def test_page_asks_by_itself_when_the_feed_is_silent(fed: FedDaemon, open_page: OpenPage) -> None:
    host = fed.add("web-1")
    page = await open_page(fed.origin + "/alerts")
    await page.clock.install()
    await page.goto(fed.origin + "/alerts")
    await expect(page.locator("#feed")).to_have_text("live")
    fed.feed.alert = lambda event: None  # type: ignore[method-assign]
    await disk(fed, host, 96.4)
    await page.clock.fast_forward(16_000)
    await expect(rows(page)).to_have_count(1)


async def test_duration_ticks(fed: FedDaemon, open_page: OpenPage) -> None:
    await disk(fed, fed.add("web-1"), 96.4, age=3700)
    page = await opened(fed, open_page)
    await expect(rows(page).locator(".since time")).to_have_text("1 h 1 min")
    await page.locator(".since time").evaluate("time => { time.dataset.since = Number(time.dataset.since) - 3600 }")
    await expect(rows(page).locator(".since time")).to_have_text("2 h 1 min")


async def test_worst_come_first_and_of_these_the_newest(fed: FedDaemon, open_page: OpenPage) -> None:
    await trouble(fed)
    await disk(fed, fed.add("db"), 99.0, age=10)
    page = await opened(fed, open_page)
    await expect(rows(page).locator(".what")).to_have_text(["Disk space /", "Disk space /", "Temperature cpu", "CPU "])
    await expect(hosts(page)).to_have_text(["db", "web-1", "pi", "web-1"])


async def test_cards_count_and_choose_levels_and_the_url_remembers(fed: FedDaemon, open_page: OpenPage) -> None:
    await trouble(fed)
    page = await opened(fed, open_page)
    await expect(page.locator(".tally .number")).to_have_text(["1", "2", "0", "2"])
    await page.get_by_role("link", name="Warning").click()
    await expect(hosts(page)).to_have_text(["pi", "web-1"])
    assert page.url.endswith("/alerts?level=WARNING")
    await page.reload()
    await expect(hosts(page)).to_have_text(["pi", "web-1"])
    await page.get_by_role("link", name="of 3 hosts").click()
    await expect(rows(page)).to_have_count(3)


async def test_filters_by_host_tag_and_words(fed: FedDaemon, open_page: OpenPage) -> None:
    await trouble(fed)
    page = await opened(fed, open_page)
    await page.get_by_label("Host", exact=True).select_option("web-1")
    await expect(rows(page)).to_have_count(2)
    await page.keyboard.press("Escape")
    await page.locator("#filter").fill("disk sp")
    await expect(rows(page)).to_have_count(1)
    assert page.url.endswith("?q=disk+sp&host=web-1")
    await page.get_by_role("link", name="Clear").click()
    await page.get_by_label("Tag", exact=True).select_option("home")
    await expect(hosts(page)).to_have_text(["pi"])
    await page.locator("#filter").fill("nothing like it")
    await expect(page.locator("#no-match")).to_be_visible()


async def test_page_reads_and_filters_without_scripts(fed: FedDaemon, open_page: OpenPage) -> None:
    await trouble(fed)
    page = await open_page(fed.origin + "/alerts?host=web-1", scripts=False)
    await expect(rows(page)).to_have_count(2)
    await expect(rows(page).first).to_contain_text("Disk space 96.4 > 95")
    await page.get_by_role("link", name="Warning").click()
    await expect(rows(page).locator(".what")).to_have_text(["CPU "])
    await page.locator("#filter").fill("nothing like it")
    await page.get_by_role("button", name="Filter").click()
    await expect(page.locator("#no-match")).to_be_visible()
    assert "level=WARNING" in page.url
    await expect(page.locator("button:visible")).to_have_count(1)


async def test_server_and_browser_say_the_same_of_an_alert(fed: FedDaemon, open_page: OpenPage) -> None:
    host = fed.add("web-1")
    sample = {"/": {"percent": 96.1257, "read_only": True}, "/mnt": {"hanging": True}}
    await fed.judge(host, "disk_monitor", sample, age=4000)
    await fed.judge(host, "agent_monitor", {"broken": {"ok": False}, "spool_records": 12345.0}, age=90000)
    plain = await open_page(fed.origin + "/alerts", scripts=False)
    page = await opened(fed, open_page)
    for part in (".level", ".what", ".value", ".told"):
        said = [
            re.sub("[ \\n]+", " ", text).strip() for text in await plain.locator(f"li.alert {part}").all_text_contents()
        ]
        await expect(page.locator(f"li.alert {part}")).to_have_text(said)
    await expect(rows(page).locator(".value")).to_have_text(["96.13 % > 95 %", "yes", "yes", "no", "12\u202f345 > 100"])


async def test_alert_is_acknowledged_with_a_note_and_that_is_taken_back(fed: FedDaemon, open_page: OpenPage) -> None:
    await disk(fed, await fed.enrol("web-1", owner=""), 96.4)
    page = await opened(fed, open_page)
    await page.get_by_role("button", name="Acknowledge Disk space, / on web-1").click()
    await expect(page.locator("#acknowledge .about")).to_have_text("Critical: Disk space, / on web-1")
    await page.get_by_label("Note").fill("making room")
    await page.locator("#acknowledge").get_by_role("button", name="Acknowledge").click()
    await expect(rows(page).locator(".told")).to_contain_text(re.compile("Acknowledged \\d+ s ago: making room"))
    await expect(page.locator("#open-alerts")).to_be_hidden()
    await page.get_by_role("link", name="Acknowledged").click()
    await expect(rows(page)).to_have_count(1)
    await page.get_by_role("button", name="Remove acknowledgement").click()
    await page.mouse.move(2, 2)
    await expect(rows(page)).to_have_count(0)
    await expect(page.locator("#open-alerts")).to_have_text("1 open")


@pytest.mark.parametrize(("scope", "left"), [("Disk space, / on this host", 1), ("Everything on web-[1]", 0)])
async def test_silence_holds_what_was_chosen_until_it_is_ended(
    fed: FedDaemon, open_page: OpenPage, scope: str, left: int
) -> None:
    host = fed.add("web-[1]")
    await disk(fed, host, 96.4)
    await fed.judge(host, "cpu_monitor", {"cpu_percent": 97.0})
    page = await opened(fed, open_page)
    await page.get_by_role("button", name="Silence Disk space").click()
    await page.get_by_label(scope).check()
    await page.get_by_label("4 h").check()
    await page.get_by_label("Reason").fill("new disk tomorrow")
    await page.locator("#silence").get_by_role("button", name="Silence").click()
    told = re.compile("Silenced for another 3 h 59 min: new disk tomorrow|Silenced for another 4 h: new disk tomorrow")
    await expect(rows(page).first.locator(".told")).to_contain_text(told)
    await page.get_by_role("link", name="Open", exact=True).click()
    await expect(rows(page)).to_have_count(left)
    await page.get_by_role("link", name="All", exact=True).click()
    await page.get_by_role("button", name="End silence").first.click()
    await expect(page.locator(".told-line")).to_have_count(0)


async def test_silence_without_end_lasts_most_of_a_year(fed: FedDaemon, open_page: OpenPage) -> None:
    await disk(fed, fed.add("web-1"), 96.4)
    page = await opened(fed, open_page)
    await page.keyboard.press("j")
    await page.keyboard.press("s")
    await page.get_by_label("until I say").check()
    await page.get_by_label("Reason").fill("known")
    await page.keyboard.press("Enter")
    await expect(rows(page).locator(".told")).to_contain_text("Silenced for another 363 d 23 h: known")


async def test_what_cannot_be_done_is_told_in_the_dialog(fed: FedDaemon, open_page: OpenPage) -> None:
    host = await fed.enrol("web-1", owner="")
    await disk(fed, host, 96.4)
    page = await opened(fed, open_page, expected="409")
    await page.get_by_role("button", name="Acknowledge").click()
    fed.feed.alert = lambda event: None  # type: ignore[method-assign]
    await disk(fed, host, 20.0)
    await page.locator("#acknowledge").get_by_role("button", name="Acknowledge").click()
    await expect(page.locator("#acknowledge .error")).to_contain_text("OK")


async def test_monitor_acknowledges_and_does_not_silence(fed: FedDaemon, open_page: OpenPage) -> None:
    await fed.user("bob")
    await fed.user("root", "admin")
    await disk(fed, await fed.enrol("web-1", owner="root", monitors=["bob"]), 96.4)
    await disk(fed, await fed.enrol("secret", owner="root"), 96.4)
    page = await open_page(fed.origin + "/login?next=/alerts")
    await page.get_by_label("User name").fill("bob")
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.locator("#feed")).to_have_text("live")
    await expect(hosts(page)).to_have_text(["web-1"])
    await expect(page.locator("[data-does=silence]")).to_be_hidden()
    await page.keyboard.press("j")
    await page.keyboard.press("s")
    await expect(page.locator("dialog[open]")).to_have_count(0)
    await page.keyboard.press("a")
    await page.keyboard.press("Enter")
    await expect(rows(page).locator(".told")).to_contain_text("Acknowledged by bob")
    await expect(page.locator(".tally").last).to_have_text(re.compile("1\\s+of 1 host$"))


async def test_details_tell_why_and_what_it_has_been(fed: FedDaemon, open_page: OpenPage) -> None:
    host = await fed.enrol("web-1", owner="")
    for number in range(13):
        await disk(fed, host, 96.4 if number % 2 == 0 else 20.0, age=1000 - number)
    page = await opened(fed, open_page, expected="404")
    button = page.get_by_role("button", name="Details of Disk space, / on web-1")
    await button.click()
    await expect(button).to_have_attribute("aria-expanded", "true")
    await expect(page.locator(".detail .path")).to_have_text("disk_monitor./.percent")
    await expect(page.locator(".detail .sentences")).to_contain_text("96.4")
    past = page.locator(".past li")
    await expect(past).to_have_count(10)
    await expect(past.nth(1)).to_contain_text("OK")
    await page.get_by_role("button", name="Older").click()
    await expect(past).to_have_count(13)
    await expect(page.get_by_role("button", name="Older")).to_be_hidden()
    await page.keyboard.press("j")
    await page.keyboard.press("Escape")
    await expect(page.locator(".detail")).to_have_count(0)


async def test_rows_keep_their_places_under_the_pointer(fed: FedDaemon, open_page: OpenPage) -> None:
    await trouble(fed)
    page = await opened(fed, open_page)
    await rows(page).first.hover()
    web = fed.hosts.require("web-1")
    await disk(fed, web, 10.0)
    await expect(rows(page).first.locator(".word").first).to_have_text("Over", timeout=SOON)
    await disk(fed, fed.add("db"), 99.0)
    await expect(hosts(page)).to_have_text(["web-1", "pi", "web-1", "db"], timeout=SOON)
    await page.mouse.move(2, 2)
    await expect(hosts(page)).to_have_text(["db", "pi", "web-1"])


async def test_many_alerts_come_in_parts(fed: FedDaemon, open_page: OpenPage) -> None:
    for number in range(230):
        await disk(fed, fed.add(f"node-{number}"), 90.0, age=number + 1.0)
    page = await opened(fed, open_page)
    await expect(rows(page)).to_have_count(200)
    await page.get_by_role("button", name="Show 30 more of 230").click()
    await expect(rows(page)).to_have_count(230)
    await expect(page.get_by_role("button", name="Details of Disk space, / on node-200")).to_be_focused()
    await expect(page.locator("#more")).to_be_hidden()


@pytest.mark.parametrize("path", ["/status", "/live", "/plugins"])
async def test_every_page_counts_the_open_alerts(fed: FedDaemon, open_page: OpenPage, path: str) -> None:
    host = fed.add("web-1")
    page = await opened(fed, open_page, path)
    await expect(page.locator("#open-alerts")).to_be_hidden()
    await disk(fed, host, 96.4)
    await expect(page.locator("#open-alerts")).to_have_text("1 open", timeout=SOON)
    await expect(page.locator("#open-alerts")).to_have_attribute("data-level", "CRITICAL")
    await page.get_by_role("link", name="Alerts").first.click()
    await expect(page).to_have_url(f"{fed.origin}/alerts")


async def test_live_table_counts_the_alerts_of_a_host_and_leads_to_them(fed: FedDaemon, open_page: OpenPage) -> None:
    web = fed.add("web-1")
    await fed.judge(fed.add("pi"), "temperature", TEMPERATURE)
    page = await opened(fed, open_page, "/live")
    await expect(page.get_by_role("link", name="Alerts of pi: 1 warning")).to_be_visible()
    await disk(fed, web, 96.4)
    await expect(page.locator("#raised .chip:visible b")).to_have_text(["1", "1"])
    await page.get_by_role("link", name="Alerts of web-1: 1 critical").click()
    await expect(page).to_have_url(f"{fed.origin}/alerts?host=web-1")
    await expect(hosts(page)).to_have_text(["web-1"])


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_axe_finds_nothing_in_rows_details_and_dialogs(fed: FedDaemon, open_page: OpenPage, theme: str) -> None:
    await disk(fed, await fed.enrol("db", owner=""), 99.0)
    await trouble(fed)
    page = await opened(fed, open_page, theme=theme, expected="404")
    await page.get_by_role("button", name="Acknowledge Disk space, / on db").click()
    assert await violations(page) == []
    await page.keyboard.press("Enter")
    await expect(page.locator(".told-line")).to_have_count(1)
    await page.locator("[data-does=open]").first.click()
    await expect(page.locator(".past li").first).to_be_visible()
    assert await violations(page) == []
    await page.locator("[data-does=silence]").first.click()
    assert await violations(page) == []


async def test_axe_finds_nothing_when_all_is_well(fed: FedDaemon, open_page: OpenPage) -> None:
    fed.add("web-1")
    assert await violations(await opened(fed, open_page)) == []


async def test_nothing_scrolls_sideways_on_a_small_phone(fed: FedDaemon, open_page: OpenPage) -> None:
    host = await fed.enrol("a-rather-long-name-of-a-host.rack-7.example.org", owner="")
    await disk(fed, host, 96.4, mount="/srv/a-rather-long-name-of-a-mount-point/and-more-of-it")
    page = await opened(fed, open_page, width=360, height=740, expected="404")
    await page.locator("[data-does=open]").click()
    await expect(page.locator(".past li")).to_have_count(1)
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360


async def test_many_changes_at_once_are_asked_for_together(fed: FedDaemon, open_page: OpenPage) -> None:
    machines = [fed.add(f"node-{number}") for number in range(40)]
    page = await opened(fed, open_page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/api/0/alerts" in request.url else None)
    for host in machines:
        await disk(fed, host, 96.4)
    await expect(rows(page)).to_have_count(40)
    assert len(asked) < 20
