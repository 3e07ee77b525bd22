"""Signing in and out, the frame around the pages, and the own account in a real browser."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from aiohttp import ClientSession
from conftest import ELSEWHERE, OpenPage
from fed import PASSWORD, FedDaemon
from playwright.async_api import Locator, Page, Request, expect
from signing_in import fill_in, sign_in

from hbd import totp
from hbd.config import Config
from hbd.config.structs import Auth, ChannelSettings, Oidc

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOTP_SECONDS = 30
EVERYBODYS = ["Live", "Alerts", "Plugins", "Agents", "Silences", "Jobs", "Channels"]  # pages that the rail begins with


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
