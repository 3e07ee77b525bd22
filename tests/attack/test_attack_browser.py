"""What the pages of other sites can make a browser do: S6, S23 to S28."""

from __future__ import annotations

import asyncio
import io
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from callers import OTHER_USER, Callers, url
from matrix import MATRIX
from world import PASSWORD, Api, World

from hbd.access import Action
from hbd.config import Config
from hbd.config.structs import Cors
from hbd.web.call import Kind, Route
from hbd.web.routes import ROUTES

EVIL = "https://evil.example"
CHANGES = [route for route in ROUTES if route.changes]


def key(route: Route) -> str:
    return f"{route.method} {route.template}"


def stored(path: Path) -> dict[str, list[Any]]:
    """Everything in the database but when something was last used."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {}
        for table in tables:
            columns = [row[1] for row in db.execute(f'PRAGMA table_info("{table}")') if not row[1].startswith("last_")]
            listed = ", ".join(f'"{column}"' for column in columns)
            found[table] = sorted(map(repr, db.execute(f'SELECT {listed} FROM "{table}"')))
        return found


# ----------------------------------------------------------------------------------------------------------- S6 CSRF

OTHER_SITES: dict[str, dict[str, str]] = {
    "no origin": {},
    "another site": {"Origin": EVIL},
    "a sandboxed page": {"Origin": "null"},
    "another port": {"Origin": "http://127.0.0.1:1"},
    "cross-site by the browser": {"Sec-Fetch-Site": "cross-site"},
    "same site, not same origin": {"Sec-Fetch-Site": "same-site"},
    "typed in, with an origin": {"Sec-Fetch-Site": "none", "Origin": EVIL},
}
KINDS = ["application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]


@pytest.mark.parametrize("site", OTHER_SITES)
@pytest.mark.parametrize("route", CHANGES, ids=key)
async def test_s06_a_cookie_changes_nothing_for_the_page_of_another_site(
    api: Api, callers: Callers, world: World, tmp_path: Path, route: Route, site: str
) -> None:
    if route.action is Action.ENTER and site == "no origin":
        return  # whoever is not signed in may do it: no cookie is used
    cookie = {"Cookie": f"hbd_session={await callers.token('admin')}"}
    before = stored(tmp_path / "hbd.db")
    before.pop("audit")
    for kind in KINDS:
        headers = cookie | OTHER_SITES[site] | {"Content-Type": kind}
        answer = await api.request(route.method, url(route), data=b"{}", headers=headers, allow_redirects=False)
        assert answer.status == 403
    after = stored(tmp_path / "hbd.db")
    after.pop("audit")
    assert after == before


async def test_s06_a_page_that_came_in_the_clear_changes_nothing_over_tls(
    api: Api, callers: Callers, world: World
) -> None:
    world.parts.config = Config(trusted_proxies=("127.0.0.1/32",))
    cookie = {"Cookie": f"__Host-hbd={await callers.token('admin')}", "X-Forwarded-Proto": "https"}
    for scheme, status in (("http", 403), ("https", 200)):
        headers = cookie | {"Origin": f"{scheme}://{api.host}:{api.port}"}
        assert (await api.put("/api/0/users/me", json={"full_name": "Root"}, headers=headers)).status == status


async def test_s06_the_port_of_hbd_itself_is_another_origin_to_forms(api: Api, callers: Callers, world: World) -> None:
    """Behind a proxy anything may listen there."""
    cookie = {"Cookie": f"hbd_session={await callers.token('admin')}"}
    headers = cookie | {"Origin": f"http://{api.host}:{world.parts.config.hbd_port}"}
    assert (await api.put("/api/0/users/me", json={"full_name": "Root"}, headers=headers)).status == 403


async def test_s06_asking_what_signing_out_would_do_signs_nobody_out(api: Api, callers: Callers) -> None:
    cookie = {"Cookie": f"hbd_session={await callers.token('viewer')}"}
    answer = await api.head("/logout", headers=cookie, allow_redirects=False)
    assert (answer.status, "Set-Cookie" in answer.headers) == (303, False)


async def test_s06_a_session_opened_by_another_sites_form_is_refused(api: Api, callers: Callers) -> None:
    """Nobody is signed in to somebody else's account."""
    form = {"username": "viewer", "password": PASSWORD}
    answer = await api.post("/login", data=form, headers={"Origin": EVIL}, allow_redirects=False)
    assert (answer.status, "Set-Cookie" in answer.headers) == (403, False)


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
async def test_s06_a_method_cannot_be_overridden(api: Api, callers: Callers, world: World, header: str) -> None:
    headers = await callers.headers("admin") | {header: "DELETE"}
    for method in ("GET", "POST"):
        await api.request(method, f"/api/0/users/{OTHER_USER}?_method=DELETE", headers=headers)
    assert world.security.accounts.get(OTHER_USER) is not None


async def test_s06_our_own_page_may_change_things(api: Api, callers: Callers) -> None:
    cookie = {"Cookie": f"hbd_session={await callers.token('admin')}", "Origin": f"http://{api.host}:{api.port}"}
    for extra in ({}, {"Sec-Fetch-Site": "same-origin"}):
        answer = await api.put("/api/0/users/me", json={"full_name": "Root"}, headers=cookie | extra)
        assert answer.status == 200


