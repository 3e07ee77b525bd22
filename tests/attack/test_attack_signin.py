"""Signing in against those who guess, flood and probe: S7 to S14, S16, S67."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from http.cookies import SimpleCookie
from typing import Any

import bcrypt
import pytest
from aiohttp import ClientResponse
from callers import Callers, entry
from world import PASSWORD, Api, World

from hbd import passwords as passwords_module
from hbd.config import Config
from hbd.config.structs import Auth, Limits, ProxyLogin

WRONG = "wrong horse"
TLS = {"X-Forwarded-Proto": "https"}
BEHIND_PROXY = Config(trusted_proxies=("127.0.0.1",))


async def sign_in(api: Api, name: str, password: str = PASSWORD, **headers: str) -> ClientResponse:
    body = {"username": name, "password": password}
    return await api.post("/api/0/auth/login", json=body, headers={n.replace("_", "-"): v for n, v in headers.items()})


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
async def people(world: World) -> World:
    """``root``, an admin, and ``bob``."""
    await world.user("root", "admin")
    await world.user("bob")
    return world


# ------------------------------------------------------------------------------------------------------- S7 cookies


def cookie_of(answer: ClientResponse) -> tuple[str, Any]:
    (line,) = answer.headers.getall("Set-Cookie")
    ((name, morsel),) = SimpleCookie(line).items()
    return name, morsel


async def test_s07_the_cookie_over_plain_http(api: Api, people: World) -> None:
    name, cookie = cookie_of(await sign_in(api, "bob"))
    assert name == "hbd_session"
    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["domain"]) == (True, "Lax", "/", "")
    assert not cookie["secure"]


async def test_s07_the_cookie_over_tls_has_a_name_that_plain_pages_cannot_set(api: Api, people: World) -> None:
    people.parts.config = BEHIND_PROXY
    name, cookie = cookie_of(await sign_in(api, "bob", **TLS))
    assert name == "__Host-hbd"
    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["domain"]) == (True, "Lax", "/", "")
    assert cookie["secure"]


async def test_s07_the_form_sets_the_same_cookie(api: Api, people: World) -> None:
    form = {"username": "bob", "password": PASSWORD}
    name, cookie = cookie_of(await api.post("/login", data=form, allow_redirects=False))
    assert (name, cookie["httponly"], cookie["samesite"], cookie["path"]) == ("hbd_session", True, "Lax", "/")


async def test_s07_over_tls_the_plain_cookie_counts_for_nothing(api: Api, people: World) -> None:
    people.parts.config = BEHIND_PROXY
    cookie = {"Cookie": f"hbd_session={await people.session('bob')}"}
    assert (await api.get("/api/0/users/me", headers=cookie)).status == 200
    assert (await api.get("/api/0/users/me", headers=cookie | TLS)).status == 401


async def test_s07_only_a_listed_proxy_is_believed_that_there_is_tls(api: Api, people: World) -> None:
    answer = await sign_in(api, "bob", **TLS)
    assert cookie_of(answer)[0] == "hbd_session"
    assert "Strict-Transport-Security" not in answer.headers


async def test_s07_session_tokens_hold_256_random_bits_and_never_repeat(api: Api, people: World) -> None:
    tokens = {cookie_of(await sign_in(api, "bob"))[1].value for _ in range(20)}
    assert len(tokens) == 20
    assert {len(token.removeprefix("hbs_")) for token in tokens} == {43}


# ------------------------------------------------------------------------------------------------------- S8 fixation


@pytest.mark.parametrize("chosen", ["hbs_" + "a" * 43, "x"])
async def test_s08_a_session_that_somebody_else_chose_is_never_signed_in(api: Api, people: World, chosen: str) -> None:
    cookie = {"Cookie": f"hbd_session={chosen}", "Origin": f"http://{api.host}:{api.port}"}
    answer = await sign_in(api, "bob", **cookie)
    assert answer.status == 200
    assert cookie_of(answer)[1].value != chosen
    assert (await api.get("/api/0/users/me", headers=bearer(chosen))).status == 401


async def test_s08_signing_in_again_gives_another_session(api: Api, people: World) -> None:
    before = await people.session("bob")
    cookie = {"Cookie": f"hbd_session={before}", "Origin": f"http://{api.host}:{api.port}"}
    assert cookie_of(await sign_in(api, "root", **cookie))[1].value != before


# ---------------------------------------------------------------------------------------------------- S9 over is over


async def _log_out(api: Api, world: World, token: str) -> None:
    assert (await api.post("/api/0/auth/logout", headers=bearer(token))).status == 200


async def _new_password(api: Api, world: World, token: str) -> None:
    body = {"password": {"current": PASSWORD, "new": "battery staple"}}
    answer = await api.put("/api/0/users/me", json=body, headers=bearer(await world.session("bob")))
    assert answer.status == 200


async def _reset_by_admin(api: Api, world: World, token: str) -> None:
    admin = bearer(await world.session("root"))
    assert (await api.put("/api/0/users/bob", json={"password": "battery staple"}, headers=admin)).status == 200


async def _disable(api: Api, world: World, token: str) -> None:
    admin = bearer(await world.session("root"))
    assert (await api.put("/api/0/users/bob", json={"enabled": False}, headers=admin)).status == 200


async def _delete(api: Api, world: World, token: str) -> None:
    assert (await api.delete("/api/0/users/bob", headers=bearer(await world.session("root")))).status == 200


async def _sign_out(api: Api, world: World, token: str) -> None:
    answer = await api.delete("/api/0/users/bob/sessions", headers=bearer(await world.session("root")))
    assert await answer.json() == {"ok": True, "ended": 1}


@pytest.mark.parametrize("ends", [_log_out, _new_password, _reset_by_admin, _disable, _delete, _sign_out])
async def test_s09_a_session_that_is_over_is_worth_nothing_from_the_next_request_on(
    api: Api, people: World, ends: Any
) -> None:
    token = await people.session("bob")
    assert (await api.get("/api/0/users/me", headers=bearer(token))).status == 200
    await ends(api, people, token)
    assert (await api.get("/api/0/users/me", headers=bearer(token))).status == 401


@pytest.mark.parametrize("ends", [_disable, _delete])
async def test_s09_api_tokens_end_with_their_user(api: Api, people: World, ends: Any) -> None:
    accounts = people.security.accounts
    _, token = await accounts.add_token(
        accounts.require("bob"), "script", entry("x"), scope="read", hosts=None, expires=None
    )
    assert (await api.get("/api/0/users/me", headers=bearer(token))).status == 200
    await ends(api, people, token)
    assert (await api.get("/api/0/users/me", headers=bearer(token))).status == 401


async def test_s09_a_role_that_is_taken_away_counts_from_the_next_request_on(api: Api, people: World) -> None:
    await people.user("eve", "admin")
    eve = bearer(await people.session("eve"))
    assert (await api.get("/api/0/users", headers=eve)).status == 200
    await api.put("/api/0/users/eve", json={"role": "viewer"}, headers=bearer(await people.session("root")))
    assert (await api.get("/api/0/users", headers=eve)).status == 403


async def test_s09_a_user_of_the_same_name_later_inherits_no_session(api: Api, people: World) -> None:
    token = await people.session("bob")
    await _delete(api, people, token)
    await people.user("bob", "admin")
    assert (await api.get("/api/0/users/me", headers=bearer(token))).status == 401


# ------------------------------------------------------------------------------------------------- S10, S11 guessing


async def test_s10_the_eleventh_guess_at_an_account_waits_from_wherever_it_comes(api: Api, people: World) -> None:
    people.parts.config = BEHIND_PROXY
    statuses = [
        (await sign_in(api, "bob", WRONG, X_Forwarded_For=f"198.51.100.{number}")).status for number in range(10)
    ]
    assert statuses == [401] * 10
    answer = await sign_in(api, "bob", PASSWORD, X_Forwarded_For="203.0.113.1")
    assert answer.status == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 900


async def test_s10_the_21st_guess_from_an_address_waits_whatever_the_account(api: Api, people: World) -> None:
    assert [(await sign_in(api, f"user{number}", WRONG)).status for number in range(20)] == [401] * 20
    answer = await sign_in(api, "bob", PASSWORD)
    assert (answer.status, "Retry-After" in answer.headers) == (429, True)


async def test_s10_guesses_that_come_at_once_are_counted_one_by_one(api: Api, people: World) -> None:
    answers = await asyncio.gather(*(sign_in(api, "bob", WRONG) for _ in range(15)))
    assert sorted(answer.status for answer in answers) == [401] * 10 + [429] * 5


async def test_s10_whose_account_it_is_stays_signed_in_and_gets_in_from_where_it_did(api: Api, people: World) -> None:
    people.parts.config = BEHIND_PROXY
    home = {"X-Forwarded-For": "192.0.2.1"}
    token = (await (await sign_in(api, "bob", **home)).json())["token"]
    for number in range(30):
        await sign_in(api, "bob", WRONG, X_Forwarded_For=f"198.51.100.{number}")
    assert (await sign_in(api, "bob", X_Forwarded_For="203.0.113.1")).status == 429
    assert (await api.get("/api/0/users/me", headers=bearer(token))).status == 200
    assert (await sign_in(api, "bob", **home)).status == 200


async def test_s10_the_form_and_the_current_password_count_too(api: Api, people: World) -> None:
    token = bearer(await people.session("bob"))
    for _ in range(5):
        body = {"password": {"current": WRONG, "new": "battery staple"}}
        assert (await api.put("/api/0/users/me", json=body, headers=token)).status == 403
        assert (await api.post("/login", data={"username": "BOB", "password": WRONG})).status == 401
    assert (await sign_in(api, "bob")).status == 429


async def test_s10_codes_of_the_second_factor_are_counted_like_passwords(api: Api, people: World) -> None:
    accounts = people.security.accounts
    fields = {"totp": "A" * 32, "totp_step": 0, "recovery": ()}
    await accounts.change(accounts.require("bob"), fields, entry("x"))
    body = {"username": "bob", "password": PASSWORD, "code": "000000"}
    statuses = [(await api.post("/api/0/auth/login", json=body)).status for _ in range(11)]
    assert statuses == [401] * 10 + [429]


async def test_s11_a_spray_under_many_invented_addresses_is_one_address(api: Api, people: World) -> None:
    sprayed = [
        (await sign_in(api, f"user{number}", WRONG, X_Forwarded_For=f"198.51.100.{number}")).status
        for number in range(21)
    ]
    assert sprayed == [401] * 20 + [429]


async def test_s11_what_a_client_adds_in_front_of_a_proxy_does_not_count(api: Api, people: World) -> None:
    people.parts.config = BEHIND_PROXY
    sprayed = [
        (await sign_in(api, f"user{number}", WRONG, X_Forwarded_For=f"203.0.113.{number}, 198.51.100.1")).status
        for number in range(21)
    ]
    assert sprayed == [401] * 20 + [429]


@pytest.mark.parametrize(("trusted", "status"), [((), 401), (("198.51.100.1",), 401), (("127.0.0.1",), 200)])
async def test_s11_only_a_listed_proxy_says_who_is_calling(
    api: Api, people: World, trusted: tuple[str, ...], status: int
) -> None:
    proxy = ProxyLogin(user_header="Remote-User", default_role="viewer")
    people.parts.config = Config(trusted_proxies=trusted, auth=Auth(proxy=proxy))
    for headers in ({"Remote-User": "eve"}, {"Remote-User": "eve", "X-Forwarded-For": "127.0.0.1"}):
        assert (await api.get("/api/0/users/me", headers=headers)).status == status


async def test_s11_a_proxy_names_nobody_into_an_account_that_exists_here(api: Api, people: World) -> None:
    proxy = ProxyLogin(user_header="Remote-User", default_role="viewer")
    people.parts.config = Config(trusted_proxies=("127.0.0.1",), auth=Auth(proxy=proxy))
    for name in ("root", "ROOT", "bob"):
        assert (await api.get("/api/0/users/me", headers={"Remote-User": name})).status == 403


async def test_s11_what_a_proxy_vouches_for_changes_nothing_for_the_page_of_another_site(
    api: Api, people: World
) -> None:
    proxy = ProxyLogin(user_header="Remote-User", default_role="viewer")
    people.parts.config = Config(trusted_proxies=("127.0.0.1",), auth=Auth(proxy=proxy))
    for origin in ({}, {"Origin": "https://evil.example"}):
        answer = await api.put("/api/0/users/me", json={"full_name": "x"}, headers={"Remote-User": "eve"} | origin)
        assert answer.status == 403


# ---------------------------------------------------------------------------------------------------- S12 enumeration


async def told(answer: ClientResponse) -> tuple[int, bytes, dict[str, str]]:
    headers = {name: value for name, value in answer.headers.items() if name not in ("Date", "X-Request-ID")}
    return answer.status, await answer.read(), headers


async def test_s12_a_name_nobody_has_is_answered_like_a_wrong_password(api: Api, people: World) -> None:
    await people.user("gone")
    await people.security.accounts.change(people.security.accounts.require("gone"), {"enabled": False}, entry("x"))
    nobody, bob, disabled = [await told(await sign_in(api, name, WRONG)) for name in ("nobody", "bob", "gone")]
    assert nobody == bob == disabled
    assert nobody[0] == 401


async def test_s12_the_form_tells_no_more(api: Api, people: World) -> None:
    pages = []
    for name in ("nob", "bob"):
        answer = await api.post("/login", data={"username": name, "password": WRONG})
        pages.append((answer.status, (await answer.text()).replace(name, "NAME")))
    without_time = [(status, re.sub(r"\d{10}\.\d+", "TIME", page)) for status, page in pages]
    assert without_time[0] == without_time[1]
    assert pages[0][0] == 401


async def test_s12_a_name_nobody_has_costs_as_much_work(
    api: Api, people: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same number of bcrypt checks, of the same cost."""
    costs: list[int] = []

    def counted(password: bytes, hashed: bytes) -> bool:
        costs.append(passwords_module.cost(hashed))
        return check(password, hashed)

    check = bcrypt.checkpw
    monkeypatch.setattr(passwords_module.bcrypt, "checkpw", counted)
    work = {}
    await people.user("off")
    await people.security.accounts.change(people.security.accounts.require("off"), {"enabled": False}, entry("x"))
    for name in ("bob", "nobody", "off", "x" * 64, "ROOT"):
        costs.clear()
        assert (await sign_in(api, name, WRONG)).status == 401
        work[name] = tuple(costs)
    assert set(work.values()) == {(4,)}


