"""The live page in a real browser, fed by hand."""

from __future__ import annotations

import re
from typing import Any

import pytest
from conftest import NO_DAEMON, OpenPage
from fed import FedDaemon, machine
from playwright.async_api import Locator, Page, expect

from hbd.config import Config
from hbd.config.structs import Agents
from hbd.model import Beat

pytestmark = pytest.mark.asyncio(loop_scope="session")


def names(page: Page) -> Locator:
    return page.locator("tr.host .c-host a")


async def live(page: Page) -> Page:
    await expect(page.locator("#feed")).to_have_text("live")
    return page


async def test_first_host_takes_the_place_of_the_advice(fed: FedDaemon, open_page: OpenPage) -> None:
    page = await live(await open_page(fed.origin + "/live"))
    await expect(page.locator("#empty code").last).to_have_text(f"hbc run --server {fed.origin}")
    fed.add("alpha")
    await expect(page.locator("tr.host[data-state=UP] .c-host a")).to_have_text("alpha")
    await expect(page.locator("#empty")).to_be_hidden()


async def test_advice_names_the_setting_that_lets_other_machines_in(fed: FedDaemon, open_page: OpenPage) -> None:
    page = await live(await open_page(fed.origin + "/live"))
    await expect(page.locator("#empty")).to_contain_text("hbd listens on this machine only")
    await expect(page.locator("#empty code").nth(1)).to_have_text('hbd_host: ""')


async def test_advice_on_a_network_is_the_line_alone(fed: FedDaemon, open_page: OpenPage) -> None:
    fed.urls = ["http://0.0.0.0:50004/"]
    page = await live(await open_page(fed.origin + "/live"))
    await expect(page.locator("#empty code")).to_have_text([f"hbc run --server {fed.origin}"])


@pytest.mark.parametrize("enrollment", ["key", "closed"])
async def test_advice_shows_how_to_get_a_key_where_one_is_needed(
    fed: FedDaemon, open_page: OpenPage, enrollment: Any
) -> None:
    fed.urls = ["http://0.0.0.0:50004/"]
    await fed.stop()
    fed.config = Config(agents=Agents(enrollment=enrollment))
    await fed.start()
    page = await live(await open_page(fed.origin + "/live"))
    lines = ["hbd agent add NAME", f"hbc run --server {fed.origin} --key-file FILE"]
    await expect(page.locator("#empty code")).to_have_text(lines)


async def test_machine_can_be_added_when_there_are_some(fed: FedDaemon, open_page: OpenPage) -> None:
    fed.add("alpha")
    page = await live(await open_page(fed.origin + "/live"))
    await page.get_by_role("button", name="Add a machine").click()
    await expect(page.locator("#join code").last).to_have_text(f"hbc run --server {fed.origin}")
    await page.locator("#join").get_by_role("button", name="Close").click()
    await page.keyboard.press("Control+k")
    await page.keyboard.type("add a")
    await page.keyboard.press("Enter")
    await expect(page.locator("#join")).to_be_visible()


@pytest.mark.parametrize("kind", [Beat.STOPPED, Beat.SHUTDOWN])
async def test_host_that_said_farewell_is_stopped(fed: FedDaemon, open_page: OpenPage, kind: Beat) -> None:
    host = fed.add("alpha")
    page = await live(await open_page(fed.origin + "/live"))
    fed.farewell(host, kind)
    fed.wait(40)
    await expect(page.locator("tr.host .c-state")).to_have_text(re.compile("^■ +stopped$"))


@pytest.mark.parametrize("width", [760, 900, 999, 1000, 1100, 1240, 1280, 1399, 1440])
async def test_names_have_room_and_no_column_is_empty(fed: FedDaemon, open_page: OpenPage, width: int) -> None:
    machine(fed, "web-1.example.org", 12.0, "prod")
    page = await live(await open_page(fed.origin + "/live?group=tag", width=width))
    await expect(page.locator("tr.group")).to_have_text(["prod · 1"])
    edges = await page.evaluate(
        """() => [document.getElementById("hosts"), document.querySelector("tr.host .c-seen")]
            .map(part => part.getBoundingClientRect().right)"""
    )
    assert edges[0] - edges[1] <= 1
    box = await page.locator("tr.host .c-host").bounding_box()
    assert box is not None and box["width"] >= 140


async def test_traffic_says_which_way_it_goes(fed: FedDaemon, open_page: OpenPage) -> None:
    machine(fed, "alpha", 12.0)
    page = await live(await open_page(fed.origin + "/live"))
    await expect(page.locator("tr.host .c-network")).to_have_text("↓received 1.2 MB↑sent 999 B")
    await expect(page.get_by_role("columnheader", name="Network, received and sent a second")).to_be_visible()


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
    await expect(page.locator("#messages li").first).to_contain_text("DOWN: no heartbeat for 30 s")


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
    await expect(page).to_have_url(f"{fed.origin}/agent/b")


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
