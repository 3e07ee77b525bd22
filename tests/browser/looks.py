"""What axe has to say of a page, how wide it is and how much it loads; alone and with each of its dialogs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import axe_playwright_python
from playwright.async_api import Page, expect

AXE = next(Path(axe_playwright_python.__file__).parent.rglob("axe.min.js")).read_text()
FIRST_LOAD_BYTES = 120 * 1024
RULES = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]


async def violations(page: Page) -> list[tuple[str, str]]:
    """(rule, element) of each rule that a page breaks."""
    await page.evaluate(AXE)
    found: dict[str, Any] = await page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
    return [(entry["id"], entry["nodes"][0]["html"]) for entry in found["violations"]]


async def overflows(page: Page) -> bool:
    """Whether the page or its open dialog scrolls sideways."""
    boxes = "[document.documentElement, ...document.querySelectorAll('dialog[open]')]"
    return bool(await page.evaluate(f"{boxes}.some(box => box.scrollWidth > box.clientWidth)"))


async def loaded_bytes(page: Page) -> int:
    """Of the page and all that came with it, as it was sent."""
    sizes = await page.evaluate("performance.getEntries().map(entry => entry.encodedBodySize ?? 0)")
    return int(sum(sizes))


async def with_dialogs(page: Page, openers: Iterable[str]) -> AsyncIterator[None]:
    """The page as it is, then with each dialog open. openers: what opens them."""
    yield
    for opener in openers:
        await page.locator(opener).first.click()
        await expect(page.locator("dialog[open]")).to_be_visible()
        yield
        await page.keyboard.press("Escape")