async def test_s12_the_limit_of_guesses_tells_no_names(api: Api, people: World) -> None:
    people.parts.config = BEHIND_PROXY
    ends = []
    for name in ("bob", "nobody"):
        for number in range(10):
            await sign_in(api, name, WRONG, X_Forwarded_For=f"198.51.100.{number + 20 * len(ends)}")
        status, body, headers = await told(await sign_in(api, name, WRONG, X_Forwarded_For="203.0.113.1"))
        headers.pop("Retry-After")
        ends.append((status, body, headers))
    assert ends[0] == ends[1]
    assert ends[0][0] == 429


# --------------------------------------------------------------------------------------------------- S13 odd passwords

ODD = [
    "a" * 73,
    "a" * 1_000,
    "a" * 100_000,
    "nul\0nul",
    "\0",
    "😀" * 18,
    "😀" * 19,
    "e\u0301",
    "\ud800",
    "",
    " ",
    "\u202e",
]


@pytest.mark.parametrize("password", ODD, ids=lambda text: f"{len(text)}-{text[:6]!a}")
async def test_s13_no_password_is_too_odd_to_be_answered(api: Api, people: World, password: str) -> None:
    for name in ("bob", "nobody"):
        body = f'{{"username":"{name}","password":"{"".join(_escaped(password))}"}}'
        answer = await api.post("/api/0/auth/login", data=body, headers={"Content-Type": "application/json"})
        assert answer.status in (400, 401)
    token = bearer(await people.session("root"))
    body = f'{{"username":"new","password":"{"".join(_escaped(password))}"}}'
    made = await api.post("/api/0/users", data=body, headers=token | {"Content-Type": "application/json"})
    assert made.status in (201, 400)
    if made.status == 201:
        assert (await sign_in(api, "new", password)).status == 200


