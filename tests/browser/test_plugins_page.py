"""The plugins page in a real browser, fed by hand."""

from __future__ import annotations

import pytest
from conftest import OpenPage
from fed import FedDaemon, machine
from playwright.async_api import expect

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOSTILE = '"><img src=x onerror="document.title=1"></script><script>document.title=1</script>{{7*7}}\u2028javascript:'


async def test_card_follows_new_samples_without_reload(fed: FedDaemon, open_page: OpenPage) -> None:
    host = machine(fed, "alpha", 12.0)
    page = await open_page(fed.origin + "/plugins?host=alpha&plugin=cpu_monitor")
    await expect(page.locator(".card").first.locator(".big")).to_have_text("12.0%")
    await expect(page.locator("#feed")).to_have_text("live")
    fed.wait(10)
    fed.sample(host, "cpu_monitor", {"cpu_percent": 34.5, "cpu_count": 4, "load_1min": 1.0})
    card = page.locator(".card").first
    await expect(card.locator(".big")).to_have_text("34.5%")
    await expect(card.locator(".range")).to_have_text("min 12.0 %max 34.5 %")
    await expect(card.locator("svg")).to_have_attribute("aria-label", "CPU: 12.0 % to 34.5 % in 10 s, now 34.5 %")


async def test_pause_holds_what_is_shown(fed: FedDaemon, open_page: OpenPage) -> None:
    host = machine(fed, "alpha", 12.0)
    page = await open_page(fed.origin + "/plugins?host=alpha&plugin=cpu_monitor", expected="WebSocket connection to")
    await expect(page.locator("#feed")).to_have_text("live")
    await page.locator("#pause").click()
    fed.wait(1)
    fed.sample(host, "cpu_monitor", {"cpu_percent": 34.5})
    fed.wait(1)
    async with page.expect_websocket() as later:
        await fed.stop()
        await fed.start()
    async with (await later.value).expect_event("framereceived"):
        fed.sample(host, "cpu_monitor", {"cpu_percent": 45.6})
    # Timers of a page run in order: one that was to draw it again would have run before this one.
    await page.evaluate("new Promise(done => setTimeout(done, 1500))")
    await expect(page.locator(".card").first.locator(".big")).to_have_text("12.0%")
    await page.locator("#pause").click()
    await expect(page.locator(".card").first.locator(".big")).to_have_text("45.6%")


async def test_nested_values_are_a_table_with_meters(fed: FedDaemon, open_page: OpenPage) -> None:
    machine(fed, "alpha", 12.0)
    page = await open_page(fed.origin + "/plugins?host=alpha&plugin=disk_monitor")
    await expect(page.locator(".data tbody th")).to_have_text(["/", "/boot"])
    await expect(page.locator(".data tbody tr").first).to_contain_text("93.5 %")
    await expect(page.locator(".data tbody tr").first.locator(".meter")).to_have_class("meter high")


async def test_pickers_put_the_choice_into_the_url(fed: FedDaemon, open_page: OpenPage) -> None:
    machine(fed, "alpha", 12.0)
    machine(fed, "beta", 12.0)
    page = await open_page(fed.origin + "/plugins")
    await page.locator("#host").select_option("beta")
    await expect(page).to_have_url(f"{fed.origin}/plugins?host=beta")
    await page.locator("#plugin").select_option("memory_monitor")
    await expect(page).to_have_url(f"{fed.origin}/plugins?host=beta&plugin=memory_monitor")
    await page.keyboard.press("Escape")
    await page.locator("h2").first.click()
    await page.keyboard.press("j")
    await expect(page).to_have_url(f"{fed.origin}/plugins?host=beta&plugin=network_monitor")


async def test_first_sample_takes_the_place_of_the_advice(fed: FedDaemon, open_page: OpenPage) -> None:
    host = fed.add("alpha")
    page = await open_page(fed.origin + "/plugins?host=alpha")
    await expect(page.locator(".empty h2")).to_have_text("No samples yet")
    await expect(page.locator("#feed")).to_have_text("live")
    fed.sample(host, "custom", {"answer": 42})
    await expect(page.locator(".card .big")).to_have_text("42")


async def test_hostile_keys_and_values_are_shown_as_text(fed: FedDaemon, open_page: OpenPage) -> None:
    host = fed.add("alpha", HOSTILE)
    host.label = host.os = host.agent_version = HOSTILE
    data = {HOSTILE: 42.5, "text": HOSTILE, "nested": {HOSTILE: {HOSTILE: HOSTILE}}, "list": [{HOSTILE: HOSTILE}]}
    fed.sample(host, HOSTILE, data)
    fed.sample(host, "disk_monitor", {HOSTILE: {"percent": 50.0}})
    page = await open_page(fed.origin + "/plugins?host=alpha")
    await expect(page.locator(".card h3")).to_have_text(HOSTILE.strip())
    await page.goto(fed.origin + "/live?q=" + "%3Cimg%20src%3Dx%3E")
    await expect(page.locator("#filter")).to_have_value("<img src=x>")
    await page.goto(fed.origin + "/live")
    await expect(page.locator(".tag")).to_have_text(HOSTILE.strip())
    await expect(page.locator("#feed")).to_have_text("live")
    await expect(page).to_have_title("Live · hbd")
    assert await page.locator("img").count() == 0


async def test_unknown_host_is_named_and_is_404(fed: FedDaemon, open_page: OpenPage) -> None:
    page = await open_page(fed.origin + "/plugins?host=%3Cb%3Enope", expected="404")
    await expect(page.locator(".empty")).to_contain_text("“<b>nope”")
