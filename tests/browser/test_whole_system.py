"""The pages of a real daemon with a real agent: this machine."""

from __future__ import annotations

import re

import pytest
from conftest import OpenPage
from playwright.async_api import expect

pytestmark = pytest.mark.asyncio(loop_scope="session")

WITHIN = 30_000


async def test_this_machine_is_up_on_both_families_with_a_latency(daemon: str, open_page: OpenPage) -> None:
    page = await open_page(daemon + "/live")
    for family in (".c-v4", ".c-v6"):
        await expect(page.locator(f"tr.host {family} .word")).to_have_text(re.compile(r"^[\d.]+ ms$"), timeout=WITHIN)
    await expect(page.locator("tr.host")).to_have_attribute("data-state", "UP")
    for name in ("cpu", "memory", "disk"):
        await expect(page.locator(f"tr.host .c-{name} .value")).to_have_text(re.compile(r"^\d+ %$"), timeout=WITHIN)


@pytest.mark.parametrize("plugin", ["cpu_monitor", "memory_monitor", "disk_monitor", "network_monitor"])
async def test_real_samples_of_this_machine_are_shown(daemon: str, open_page: OpenPage, plugin: str) -> None:
    page = await open_page(f"{daemon}/plugins")
    await expect(page.locator("#plugin")).to_be_visible(timeout=WITHIN)
    await expect(page.locator(".tabs a", has_text=plugin)).to_be_visible(timeout=WITHIN)
    await page.locator(".tabs a", has_text=plugin).click()
    await expect(page.locator("main")).to_contain_text(re.compile(r"\d+\.\d ?%|\d ?[kM]?B/s"))


@pytest.mark.parametrize("path", ["/status", "/api"])
async def test_other_pages_open(daemon: str, open_page: OpenPage, path: str) -> None:
    page = await open_page(daemon + path)
    await expect(page.locator("#feed")).to_have_text("live")
