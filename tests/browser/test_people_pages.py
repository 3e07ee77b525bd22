"""Users, access to hosts, and the audit log in a real browser."""

from __future__ import annotations

import re
import time

import pytest
from conftest import NO_DAEMON, OpenPage
from fed import PASSWORD, FedDaemon
from playwright.async_api import Locator, Page, expect
from signing_in import sign_in

from hbd.store.audit import Entry

pytestmark = pytest.mark.asyncio(loop_scope="session")


def names(page: Page) -> Locator:
    return page.locator("tr.host .c-host a")


# ------------------------------------------------------------------------------------------------------------- users


async def test_user_who_was_added_can_sign_in(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "alice", "/users")
    await page.get_by_role("button", name="Add user").click()
    await page.locator("#new-username").fill("dora")
    await page.locator("#new-role").select_option("operator")
    await page.locator("#new-password").fill(PASSWORD)
    await page.locator("#new-user").get_by_role("button", name="Add user").click()
    await expect(page.locator("tr", has_text="dora")).to_contain_text("operator")
    other = await sign_in(open_page, people, "dora")
    await expect(names(other)).to_have_text(["db", "web"])


async def test_user_who_was_disabled_is_out_at_once(people: FedDaemon, open_page: OpenPage) -> None:
    other = await sign_in(open_page, people, "bob")
    page = await sign_in(open_page, people, "alice", "/users")
    await page.get_by_role("button", name="Edit bob").click()
    await page.get_by_label("Enabled: may sign in").uncheck()
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("tr", has_text="bob")).to_contain_text("disabled")
    await expect(other).to_have_url(re.compile(r"/login\?next="))


async def test_last_admin_stays_and_the_reason_is_told(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "alice", "/users", expected="409")
    await page.get_by_role("button", name="Edit alice").click()
    await page.locator("#edit-role").select_option("viewer")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#edit-user").get_by_role("alert")).to_contain_text("last admin")


async def test_revoking_all_tokens_names_the_user_and_asks_once(people: FedDaemon, open_page: OpenPage) -> None:
    accounts = people.security.accounts
    entry = Entry(time=time.time(), user="", via="cli", action="token.create")
    for name in ("backup", "graphs"):
        await accounts.add_token(accounts.require("bob"), name, entry, scope="read", hosts=None, expires=None)
    page = await sign_in(open_page, people, "alice", "/users")
    await page.get_by_role("button", name="Edit olga").click()
    await expect(page.locator("#revoke-tokens")).to_be_hidden()
    await page.locator("#edit-user").get_by_role("button", name="Cancel").click()
    await page.get_by_role("button", name="Edit bob").click()
    await page.get_by_role("button", name="Revoke all tokens (2)").click()
    await expect(page.locator("#confirm h2")).to_have_text("Revoke all API tokens of bob?")
    await expect(page.locator("#confirm .what")).to_contain_text("2 API tokens of bob")
    await page.locator("#confirm").get_by_role("button", name="Revoke").click()
    await expect(page.locator(".toast")).to_have_text("All API tokens are revoked")
    assert accounts.tokens(accounts.require("bob")) == []


async def test_own_password_is_changed_on_the_profile_page(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "alice", "/users")
    for name, own in (("alice", True), ("bob", False)):
        await page.get_by_role("button", name=f"Edit {name}").click()
        await expect(page.locator("#password-part")).to_be_visible(visible=not own)
        await expect(page.locator("#own-account")).to_be_visible(visible=own)
        await page.locator("#edit-user").get_by_role("button", name="Cancel").click()


async def test_deleting_names_the_user_and_asks_once(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "alice", "/users")
    await page.get_by_role("button", name="Edit bob").click()
    await page.get_by_role("button", name="Delete user").click()
    await expect(page.locator("#confirm h2")).to_have_text("Delete bob?")
    await expect(page.locator("#confirm").get_by_role("button", name="Cancel")).to_be_focused()
    await page.locator("#confirm").get_by_role("button", name="Delete").click()
    await expect(page.locator(".people .name")).to_have_text([re.compile("alice"), "olga"])


async def test_filter_finds_users_by_name_and_role(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "alice", "/users")
    await page.get_by_label("Filter by name or role").fill("oper")
    await expect(page.locator(".people .name")).to_have_text(["olga"])
    await expect(page).to_have_url(people.origin + "/users?q=oper")


# ------------------------------------------------------------------------------------------------------------ access


async def test_host_vanishes_at_once_from_the_page_of_who_may_not_see_it_any_more(
    people: FedDaemon, open_page: OpenPage
) -> None:
    other = await sign_in(open_page, people, "bob")
    await expect(names(other)).to_have_text(["web"])
    page = await sign_in(open_page, people, "alice", "/access")
    await page.get_by_role("button", name="Edit who may what with web").click()
    await page.get_by_role("button", name="Remove bob").click()
    await page.get_by_role("button", name="Save").click()
    await expect(other.locator("#empty")).to_be_visible()
    await expect(names(other)).to_have_count(0)
    await other.keyboard.press("Control+k")
    await other.keyboard.type("web")
    await expect(other.locator("#palette .nothing")).to_be_visible()


