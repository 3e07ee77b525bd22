"""Getting at what is not one's own: S1, S15, S17 to S20, S45, S46."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from callers import ALPHA, BETA, OTHER_USER, Callers, entry, url
from matrix import MATRIX
from world import PASSWORD, Api, World

from hbd.web.call import Kind, Route
from hbd.web.routes import ROUTES


def key(route: Route) -> str:
    return f"{route.method} {route.template}"


def timeless(page: str) -> str:
    """A page without the moment it was made at."""
    return re.sub(r"\d{10}(\.\d+)?|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "TIME", page)


# ------------------------------------------------------------------------------------------------------- S1 no login

WITHOUT_LOGIN = {
    "/",
    "/healthz",
    "/readyz",
    "/login",
    "/login/oidc",
    "/login/oidc/callback",
    "/logout",
    "/setup/{token}",
    "/static/{path}",
    "/api/0/auth/login",
    # agents, writers and jobs show a key of their own, or have it in the address
    "/api/0/agent/link",
    "/api/0/agent/stream",
    "/api/agents/install-script",
    "/api/agents/package",
    "/api/agents/{agent}/report",
    "/api/agent/report",
    "/api/agent/ws",
    "/agent/report",
    "/agent/v1/report",
    "/write",
    "/api/v2/write",
    "/query",
    "/ping",
    "/ping/{token}",
    "/ping/{token}/{what}",
    "/nagios/results",
    "/nrdp",
    "/nrdp/",
}


def closed(route: Route) -> bool:
    return route.template not in WITHOUT_LOGIN


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_s01_without_a_login_no_route_says_anything(api: Api, callers: Callers, method: str) -> None:
    known = {key(route) for route in ROUTES} | {f"HEAD {route.template}" for route in ROUTES if route.method == "GET"}
    for route in filter(closed, ROUTES):
        if route.kind is Kind.STREAM:
            continue  # it says so on the connection: S3
        answer = await api.request(method, url(route), allow_redirects=False)
        text = await answer.read()
        if f"{method} {route.template}" not in known:
            assert answer.status in (401, 405), (method, route.template)  # 401: /users/me is a {user} like all
        elif route.kind is Kind.PAGE:
            assert (answer.status, answer.headers["Location"].startswith("/login?next=")) == (302, True)
        else:
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert ALPHA.encode() not in text


async def test_s01_what_is_open_to_everybody_names_no_host_and_no_user(api: Api, callers: Callers) -> None:
    for path in ("/healthz", "/readyz", "/login", "/nope", "/setup/x", "/api/0/nope"):
        text = await (await api.get(path, headers={"Accept": "text/html"})).text()
        for name in (ALPHA, BETA, OTHER_USER, "manager"):
            assert f">{name}<" not in text and f'"{name}"' not in text, path


# ---------------------------------------------------------------------------------------------- S15 mass assignment

FORBIDDEN_FIELDS = ["role", "admin", "is_admin", "username", "id", "permissions", "password_hash", "owner", "enabled",
                    "source", "totp", "sessions", "__proto__"]  # fmt: skip


@pytest.mark.parametrize("field", FORBIDDEN_FIELDS)
async def test_s15_a_field_that_is_not_ones_own_to_set_is_a_bad_request(api: Api, callers: Callers, field: str) -> None:
    headers = await callers.headers("viewer")
    before = await (await api.get("/api/0/users/me", headers=headers)).json()
    for value in ("admin", True, 1, None):
        answer = await api.put("/api/0/users/me", json={"full_name": "x", field: value}, headers=headers)
        assert answer.status == 400
        assert field in (await answer.json())["error"]
    after = await (await api.get("/api/0/users/me", headers=headers)).json()
    assert (after["role"], after["full_name"], after["username"]) == ("viewer", before["full_name"], "viewer")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/api/0/hosts/alpha/access", {"monitors": [], "name": "x"}),
        ("PUT", "/api/0/hosts/alpha/access", {"default_owner": "owner"}),
        ("POST", "/api/0/users", {"username": "x", "source": "config"}),
        ("PUT", "/api/0/users/viewer", {"password_hash": "$2b$"}),
        ("PUT", "/api/0/users/viewer", {"username": "admin"}),
        ("POST", "/api/0/users/me/tokens", {"name": "x", "user": "keeper"}),
        ("POST", "/api/0/users/me/tokens", {"name": "x", "token": "hbt_mine"}),
    ],
)
async def test_s15_unknown_fields_are_refused_of_admins_too(
    api: Api, callers: Callers, method: str, path: str, body: dict[str, Any]
) -> None:
    assert (await api.request(method, path, json=body, headers=await callers.headers("admin"))).status == 400


# ------------------------------------------------------------------------------------------- S17 to S20 hosts of others


async def test_s17_no_list_and_no_page_names_a_host_of_others(api: Api, callers: Callers) -> None:
    headers = await callers.headers("owner")
    asked = [
        "/api/0/hosts",
        "/api/0/alerts",
        "/api/0/alerts/history",
        "/alerts",
        "/api/0/messages?limit=1000",
        "/metrics",
        "/live",
        "/live?sort=name",
        "/agents",
        "/agents?q=",
        "/plugins",
        "/access",
        "/access?q=",
        "/api",
        "/profile",
        "/api/0/openapi.json",
    ]
    for path in asked:
        text = await (await api.get(path, headers=headers)).text()
        # Nor the name of its owner, whom this caller meets nowhere.
        assert OTHER_USER not in text, path
        assert BETA not in text, path


async def test_s17_the_page_of_a_host_of_others_is_that_of_a_host_that_is_not(api: Api, callers: Callers) -> None:
    headers = await callers.headers("owner")
    pages = []
    for name in (BETA, "nope"):
        answer = await api.get(f"/plugins?host={name}", headers=headers)
        pages.append((answer.status, timeless((await answer.text()).replace(name, ""))))
    assert pages[0] == pages[1]
    assert pages[0][0] == 404


async def test_s17_sessions_and_tokens_of_others_are_not_there(api: Api, callers: Callers, world: World) -> None:
    accounts = world.security.accounts
    await world.session(OTHER_USER)
    (session,) = accounts.sessions(accounts.require(OTHER_USER))
    (token, *_) = accounts.tokens(accounts.require("admin"))
    headers = await callers.headers("viewer")
    for path in (
        f"sessions/{session.id}",
        f"tokens/{token.id}",
        "sessions/-1",
        "tokens/x",
        "sessions/99999999999999999999",
    ):
        assert (await api.delete(f"/api/0/users/me/{path}", headers=headers)).status == 404
    assert session in accounts.sessions(accounts.require(OTHER_USER))
    assert token in accounts.tokens(accounts.require("admin"))


async def test_s17_a_token_cannot_be_made_for_a_host_that_one_may_not_see(api: Api, callers: Callers) -> None:
    headers = await callers.headers("owner")
    errors = []
    for name in (BETA, "nope!"):
        answer = await api.post("/api/0/users/me/tokens", json={"name": "x", "hosts": [name]}, headers=headers)
        assert answer.status == 400
        errors.append((await answer.json())["error"].replace(name, ""))
    assert errors[0] == errors[1]


async def test_s18_channels_that_are_anothers_are_dropped_silently(api: Api, callers: Callers) -> None:
    headers = await callers.headers("viewer")
    answer = await api.put("/api/0/users/me", json={"notification_channels": ["theirs", "later"]}, headers=headers)
    assert answer.status == 200
    assert (await (await api.get("/api/0/users/me", headers=headers)).json())["notification_channels"] == []


@pytest.mark.parametrize("hosts", [[], [""], ["*"], [None], "*", {}, ["alpha", "*"]])
async def test_s19_an_empty_or_odd_list_of_hosts_is_never_all_of_them(api: Api, callers: Callers, hosts: Any) -> None:
    headers = await callers.headers("owner")
    answer = await api.post("/api/0/users/me/tokens", json={"name": "x", "hosts": hosts}, headers=headers)
    assert answer.status == 400


async def test_s19_a_feed_that_is_narrowed_to_nothing_is_told_nothing(api: Api, callers: Callers, world: World) -> None:
    async with api.ws_connect("/hbd?hosts=", headers=await callers.headers("admin")) as ws:
        world.beat(world.hosts.require(ALPHA))
        await world.note("about the daemon")
        await ws.send_str("nonsense")
        assert (await ws.receive_json(timeout=10))["type"] == "error"


async def test_s19_empty_access_lists_grant_nobody_anything(api: Api, callers: Callers) -> None:
    admin, monitor = await callers.headers("admin"), await callers.headers("monitor")
    body = {"managers": [], "monitors": []}
    assert (await api.put("/api/0/hosts/alpha/access", json=body, headers=admin)).status == 200
    assert (await api.get("/api/0/hosts/alpha", headers=monitor)).status == 403


@pytest.mark.parametrize("word", ["password_hash", "token", "secret", "1;--", "-name,password"])
async def test_s20_nothing_can_be_sorted_or_filtered_by_what_is_secret(api: Api, callers: Callers, word: str) -> None:
    """No route of the API sorts; the pages know the names of their columns and pass over all others."""
    headers = await callers.headers("admin")
    for path in ("/live", "/users", "/audit", "/access"):
        plain = await (await api.get(path, headers=headers)).text()
        sorted_ = await (await api.get(path, params={"sort": word, "order": word}, headers=headers)).text()
        assert timeless(plain) == timeless(sorted_)
    for path in ("/api/0/audit", "/api/0/messages"):
        assert (await api.get(path, params={"outcome": word, "limit": word}, headers=headers)).status == 400


async def test_s20_users_cannot_be_found_by_what_is_secret(api: Api, callers: Callers, world: World) -> None:
    headers = await callers.headers("admin")
    hashed = world.security.accounts.require("viewer").password
    assert hashed is not None
    for word in (hashed.decode()[:20], hashed.decode()[-8:]):
        assert "No user" in await (await api.get("/users", params={"q": word}, headers=headers)).text()


# ------------------------------------------------------------------------------------------------- S45, S46 API tokens


@pytest.mark.parametrize("route", [route for route in ROUTES if route.kind is not Kind.STREAM], ids=key)
async def test_s45_a_token_in_the_address_opens_nothing(api: Api, callers: Callers, route: Route) -> None:
    if not closed(route):
        return
    token = await callers.token("admin")
    answer = await api.request(route.method, url(route), params={"token": str(token)}, allow_redirects=False)
    assert answer.status == (302 if route.kind is Kind.PAGE else 401)


async def test_s45_the_way_back_after_signing_in_never_leaves_us(api: Api, callers: Callers) -> None:
    answer = await api.get("/live", params={"token": "hbs_canary"}, allow_redirects=False)
    assert answer.headers["Location"].startswith("/login?next=/live")
    assert answer.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("route", [route for route in ROUTES if route.changes and closed(route)], ids=key)
async def test_s46_a_token_that_may_read_changes_nothing(api: Api, callers: Callers, route: Route) -> None:
    question = MATRIX[key(route)][0]
    answer = await api.request(
        route.method, url(route), json=question.body, headers=await callers.headers("read token")
    )
    assert answer.status == 403


@pytest.mark.parametrize("route", [route for route in ROUTES if closed(route)], ids=key)
async def test_s46_the_key_of_an_agent_opens_no_route_of_people(
    api: Api, callers: Callers, world: World, route: Route
) -> None:
    await world.store.hosts.enrol("agent", "agent_00000000ffff", [], None, 0.0)
    headers = await callers.headers("agent key")
    if route.kind is Kind.STREAM:
        return  # S3
    answer = await api.request(route.method, url(route), headers=headers, allow_redirects=False)
    assert answer.status == (302 if route.kind is Kind.PAGE else 401)


async def test_s46_a_token_is_never_more_than_its_user_is_now(api: Api, world: World) -> None:
    await world.user("root", "admin")
    bob = await world.user("bob", "admin")
    accounts = world.security.accounts
    _, token = await accounts.add_token(bob, "x", entry("x"), scope="write", hosts=None, expires=None)
    headers = {"Authorization": f"Bearer {token}"}
    assert (await api.get("/api/0/users", headers=headers)).status == 200
    await accounts.change(bob, {"role": "viewer"}, entry("x"))
    assert (await api.get("/api/0/users", headers=headers)).status == 403


@pytest.mark.parametrize("how", ["expired", "revoked"])
async def test_s46_a_token_that_is_over_is_unknown(api: Api, callers: Callers, world: World, how: str) -> None:
    accounts = world.security.accounts
    made, text = await accounts.add_token(
        accounts.require("admin"), "x", entry("x"), scope="write", hosts=None, expires=None
    )
    headers = {"Authorization": f"Bearer {text}"}
    assert (await api.get("/api/0/hosts", headers=headers)).status == 200
    if how == "expired":
        made.expires = 1.0
    else:
        await accounts.delete_token(made, entry("x"))
    assert (await api.get("/api/0/hosts", headers=headers)).status == 401


async def test_s46_a_token_makes_no_other_token_and_no_session(api: Api, callers: Callers) -> None:
    headers = await callers.headers("write token")
    assert (await api.post("/api/0/users/me/tokens", json={"name": "x"}, headers=headers)).status == 403
    assert (await api.get("/api/0/users/me/sessions", headers=headers)).status == 403
    body = {"password": {"current": PASSWORD, "new": "battery staple"}}
    assert (await api.put("/api/0/users/me", json=body, headers=headers)).status == 403


async def test_s46_a_session_without_the_required_second_factor_makes_no_token_to_get_around_it(
    api: Api, callers: Callers
) -> None:
    headers = await callers.headers("held back")
    answer = await api.post("/api/0/users/me/tokens", json={"name": "x", "scope": "write"}, headers=headers)
    assert answer.status == 403
    assert json.loads(await answer.read())["error"]
