"""People whom a proxy has signed in and who may not enter here."""

from __future__ import annotations

import pytest
from world import Api, World

from hbd.config import Config
from hbd.config.structs import Auth, ProxyLogin
from hbd.store.audit import Entry

CAROL = {"Remote-User": "carol", "Remote-Groups": "others", "Accept": "text/html"}


@pytest.fixture
async def proxied(api: Api, world: World) -> Api:
    """Everything comes through a proxy, which is believed; only ``staff`` may enter."""
    proxy = ProxyLogin(user_header="Remote-User", groups_header="Remote-Groups", roles={"staff": "viewer"})
    await world.configure(Config(trusted_proxies=("127.0.0.1/32",), auth=Auth(proxy=proxy)))
    return api


async def noted(world: World) -> list[Entry]:
    await world.security.audit.write()
    return await world.store.audit.recent(10)


async def test_the_page_says_why_in_words(proxied: Api) -> None:
    answer = await proxied.get("/live", headers=CAROL)
    assert (answer.status, answer.content_type) == (403, "text/html")
    assert "None of your groups may use hbd" in await answer.text()


async def test_the_api_says_why(proxied: Api) -> None:
    answer = await proxied.get("/api/0/hosts", headers=CAROL)
    assert (answer.status, (await answer.json())["error"]) == (403, "None of your groups may use hbd")


async def test_the_feed_does_not_wait_for_them_to_sign_in(proxied: Api) -> None:
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    key = {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    assert (await proxied.get("/hbd", headers=CAROL | upgrade | key)).status == 403


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/login", "/static/hbd.css"])
async def test_what_everybody_may_have_they_may_have_too(proxied: Api, path: str) -> None:
    assert (await proxied.get(path, headers=CAROL)).status in (200, 404)


async def test_what_everybody_may_have_makes_no_account(proxied: Api, world: World) -> None:
    await proxied.get("/healthz", headers=CAROL | {"Remote-Groups": "staff"})
    assert world.security.accounts.get("carol") is None


async def test_a_page_that_is_refused_is_in_the_audit_log(proxied: Api, world: World) -> None:
    await proxied.get("/live", headers=CAROL)
    (entry,) = await noted(world)
    assert (entry.user, entry.action, entry.outcome) == ("", "GET /live", "refused")
    assert entry.detail == "the proxy's user carol: None of your groups may use hbd"


async def test_they_are_limited_like_strangers(proxied: Api, world: World) -> None:
    world.parts.throttle.configure(0.001, 1)
    assert [(await proxied.get("/live", headers=CAROL)).status for _ in range(2)] == [403, 429]


async def test_a_name_that_is_taken_is_refused_with_the_reason(proxied: Api, world: World) -> None:
    await world.user("bob")
    answer = await proxied.get("/api/0/hosts", headers={"Remote-User": "bob", "Remote-Groups": "staff"})
    assert (answer.status, "belongs to another account" in (await answer.json())["error"]) == (403, True)


async def test_who_is_disabled_here_stays_outside(proxied: Api, world: World) -> None:
    headers = {"Remote-User": "dave", "Remote-Groups": "staff"}
    assert (await proxied.get("/api/0/hosts", headers=headers)).status == 200
    await world.user("root", "admin")
    dave = world.security.accounts.require("dave")
    entry = Entry(time=0.0, user="", via="cli", action="user.change")
    await world.security.accounts.change(dave, {"enabled": False}, entry)
    assert (await proxied.get("/api/0/hosts", headers=headers)).status == 403


@pytest.mark.parametrize("header", ["Remote-User", "Remote-Name", "Remote-Groups"])
@pytest.mark.parametrize("values", [("carol", "root"), ("root", "carol"), ("carol", "carol"), ("", "carol")])
async def test_a_header_that_came_more_than_once_names_nobody(
    proxied: Api, world: World, header: str, values: tuple[str, str]
) -> None:
    named = [("Remote-User", "carol"), ("Remote-Name", "Carol"), ("Remote-Groups", "staff")]
    headers = [pair for pair in named if pair[0] != header] + [(header, value) for value in values]
    answer = await proxied.get("/api/0/hosts", headers=headers)
    told = f"The header {header} came more than once; the proxy has to replace it"
    assert (answer.status, (await answer.json())["error"]) == (403, told)
    assert len(world.security.accounts) == 0


async def test_a_persian_name_from_the_proxy_is_kept_as_it_is(proxied: Api, world: World) -> None:
    named = {"Remote-User": "carol", "Remote-Groups": "staff", "Remote-Name": "می\u200cخواهم"}
    assert (await proxied.get("/api/0/hosts", headers=named)).status == 200
    assert world.security.accounts.require("carol").full_name == "می\u200cخواهم"
