"""The plugins page in a real browser, fed by hand."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from conftest import NO_DAEMON, OpenPage
from fed import FedDaemon, machine
from playwright.async_api import expect

from hbd.model import Beat

pytestmark = pytest.mark.asyncio(loop_scope="session")

DISK = {
    "percent": 61.3,
    "total_gb": 1832.21,
    "used_gb": 1045.13,
    "free_gb": 693.94,
    "inodes_percent": 12.5,
    "inodes_total": 122101760,
    "inodes_free": 120000000,
    "read_only": False,
    "hanging": False,
    "device": "/dev/nvme0n1p2",
    "fstype": "ext4",
    "reads_per_second": 12.5,
    "read_bytes_per_second": 123456.7,
    "writes_per_second": 99.9,
    "write_bytes_per_second": 12345678.9,
    "busy_percent": 12.3,
}
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
    page = await open_page(fed.origin + "/plugins?host=alpha&plugin=cpu_monitor", expected=NO_DAEMON)
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
    await expect(page).to_have_url(f"{fed.origin}/plugins?host=beta&plugin=disk_monitor")


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
    page = await open_page(f"{fed.origin}/plugins?host=alpha&plugin={quote(HOSTILE)}")
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


async def test_own_plugins_stand_between_the_usual_and_the_agents(fed: FedDaemon, open_page: OpenPage) -> None:
    host = fed.add("alpha")
    for plugin in ("agent_monitor", "backup", "memory_monitor", "cpu_monitor"):
        fed.sample(host, plugin, {"value": 1})
    page = await open_page(fed.origin + "/plugins?host=alpha")
    await expect(page.locator(".tabs a")).to_have_text(["cpu_monitor", "memory_monitor", "backup", "agent_monitor"])
    await expect(page.locator(".tabs a[aria-current]")).to_have_text("cpu_monitor")


async def test_plugin_that_does_not_work_is_told_with_its_reason(fed: FedDaemon, open_page: OpenPage) -> None:
    host = fed.add("alpha")
    fed.sample(host, "agent_monitor", {"backup": {"ok": False, "seconds": 0.1, "reason": "exit code 3"}})
    page = await open_page(fed.origin + "/plugins?host=alpha")
    await expect(page.locator(".tabs .off")).to_have_text("backup")
    await expect(page.locator(".failures")).to_contain_text("backup does not work: exit code 3")


async def test_head_of_a_host_names_kernel_uptime_and_reason(fed: FedDaemon, open_page: OpenPage) -> None:
    host = fed.add("alpha")
    fed.sample(host, "os_info", {"kernel": "6.1.0-18-amd64", "boot_time": fed.now.wall - 93784})
    page = await open_page(fed.origin + "/plugins?host=alpha")
    for text in ("kernel 6.1.0-18-amd64", "running for 1 d 2 h", "IPv4 192.0.2.7"):
        await expect(page.locator(".hostline")).to_contain_text(text)
    fed.farewell(host, Beat.STOPPED)
    fed.wait(40)
    await expect(page.locator(".hostline .state .word")).to_have_text("stopped")
    await expect(page.locator(".hostline")).to_contain_text("agent stopped on purpose")


async def test_table_of_disks_fits_on_a_laptop(fed: FedDaemon, open_page: OpenPage) -> None:
    host = fed.add("alpha")
    for _ in range(2):
        fed.wait(10)
        fed.sample(host, "disk_monitor", {"/": DISK, "/var/lib/containers/storage": DISK | {"read_only": True}})
    page = await open_page(fed.origin + "/plugins?host=alpha&plugin=disk_monitor")
    region = page.locator(".scroll").first
    await expect(region.locator("th").nth(1)).to_have_text("Used")
    await expect(region.locator("tbody th").last).to_contain_text("/dev/nvme0n1p2 · ext4 · read-only")
    assert await region.evaluate("part => part.scrollWidth <= part.clientWidth")
