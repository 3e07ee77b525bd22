"""The live feed where users have to sign in: who gets in, what they see, and how they lose it."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from aiohttp import ClientWebSocketResponse, WSServerHandshakeError
from world import Api, World

from hbd.config import Config
from hbd.store.audit import Entry
from hbd.web import strangers, websocket

SECONDS = 10


def entry(action: str) -> Entry:
    return Entry(time=time.time(), user="", via="cli", action=action)


async def said(ws: ClientWebSocketResponse, count: int) -> list[dict[str, Any]]:
    return [await ws.receive_json(timeout=SECONDS) for _ in range(count)]


async def code_of(ws: ClientWebSocketResponse) -> int | None:
    async with asyncio.timeout(SECONDS):
        async for _ in ws:
            pass
    return ws.close_code


@pytest.fixture
async def people(world: World) -> World:
    """alice is admin, bob may see web and no other host."""
    await world.user("alice", "admin")
    await world.user("bob")
    for name in ("db", "web"):
        await world.enrol(name)
    await give(world, "web", "bob")
    return world


async def give(world: World, name: str, *monitors: str) -> None:
    host = world.hosts.require(name)
    await world.security.host_access.change(host, entry("host.access"), monitors=monitors)
    world.apply_access([host])


@pytest.mark.parametrize("header", ["Authorization", "X-Auth-Token"])
async def test_a_token_in_a_header_lets_in(api: Api, people: World, header: str) -> None:
    token = await people.session("alice")
    async with api.ws_connect("/hbd", headers={header: f"Bearer {token}" if header[0] == "A" else token}) as ws:
        assert [message["data"]["name"] for message in await said(ws, 2)] == ["db", "web"]


async def test_a_token_in_the_url_lets_in(api: Api, people: World) -> None:
    async with api.ws_connect(f"/hbd?token={await people.session('bob')}") as ws:
        assert (await said(ws, 1))[0]["data"]["name"] == "web"


async def test_a_cookie_lets_in_a_page_of_ours(api: Api, people: World) -> None:
    headers = {"Cookie": f"hbd_session={await people.session('bob')}", "Origin": f"http://{api.host}:{api.port}"}
    async with api.ws_connect("/hbd", headers=headers) as ws:
        assert (await said(ws, 1))[0]["data"]["name"] == "web"


async def test_a_first_message_lets_in(api: Api, people: World) -> None:
    async with api.ws_connect("/hbd") as ws:
        await ws.send_json({"type": "auth", "token": await people.session("bob")})
        assert (await said(ws, 1))[0]["data"]["name"] == "web"


@pytest.mark.parametrize(
    "first", ['{"type":"auth","token":"hbs_x"}', '{"type":"subscribe"}', "rubbish", '{"type":"auth"}']
)
async def test_another_first_message_ends_with_4401(api: Api, people: World, first: str) -> None:
    async with api.ws_connect("/hbd") as ws:
        await ws.send_str(first)
        assert await code_of(ws) == 4401


async def test_who_says_nothing_is_sent_away(api: Api, people: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "SIGN_IN_SECONDS", 0.05)
    async with api.ws_connect("/hbd") as ws:
        assert await code_of(ws) == 4401


async def test_a_token_that_is_none_ends_with_4401_at_once(api: Api, people: World) -> None:
    async with api.ws_connect("/hbd?token=hbs_nothing") as ws:
        assert await code_of(ws) == 4401


@pytest.mark.parametrize("limit", ["MAX_STRANGERS", "MAX_OF_ADDRESS"])
async def test_those_who_say_nothing_are_limited(
    api: Api, people: World, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(strangers, limit, 1)
    async with api.ws_connect("/hbd"):
        with pytest.raises(WSServerHandshakeError) as raised:
            await api.ws_connect("/hbd")
        assert raised.value.status == 503


async def test_those_who_say_nothing_from_one_address_leave_room_for_others(
    api: Api, people: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strangers, "MAX_OF_ADDRESS", 1)
    people.parts.config = Config(trusted_proxies=("127.0.0.1/32",))
    token = await people.session("bob")
    async with (
        api.ws_connect("/hbd", headers={"X-Forwarded-For": "192.0.2.1"}),
        api.ws_connect("/hbd", headers={"X-Forwarded-For": "192.0.2.2"}) as ws,
    ):
        await ws.send_json({"type": "auth", "token": token})
        assert (await said(ws, 1))[0]["type"] == "host"


async def test_those_who_have_said_who_they_are_are_strangers_no_more(
    api: Api, people: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strangers, "MAX_OF_ADDRESS", 1)
    for _ in range(3):
        async with api.ws_connect("/hbd") as ws:
            await ws.send_json({"type": "auth", "token": await people.session("bob")})
            await said(ws, 1)


async def test_only_what_one_may_see_comes(api: Api, people: World) -> None:
    async with api.ws_connect(f"/hbd?token={await people.session('bob')}") as ws:
        await said(ws, 1)
        for name in ("db", "web"):
            people.sample(people.hosts.require(name), "cpu_monitor", {"cpu_percent": 1.0})
        found = await said(ws, 2)
        assert {message["type"] for message in found} == {"host", "plugin"}
        assert "db" not in json.dumps(found)


async def test_a_host_that_is_taken_away_is_gone_at_once(api: Api, people: World) -> None:
    async with api.ws_connect(f"/hbd?token={await people.session('bob')}") as ws:
        await said(ws, 1)
        await give(people, "web")
        assert await said(ws, 1) == [{"type": "gone", "data": {"id": people.hosts.require("web").id}}]
        people.sample(people.hosts.require("web"), "cpu_monitor", {"cpu_percent": 1.0})
        await give(people, "db", "bob")
        assert (await said(ws, 1))[0]["data"]["name"] == "db"


async def test_a_host_that_is_given_comes_at_once(api: Api, people: World) -> None:
    async with api.ws_connect(f"/hbd?token={await people.session('bob')}") as ws:
        await said(ws, 1)
        await give(people, "db", "bob")
        assert (await said(ws, 1))[0]["data"]["name"] == "db"


async def test_a_stronger_role_shows_more_at_once(api: Api, people: World) -> None:
    accounts = people.security.accounts
    async with api.ws_connect(f"/hbd?token={await people.session('bob')}") as ws:
        await said(ws, 1)
        await accounts.change(accounts.require("bob"), {"role": "operator"}, entry("user.change"))
        assert [message["data"]["name"] for message in await said(ws, 2)] == ["db", "web"]


async def test_a_weaker_role_takes_hosts_away_at_once(api: Api, people: World) -> None:
    accounts = people.security.accounts
    await accounts.change(accounts.require("bob"), {"role": "operator"}, entry("user.change"))
    async with api.ws_connect(f"/hbd?token={await people.session('bob')}") as ws:
        await said(ws, 2)
        await accounts.change(accounts.require("bob"), {"role": "viewer"}, entry("user.change"))
        first, second = await said(ws, 2)
        assert first == {"type": "gone", "data": {"id": people.hosts.require("db").id}}
        assert second["data"]["name"] == "web"


@pytest.mark.parametrize("how", ["disable", "delete", "password", "logout"])
async def test_who_loses_the_right_is_sent_away(api: Api, people: World, how: str) -> None:
    accounts = people.security.accounts
    token = await people.session("bob")
    bob = accounts.require("bob")
    async with api.ws_connect(f"/hbd?token={token}") as ws:
        await said(ws, 1)
        if how == "disable":
            await accounts.change(bob, {"enabled": False}, entry("user.change"))
        elif how == "delete":
            await accounts.delete(bob, [], entry("user.delete"))
        elif how == "password":
            await accounts.change(bob, {"password": b"$2b$04$x"}, entry("user.change"), sign_out=True)
        else:
            assert (await api.post("/api/0/auth/logout", headers={"X-Auth-Token": token})).status == 200
        assert await code_of(ws) == 4401


async def test_the_first_user_ends_the_feeds_of_everybody(api: Api, world: World) -> None:
    await world.enrol("web")
    async with api.ws_connect("/hbd") as ws:
        await said(ws, 1)
        await world.user("alice", "admin")
        assert await code_of(ws) == 4401


async def test_the_daemons_own_messages_are_for_those_who_look_after_it(api: Api, people: World) -> None:
    tokens = [await people.session(name) for name in ("alice", "bob")]
    async with api.ws_connect(f"/hbd?token={tokens[0]}") as admin, api.ws_connect(f"/hbd?token={tokens[1]}") as viewer:
        await said(admin, 2)
        await said(viewer, 1)
        await people.note("config reloaded")
        await people.note("back again", people.hosts.require("web"))
        assert [message["data"]["msg"] for message in await said(admin, 2)] == ["config reloaded", "back again"]
        assert [message["data"]["msg"] for message in await said(viewer, 1)] == ["back again"]


async def test_a_token_for_one_host_shows_that_one_alone(api: Api, people: World) -> None:
    accounts = people.security.accounts
    _, text = await accounts.add_token(
        accounts.require("alice"), "script", entry("token.create"), scope="read", hosts=("DB",), expires=None
    )
    async with api.ws_connect("/hbd", headers={"X-Auth-Token": text}) as ws:
        assert (await said(ws, 1))[0]["data"]["name"] == "db"
        people.sample(people.hosts.require("web"), "cpu_monitor", {"cpu_percent": 1.0})
        people.sample(people.hosts.require("db"), "cpu_monitor", {"cpu_percent": 1.0})
        assert (await said(ws, 1))[0]["data"]["name"] == "db"
