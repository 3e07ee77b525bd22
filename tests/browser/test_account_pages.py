"""Signing in and out, the own account, users, access and audit in a real browser."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import ClientSession
from conftest import ELSEWHERE, NO_DAEMON, OpenPage
from fed import PASSWORD, FedDaemon
from looks import FIRST_LOAD_BYTES, loaded_bytes, overflows, violations, with_dialogs
from playwright.async_api import Locator, Page, Request, expect
from signing_in import fill_in, sign_in

from hbd import totp
from hbd.config import Config
from hbd.config.structs import Auth, ChannelSettings, Oidc
from hbd.store.audit import Entry

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOTP_SECONDS = 30
EVERYBODYS = ["Live", "Alerts", "Plugins", "Agents", "Silences", "Jobs", "Channels"]  # pages that the rail begins with
BOB_AT_WEB = {"owner": "alice", "monitors": ["bob"]}


@pytest_asyncio.fixture(loop_scope="session")
async def people(fed: FedDaemon) -> AsyncIterator[FedDaemon]:
    """A daemon with an admin (alice), an operator (olga) and a viewer (bob), who monitors one of two hosts."""
    await fed.user("alice", "admin", full_name="Alice Example")
    await fed.user("olga", "operator")
    await fed.user("bob")
    await fed.enrol("web", **BOB_AT_WEB)
    await fed.enrol("db", owner="alice")
    yield fed


async def configured(fed: FedDaemon, config: Config) -> None:
    await fed.stop()
    fed.config = config
    await fed.start()


def names(page: Page) -> Locator:
    return page.locator("tr.host .c-host a")


def code_now(secret: str, steps: int = 0) -> str:
    """The code that an app shows; steps: so many later than now."""
    return totp.code_at(secret.replace(" ", ""), int(time.time() // TOTP_SECONDS) + steps)


# ------------------------------------------------------------------------------------------------------- signing in


async def test_sign_in_leads_back_to_the_page_asked_for(people: FedDaemon, open_page: OpenPage) -> None:
    page = await open_page(people.origin + "/plugins?host=web&plugin=cpu_monitor")
    await expect(page).to_have_url(re.compile(r"/login\?next="))
    await fill_in(page, "bob")
    await expect(page).to_have_url(people.origin + "/plugins?host=web&plugin=cpu_monitor")


async def test_wrong_password_is_told_and_the_name_stays(people: FedDaemon, open_page: OpenPage) -> None:
    page = await open_page(people.origin + "/login?next=/api", expected="401")
    await fill_in(page, "bob", "guess")
    await expect(page.get_by_role("alert")).to_have_text("Wrong user name or password")
    await expect(page.get_by_label("User name")).to_have_value("bob")
    await expect(page.get_by_label("Password", exact=True)).to_be_focused()
    await fill_in(page, "bob")
    await expect(page).to_have_url(people.origin + "/api")


async def test_sign_in_works_without_scripts(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "bob", scripts=False)
    await expect(names(page)).to_have_text(["web"])


async def test_forms_tell_their_origin_over_plain_http(people: FedDaemon, open_page: OpenPage) -> None:
    await configured(people, Config(hbd_host=""))
    origin = people.origin.replace("127.0.0.1", ELSEWHERE)
    page = await open_page(origin + "/login")
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request) if request.method == "POST" else None)
    await fill_in(page, "bob")
    await expect(page).to_have_url(origin + "/live")
    assert (await sent[0].all_headers())["origin"] == origin


async def test_password_can_be_looked_at(people: FedDaemon, open_page: OpenPage) -> None:
    page = await open_page(people.origin + "/login")
    field = page.get_by_label("Password", exact=True)
    await field.fill("secret")
    await page.get_by_role("button", name="Show password").click()
    await expect(field).to_have_attribute("type", "text")


async def test_single_sign_on_is_offered_where_it_is_set_up(people: FedDaemon, open_page: OpenPage) -> None:
    oidc = Oidc(issuer="https://id.example.org", client_id="hbd", label="Example ID", default_role="viewer")
    await configured(people, Config(auth=Auth(oidc=oidc)))
    page = await open_page(people.origin + "/login?next=/api")
    link = page.get_by_role("link", name="Sign in with Example ID")
    await expect(link).to_have_attribute("href", "/login/oidc?next=/api")


async def test_unencrypted_password_is_warned_of(people: FedDaemon) -> None:
    await configured(people, Config(trusted_proxies=("127.0.0.1/32",)))
    said = {}
    for name, headers in {
        "here": {},
        "elsewhere": {"X-Forwarded-For": "192.0.2.9"},
        "over TLS": {"X-Forwarded-For": "192.0.2.9", "X-Forwarded-Proto": "https"},
    }.items():
        async with ClientSession() as session, session.get(people.origin + "/login", headers=headers) as answer:
            said[name] = "travels unencrypted" in await answer.text()
    assert said == {"here": False, "elsewhere": True, "over TLS": False}


async def test_sign_in_page_knows_nothing_of_hosts_and_users(people: FedDaemon) -> None:
    async with ClientSession() as session, session.get(people.origin + "/login") as answer:
        text = await answer.text()
    assert not re.search(r"alice|bob|olga|>web<|>db<|1\.2\.3", text)


async def test_sign_out_ends_the_session(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "alice")
    await page.get_by_label("alice: your account").click()
    await page.get_by_role("button", name="Sign out").click()
    await expect(page).to_have_url(re.compile(r"/login"))
    await page.goto(people.origin + "/live")
    await expect(page).to_have_url(re.compile(r"/login\?next=/live"))


async def test_whoever_is_signed_out_elsewhere_goes_to_the_sign_in_page_and_back(
    people: FedDaemon, open_page: OpenPage
) -> None:
    page = await sign_in(open_page, people, "bob", "/live?sort=cpu")
    accounts = people.security.accounts
    await accounts.end(accounts.sessions(accounts.require("bob")))
    await expect(page).to_have_url(re.compile(r"/login\?next="))
    await fill_in(page, "bob")
    await expect(page).to_have_url(people.origin + "/live?sort=cpu")


async def test_setup_link_makes_the_first_admin(fed: FedDaemon, open_page: OpenPage) -> None:
    page = await open_page(f"{fed.origin}/setup/{fed.security.sign_in.setup_token}", expected="404")
    await page.get_by_label("User name").fill("root")
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_role("button", name="Make the first user").click()
    await expect(page).to_have_url(fed.origin + "/live")
    await expect(page.locator("#feed")).to_have_text("live")
    await expect(page.get_by_role("link", name="Users")).to_be_visible()
    await page.goto(f"{fed.origin}/setup/{fed.security.sign_in.setup_token}")
    await expect(page.locator("h1")).to_have_text("This link leads nowhere")


# --------------------------------------------------------------------------------------------------------- the frame


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("alice", [*EVERYBODYS, "Routes", "Access", "Users", "Audit", "Status", "API"]),
        ("olga", [*EVERYBODYS, "Access", "Status", "API"]),
        ("bob", [*EVERYBODYS, "Access", "API"]),
    ],
)
async def test_rail_leads_only_where_somebody_may_go(
    people: FedDaemon, open_page: OpenPage, name: str, labels: list[str]
) -> None:
    page = await sign_in(open_page, people, name)
    await expect(page.locator(".rail > a.item .label")).to_have_text(labels)


async def test_phone_has_the_rest_of_the_pages_under_more(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "alice", width=390, height=844)
    await expect(page.locator(".rail .item:visible > span:not(.count)")).to_have_text(
        ["Live", "Alerts", "Plugins", "Agents", "More"]
    )
    await page.locator(".rail .more summary").click()
    await page.get_by_role("link", name="Audit").click()
    await expect(page).to_have_url(people.origin + "/audit")


async def test_page_of_others_says_whose_it_is(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "bob", expected="403")
    await page.goto(people.origin + "/users")
    await expect(page.locator("main")).to_contain_text("Only an admin may do this")


async def test_viewer_without_hosts_is_told_how_to_get_some(people: FedDaemon, open_page: OpenPage) -> None:
    await people.user("carol")
    page = await sign_in(open_page, people, "carol")
    await expect(page.locator("#empty")).to_contain_text("No host is shared with you yet")


@pytest.mark.parametrize("path", ["/live", "/users", "/access", "/audit", "/profile"])
async def test_banner_names_the_command_that_adds_the_first_user(
    fed: FedDaemon, open_page: OpenPage, path: str
) -> None:
    fed.urls = ["http://0.0.0.0:50004/"]
    page = await open_page(fed.origin + path, scripts=False)
    await expect(page.locator(".banner code")).to_have_text("hbd user add --admin NAME")


@pytest.mark.parametrize("path", ["/users", "/access", "/audit", "/profile"])
async def test_pages_about_users_say_that_there_are_none(fed: FedDaemon, open_page: OpenPage, path: str) -> None:
    page = await open_page(fed.origin + path)
    await expect(page.locator("#feed")).to_have_text("live")
    await expect(page.locator("main h2").first).to_have_text("There are no users yet")


# -------------------------------------------------------------------------------------------------- the own account


async def test_profile_keeps_the_full_name(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "bob", "/profile")
    await page.get_by_label("Full name").fill("Bob Builder")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator(".toast")).to_have_text("Saved")
    await page.reload()
    await expect(page.locator("#me .face")).to_have_text("BB")


async def test_channels_are_chosen_from_those_that_one_may_use(people: FedDaemon, open_page: OpenPage) -> None:
    private = ChannelSettings(type="email", private=True, owner="alice")
    channels = {"phone": ChannelSettings(type="ntfy"), "mail": ChannelSettings(type="email"), "alices": private}
    await configured(people, Config(notification_channels=channels))
    page = await sign_in(open_page, people, "bob", "/profile")
    offered = page.locator("#channels")
    await expect(offered.locator("label")).to_have_text(["mail", "phone"])
    for name, chosen in (("phone", ["phone"]), ("mail", ["mail", "phone"])):
        await offered.get_by_label(name).check()
        await page.get_by_role("button", name="Save").click()
        await expect(page.locator(".toast")).to_have_text("Saved")
        assert sorted(people.security.accounts.require("bob").channels) == chosen
        await page.reload()
    await expect(offered.get_by_role("checkbox", checked=True)).to_have_count(2)
    await offered.get_by_label("phone").uncheck()
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator(".toast")).to_have_text("Saved")
    assert people.security.accounts.require("bob").channels == ("mail",)


async def test_where_there_are_no_channels_the_page_says_so(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "bob", "/profile")
    await expect(page.locator("#channels")).to_contain_text("None are configured that you may use.")


async def test_picture_from_a_file_becomes_the_avatar(people: FedDaemon, open_page: OpenPage, tmp_path: Path) -> None:
    page = await sign_in(open_page, people, "bob", "/profile")
    picture = tmp_path / "me.png"
    await page.locator("#factor-title").screenshot(path=picture)
    await page.locator("#picture input").set_input_files(picture)
    await expect(page.locator("#avatar")).to_have_value(re.compile("^data:image/"))
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator(".toast")).to_have_text("Saved")
    await page.reload()
    await expect(page.locator("#me .face img")).to_have_attribute("src", re.compile("^data:image/"))


async def test_wrong_current_password_is_told(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "bob", "/profile", expected="403")
    await page.get_by_label("Current password", exact=True).fill("guess")
    await page.get_by_label("New password", exact=True).fill("another one")
    await page.get_by_role("button", name="Change password").click()
    await expect(page.get_by_role("alert")).to_contain_text("not your password")


async def test_new_password_ends_the_other_sessions_at_once(people: FedDaemon, open_page: OpenPage) -> None:
    other = await sign_in(open_page, people, "bob")
    page = await sign_in(open_page, people, "bob", "/profile")
    await page.get_by_label("Current password", exact=True).fill(PASSWORD)
    await page.get_by_label("New password", exact=True).fill("another one")
    await page.get_by_role("button", name="Change password").click()
    await expect(other).to_have_url(re.compile(r"/login\?next="))
    await expect(page.locator("#feed")).to_have_text("live")
    await fill_in(other, "bob", "another one")
    await expect(other).to_have_url(people.origin + "/live")


async def test_other_session_can_be_ended(people: FedDaemon, open_page: OpenPage) -> None:
    other = await sign_in(open_page, people, "bob")
    page = await sign_in(open_page, people, "bob", "/profile")
    await page.locator("[data-fragment=sessions]").get_by_role("button", name="End the session").click()
    await expect(page.locator("#confirm")).to_contain_text("has to sign in again")
    await page.locator("#confirm").get_by_role("button", name="End it").click()
    await expect(other).to_have_url(re.compile(r"/login\?next="))
    await expect(page.locator("[data-fragment=sessions] tbody tr")).to_have_count(1)


async def test_token_is_shown_once_works_and_can_be_revoked(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "bob", "/profile")
    await page.get_by_role("button", name="New token").click()
    await page.locator("#new-token").get_by_label("Name", exact=True).fill("script")
    await page.get_by_role("button", name="Make token").click()
    await expect(page.locator("#token-made code").first).to_have_text(re.compile("^hbt_"))
    token = await page.locator("#token-made code").first.text_content()
    asking = {"Authorization": f"Bearer {token}"}
    async with ClientSession() as session:
        async with session.get(people.origin + "/api/0/hosts", headers=asking) as answer:
            assert [host["name"] for host in await answer.json()] == ["web"]
        await page.get_by_role("button", name="Done").click()
        await expect(page.locator("body")).not_to_contain_text(str(token))
        await page.get_by_role("button", name="Revoke script").click()
        await page.locator("#confirm").get_by_role("button", name="Revoke").click()
        await expect(page.locator("[data-fragment=tokens]")).to_contain_text("No tokens")
        async with session.get(people.origin + "/api/0/hosts", headers=asking) as answer:
            assert answer.status == 401


async def test_token_for_a_host_that_is_not_ones_own_is_refused_in_words(
    people: FedDaemon, open_page: OpenPage
) -> None:
    page = await sign_in(open_page, people, "bob", "/profile", expected="400")
    await page.get_by_role("button", name="New token").click()
    await page.locator("#new-token").get_by_label("Name", exact=True).fill("script")
    await page.locator("#token-hosts input").fill("db")
    await page.get_by_role("button", name="Make token").click()
    await expect(page.locator("#token-form").get_by_role("alert")).to_contain_text("no host 'db' that you may see")


async def set_up_second_factor(page: Page) -> tuple[str, list[str]]:
    """Go through the dialog on the profile page; returns the secret and the recovery codes."""
    await page.locator("[data-fragment=factor]").get_by_role("button", name="Set up").click()
    await page.locator("#factor-password").fill(PASSWORD)
    await page.get_by_role("button", name="Continue").click()
    await expect(page.locator("#factor-on .qr")).to_be_visible()
    assert await page.locator("#factor-on .qr").evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    shown = await page.locator(".secret-text").text_content() or ""
    assert {len(part) for part in shown.split()} == {4}
    secret = shown.replace(" ", "")
    await page.locator("#factor-code").fill(code_now(secret))
    await page.get_by_role("button", name="Switch on").click()
    await expect(page.locator(".codes li")).to_have_count(10)
    codes = await page.locator(".codes li").all_text_contents()
    await page.get_by_role("button", name="I have kept them").click()
    await expect(page.locator("[data-fragment=factor]")).to_contain_text("on")
    return secret, codes


async def test_second_factor_is_asked_for_once_it_is_set_up(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "bob", "/profile")
    secret, codes = await set_up_second_factor(page)
    other = await open_page(people.origin + "/login?next=/api", expected="401")
    await fill_in(other, "bob")
    await other.get_by_label("Code from your app").fill("000000")
    await other.get_by_role("button", name="Continue").click()
    await expect(other.get_by_role("alert")).to_contain_text("wrong")
    await other.get_by_label("Code from your app").fill(code_now(secret, 1))
    await other.get_by_role("button", name="Continue").click()
    await expect(other).to_have_url(people.origin + "/api")
    again = await open_page(people.origin + "/login")
    await fill_in(again, "bob")
    await again.get_by_label("Code from your app").fill(codes[0])
    await again.get_by_role("button", name="Continue").click()
    await expect(again).to_have_url(people.origin + "/live")


async def test_role_that_needs_a_second_factor_gets_no_further_without(people: FedDaemon, open_page: OpenPage) -> None:
    await configured(people, Config(auth=Auth(second_factor=("viewer",))))
    page = await open_page(people.origin + "/login?next=/live")
    await fill_in(page, "bob")
    await expect(page).to_have_url(people.origin + "/profile")
    await expect(page.get_by_role("alert").first).to_contain_text("Your role asks for a second factor")
    await expect(page.locator(".rail .item")).to_have_count(0)
    await set_up_second_factor(page)
    await page.get_by_role("link", name="Live", exact=True).click()
    await expect(names(page)).to_have_text(["web"])


async def test_second_factor_can_be_removed_with_a_recovery_code(people: FedDaemon, open_page: OpenPage) -> None:
    page = await sign_in(open_page, people, "bob", "/profile")
    _, codes = await set_up_second_factor(page)
    await page.get_by_role("button", name="Remove …").click()
    await page.get_by_label("Code from your app").fill(codes[0])
    await page.locator("#factor-off").get_by_role("button", name="Remove").click()
    await expect(page.locator("[data-fragment=factor]")).to_contain_text("off")


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


# ------------------------------------------------------------------------------------------------------------- looks

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
