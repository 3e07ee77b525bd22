"""Somebody who signs in as people do."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from conftest import OpenPage
from fed import PASSWORD, FedDaemon
from playwright.async_api import Page, expect


async def fill_in(page: Page, name: str, password: str = PASSWORD) -> None:
    await page.get_by_label("User name").fill(name)
    await page.get_by_label("Password", exact=True).fill(password)
    await page.get_by_role("button", name="Sign in", exact=True).click()


async def sign_in(open_page: OpenPage, fed: FedDaemon, name: str, path: str = "/live", **options: Any) -> Page:
    """A page of somebody who has just signed in and was led to ``path``."""
    page = await open_page(f"{fed.origin}/login?next={quote(path)}", **options)
    await fill_in(page, name)
    await expect(page).to_have_url(fed.origin + path)
    if options.get("scripts", True):
        await expect(page.locator("#feed")).to_have_text("live")
    return page
