"""What axe has to say of a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import axe_playwright_python
from playwright.async_api import Page

AXE = next(Path(axe_playwright_python.__file__).parent.rglob("axe.min.js")).read_text()
RULES = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]


async def violations(page: Page) -> list[tuple[str, str]]:
    """(rule, element) of each rule that a page breaks."""
    await page.evaluate(AXE)
    found: dict[str, Any] = await page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
    return [(entry["id"], entry["nodes"][0]["html"]) for entry in found["violations"]]
