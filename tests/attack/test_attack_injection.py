"""Text that wants to be code: S21 (SQL), S22 (markup), S60 (log lines), and odd paths: S65."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest
from callers import ALPHA, Callers, entry
from world import Api, World

from hbd.config import Config
from hbd.config.structs import Limits
from hbd.enrolment import Enrolment
from hbd.errors import InvalidInput
from hbd.logs import _Json, _Text
from hbd.remote.frames import OfferedCommand, OfferedRoot, Offers, Policy
from hbd.signin import Visitor
from hbd.store.audit import Entry
from hbd.web.host_page import TABS

# ------------------------------------------------------------------------------------------------------------ S21 SQL

_BREAKS = ["'", '"', "`", "')", "'))", '")', "1", "-1", "%27", "\\'", "\u02bc", "';"]
_CODE = [
    " OR 1=1",
    " OR '1'='1",
    " AND 1=0",
    " UNION SELECT password FROM users",
    " UNION ALL SELECT NULL,NULL,NULL",
    "; DROP TABLE users",
    "; DELETE FROM hosts",
    "; UPDATE users SET role='admin'",
    "; PRAGMA writable_schema=1",
    "; ATTACH DATABASE 'x' AS x",
    " ORDER BY 100",
    " AND load_extension('x')",
    "||(SELECT name FROM sqlite_master)",
    " AND randomblob(1000000000/2)",
    " LIMIT 1 OFFSET 1",
    "/**/OR/**/1=1",
]
_ALONE = ["'", '"', "\\", "%", "_", "--", "/*", "\x00", "\u2028", "*", "?", "?1", ":x", "@x", "$x", "NULL", "1e999",
          "NaN", "0x1", "9223372036854775808", "-9223372036854775809", "٣", "[]", "{}", "true", "😀",
          "\udcff", "a" * 5000]  # fmt: skip
INJECTIONS = [*_ALONE, *(f"{start}{code}--" for start, code in product(_BREAKS, _CODE))][:220]

ADDRESSES = [
    "/api/0/hosts/{}",
    "/api/0/hosts/{}/plugins",
    "/api/0/hosts/{}/access",
    "/api/0/hosts/alpha/plugins/{}",
    "/api/0/hosts/alpha/plugins/cpu_monitor?limit={}",
    "/api/0/messages?limit={}",
    "/api/0/messages?host={}",
    "/api/0/audit?user={0}&action={0}",
    "/api/0/audit?before={}",
    "/api/0/audit?outcome={}",
    "/api/0/users/{}",
    "/plugins?host={}",
    "/plugins?host=alpha&plugin={}",
    "/agents?q={0}&status={0}&from={0}",
    "/agents/deploy?id={}",
    "/agent/{}",
    "/agent/alpha?tab={}",
    "/agent/alpha?tab=logs&source={0}&unit={0}&path={0}",
    "/agent/alpha?tab=processes&process={}",
    "/live?q={0}&sort={0}&state={0}",
    "/alerts?q={0}&level={0}&host={0}&tag={0}&state={0}",
    "/api/0/alerts/history?metric={}",
    "/api/0/alerts/history?host={0}&level={0}",
    "/users?q={0}&from={0}",
    "/access?q={0}&from={0}",
    "/audit?user={0}&action={0}&outcome={0}&before={0}",
    "/login?next={}",
    "/setup/{}",
    "/static/{}",
    "/{}",
]
BODIES = [
    ("POST", "/api/0/auth/login", {"username": "{}", "password": "{}", "code": "{}"}),
    ("POST", "/api/0/users", {"username": "{}", "password": "x", "role": "viewer"}),
    ("POST", "/api/0/users", {"username": "new", "role": "{}"}),
    ("PUT", "/api/0/users/viewer", {"role": "{}"}),
    ("PUT", "/api/0/users/me", {"full_name": "{}"}),
    ("PUT", "/api/0/users/me", {"notification_channels": ["{}"]}),
    ("PUT", "/api/0/users/me", {"password": {"current": "{}", "new": "{}"}}),
    ("PUT", "/api/0/hosts/alpha/access", {"owner": "{}"}),
    ("PUT", "/api/0/hosts/alpha/access", {"monitors": ["{}"]}),
    ("POST", "/api/0/users/me/tokens", {"name": "{}", "hosts": ["{}"]}),
    ("POST", "/api/0/users/me/second_factor", {"password": "{}"}),
    ("PUT", "/api/0/users/me/second_factor", {"code": "{}"}),
    ("DELETE", "/api/0/users/me/sessions/{}", None),
    ("DELETE", "/api/0/users/me/tokens/{}", None),
    ("DELETE", "/api/0/users/{}", None),
]
HEADERS = ["Authorization", "X-Auth-Token", "Cookie", "User-Agent", "X-Request-ID", "If-None-Match", "Accept",
           "X-Forwarded-For", "X-Forwarded-Proto", "Referer", "Accept-Encoding", "Origin"]  # fmt: skip


def rows(path: Path) -> dict[str, int]:
    """Table to number of rows, of all but the audit log, which grows with what is refused."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: db.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names if name != "audit"}


