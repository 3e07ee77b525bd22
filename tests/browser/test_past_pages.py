"""Pages as they were, in a real browser."""

from __future__ import annotations

import re
import time

import pytest
from conftest import OpenPage
from fed import FedDaemon
from looks import violations
from playwright.async_api import expect

from hbd.hosts import Host

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGES = ("/live?at=now-30m", "/alerts?at=now-30m", "/plugins?host=alpha&at=now-30m")
ISO = re.compile(r"\?(?:host=alpha&)?at=\d{4}-\d\d-\d\dT\d\d(?::|%3A)\d\d(?::|%3A)\d\dZ$")


async def an_hour_ago(fed: FedDaemon) -> Host:
    """A host with a full disk, of which that was shown an hour ago, and nothing was noted since."""
    host = await fed.enrol("alpha", owner="amy")
    fed.beat(host)
    fed.sample(host, "memory_monitor", {"percent": 43.2}, age=3600)
    await fed.judge(host, "disk_monitor", {"/": {"percent": 97.5}})
    fed.recorder.clock = lambda: time.time() - 3600
    await fed.recorder.look()
    await fed.recorder.flush()
    fed.recorder.clock = time.time
    return host


async def test_a_page_of_the_past_stands_still(fed: FedDaemon, open_page: OpenPage) -> None:
    host = await an_hour_ago(fed)
    page = await open_page(fed.origin + PAGES[0])
    await expect(page.locator(".past")).to_contain_text(re.compile(r"As it was on .*, 30 min.* ago"))
    fed.sample(host, "memory_monitor", {"percent": 77.7})
    live = await open_page(f"{fed.origin}/live")
    await expect(live.locator("tr.host .c-memory")).to_contain_text("78 %")
    await expect(page.locator("tr.host .c-memory")).to_contain_text("43 %")


async def test_the_clock_leads_to_the_past_and_back(fed: FedDaemon, open_page: OpenPage) -> None:
    await an_hour_ago(fed)
    page = await open_page(f"{fed.origin}/live")
    await page.get_by_role("link", name="Look back").click()
    await expect(page).to_have_url(ISO)
    await expect(page.locator(".past")).to_contain_text("10 min")
    await page.get_by_role("link", name="−10 min").click()
    await expect(page.locator(".past")).to_contain_text("20 min")
    await page.get_by_role("link", name="Now", exact=True).click()
    await expect(page).to_have_url(f"{fed.origin}/live")


async def test_a_moment_is_picked_in_the_zone_of_the_viewer(fed: FedDaemon, open_page: OpenPage) -> None:
    await an_hour_ago(fed)
    page = await open_page(fed.origin + PAGES[0])
    picker = page.get_by_label("Moment", exact=True)
    shown = await picker.input_value()
    await picker.fill(shown)
    await page.get_by_role("button", name="Go").click()
    await expect(page).to_have_url(ISO)
    assert await page.get_by_label("Moment", exact=True).input_value() == shown


async def test_without_scripts_a_moment_is_typed(fed: FedDaemon, open_page: OpenPage) -> None:
    await an_hour_ago(fed)
    page = await open_page(fed.origin + PAGES[1], scripts=False)
    await page.locator("#moment input[name=at]").fill("now-45m")
    await page.get_by_role("button", name="Go").click()
    await expect(page.locator(".past")).to_contain_text("45 min")
    await expect(page.locator("#alerts")).to_contain_text("97.5 %")


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_pages_of_the_past_break_no_rule(fed: FedDaemon, open_page: OpenPage, path: str, theme: str) -> None:
    await an_hour_ago(fed)
    page = await open_page(fed.origin + path, theme=theme)
    await expect(page.locator(".past")).to_be_visible()
    assert await violations(page) == []


@pytest.mark.parametrize("path", PAGES)
async def test_pages_of_the_past_fit_a_phone(fed: FedDaemon, open_page: OpenPage, path: str) -> None:
    await an_hour_ago(fed)
    page = await open_page(fed.origin + path, width=390)
    await expect(page.locator(".past")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") == 390
    inner = await page.locator(".past form").bounding_box()
    outer = await page.locator(".past").bounding_box()
    assert inner is not None
    assert outer is not None
    assert inner["x"] + inner["width"] <= outer["x"] + outer["width"]
