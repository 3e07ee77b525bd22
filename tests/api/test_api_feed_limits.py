"""How many connections to the live feed somebody may have, and what may be asked for on one."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from aiohttp import ClientWebSocketResponse, WSServerHandshakeError
from world import Api, World

from hbd import feed
from hbd.store.audit import Entry
from hbd.web import websocket

SECONDS = 20.0


@pytest.fixture
async def people(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """alice and bob may see everything, and each may have two connections."""
    monkeypatch.setattr(feed, "MAX_OF_USER", 2)
    await world.user("alice", "admin")
    await world.user("bob", "operator")
    return world


async def said(ws: ClientWebSocketResponse) -> dict[str, Any]:
    answer: dict[str, Any] = await ws.receive_json(timeout=SECONDS)
    return answer


def as_user(token: str) -> dict[str, str]:
    return {"X-Auth-Token": token}


async def api_token(world: World, user: str) -> str:
    entry = Entry(time=time.time(), user="", via="cli", action="token.create")
    accounts = world.security.accounts
    return (await accounts.add_token(accounts.require(user), "x", entry, scope="read", hosts=None, expires=None))[1]


async def status_of(api: Api, **options: Any) -> int:
    with pytest.raises(WSServerHandshakeError) as refused:
        await api.ws_connect("/hbd", **options)
    return refused.value.status


# ------------------------------------------------------------------------------------------------------- connections


async def test_a_user_has_so_many_connections_whatever_opens_them_and_others_have_theirs(
    api: Api, people: World
) -> None:
    session, script, bobs = await people.session("alice"), await api_token(people, "alice"), await people.session("bob")
    async with (
        api.ws_connect("/hbd", headers=as_user(session)),
        api.ws_connect("/hbd", headers=as_user(script)),
    ):
        assert await status_of(api, headers=as_user(session)) == 503
        async with api.ws_connect("/hbd", headers=as_user(bobs)) as ws:
            assert not ws.closed
    assert people.stats.counters["feed_refused_total"] == {(): 1.0}


async def test_who_says_only_then_who_it_is_is_told_to_come_later(api: Api, people: World) -> None:
    token = await people.session("alice")
    async with (
        api.ws_connect("/hbd", headers=as_user(token)),
        api.ws_connect("/hbd", headers=as_user(token)),
        api.ws_connect("/hbd") as ws,
    ):
        await ws.send_json({"type": "auth", "token": token})
        message = await ws.receive(timeout=SECONDS)
        told = "You have 2 open connections to the live feed already"
        assert (ws.close_code, message.extra) == (1013, told)


async def test_a_connection_that_ends_makes_room(api: Api, people: World) -> None:
    token = await people.session("alice")
    for _ in range(5):
        async with api.ws_connect("/hbd", headers=as_user(token)), api.ws_connect("/hbd", headers=as_user(token)):
            pass
        async with asyncio.timeout(SECONDS):
            while len(people.feed):
                await asyncio.sleep(0.005)
    assert not people.feed._of_user


async def test_without_users_only_the_number_of_all_connections_is_limited(
    api: Api, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "MAX_OF_USER", 1)
    async with api.ws_connect("/hbd"), api.ws_connect("/hbd") as ws:
        assert not ws.closed


def test_a_user_may_have_a_hundred() -> None:
    assert feed.MAX_OF_USER == 100


# ------------------------------------------------------------------------------------------------------------ frames


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        ({"hosts": ["a"] * 1_001}, "hosts"),
        ({"hosts": ["a" * 254]}, "hosts"),
        ({"types": ["host"] * 21}, "types"),
    ],
)
async def test_who_names_too_much_is_told(api: Api, world: World, wanted: dict[str, Any], named: str) -> None:
    async with api.ws_connect("/hbd") as ws:
        await ws.send_str(json.dumps({"type": "subscribe", **wanted}))
        answer = await said(ws)
        assert (answer["type"], answer["error"].startswith(named)) == ("error", True)


@pytest.mark.parametrize("query", ["hosts=" + "a," * 1_001, "hosts=" + "a" * 254, "types=" + "host," * 21])
async def test_who_names_too_much_in_the_url_is_refused(api: Api, world: World, query: str) -> None:
    assert (await api.get(f"/hbd?{query}")).status == 400


async def test_as_much_as_is_allowed_is_taken(api: Api, world: World) -> None:
    await world.enrol("web")
    async with api.ws_connect("/hbd?types=message") as ws:
        wanted = {"hosts": ["web", *["a" * 253] * 200, *["a"] * 799], "types": ["host"] * 20}
        await ws.send_str(json.dumps({"type": "subscribe", **wanted}))
        assert (await said(ws))["data"]["name"] == "web"


async def test_ten_frames_are_read_at_once_and_then_one_a_second(
    api: Api, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = asyncio.Event()
    waits: list[float] = []

    async def pause(seconds: float) -> None:
        waits.append(seconds)
        held.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(websocket, "_pause", pause)
    narrowed: list[object] = []
    narrow = world.feed.narrow
    monkeypatch.setattr(world.feed, "narrow", lambda *given: narrowed.append(given) or narrow(*given))
    async with api.ws_connect("/hbd") as ws:
        for _ in range(20):
            await ws.send_json({"type": "subscribe"})
        async with asyncio.timeout(SECONDS):
            await held.wait()
        assert (len(narrowed), [0.0 < wait <= 1.0 for wait in waits]) == (10, [True])