def encoded(text: str) -> str:
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


def test_s21_there_are_two_hundred_of_them() -> None:
    assert len(set(INJECTIONS)) >= 200


@pytest.mark.parametrize("address", ADDRESSES)
async def test_s21_no_address_breaks_out_of_its_place(api: Api, callers: Callers, tmp_path: Path, address: str) -> None:
    headers = await callers.headers("admin")
    before = rows(tmp_path / "hbd.db")
    for text in INJECTIONS:
        answer = await api.get(address.format(encoded(text)), headers=headers, allow_redirects=False)
        assert answer.status < 500, text
        assert b"syntax error" not in (await answer.read()).lower(), text
    assert rows(tmp_path / "hbd.db") == before


@pytest.mark.parametrize(("method", "address", "body"), BODIES)
async def test_s21_no_body_breaks_out_of_its_place(
    api: Api, callers: Callers, world: World, tmp_path: Path, method: str, address: str, body: object
) -> None:
    limits = Limits(logins_per_account=1_000, logins_per_address=1_000)
    await world.configure(msgspec.structs.replace(world.parts.config, limits=limits))
    headers = await callers.headers("admin") | {"Content-Type": "application/json"}
    before = rows(tmp_path / "hbd.db")
    for text in INJECTIONS:
        filled = None if body is None else json.dumps(body).replace('"{}"', json.dumps(text)).encode()
        answer = await api.request(method, address.format(encoded(text)), data=filled, headers=headers)
        assert answer.status < 500, text
    assert rows(tmp_path / "hbd.db") == before
    assert world.security.accounts.require("viewer").role == "viewer"


@pytest.mark.parametrize("header", HEADERS)
async def test_s21_no_header_breaks_out_of_its_place(
    api: Api, callers: Callers, world: World, tmp_path: Path, header: str
) -> None:
    world.parts.config = Config(trusted_proxies=("127.0.0.1",))
    before = rows(tmp_path / "hbd.db")
    for text in INJECTIONS:
        value = "".join(character for character in text if character.isprintable() and character.isascii())
        answer = await api.get("/api/0/hosts", headers=await callers.headers("read token") | {header: value})
        assert answer.status < 500, text
    assert rows(tmp_path / "hbd.db") == before


async def test_s21_what_looks_like_code_is_kept_as_text(api: Api, callers: Callers) -> None:
    headers = await callers.headers("viewer")
    for text in ("Robert'); DROP TABLE users;--", "' OR 1=1--", "%_"):
        assert (await api.put("/api/0/users/me", json={"full_name": text}, headers=headers)).status == 200
        assert (await (await api.get("/api/0/users/me", headers=headers)).json())["full_name"] == text


# ------------------------------------------------------------------------------------------------------------ S22 XSS

MARKERS = [
    "<pwn>",
    '"><pwn>',
    "'><pwn>",
    "</script><pwn>",
    "</title><pwn>",
    "</textarea></select><pwn>",
    "--><pwn>",
    "<img src=x onerror=pwn()>",
    '"><svg onload=pwn()>',
    "' onmouseover='pwn()",
    '" autofocus onfocus="pwn()',
    "javascript:pwn()",
    "{{7*7}}pwn",
    "{% raw %}pwn",
    "${7*7}pwn",
    "`<pwn>`",
    "\u2028<pwn>",
    "&lt;pwn&gt;<pwn>",
    "<!--<pwn>",
    "<script>pwn()</script>",
]
ALLOWED_SCRIPTS = ("/static/",)


