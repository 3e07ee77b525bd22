"""What the sign-in form may send, and where it leads."""

from __future__ import annotations

import codecs
from urllib.parse import urlencode

import pytest
from world import PASSWORD, Api, World

from hbd.web.signin import MAX_FIELDS, safe_path

FORM = "application/x-www-form-urlencoded"
CHARSETS = ("punycode", "utf-7", "idna", "utf-16", "unicode_escape", "zlib", "nonsense", '"', "")


async def send(api: Api, body: bytes, charset: str | None = None) -> int:
    kind = FORM if charset is None else f"{FORM}; charset={charset}"
    answer = await api.post("/login", data=body, headers={"Content-Type": kind}, allow_redirects=False)
    return answer.status


@pytest.mark.parametrize("charset", CHARSETS)
async def test_a_form_is_read_as_utf_8_whatever_charset_it_names(api: Api, world: World, charset: str) -> None:
    await world.user("alice", password="grün-grün")
    form = urlencode({"username": "alice", "password": "grün-grün"}).encode()
    assert await send(api, form, charset) == 303


@pytest.mark.parametrize("charset", CHARSETS)
async def test_the_codec_that_a_form_names_is_never_asked(
    api: Api, world: World, charset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.user("alice")
    asked: list[str] = []
    look = codecs.lookup
    monkeypatch.setattr(codecs, "lookup", lambda name: asked.append(name) or look(name))
    assert await send(api, b"username=" + b"-" * 200_000, charset) == 401
    assert [name for name in asked if name == charset] == []


@pytest.mark.parametrize("charset", [None, "latin-1", "utf-16"])
async def test_a_body_that_is_not_utf_8_is_400(api: Api, world: World, charset: str | None) -> None:
    await world.user("alice")
    assert await send(api, b"username=gr\xfcn", charset) == 400


@pytest.mark.parametrize(("fields", "status"), [(MAX_FIELDS, 401), (MAX_FIELDS + 1, 400), (200_000, 400)])
async def test_a_form_has_so_many_fields_and_no_more(api: Api, world: World, fields: int, status: int) -> None:
    await world.user("alice")
    assert await send(api, b"&".join([b"a=1"] * fields)) == status


@pytest.mark.parametrize(
    "wanted",
    [
        "/%6cogout",
        "/%6Cogin",
        "/live/../logout",
        "/live/%2e%2e/logout",
        "/./logout",
        "/live/..",
        "//evil.example",
        "/%2fevil.example",
        "/%2Fevil.example/..",
        "/\\evil.example",
        "/%5cevil.example",
        "/live%0d%0aSet-Cookie:a=b",
        "/live\x7f",
        "/live%00",
        "/live%ff",
        "/live%c2%85",
        "/live//logout",
        "/logout?x=1",
        "/logout#x",
        "/login",
        "http:///live",
        "live",
        "/" + "x" * 2_000,
    ],
)
def test_where_nobody_should_be_led_is_the_first_page(wanted: str) -> None:
    assert safe_path(wanted) == "/live"


@pytest.mark.parametrize(
    "wanted", ["/live", "/plugins?host=web1", "/plugins?host=a..b#x", "/access?q=%2e%2e", "/plugins?host=gr%C3%BCn"]
)
def test_a_path_of_ours_is_kept_to_the_letter(wanted: str) -> None:
    assert safe_path(wanted) == wanted


async def test_the_form_leads_to_no_logout_in_disguise(api: Api, world: World) -> None:
    await world.user("alice")
    form = {"username": "alice", "password": PASSWORD, "next": "/%6cogout"}
    answer = await api.post("/login", data=form, allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, "/live")
