"""What people read who come to no page, to one that is not theirs, or by a link that is over."""

from __future__ import annotations

import time

import pytest
from world import PASSWORD, Api, World

from hbd.config import Config
from hbd.config.structs import Auth, ProxyLogin
from hbd.store.audit import Entry

PAGE = {"Accept": "text/html"}
FOREIGN = {"Origin": "https://evil.example"} | PAGE


async def as_user(world: World, name: str) -> dict[str, str]:
    return {"Cookie": f"hbd_session={await world.session(name)}"} | PAGE


# ------------------------------------------------------------------------------------------------------ 403 and 404


@pytest.mark.parametrize(("path", "status"), [("/users", 403), ("/nope", 404)])
async def test_whoever_is_turned_away_keeps_the_account_menu(api: Api, world: World, path: str, status: int) -> None:
    await world.user("alice", "admin")
    await world.user("bob")
    answer = await api.get(path, headers=await as_user(world, "bob"))
    text = await answer.text()
    assert answer.status == status
    assert 'id="me"' in text and "You are signed in as <b>bob</b>, viewer" in text


async def test_a_stranger_at_no_page_learns_of_no_user(api: Api, world: World) -> None:
    await world.user("alice", "admin")
    answer = await api.get("/nope", headers=PAGE)
    text = await answer.text()
    assert answer.status == 404 and 'id="me"' not in text and "signed in as" not in text


async def test_a_daemon_without_users_says_so_at_no_page_too(api: Api, world: World) -> None:
    world.parts.urls = lambda: ["http://0.0.0.0:50004/"]
    assert "No users are set up" in await (await api.get("/nope", headers=PAGE)).text()


async def test_without_users_a_strange_host_name_gets_no_page_at_no_address(api: Api) -> None:
    assert (await api.get("/nope", headers={"Host": "evil.example"} | PAGE)).status == 421


async def test_programs_get_json_at_no_address(api: Api) -> None:
    answer = await api.get("/nope")
    assert (answer.status, await answer.json()) == (404, {"error": "Not Found"})


async def test_what_another_sites_page_asks_for_has_a_title_of_its_own(api: Api, world: World) -> None:
    await world.user("alice", "admin")
    form = {"username": "alice", "password": PASSWORD}
    answer = await api.post("/login", data=form, headers=FOREIGN, allow_redirects=False)
    text = await answer.text()
    assert answer.status == 403 and "<title>Asked by another site" in text and "base_url" in text


async def test_whom_the_proxy_names_without_a_right_reads_the_name(api: Api, world: World) -> None:
    proxy = ProxyLogin(user_header="Remote-User", roles={"staff": "viewer"})
    await world.configure(Config(trusted_proxies=("127.0.0.1/32",), auth=Auth(proxy=proxy)))
    answer = await api.get("/live", headers={"Remote-User": "carol"} | PAGE)
    assert answer.status == 403 and "The proxy says that you are <b>carol</b>" in await answer.text()


# ------------------------------------------------------------------------------------------------------------- 401


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        ({}, "Sign in, or send a token"),
        ({"Authorization": "Bearer hbt_x"}, "This token is not known, or has expired or been revoked"),
        ({"X-Auth-Token": "hbt_x"}, "This token is not known, or has expired or been revoked"),
        ({"Cookie": "hbd_session=hbs_x"}, "Your session has ended; sign in again"),
    ],
)
async def test_a_program_is_told_what_is_wrong_with_what_it_showed(
    api: Api, world: World, shown: dict[str, str], told: str
) -> None:
    await world.user("alice")
    answer = await api.get("/api/0/hosts", headers=shown)
    assert (answer.status, await answer.json()) == (401, {"error": told})


async def test_a_sign_in_without_a_user_name_names_the_field(api: Api, world: World) -> None:
    await world.user("alice")
    answer = await api.post("/api/0/auth/login", json={"user": "alice", "password": PASSWORD})
    assert (answer.status, await answer.json()) == (400, {"error": "username: is needed"})


# ------------------------------------------------------------------------------------------------- the log of refusals


async def failed(world: World) -> Entry:
    await world.security.audit.write()
    return next(entry for entry in await world.store.audit.recent(10) if entry.outcome == "failed")


async def test_the_audit_log_tells_that_the_account_is_disabled(api: Api, world: World) -> None:
    await world.user("root", "admin")
    entry = Entry(time=time.time(), user="", via="cli", action="user.change")
    await world.security.accounts.change(await world.user("bob"), {"enabled": False}, entry)
    answer = await api.post("/api/0/auth/login", json={"username": "bob", "password": PASSWORD})
    assert (answer.status, await answer.json()) == (401, {"error": "Wrong user name or password"})
    assert (await failed(world)).detail == "the account is disabled"


async def test_the_audit_log_tells_that_the_account_has_no_password(api: Api, world: World) -> None:
    entry = Entry(time=time.time(), user="", via="cli", action="user.create")
    await world.security.accounts.add("bob", entry, password=None)
    answer = await api.post("/api/0/auth/login", json={"username": "bob", "password": PASSWORD})
    assert (answer.status, await answer.json()) == (401, {"error": "Wrong user name or password"})
    assert (await failed(world)).detail == "the account has no password; it signs in elsewhere"


# ----------------------------------------------------------------------------------------------------- the setup link


async def test_a_setup_link_of_an_earlier_start_says_where_the_new_one_is(api: Api) -> None:
    answer = await api.get(f"/setup/{'x' * 43}")
    text = await answer.text()
    assert answer.status == 404 and "each start prints another one" in text and "hbd user add --admin" in text


async def test_a_setup_link_that_was_used_leads_to_the_sign_in(api: Api, world: World) -> None:
    await world.user("alice", "admin")
    answer = await api.get(f"/setup/{world.security.sign_in.setup_token}")
    text = await answer.text()
    assert answer.status == 404 and "The first user has been made" in text and 'href="/login"' in text


# -------------------------------------------------------------------------------------------------------------- HSTS


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("monitor.example", True),
        ("monitor.example:8443", True),
        ("localhost:8443", False),
        ("hbd.localhost", False),
        ("192.0.2.7", False),
        ("[2001:db8::1]:8443", False),
    ],
)
async def test_hsts_is_for_names_that_are_nobody_elses(api: Api, world: World, name: str, sent: bool) -> None:
    world.parts.config = Config(base_url="https://monitor.example", trusted_proxies=("127.0.0.1/32",))
    answer = await api.get("/healthz", headers={"Host": name, "X-Forwarded-Proto": "https"})
    assert answer.status == 200 and ("Strict-Transport-Security" in answer.headers) is sent