async def test_host_lost_while_the_feed_was_away_is_gone_when_it_is_back(
    people: FedDaemon, open_page: OpenPage
) -> None:
    page = await sign_in(open_page, people, "bob", expected=NO_DAEMON)
    await expect(names(page)).to_have_text(["web"])
    await people.stop()
    web = people.hosts.require("web")
    people.hosts.hand(web, web.owner, web.managers, [])
    await people.start()
    await expect(page.locator("#empty")).to_be_visible()


async def test_host_appears_at_once_on_the_page_of_who_may_see_it_now(people: FedDaemon, open_page: OpenPage) -> None:
    other = await sign_in(open_page, people, "bob")
    page = await sign_in(open_page, people, "alice", "/access?q=db")
    await page.get_by_role("button", name="Edit who may what with db").click()
    await page.get_by_label("Monitors").last.fill("bob")
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("tr", has_text="db")).to_contain_text("bob")
    await expect(names(other)).to_have_text(["db", "web"])


async def test_new_viewer_is_followed_by_the_way_to_hosts(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "alice", "/users")
    await page.get_by_role("button", name="Add user").click()
    dialog = page.get_by_role("dialog", name="Add user")
    await dialog.get_by_label("User name").fill("zoe")
    await dialog.get_by_label("Password", exact=True).fill(PASSWORD)
    await dialog.get_by_role("button", name="Add user").click()
    await expect(page.locator("#added")).to_contain_text("zoe can sign in now, and sees no host")
    await page.get_by_role("link", name="Give hosts").click()
    await expect(page).to_have_url(f"{people.origin}/access")


async def test_what_is_wrong_is_said_of_the_field_as_the_page_calls_it(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "alice", "/users", expected="400")
    await page.get_by_role("button", name="Add user").click()
    dialog = page.get_by_role("dialog", name="Add user")
    await dialog.get_by_label("User name").fill("a b")
    await dialog.get_by_label("Password", exact=True).fill(PASSWORD)
    await dialog.get_by_role("button", name="Add user").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("User name: ")


async def test_name_that_nobody_has_is_refused_in_words(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "alice", "/access?q=db", expected="400")
    await page.get_by_role("button", name="Edit who may what with db").click()
    await page.get_by_label("Owner").fill("nobody")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#edit-access").get_by_role("alert")).to_contain_text("there is no user 'nobody'")


async def test_monitor_sees_who_may_what_and_changes_nothing(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "bob", "/access")
    await expect(page.locator("table.access tbody tr")).to_have_count(1)
    await expect(page.locator("table.access tbody tr")).to_contain_text("monitor")
    await expect(page.get_by_role("button", name="Edit")).to_have_count(0)


async def test_operator_decides_who_monitors_and_no_more(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "olga", "/access")
    await page.get_by_role("button", name="Edit who may what with db").click()
    await expect(page.get_by_label("Owner")).to_be_hidden()
    await expect(page.get_by_text("As manager you decide who monitors this host")).to_be_visible()


async def test_thousands_of_hosts_come_in_parts(people: FedDaemon, open_page: OpenPage) -> None:
    for number in range(450):
        people.add(f"node-{number:03}", heard=False)
    page = await sign_in(open_page, people, "alice", "/access")
    await expect(page.locator(".paging")).to_contain_text("1–200 of 452")
    await page.get_by_role("link", name="Next").click()
    await expect(page.locator(".paging")).to_contain_text("201–400 of 452")
    await page.get_by_label("Filter by host or person").fill("node-44")
    await expect(page.locator("table.access tbody tr")).to_have_count(10)


# ------------------------------------------------------------------------------------------------------------- audit


async def test_audit_shows_who_was_refused_what_with_shape_and_word(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "bob", expected="403")
    await page.goto(people.origin + "/users")
    await people.security.audit.write()
    admin = await sign_in(open_page, people, "alice", "/audit?outcome=refused&user=bob")
    entry = admin.locator("table.audit tbody tr").first
    await expect(entry.locator(".outcome")).to_have_text("▲ refused")
    await expect(entry).to_contain_text("GET /users")


async def test_older_entries_are_reached_without_scripts(people: FedDaemon, open_page: OpenPage) -> None:
    for number in range(130):
        await people.user(f"user-{number}")
    page = await sign_in(open_page, people, "alice", "/audit", scripts=False)
    await expect(page.locator("table.audit tbody tr")).to_have_count(100)
    await page.get_by_role("link", name="Show older").click()
    await expect(page.locator("table.audit tbody tr").last).to_contain_text("alice")
    await expect(page.get_by_role("link", name="Show older")).to_have_count(0)