def _escaped(text: str) -> list[str]:
    units = text.encode("utf-16-be", "surrogatepass")
    return [f"\\u{units[place]:02x}{units[place + 1]:02x}" for place in range(0, len(units), 2)]


async def test_s13_what_bcrypt_would_cut_is_refused_and_never_hashed(
    api: Api, people: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> bool:
        raise AssertionError("hashed")

    monkeypatch.setattr(passwords_module.bcrypt, "checkpw", never)
    for length in (73, 1_000, 100_000):
        answer = await sign_in(api, "bob", "a" * length)
        assert answer.status == 400
        assert "72 bytes" in (await answer.json())["error"]


async def test_s13_two_passwords_that_differ_in_the_last_byte_that_counts_do_not_match(api: Api, people: World) -> None:
    await people.user("long", password="a" * 71 + "b")
    assert (await sign_in(api, "long", "a" * 71 + "c")).status == 401
    assert (await sign_in(api, "long", "a" * 71 + "b")).status == 200


async def test_s13_a_password_is_the_same_however_its_letters_are_composed(api: Api, people: World) -> None:
    token = bearer(await people.session("root"))
    await api.post("/api/0/users", json={"username": "new", "password": "caf\u00e9 noir"}, headers=token)
    assert (await sign_in(api, "new", "cafe\u0301 noir")).status == 200


# --------------------------------------------------------------------------------------------------------- S14 floods


async def test_s14_of_a_flood_of_logins_the_surplus_is_sent_away_and_the_loop_goes_on(
    api: Api, people: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it costs others is measured by ``tests/bench/bench_logins.py``."""
    await people.configure(Config(limits=Limits(logins_per_account=1_000, logins_per_address=1_000)))
    enough = threading.Event()
    monkeypatch.setattr(passwords_module.bcrypt, "checkpw", lambda *_: not enough.wait(60))
    flood = [asyncio.create_task(sign_in(api, "bob", WRONG)) for _ in range(200)]
    async with asyncio.timeout(60):
        while people.security.passwords.waiting < 16 or sum(task.done() for task in flood) < 100:
            await asyncio.sleep(0.01)
        # Not one password has been checked by now.
        assert {task.result().status for task in flood if task.done()} == {503}
        assert (await api.get("/healthz")).status == 200
        enough.set()
        assert {answer.status for answer in await asyncio.gather(*flood)} == {401, 503}


async def test_s14_strangers_do_not_push_others_out_of_the_audit_log(api: Api, people: World) -> None:
    for number in range(20):
        await api.put(f"/api/0/users/made-up-{number}", json={})
    await people.security.audit.write()
    entries = [entry for entry in await people.store.audit.recent(100) if entry.outcome == "refused"]
    assert (len(entries), entries[0].object, entries[0].detail) == (1, "", "Sign in, or send a token (20 times)")


async def test_s14_a_user_called_like_an_address_has_a_rate_of_its_own(api: Api, people: World) -> None:
    await people.user("127.0.0.1")
    headers = bearer(await people.session("127.0.0.1"))
    people.parts.throttle.configure(0.001, 1)
    assert (await api.get("/login")).status == 200
    assert (await api.get("/api/0/hosts", headers=headers)).status == 200


async def test_s14_passwords_are_never_hashed_on_the_event_loop(
    api: Api, people: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = set()

    def seen(password: bytes, hashed: bytes) -> bool:
        threads.add(threading.current_thread())
        return False

    monkeypatch.setattr(passwords_module.bcrypt, "checkpw", seen)
    for name in ("bob", "nobody"):
        await sign_in(api, name, WRONG)
    assert threads
    assert threading.main_thread() not in threads


# ----------------------------------------------------------------------------------------------------- S16 last admin


@pytest.mark.parametrize("body", [{"role": "viewer"}, {"admin": False}, {"enabled": False}, None])
async def test_s16_the_last_admin_stays(api: Api, people: World, body: dict[str, Any] | None) -> None:
    await people.user("former", "admin")
    root = bearer(await people.session("root"))
    assert (await api.put("/api/0/users/former", json={"enabled": False}, headers=root)).status == 200
    method = "DELETE" if body is None else "PUT"
    assert (await api.request(method, "/api/0/users/root", json=body, headers=root)).status == 409
    assert (await api.get("/api/0/users", headers=root)).status == 200


async def test_s16_two_admins_who_demote_each_other_at_once_leave_one(api: Api, people: World) -> None:
    await people.user("other", "admin")
    tokens = {name: bearer(await people.session(name)) for name in ("root", "other")}
    answers = await asyncio.gather(
        api.put("/api/0/users/other", json={"role": "viewer"}, headers=tokens["root"]),
        api.put("/api/0/users/root", json={"role": "viewer"}, headers=tokens["other"]),
    )
    assert sorted(answer.status for answer in answers) in ([200, 403], [200, 409])
    assert people.security.accounts.first_admin() is not None


# -------------------------------------------------------------------------------------------------- S67 the first user


async def test_s67_without_the_token_of_the_console_nobody_becomes_the_first_admin(api: Api, world: World) -> None:
    form = {"username": "eve", "password": PASSWORD}
    for token in ("x", "", "0", world.security.sign_in.setup_token[:-1], world.security.sign_in.setup_token + "x"):
        assert (await api.post(f"/setup/{token}", data=form)).status == 404
        assert (await api.get(f"/setup/{token}")).status == 404
    assert (await api.post("/api/0/users", json={"username": "eve", "role": "admin"})).status == 403
    assert len(world.security.accounts) == 0


async def test_s67_the_setup_link_works_once_and_never_again(api: Api, world: World) -> None:
    link = f"/setup/{world.security.sign_in.setup_token}"
    assert (await api.get(link)).status == 200
    made = await api.post(link, data={"username": "root", "password": PASSWORD}, allow_redirects=False)
    assert made.status == 303
    for name in ("eve", "root"):
        assert (await api.post(link, data={"username": name, "password": PASSWORD})).status == 404
    assert (await api.get(link)).status == 404
    assert [user.name for user in world.security.accounts.everyone()] == ["root"]


async def test_s67_two_who_use_the_setup_link_at_once_are_not_both_let_in(api: Api, world: World) -> None:
    link = f"/setup/{world.security.sign_in.setup_token}"
    answers = await asyncio.gather(
        *(
            api.post(link, data={"username": name, "password": PASSWORD}, allow_redirects=False)
            for name in ("root", "eve")
        )
    )
    assert sorted(answer.status for answer in answers) == [303, 404]
    assert len(world.security.accounts) == 1


async def test_s67_the_setup_link_stays_closed_after_the_last_user_has_gone(world: World) -> None:
    link = world.security.sign_in.setup_token
    await world.user("root", "viewer")
    await world.security.host_access.delete_user(world.security.accounts.require("root"), entry("x"))
    assert not world.security.sign_in.opens_setup(link)
    await world.security.load(time.time())
    assert not world.security.sign_in.opens_setup(link)


async def test_s67_with_users_the_login_form_of_the_setup_is_no_page(api: Api, callers: Callers, world: World) -> None:
    assert (await api.get(f"/setup/{world.security.sign_in.setup_token}")).status == 404


def test_s10_the_limits_that_ship_are_those_of_the_catalogue() -> None:
    limits = Limits()
    assert (limits.logins_per_account, limits.logins_per_address, limits.login_window) == (10, 20, 900.0)
