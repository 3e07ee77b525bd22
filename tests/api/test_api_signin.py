"""Signing in and out: over the API, with the page, with a second factor, and guessing in vain."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from aiohttp import ClientResponse, CookieJar
from aiohttp.test_utils import TestClient
from world import PASSWORD, Api, RealServer, World

from hbd import totp
from hbd.config import Config
from hbd.config.structs import Auth, Limits
from hbd.store.audit import Entry
from hbd.web import make_app


async def login(api: Api, name: str, password: str = PASSWORD, **more: str) -> ClientResponse:
    return await api.post("/api/0/auth/login", json={"username": name, "password": password, **more})


async def page_login(api: Api, **form: str) -> ClientResponse:
    return await api.post("/login", data=form, allow_redirects=False)


async def get(api: Api, token: str, path: str = "/api/0/hosts") -> int:
    return (await api.get(path, headers={"X-Auth-Token": token})).status


async def with_second_factor(world: World, name: str) -> str:
    secret = totp.new_secret()
    accounts = world.security.accounts
    user = await world.user(name)
    codes = (totp.recovery_hash("aaaa-aaaa-aaaa-aaaa"),)
    entry = Entry(time=time.time(), user=name, via="cli", action="second_factor")
    await accounts.change(user, {"totp": secret, "recovery": codes}, entry)
    return secret


def code_now(secret: str) -> str:
    return totp.code_at(secret, int(time.time() // 30))


async def test_without_users_the_token_is_null(api: Api) -> None:
    answer = await login(api, "anybody", "anything")
    assert (answer.status, (await answer.json())["token"]) == (200, None)


async def test_a_token_comes_for_the_right_password(api: Api, world: World) -> None:
    await world.user("alice")
    answer = await login(api, "alice")
    body = await answer.json()
    assert (answer.status, body["username"], body["role"]) == (200, "alice", "viewer")
    assert await get(api, body["token"]) == 200


async def test_names_are_taken_in_any_case(api: Api, world: World) -> None:
    await world.user("alice")
    assert (await (await login(api, "ALICE")).json())["username"] == "alice"


@pytest.mark.parametrize(("name", "password"), [("alice", "wrong"), ("nobody", PASSWORD), ("", ""), ("alice", "")])
async def test_anything_else_is_refused_in_the_same_words(api: Api, world: World, name: str, password: str) -> None:
    await world.user("alice")
    answer = await login(api, name, password)
    assert (answer.status, await answer.json()) == (401, {"error": "Wrong user name or password"})


async def test_a_disabled_user_is_refused_in_the_same_words(api: Api, world: World) -> None:
    await world.user("root", "admin")
    user = await world.user("alice")
    entry = Entry(time=time.time(), user="", via="cli", action="user.change")
    await world.security.accounts.change(user, {"enabled": False}, entry)
    assert await (await login(api, "alice")).json() == {"error": "Wrong user name or password"}


@pytest.mark.parametrize("name", ["alice", "nobody"])
@pytest.mark.parametrize("password", ["x" * 73, "ü" * 37, "x" * 100_000, "nul\0", "\ud800"])
async def test_a_password_that_cannot_be_one_is_400_and_never_500(
    api: Api, world: World, name: str, password: str
) -> None:
    await world.user("alice")
    raw = (
        f'{{"username": "{name}", "password": {msgspec.json.encode(password).decode()}}}'
        if password != "\ud800"
        else (f'{{"username": "{name}", "password": "\\ud800"}}')
    )
    answer = await api.post("/api/0/auth/login", data=raw, headers={"Content-Type": "application/json"})
    assert answer.status == 400


async def test_a_session_ends_when_it_is_old(api: Api, world: World) -> None:
    await world.configure(Config(auth=Auth(session=60.0)))
    await world.user("alice")
    body = await (await login(api, "alice")).json()
    assert 0 < body["expires"] - time.time() <= 60
    assert world.security.accounts.credential(body["token"], body["expires"] - 1) is not None
    assert world.security.accounts.credential(body["token"], body["expires"]) is None


async def test_a_script_that_keeps_cookies_signs_in_again(world: World) -> None:
    await world.user("alice")
    async with TestClient(RealServer(make_app(world.parts)), cookie_jar=CookieJar(unsafe=True)) as client:
        assert [(await login(client, "alice")).status for _ in range(2)] == [200, 200]


async def test_logging_out_ends_the_session(api: Api, world: World) -> None:
    await world.user("alice")
    token = (await (await login(api, "alice")).json())["token"]
    answer = await api.post("/api/0/auth/logout", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status, await answer.json()) == (200, {"ok": True})
    assert await get(api, token) == 401


async def test_sessions_outlive_a_restart(api: Api, world: World) -> None:
    await world.user("alice")
    token = (await (await login(api, "alice")).json())["token"]
    await world.security.accounts.load(time.time())
    assert await get(api, token) == 200


async def test_a_token_in_the_url_counts_for_no_plain_route(api: Api, world: World) -> None:
    await world.user("alice")
    assert (await api.get(f"/api/0/hosts?token={await world.session('alice')}")).status == 401


# ------------------------------------------------------------------------------------------------------------ guessing


async def test_after_so_many_wrong_guesses_the_right_password_waits_too(api: Api, world: World) -> None:
    await world.user("alice")
    assert [(await login(api, "alice", "wrong")).status for _ in range(10)] == [401] * 10
    answer = await login(api, "alice")
    assert answer.status == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 900


async def test_unknown_names_are_limited_alike(api: Api, world: World) -> None:
    await world.user("alice")
    assert [(await login(api, "nobody", "wrong")).status for _ in range(11)] == [401] * 10 + [429]


async def test_successes_are_held_against_nobody(api: Api, world: World) -> None:
    await world.user("alice")
    assert [(await login(api, "alice")).status for _ in range(40)] == [200] * 40


async def test_limits_come_from_the_config(api: Api, world: World) -> None:
    await world.configure(Config(limits=Limits(logins_per_account=2)))
    await world.user("alice")
    assert [(await login(api, "alice", "wrong")).status for _ in range(3)] == [401, 401, 429]


async def test_a_random_forwarded_address_wins_no_more_guesses(api: Api, world: World) -> None:
    await world.user("alice")
    statuses = []
    for number in range(21):
        answer = await api.post(
            "/api/0/auth/login",
            json={"username": f"user{number}", "password": "wrong"},
            headers={"X-Forwarded-For": f"192.0.2.{number}"},
        )
        statuses.append(answer.status)
    assert statuses == [401] * 20 + [429]


async def test_behind_a_trusted_proxy_each_client_has_its_own_limit(api: Api, world: World) -> None:
    await world.configure(Config(trusted_proxies=("127.0.0.0/8",)))
    await world.user("alice")
    for number in range(21):
        answer = await api.post(
            "/api/0/auth/login",
            json={"username": f"user{number}", "password": "wrong"},
            headers={"X-Forwarded-For": f"198.51.100.1, 192.0.2.{number}"},
        )
        assert answer.status == 401


# ------------------------------------------------------------------------------------------------------- second factor


async def test_a_second_factor_is_asked_for(api: Api, world: World) -> None:
    await with_second_factor(world, "alice")
    answer = await login(api, "alice")
    body = await answer.json()
    assert (answer.status, body["second_factor"]) == (401, True)


async def test_the_code_lets_in_once(api: Api, world: World) -> None:
    code = code_now(await with_second_factor(world, "alice"))
    assert [(await login(api, "alice", code=code)).status for _ in range(2)] == [200, 401]


async def test_a_recovery_code_lets_in_once(api: Api, world: World) -> None:
    await with_second_factor(world, "alice")
    assert [(await login(api, "alice", code="AAAA aaaa aaaa aaaa")).status for _ in range(2)] == [200, 401]


async def test_codes_are_guessed_no_more_often_than_passwords(api: Api, world: World) -> None:
    secret = await with_second_factor(world, "alice")
    wrong = "000000" if code_now(secret) != "000000" else "000001"
    assert [(await login(api, "alice", code=wrong)).status for _ in range(11)] == [401] * 10 + [429]


async def test_a_user_who_needs_one_gets_no_further_than_the_own_account(api: Api, world: World) -> None:
    await world.configure(Config(auth=Auth(second_factor=("viewer",))))
    await world.user("alice")
    token = (await (await login(api, "alice")).json())["token"]
    headers = {"X-Auth-Token": token}
    assert [await get(api, token, path) for path in ("/api/0/hosts", "/api/0/users/me")] == [403, 200]
    page = await api.get("/live", headers=headers, allow_redirects=False)
    assert (page.status, page.headers["Location"]) == (303, "/profile")
    made = await api.post("/api/0/users/me/tokens", json={"name": "around"}, headers=headers)
    assert made.status == 403
    offer = await (await api.post("/api/0/users/me/second_factor", json={"password": PASSWORD}, headers=headers)).json()
    taken = await api.put("/api/0/users/me/second_factor", json={"code": code_now(offer["secret"])}, headers=headers)
    assert (taken.status, len((await taken.json())["recovery_codes"])) == (200, 10)
    assert await get(api, token) == 200


# ----------------------------------------------------------------------------------------------------------- the page


@pytest.mark.parametrize(
    ("wanted", "goes"),
    [
        ("/plugins?host=web", "/plugins?host=web"),
        ("", "/live"),
        ("//evil.example", "/live"),
        ("https:evil.example", "/live"),
        ("https://evil.example", "/live"),
        ("/\\evil.example", "/live"),
        ("\\\\evil.example", "/live"),
        ("javascript:alert(1)", "/live"),
        ("/\t/evil.example", "/live"),
        ("/\r\nSet-Cookie: a=b", "/live"),
        ("/login?next=/login", "/live"),
    ],
)
async def test_after_signing_in_one_gets_where_one_wanted_if_it_is_here(
    api: Api, world: World, wanted: str, goes: str
) -> None:
    await world.user("alice")
    answer = await page_login(api, username="alice", password=PASSWORD, next=wanted)
    assert (answer.status, answer.headers["Location"]) == (303, goes)


async def test_the_cookie_is_for_us_alone(api: Api, world: World) -> None:
    await world.user("alice")
    cookie = (await page_login(api, username="alice", password=PASSWORD)).headers["Set-Cookie"]
    name, _, rest = cookie.partition("=")
    assert name == "hbd_session"
    assert {"HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=86400"} <= set(rest.split("; "))
    assert "Domain" not in rest


async def test_over_tls_the_cookie_is_secure_and_bound_to_the_host(api: Api, world: World) -> None:
    await world.configure(Config(trusted_proxies=("127.0.0.1/32",)))
    await world.user("alice")
    answer = await api.post(
        "/login",
        data={"username": "alice", "password": PASSWORD},
        headers={"X-Forwarded-Proto": "https"},
        allow_redirects=False,
    )
    assert answer.headers["Set-Cookie"].startswith("__Host-hbd=")
    assert "Secure" in answer.headers["Set-Cookie"]


async def test_the_word_of_others_that_it_came_over_tls_counts_nothing(api: Api, world: World) -> None:
    await world.user("alice")
    answer = await api.post(
        "/login",
        data={"username": "alice", "password": PASSWORD},
        headers={"X-Forwarded-Proto": "https"},
        allow_redirects=False,
    )
    assert answer.headers["Set-Cookie"].startswith("hbd_session=")


async def test_a_page_asked_for_without_a_session_leads_to_the_login(api: Api, world: World) -> None:
    await world.user("alice")
    answer = await api.get("/plugins?host=web&plugin=cpu_monitor", allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (
        302,
        "/login?next=/plugins?host%3Dweb%26plugin%3Dcpu_monitor",
    )


async def test_signing_in_makes_a_new_session_whatever_was_shown_before(api: Api, world: World) -> None:
    await world.user("alice")
    answer = await api.post(
        "/login",
        data={"username": "alice", "password": PASSWORD},
        headers={"Cookie": "hbd_session=chosen-by-somebody"},
        allow_redirects=False,
    )
    assert answer.status == 303
    assert "chosen-by-somebody" not in answer.headers["Set-Cookie"]
    assert await get(api, "chosen-by-somebody") == 401


async def test_a_wrong_password_is_told_on_the_page(api: Api, world: World) -> None:
    await world.user("alice")
    answer = await page_login(api, username="alice", password="wrong")
    assert (answer.status, "Wrong user name or password" in await answer.text()) == (401, True)


async def test_the_second_step_takes_the_ticket_for_the_password(api: Api, world: World) -> None:
    code = code_now(await with_second_factor(world, "alice"))
    text = await (await page_login(api, username="alice", password=PASSWORD, next="/plugins")).text()
    ticket = text.partition('name="ticket" value="')[2].partition('"')[0]
    answer = await page_login(api, ticket=ticket, code=code, next="/plugins")
    assert (answer.status, answer.headers["Location"]) == (303, "/plugins")


async def test_a_ticket_that_is_none_begins_again(api: Api, world: World) -> None:
    await with_second_factor(world, "alice")
    assert (await page_login(api, ticket="x", code="000000")).status == 401


async def test_another_sites_page_signs_nobody_in(api: Api, world: World) -> None:
    await world.user("alice")
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = await api.post(
            "/login", data={"username": "alice", "password": PASSWORD}, headers=headers, allow_redirects=False
        )
        assert (answer.status, "Set-Cookie" in answer.headers) == (403, False)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_the_logout_page_ends_the_session_and_leads_to_the_login(api: Api, world: World, method: str) -> None:
    await world.user("alice")
    token = await world.session("alice")
    headers = {"Cookie": f"hbd_session={token}", "Sec-Fetch-Site": "same-origin"}
    answer = await api.request(method, "/logout", headers=headers, allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, "/login")
    assert answer.headers["Set-Cookie"].startswith('hbd_session=""') and "Max-Age=0" in answer.headers["Set-Cookie"]
    assert await get(api, token) == 401


async def test_a_link_on_another_sites_page_signs_nobody_out(api: Api, world: World) -> None:
    await world.user("alice")
    token = await world.session("alice")
    headers = {"Cookie": f"hbd_session={token}", "Sec-Fetch-Site": "cross-site"}
    await api.get("/logout", headers=headers, allow_redirects=False)
    assert await get(api, token) == 200


# --------------------------------------------------------------------------------------------------------- first user


async def test_the_setup_link_makes_the_first_admin_once(api: Api, world: World) -> None:
    path = f"/setup/{world.security.sign_in.setup_token}"
    form = {"username": "alice", "password": PASSWORD}
    assert (await api.get(path)).status == 200
    answer = await api.post(path, data=form, allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, "/live")
    assert world.security.accounts.require("alice").role == "admin"
    assert [(await api.get(path)).status, (await api.post(path, data=form)).status] == [404, 404]


async def test_another_setup_token_is_not_found(api: Api) -> None:
    assert (await api.get(f"/setup/{'x' * 43}")).status == 404


async def test_the_setup_link_is_closed_for_ever_once_there_was_a_user(api: Api, world: World) -> None:
    user = await world.user("alice")
    entry = Entry(time=time.time(), user="", via="cli", action="user.delete")
    await world.security.accounts.delete(user, [], entry)
    assert len(world.security.accounts) == 0
    await world.security.accounts.load(time.time())
    assert (await api.get(f"/setup/{world.security.sign_in.setup_token}")).status == 404


async def test_a_password_too_short_is_told_on_the_setup_page(api: Api, world: World) -> None:
    path = f"/setup/{world.security.sign_in.setup_token}"
    answer = await api.post(path, data={"username": "alice", "password": "abc"})
    assert (answer.status, "at least 6 characters" in await answer.text()) == (400, True)
    assert len(world.security.accounts) == 0


# --------------------------------------------------------------------------------------------------- a proxy's word


@pytest.fixture
async def behind_proxy(api: Api, world: World) -> Any:
    from hbd.config.structs import ProxyLogin

    proxy = ProxyLogin(user_header="Remote-User", roles={"ops": "operator"}, default_role="viewer")
    await world.configure(Config(trusted_proxies=("127.0.0.1/32",), auth=Auth(proxy=proxy)))
    await world.user("root", "admin")


async def me(api: Api, **headers: str) -> tuple[int, dict[str, Any]]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await api.get("/api/0/users/me", headers=named)
    return answer.status, await answer.json()


async def test_whom_a_trusted_proxy_names_is_signed_in(api: Api, behind_proxy: None) -> None:
    status, body = await me(api, Remote_User="carol", Remote_Name="Carol C", Remote_Groups="staff, ops")
    assert (status, body["username"], body["full_name"], body["role"], body["via"]) == (
        200,
        "carol",
        "Carol C",
        "operator",
        "proxy",
    )


async def test_the_role_follows_the_groups(api: Api, behind_proxy: None) -> None:
    await me(api, Remote_User="carol", Remote_Groups="ops")
    assert (await me(api, Remote_User="carol"))[1]["role"] == "viewer"


async def test_a_proxy_gets_nobody_into_an_account_that_was_made_here(api: Api, behind_proxy: None) -> None:
    status, body = await me(api, Remote_User="root")
    assert (status, "belongs to another account" in body["error"]) == (403, True)


async def test_the_header_of_anybody_else_counts_nothing(api: Api, world: World, behind_proxy: None) -> None:
    world.parts.config = msgspec.structs.replace(world.parts.config, trusted_proxies=("192.0.2.1/32",))
    assert (await me(api, Remote_User="carol"))[0] == 401


async def test_what_a_proxys_user_changes_needs_a_page_of_ours(api: Api, behind_proxy: None) -> None:
    for headers, status in (({}, 403), ({"Origin": f"http://{api.host}:{api.port}"}, 200)):
        answer = await api.put("/api/0/users/me", json={"full_name": "C"}, headers={"Remote-User": "carol", **headers})
        assert answer.status == status
