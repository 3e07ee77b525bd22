"""Names and texts that people and agents choose are never markup on the pages of alerts and notifications (S22)."""

from __future__ import annotations

import time

import pytest
import pytest_asyncio
from conftest import OpenPage
from fed import FedDaemon
from playwright.async_api import Page, expect
from signing_in import sign_in
from test_notification_pages import channel, delivered, entry, give_up

from hbd.hushes import Silence
from hbd.matching import Matcher
from hbd.model import Level
from hbd.routing import Route

pytestmark = pytest.mark.asyncio(loop_scope="session")

EVIL = """<img src=x onerror="document.title='owned'">"""
QUOTES = """"'><svg onload=document.title='owned'>"""
SCRIPT = "</script><script>document.title='owned'</script>\u2028{{7*7}}"
NAME = "<img src=x onerror=alert(1)>\"'"
"""for what must be short"""


@pytest_asyncio.fixture(loop_scope="session")
async def evil(people: FedDaemon) -> FedDaemon:
    now = time.time()
    await channel(people, NAME, url="http://192.0.2.1/<a>".replace("<a>", "'a'"), headers=["X: <b onclick=x>'\""])
    await channel(people, "hook", fallback=NAME, body='{"a": "' + SCRIPT.replace("\u2028", "") + '"}')
    await delivered(people, "hook", "failed", EVIL, QUOTES)
    give_up(people, "hook")
    about = Matcher(hosts=("web", EVIL), metrics=(QUOTES,), tags=(SCRIPT[:40],))
    silence = Silence(id=0, matcher=about, reason=EVIL + SCRIPT, author=NAME, created=now, starts=now, ends=now + 3600)
    await people.hushing.add_silence(silence, entry(), now)
    over = Silence(id=0, matcher=about, reason=QUOTES, author=NAME, created=now, starts=now, ends=now + 0.01)
    await people.hushing.add_silence(over, entry(), now)
    route = Route(name=NAME, matcher=about, channels=(NAME,), author=EVIL, created=now, min_level=Level.CRITICAL)
    await people.notifications.routes.add(route, entry())
    host = people.hosts.require("web")
    host.tags = [EVIL, QUOTES]
    await people.judge(
        host, "disk_monitor", {EVIL: {"percent": 99.0}, SCRIPT: {"percent": 99.0}, "..": {"percent": 99}}
    )
    return people


async def is_harmless(page: Page) -> None:
    await page.wait_for_load_state("networkidle")
    assert "owned" not in await page.title()
    odd = "img[src=x], svg[onload], [onerror], [onclick], script:not([src]):not([type='application/json'])"
    assert await page.locator(odd).count() == 0


PATHS = ["/channels", "/channels?channel=hook", "/routes", "/silences", "/alerts", "/profile", "/live"]


@pytest.mark.parametrize("scripts", [True, False])
@pytest.mark.parametrize("path", PATHS)
async def test_s22_nothing_that_is_named_runs(evil: FedDaemon, open_page: OpenPage, path: str, scripts: bool) -> None:
    await is_harmless(await sign_in(open_page, evil, "alice", path, scripts=scripts))


@pytest.mark.parametrize(("path", "opener"), [("/routes", "[data-edits]"), ("/silences", "[data-opens=new-silence]")])
async def test_s22_nor_in_what_opens_on_a_click(evil: FedDaemon, open_page: OpenPage, path: str, opener: str) -> None:
    page = await sign_in(open_page, evil, "alice", path)
    await page.locator(opener).first.click()
    await expect(page.locator("dialog[open]")).to_be_visible()
    await is_harmless(page)


async def test_s22_nor_in_an_alert_that_is_opened(evil: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, evil, "alice", "/alerts")
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await is_harmless(page)
    await page.keyboard.press("s")
    await expect(page.locator("dialog[open]")).to_be_visible()
    await is_harmless(page)