class Dangers(HTMLParser):
    """What a browser would run or build of a marker."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self._inline = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "pwn":
            self.found.append(f"<{tag}>")
        if tag == "script":
            self._inline = not (values.get("src") or "").startswith(ALLOWED_SCRIPTS) and values.get("type") not in (
                "application/json",
                "importmap",
            )
        for name, value in attrs:
            address = name in ("href", "src", "action", "formaction", "data", "srcdoc", "style")
            if name.startswith("on") or (
                address and (value or "").strip().lower().startswith(("javascript:", "data:text"))
            ):
                self.found.append(f"<{tag} {name}={value!r}>")

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._inline = False

    def handle_data(self, data: str) -> None:
        if self._inline and data.strip():
            self.found.append(f"an inline script: {data[:40]!r}")
        if "49pwn" in data:
            self.found.append("a template that was filled in")


@pytest.fixture
async def planted(callers: Callers, world: World) -> World:
    """A world with markers wherever somebody from outside can leave text."""
    accounts = world.security.accounts
    host = world.hosts.require(ALPHA)
    for number, marker in enumerate(MARKERS):
        name = f"user{number}"
        user = await world.user(name)
        await accounts.change(
            user, {"full_name": marker, "avatar": marker, "channels": (marker,)}, entry("user.change")
        )
        await world.security.sign_in.trusted(user, "password", Visitor("192.0.2.1", marker))
        await world.security.sign_in.trusted(accounts.require("admin"), "password", Visitor(marker, marker))
        await accounts.add_token(
            accounts.require("admin"), marker, entry("token.create"), scope="read", hosts=None, expires=None
        )
        await world.note(marker, host)
        world.sample(host, f"plugin{number}", {marker: marker, "nested": {marker: [marker, {marker: marker}]}})
        world.security.audit.note(
            Entry(time=1e9, user=marker, via="none", address=marker, action=marker, object=marker, detail=marker)
        )
    world.sample(host, "os_info", {"os": MARKERS[0], "kernel": MARKERS[7], "arch": MARKERS[1], "hostname": MARKERS[3]})
    world.sample(host, "hbc", {"failures": {MARKERS[1]: MARKERS[0]}, "plugins": {MARKERS[0]: {"error": MARKERS[7]}}})
    world.sample(host, "process_monitor", {"top": [{"name": marker, "cpu": 1.0, "user": marker} for marker in MARKERS]})
    offered = [OfferedCommand(marker[:64], "low", marker) for marker in MARKERS]
    policy = Policy(
        offered, *[MARKERS] * 4, [OfferedRoot(marker) for marker in MARKERS], user=MARKERS[0], problem=MARKERS[1]
    )
    world.commands.offers(host, Offers("journal", policy))
    for marker in MARKERS:
        await world.commands.queue(host, "shell", {"command": marker, marker: [marker]}, entry("command.queue"))
        world.report_log.note(host, marker, 1e9, request={marker: marker}, status=200, answer=marker)
    host.label, host.given_tags = MARKERS[2], MARKERS[:3]
    host.agent_tags, host.os, host.agent_version = MARKERS[:3], MARKERS[0], MARKERS[1]
    world.feed.host(host.id)
    await world.security.audit.write()
    return world


def pages(world: World) -> Iterator[str]:
    yield from ("/agents", "/agents/deploy", *(f"/agent/{ALPHA}?tab={tab.name}" for tab in TABS))
    yield from ("/live", "/access", "/users", "/audit", "/status", "/api", "/profile", "/login", "/nope", "/plugins")
    host = world.hosts.require(ALPHA)
    for name in world.rings.plugins(host.id):
        yield f"/plugins?host={ALPHA}&plugin={name}"
    for marker in map(encoded, MARKERS):
        for path in ("/agents?q={0}", "/agent/alpha?tab=logs&unit={0}&path={0}", "/agent/{0}",
                     "/live?q={0}&sort={0}", "/plugins?host={0}", "/plugins?host=alpha&plugin={0}", "/users?q={0}",
                     "/access?q={0}", "/audit?user={0}&action={0}", "/login?next={0}", "/{0}"):  # fmt: skip
            yield path.format(marker)


async def test_s22_no_page_runs_what_somebody_left_there(api: Api, planted: World, callers: Callers) -> None:
    admin = await callers.headers("admin")
    shown = 0
    for path in pages(planted):
        for headers in (admin, {}) if path.startswith("/login") else (admin,):
            answer = await api.get(path, headers=headers | {"Accept": "text/html"}, allow_redirects=False)
            assert answer.status < 500, path
            text = await answer.text()
            assert Dangers(text).found == [], path
            shown += text.count("pwn")
    assert shown > 1_000  # they are there


@pytest.mark.parametrize("marker", MARKERS)
async def test_s22_the_sign_in_page_runs_nothing_of_what_was_typed(api: Api, callers: Callers, marker: str) -> None:
    form = {"username": marker, "password": marker, "next": marker, "ticket": marker, "code": marker}
    for left_out in ("ticket", "none"):
        answer = await api.post("/login", data={name: text for name, text in form.items() if name != left_out})
        assert Dangers(await answer.text()).found == []


async def test_s22_hosts_and_users_cannot_be_called_so(api: Api, callers: Callers, world: World) -> None:
    enrolment = Enrolment(world.hosts, world.store)
    admin = await callers.headers("admin")
    for marker in MARKERS:
        with pytest.raises(InvalidInput):
            await enrolment.add(marker)
        answer = await api.post("/api/0/users", json={"username": marker}, headers=admin)
        assert (answer.status, answer.content_type) == (400, "application/json")


def test_s22_the_check_itself_finds_what_is_not_escaped() -> None:
    for marker in (
        "<pwn>",
        "<img src=x onerror=pwn()>",
        "<a href='javascript:pwn()'>",
        "<script>pwn()</script>",
        "49pwn",
    ):
        assert Dangers(f"<p>{marker}</p>").found


# ------------------------------------------------------------------------------------------------------ S60 log lines

FORGING = "a\r\n2026-01-01 INFO forged\x1b[31m\x00\u202e\u2028b"
BANNED = {"\r", "\x1b", "\x00", "\u202e", "\u2028"}


async def test_s60_no_text_from_outside_makes_another_line_of_log(
    api: Api, callers: Callers, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    headers = await callers.headers("admin")
    with caplog.at_level(logging.DEBUG):
        for path in (f"/api/0/hosts/{encoded(FORGING)}", f"/{encoded(FORGING)}", f"/setup/{encoded(FORGING)}"):
            await api.get(path, headers=headers)
        await api.post("/api/0/auth/login", json={"username": FORGING, "password": FORGING})
        await api.put(f"/api/0/users/{encoded(FORGING)}", json={"role": FORGING}, headers=headers)
        logging.getLogger("hbd.web").warning("an agent said: %s", FORGING)
    assert caplog.records
    for record in caplog.records:
        if record.exc_info is None:
            line = _Text(False).format(record)
            assert not BANNED & set(line) and "\n" not in line
            assert "\n" not in _Json().format(record)


async def test_s60_the_audit_log_holds_one_visible_line_an_entry(api: Api, callers: Callers, world: World) -> None:
    viewer = await callers.headers("viewer")
    for path in (f"/api/0/users/{encoded(FORGING)}", f"/api/0/hosts/{encoded(FORGING)}/access"):
        await api.put(path, json={}, headers=viewer)
        await api.delete(path, headers=viewer)
    await api.post("/api/0/auth/login", json={"username": FORGING, "password": "x"})
    await api.post("/api/0/users", json={"username": FORGING}, headers=viewer)
    await world.security.audit.write()
    entries = await world.store.audit.recent(100)
    assert any("forged" in told.object for told in entries)
    for told in entries:
        assert not (BANNED | {"\n"}) & set(told.object + told.detail + told.action + told.user + told.address)


async def test_s60_a_page_shows_what_cannot_be_seen_in_a_user_agent(api: Api, callers: Callers, world: World) -> None:
    """Browsers cannot send line breaks there; the rest is escaped or harmless on a page."""
    await world.security.sign_in.trusted(
        world.security.accounts.require("admin"), "password", Visitor("192.0.2.1", "<b>\u202eagent")
    )
    text = await (await api.get("/profile", headers=await callers.headers("admin"))).text()
    assert "<b>\u202e" not in text


# ---------------------------------------------------------------------------------------------------- S65 odd requests


@pytest.mark.parametrize("method", ["TRACE", "PROPFIND", "get", "GETX", "CONNECT", "PATCH"])
async def test_s65_odd_methods_are_never_a_way_in(api: Api, callers: Callers, method: str) -> None:
    for path in ("/api/0/hosts", "/live", "/api/0/users"):
        answer = await raw(api, f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert answer.split(b" ")[1] in (b"400", b"404", b"405"), answer[:80]
        assert ALPHA.encode() not in answer


@pytest.mark.parametrize(
    "path",
    ["//api/0/users", "/api//0/users", "/api/./0/users", "/api/0/../0/users", "/api/0/users;x", "/api/0/users/",
     "/API/0/users", "/api%2f0%2fusers", "/api/0/users%00", "/api/0/users%20",
     "/static/../api/0/users", "/static/%2e%2e/api/0/users",
     "/login/../users", "/healthz/../users", "/users/", "/%75sers/", "/api/0/users?/healthz",
     "/api/0/users#/healthz", "*", "users"],
)  # fmt: skip
async def test_s65_odd_paths_are_never_a_way_in(api: Api, callers: Callers, path: str) -> None:
    answer = await raw(api, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert answer.split(b" ")[1] in (b"400", b"401", b"404", b"302"), answer[:80]
    assert b"keeper" not in answer


async def raw(api: Api, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(request)
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()