async def test_s06_no_get_changes_anything(api: Api, callers: Callers, world: World, tmp_path: Path) -> None:
    """But for /logout, which people type and which links of other sites do not reach; and who looked at a host's files
    is written down."""
    headers = await callers.headers("admin")
    cookie = {"Cookie": headers["Authorization"].replace("Bearer ", "hbd_session=")}
    before = stored(tmp_path / "hbd.db")
    for table in ("audit", "sqlite_sequence"):
        before.pop(table)
    for route in ROUTES:
        if route.method == "GET" and route.kind is not Kind.STREAM and route.template != "/logout":
            for shown in (headers, cookie):
                await api.get(url(route), headers=shown, allow_redirects=False)
                await api.head(url(route), headers=shown, allow_redirects=False)
    after = stored(tmp_path / "hbd.db")
    assert {table: after[table] for table in before} == before


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_s06_a_link_on_another_site_signs_nobody_out(api: Api, callers: Callers, site: str) -> None:
    token = await callers.token("viewer")
    cookie = {"Cookie": f"hbd_session={token}"}
    await api.get("/logout", headers=cookie | {"Sec-Fetch-Site": site}, allow_redirects=False)
    assert (await api.get("/api/0/users/me", headers=cookie)).status == 200


# ---------------------------------------------------------------------------------------- S23 to S25 headers and caches


async def every_answer(api: Api, callers: Callers) -> list[tuple[str, Any]]:
    """(what, answer) of every route for nobody, a viewer and an admin, and of errors."""
    answers = []
    for caller in ("anonymous", "viewer", "admin"):
        headers = await callers.headers(caller)
        for route in ROUTES:
            if route.kind is Kind.STREAM:
                continue
            question = MATRIX[key(route)][0]
            options = {"json": question.body} if question.form is None else {"data": question.form}
            answer = await api.request(route.method, url(route), headers=headers, allow_redirects=False, **options)
            answers.append((f"{caller}: {key(route)}", answer))
    answers += [(path, await api.get(path)) for path in ("/nope", "/api/0/nope", "/static/nope")]
    answers.append(("404", await api.get("/nope", headers={"Accept": "text/html"})))
    answers.append(("405", await api.request("TRACE", "/live")))
    answers.append(("413", await api.post("/api/0/auth/login", data=io.BytesIO(b"x" * 2_000_000))))
    answers.append(("421", await api.get("/live", headers={"Host": "evil.example"})))
    return answers


async def test_s23_every_answer_has_the_strict_headers(api: Api, callers: Callers) -> None:
    for what, answer in await every_answer(api, callers):
        headers = answer.headers
        policy = dict(part.strip().partition(" ")[::2] for part in headers["Content-Security-Policy"].split(";"))
        assert "unsafe" not in headers["Content-Security-Policy"], what
        assert policy["default-src"] == policy["script-src"] == policy["style-src"] == "'self'", what
        assert policy["object-src"] == policy["base-uri"] == "'none'", what
        assert headers["X-Content-Type-Options"] == "nosniff", what
        assert headers["Referrer-Policy"] == "no-referrer", what
        assert "Server" not in headers, what
        assert "Strict-Transport-Security" not in headers, what


async def test_s23_over_tls_browsers_are_told_to_stay_there(api: Api, callers: Callers, world: World) -> None:
    world.parts.config = Config(trusted_proxies=("127.0.0.1",), base_url="https://monitor.example")
    over_tls = {"X-Forwarded-Proto": "https", "Host": "monitor.example"}
    for path in ("/login", "/live", "/healthz", "/nope"):
        answer = await api.get(path, headers=over_tls, allow_redirects=False)
        assert "max-age=" in answer.headers["Strict-Transport-Security"]


async def test_s24_nothing_that_is_private_is_kept_in_a_cache(api: Api, callers: Callers) -> None:
    for what, answer in await every_answer(api, callers):
        assert answer.headers["Cache-Control"] == "no-store", what


