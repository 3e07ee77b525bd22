"""The live page in a real browser, fed by hand."""

from __future__ import annotations

import re

import pytest
from conftest import OpenPage
from fed import FedDaemon, machine
from playwright.async_api import Page, expect

pytestmark = pytest.mark.asyncio(loop_scope="session")

NO_DAEMON = "WebSocket connection to"  # what the browser says while nobody listens


def names(page: Page) -> object:
    return page.locator("tr.host .c-host a")


async def live(page: Page) -> Page:
    await expect(page.locator("#feed")).to_have_text("live")
    return page


async def test_first_host_takes_the_place_of_the_advice(fed: FedDaemon, open_page: OpenPage) -> None:
    page = await live(await open_page(fed.origin + "/live"))
    await expect(page.locator("#empty code")).to_have_text(f"hbc run --server {fed.origin}")
    fed.add("alpha")
    await expect(page.locator("tr.host[data-state=UP] .c-host a")).to_have_text("alpha")
    await expect(page.locator("#empty")).to_be_hidden()


async def test_value_changes_without_reload(fed: FedDaemon, open_page: OpenPage) -> None:
    host = machine(fed, "alpha", 12.0)
    page = await live(await open_page(fed.origin + "/live"))
    await expect(page.locator(".c-cpu .value")).to_have_text("12 %")
    fed.wait(1)
    fed.sample(host, "cpu_monitor", {"cpu_percent": 97.0, "cpu_count": 4})
    await expect(page.locator(".c-cpu .value")).to_have_text("97 %")
    await expect(page.locator(".c-cpu .meter")).to_have_class("meter high")


async def test_silence_shows_in_row_counts_title_icon_and_messages(fed: FedDaemon, open_page: OpenPage) -> None:
    fed.add("alpha")
    page = await live(await open_page(fed.origin + "/live"))
    await expect(page).to_have_title("Live · hbd")
    fed.wait(40)
    await expect(page.locator("tr.host .c-state .word")).to_have_text("down")
    await expect(page.locator(".chip[data-state=DOWN] b")).to_have_text("1")
    await expect(page).to_have_title("(1) Live · hbd")
    await expect(page.locator("#icon")).to_have_attribute("href", re.compile(r"icon-critical-1\.svg$"))
    await expect(page.locator("#messages li").first).to_contain_text("OVERDUE to DOWN")


async def test_lost_family_shows_beside_the_one_that_lives(fed: FedDaemon, open_page: OpenPage) -> None:
    host = machine(fed, "alpha", 12.0)
    page = await live(await open_page(fed.origin + "/live"))
    await expect(page.locator(".c-v6 .word")).to_have_text("4.5 ms")
    for _ in range(8):
        fed.wait(5)
        fed.beat(host)
    await expect(page.locator(".c-v6 .word")).to_have_text("down")
    await expect(page.locator(".c-v4 .word")).to_have_text("12 ms")
    await expect(page.locator("tr.host .c-state .word")).to_have_text("up")


async def test_heading_sorts_and_the_url_remembers(fed: FedDaemon, open_page: OpenPage) -> None:
    for name, cpu in (("a", 10.0), ("b", 90.0), ("c", 50.0)):
        machine(fed, name, cpu)
    page = await live(await open_page(fed.origin + "/live"))
    await page.locator("th[data-sort=cpu] a").click()
    await expect(names(page)).to_have_text(["b", "c", "a"])
    await expect(page.locator("th[data-sort=cpu]")).to_have_attribute("aria-sort", "descending")
    await page.locator("th[data-sort=cpu] a").click()
    await expect(names(page)).to_have_text(["a", "c", "b"])
    assert page.url.endswith("?sort=cpu&order=asc")
    await page.reload()
    await expect(names(page)).to_have_text(["a", "c", "b"])


async def test_hosts_without_a_value_come_last_both_ways(fed: FedDaemon, open_page: OpenPage) -> None:
    fed.add("none")
    machine(fed, "some", 10.0)
    page = await live(await open_page(fed.origin + "/live?sort=cpu"))
    await expect(names(page)).to_have_text(["some", "none"])
    await page.locator("th[data-sort=cpu] a").click()
    await expect(page.locator("th[data-sort=cpu]")).to_have_attribute("aria-sort", "ascending")
    await expect(names(page)).to_have_text(["some", "none"])


async def test_filter_narrows_and_the_url_remembers(fed: FedDaemon, open_page: OpenPage) -> None:
    fed.add("web-1", "prod")
    fed.add("web-2")
    fed.add("db-1", "prod")
    page = await live(await open_page(fed.origin + "/live"))
    await page.keyboard.press("/")
    await page.keyboard.type("web prod")
    await expect(names(page)).to_have_text(["web-1"])
    await page.reload()
    await expect(names(page)).to_have_text(["web-1"])
    await page.locator("#filter").press("Escape")
    await expect(names(page)).to_have_count(3)


