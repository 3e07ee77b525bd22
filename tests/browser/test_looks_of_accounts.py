"""How the pages of accounts look: to people who cannot see them, on phones, and over slow lines."""

from __future__ import annotations

import pytest
from conftest import OpenPage
from fed import FedDaemon
from looks import FIRST_LOAD_BYTES, loaded_bytes, overflows, violations, with_dialogs
from playwright.async_api import expect
from signing_in import fill_in, sign_in

pytestmark = pytest.mark.asyncio(loop_scope="session")


DIALOGS = {
    "/profile": ["[data-opens=new-token]", "[data-opens=factor-on]"],
    "/users": ["[data-opens=new-user]", "[data-edits=bob]"],
    "/access": ["[data-edits=web]"],
    "/audit": [],
}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", DIALOGS)
async def test_axe_finds_nothing_on_account_pages(
    people: FedDaemon, open_page: OpenPage, path: str, theme: str
) -> None:
    page = await sign_in(open_page, people, "alice", path, theme=theme)
    async for _ in with_dialogs(page, DIALOGS[path]):
        assert await violations(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_axe_finds_nothing_in_the_menu(people: FedDaemon, open_page: OpenPage, theme: str) -> None:
    page = await sign_in(open_page, people, "alice", theme=theme)
    await page.locator("#me summary").click()
    await expect(page.get_by_role("link", name="Profile")).to_be_visible()
    assert await violations(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_axe_finds_nothing_on_the_sign_in_page(people: FedDaemon, open_page: OpenPage, theme: str) -> None:
    page = await open_page(people.origin + "/login", theme=theme, expected="401")
    assert await violations(page) == []
    await fill_in(page, "bob", "guess")
    await expect(page.get_by_role("alert")).to_be_visible()
    assert await violations(page) == []


@pytest.mark.parametrize("path", DIALOGS)
async def test_first_load_of_account_pages_is_small(people: FedDaemon, open_page: OpenPage, path: str) -> None:
    page = await sign_in(open_page, people, "alice", path)
    assert 0 < await loaded_bytes(page) <= FIRST_LOAD_BYTES


@pytest.mark.parametrize("path", DIALOGS)
async def test_no_account_page_scrolls_sideways_on_a_small_phone(
    people: FedDaemon, open_page: OpenPage, path: str
) -> None:
    page = await sign_in(open_page, people, "alice", path, width=360, height=740)
    async for _ in with_dialogs(page, DIALOGS[path]):
        assert not await overflows(page)
