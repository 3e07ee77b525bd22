"""Availability on the page of a host, and the small lines of the live page, in a real browser."""

from __future__ import annotations

import time

import pytest
from conftest import OpenPage
from fed import FedDaemon
from looks import violations
from playwright.async_api import expect

from hbd.hosts import Host
from hbd.model import Family, Sample, State, Transition
from hbd.store import Turn

pytestmark = pytest.mark.asyncio(loop_scope="session")

HERE = "/agent/alpha?tab=availability"
HOUR = 3600.0


async def with_outages(fed: FedDaemon) -> Host:
    """A host that was down for two hours, and once for ten minutes on IPv6 alone."""
    host = await fed.enrol("alpha", owner="amy")
    changes = [
        Transition(host.id, family, State.UNKNOWN, state, fed.now.wall - hours * HOUR, "no report for 31 s")
        for family, hours, state in (
            (None, 400, State.UP),
            (Family.IPV6, 400, State.UP),
            (Family.IPV6, 30, State.DOWN),
            (Family.IPV6, 29.8, State.UP),
            (None, 10, State.DOWN),
            (None, 8, State.UP),
        )
    ]
    await fed.store.record(Turn(transitions=changes))
    return host


def with_an_hour(fed: FedDaemon, name: str) -> Host:
    """A host with a sample for each of the last 60 minutes."""
    host = fed.add(name)
    for minutes in range(60, 0, -1):
        at = time.time() - minutes * 60
        fed.rings.add(host.id, Sample("cpu_monitor", at, {"cpu_percent": 20.0 + minutes % 7}))
    return host


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
async def test_a_host_shows_how_much_it_was_up(fed: FedDaemon, open_page: OpenPage, width: int, theme: str) -> None:
    await with_outages(fed)
    page = await open_page(fed.origin + HERE, width=width, theme=theme)
    day = page.locator(".availability tbody tr").first
    await expect(day).to_contain_text("91.66 %")
    await expect(day.get_by_role("img")).to_have_accessible_name("last 24 hours: 91.66 %, down 2 h in 1 outage")
    await expect(page.locator("[data-fragment=outages] li")).to_have_count(2)
    await expect(page.get_by_text("(up + overdue) / (up + overdue + down)")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    assert await violations(page) == []


async def test_a_bar_tells_its_time_in_the_zone_of_the_viewer(fed: FedDaemon, open_page: OpenPage) -> None:
    await with_outages(fed)
    page = await open_page(fed.origin + HERE)
    bars = page.locator(".availability tbody tr").first.locator("g title")
    await expect(bars).to_have_count(48)
    told = await bars.last.text_content() or ""
    assert told.endswith(": up 30 min")
    assert "UTC" not in told


async def test_a_host_that_was_never_heard_claims_nothing(fed: FedDaemon, open_page: OpenPage) -> None:
    await fed.enrol("alpha", owner="amy")
    page = await open_page(fed.origin + HERE)
    await expect(page.get_by_text("No outage is known.")).to_be_visible()
    await expect(page.locator(".availability tbody tr").first.get_by_role("img")).to_have_accessible_name(
        "last 24 hours: nothing is known"
    )


async def test_the_live_page_has_a_line_of_the_last_hour_for_each_host(fed: FedDaemon, open_page: OpenPage) -> None:
    for name in ("alpha", "beta"):
        with_an_hour(fed, name)
    page = await open_page(f"{fed.origin}/live")
    lines = page.locator("tbody .c-cpu").get_by_role("img", name="CPU, last hour: 20 to 26 %")
    await expect(lines).to_have_count(2)
    assert await violations(page) == []


async def test_a_line_goes_on_with_what_the_feed_says(fed: FedDaemon, open_page: OpenPage) -> None:
    host = with_an_hour(fed, "alpha")
    page = await open_page(f"{fed.origin}/live")
    line = page.locator("tbody .c-cpu").get_by_role("img")
    await expect(line).to_have_accessible_name("CPU, last hour: 20 to 26 %")
    fed.sample(host, "cpu_monitor", {"cpu_percent": 96.0})
    fed.beat(host)
    await expect(line).not_to_have_accessible_name("CPU, last hour: 20 to 26 %")


async def test_on_a_phone_meters_stand_where_there_is_no_room_for_lines(fed: FedDaemon, open_page: OpenPage) -> None:
    with_an_hour(fed, "alpha")
    page = await open_page(f"{fed.origin}/live", width=390)
    cell = page.locator("tbody .c-cpu")
    await expect(cell.locator(".meter")).to_be_visible()
    await expect(cell.locator(".spark")).to_be_hidden()