async def test_click_on_a_count_shows_only_that_state(fed: FedDaemon, open_page: OpenPage) -> None:
    fed.add("quiet", heard=False)
    fed.add("loud")
    page = await live(await open_page(fed.origin + "/live"))
    await page.locator(".chip[data-state=UP]").click()
    await expect(names(page)).to_have_text(["loud"])
    assert page.url.endswith("?state=UP")


async def test_trouble_stands_first(fed: FedDaemon, open_page: OpenPage) -> None:
    fed.add("z-gone")
    fed.wait(40)
    fed.add("a-fine")
    page = await live(await open_page(fed.origin + "/live"))
    await expect(names(page)).to_have_text(["z-gone", "a-fine"])


async def test_rows_keep_their_places_under_the_pointer(fed: FedDaemon, open_page: OpenPage) -> None:
    machine(fed, "a", 90.0)
    slow = machine(fed, "b", 10.0)
    page = await live(await open_page(fed.origin + "/live?sort=cpu"))
    await page.locator("tr.host").first.hover()
    fed.wait(1)
    fed.sample(slow, "cpu_monitor", {"cpu_percent": 99.0})
    await expect(page.locator("tr.host", has_text="99 %")).to_be_visible()
    await expect(names(page)).to_have_text(["a", "b"])
    await page.mouse.move(5, 5)
    await expect(names(page)).to_have_text(["b", "a"])


async def test_groups_by_tag_show_a_host_under_each_of_its_tags(fed: FedDaemon, open_page: OpenPage) -> None:
    fed.add("web-1", "prod", "web")
    fed.add("pi")
    page = await live(await open_page(fed.origin + "/live"))
    await page.locator("#group").select_option("tag")
    await expect(page.locator("tr.group")).to_have_text(["prod · 1", "web · 1", "no tag · 1"])
    await expect(names(page)).to_have_text(["web-1", "web-1", "pi"])


async def test_cards_show_the_same_hosts(fed: FedDaemon, open_page: OpenPage) -> None:
    for number in range(12):
        machine(fed, f"web-{number}", 10.0)
    page = await live(await open_page(fed.origin + "/live"))
    await page.get_by_role("button", name="Cards").click()
    await expect(page.locator("#hosts thead")).to_be_hidden()
    await expect(names(page)).to_have_count(12)
    boxes = [await row.bounding_box() for row in await page.locator("tr.host").all()]
    assert len({round(box["x"]) for box in boxes if box}) == 3


async def test_keys_walk_the_rows_and_open_a_host(fed: FedDaemon, open_page: OpenPage) -> None:
    for name in ("a", "b", "c"):
        fed.add(name)
    page = await live(await open_page(fed.origin + "/live"))
    for key in ("j", "j", "j", "k"):
        await page.keyboard.press(key)
    await expect(page.get_by_role("link", name="b", exact=True)).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{fed.origin}/plugins?host=b")


async def test_five_thousand_hosts_are_as_many_rows_as_fit(fed: FedDaemon, open_page: OpenPage) -> None:
    for number in range(5000):
        fed.add(f"node-{number}")
    page = await live(await open_page(fed.origin + "/live?sort=host"))
    await expect(page.locator(".chip[data-state=UP] b")).to_have_text("5000")
    assert await page.locator("tr.host").count() < 80
    await page.evaluate("scrollTo(0, document.body.scrollHeight)")
    await expect(page.get_by_role("link", name="node-4999", exact=True)).to_be_visible()
    assert await page.locator("tr.host").count() < 80


@pytest.mark.parametrize(("density", "rows"), [("comfortable", 25), ("compact", 50)])
async def test_rows_that_fit_on_a_laptop(fed: FedDaemon, open_page: OpenPage, density: str, rows: int) -> None:
    for number in range(60):
        machine(fed, f"node-{number}", 10.0, "web")
    page = await live(await open_page(fed.origin + "/live"))
    if density == "compact":
        await page.locator("#density").click()
    await expect(page.locator("html")).to_have_attribute("class", "js")
    bottoms = await page.locator("tr.host").evaluate_all("rows => rows.map(row => row.getBoundingClientRect().bottom)")
    assert sum(bottom <= 900 for bottom in bottoms) >= rows


async def test_host_that_is_dropped_leaves_with_the_next_snapshot(fed: FedDaemon, open_page: OpenPage) -> None:
    fed.add("stays")
    gone = fed.add("goes")
    page = await live(await open_page(fed.origin + "/live", expected=NO_DAEMON))
    fed.hosts.remove(gone)
    await fed.stop()
    await expect(page.locator("#feed")).to_contain_text("reconnecting")
    await fed.start()
    await expect(names(page)).to_have_text(["stays"])