async def test_s24_after_signing_out_the_page_asks_to_sign_in(api: Api, callers: Callers) -> None:
    cookie = {"Cookie": f"hbd_session={await callers.token('viewer')}"}
    assert (await api.get("/live", headers=cookie)).status == 200
    await api.get("/logout", headers=cookie, allow_redirects=False)
    answer = await api.get("/live", headers=cookie, allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (302, "/login?next=/live")
    assert 'hbd_session=""' in answer.headers["Set-Cookie"]


async def test_s25_no_answer_can_be_put_into_a_frame(api: Api, callers: Callers) -> None:
    for what, answer in await every_answer(api, callers):
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"], what
        assert answer.headers["X-Frame-Options"] == "DENY", what


# ---------------------------------------------------------------------------------------------------------- S26 CORS


@pytest.mark.parametrize("origin", [EVIL, "null", "https://grafana.example.evil.example", "http://grafana.example"])
async def test_s26_other_sites_read_nothing(api: Api, callers: Callers, world: World, origin: str) -> None:
    preflight = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
    for config in (Config(), Config(cors=Cors(origins=("https://grafana.example",)))):
        world.parts.config = config
        for route in ROUTES:
            if route.kind is Kind.STREAM:
                continue
            for answer in (
                await api.options(url(route), headers=preflight),
                await api.request(route.method, url(route), headers={"Origin": origin}, allow_redirects=False),
            ):
                assert not [name for name in answer.headers if name.lower().startswith("access-control-allow")]


async def test_s26_a_site_that_may_read_never_gets_the_cookie_to_count(api: Api, world: World) -> None:
    world.parts.config = Config(cors=Cors(origins=("https://grafana.example",)))
    answer = await api.get("/api/0/hosts", headers={"Origin": "https://grafana.example"})
    assert answer.headers["Access-Control-Allow-Origin"] == "https://grafana.example"
    assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_s26_a_site_that_may_read_may_not_write_with_the_cookie(api: Api, callers: Callers, world: World) -> None:
    world.parts.config = Config(cors=Cors(origins=("https://grafana.example",)))
    headers = {"Cookie": f"hbd_session={await callers.token('admin')}", "Origin": "https://grafana.example"}
    assert (await api.put("/api/0/users/me", json={"full_name": "x"}, headers=headers)).status == 403


# --------------------------------------------------------------------------------------------------------- S27 names


@pytest.mark.parametrize(
    "host", ["evil", "evil.example", "evil.example:50004", "127.0.0.1.evil.example", "localhost.evil"]
)
async def test_s27_under_another_sites_name_nothing_is_served(api: Api, callers: Callers, host: str) -> None:
    headers = await callers.headers("admin") | {"Host": host}
    for path in ("/api/0/hosts", "/live", "/login", "/hbd", "/healthz"):
        assert (await api.get(path, headers=headers, allow_redirects=False)).status == 421


@pytest.mark.parametrize(
    "head",
    [
        b"GET /login HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n",
        b"GET http://evil.example/login HTTP/1.1\r\nHost: localhost\r\n",
        b"GET /login HTTP/1.1\r\nHost: localhost@evil.example\r\n",
        b"GET /login HTTP/1.1\r\nHost: localhost/evil\r\n",
    ],
)
async def test_s27_two_names_or_none_are_refused(api: Api, head: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(head + b"Connection: close\r\n\r\n")
    async with asyncio.timeout(30):
        answer = await reader.read()
    writer.close()
    assert answer.split(b" ")[1] == b"400"


@pytest.mark.parametrize("header", ["X-Forwarded-Host", "Forwarded", "X-Original-URL", "X-Rewrite-URL", "X-Host"])
async def test_s27_no_other_header_changes_where_we_are(api: Api, callers: Callers, header: str) -> None:
    headers = {header: "host=evil.example" if header == "Forwarded" else "evil.example/api/0/users"}
    answer = await api.get("/live", headers=headers, allow_redirects=False)
    assert answer.headers["Location"] == "/login?next=/live"
    assert "evil.example" not in await (await api.get("/login", headers=headers)).text()


# ------------------------------------------------------------------------------------------------- S28 open redirects

ELSEWHERE = [
    "//evil.example", "///evil.example", "https:evil.example", "https://evil.example", "/\\evil.example",
    "\\\\evil.example", "http:/evil.example", "javascript:alert(1)",
    "data:text/html,x", "/\tevil.example", "\t//evil.example", "/\n/evil.example", " //evil.example", "evil.example",
    "//user@evil.example", "/login", "/login?next=/live", "/logout", "/\u2028/evil.example",
    "/live\r\nSet-Cookie: a=b", "?//evil.example", "",
]  # fmt: skip


@pytest.mark.parametrize("wanted", ELSEWHERE)
async def test_s28_signing_in_leads_nowhere_else(api: Api, callers: Callers, wanted: str) -> None:
    form = {"username": "viewer", "password": PASSWORD, "next": wanted}
    answer = await api.post("/login", data=form, allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, "/live")
    assert "a=b" not in str(answer.headers)
    cookie = {"Cookie": f"hbd_session={await callers.token('viewer')}"}
    answer = await api.get("/login", params={"next": wanted}, headers=cookie, allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, "/live")


@pytest.mark.parametrize(
    ("wanted", "leads_to"),
    [
        ("/%2f%2fevil.example", "/live"),
        ("/%5cevil.example", "/live"),
        ("/plugins?next=//evil.example", "/plugins?next=//evil.example"),
    ],
)
async def test_s28_what_is_encoded_leads_nowhere_else(api: Api, callers: Callers, wanted: str, leads_to: str) -> None:
    form = {"username": "viewer", "password": PASSWORD, "next": wanted}
    answer = await api.post("/login", data=form, allow_redirects=False)
    assert answer.headers["Location"] == leads_to


async def test_s28_the_form_asks_for_no_other_address(api: Api, callers: Callers) -> None:
    for wanted in ELSEWHERE[:-1]:
        text = await (await api.get(f"/login?next={quote(wanted, safe='')}")).text()
        assert "evil.example" not in text and "javascript:" not in text and "data:text" not in text
