"""The live feed against those whom it is not for: S3, S4, S5 and the sockets of S9."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType, WSServerHandshakeError
from callers import Callers, entry
from world import PASSWORD, Api, World

from hbd.access import Role
from hbd.config import Config
from hbd.config.structs import Auth, Cors
from hbd.web import websocket

SIGN_IN = 4401
DEADLINE = 10.0


async def closing(ws: ClientWebSocketResponse) -> int | None:
    """Read until the other side closes; returns its code."""
    async with asyncio.timeout(DEADLINE):
        async for _ in ws:
            pass
    return ws.close_code


async def open_feed(api: Api, token: str) -> ClientWebSocketResponse:
    return await api.ws_connect("/hbd", headers={"Authorization": f"Bearer {token}"})


def own_origin(api: Api) -> str:
    return f"http://{api.host}:{api.port}"


# ------------------------------------------------------------------------------------------------------ S3 who is it


@pytest.mark.parametrize("caller", ["anonymous", "expired session", "disabled", "agent key"])
async def test_s03_who_shows_nothing_good_is_closed_with_4401_and_gets_no_frame(
    api: Api, callers: Callers, monkeypatch: pytest.MonkeyPatch, caller: str
) -> None:
    monkeypatch.setattr(websocket, "SIGN_IN_SECONDS", 0.1)
    async with api.ws_connect("/hbd", headers=await callers.headers(caller)) as ws:
        frame = await ws.receive(timeout=DEADLINE)
        assert (frame.type, frame.data) == (WSMsgType.CLOSE, SIGN_IN)


@pytest.mark.parametrize(
    "first", ["", "{}", '{"type":"auth"}', '{"type":"auth","token":"hbs_x"}', '{"type":"subscribe"}']
)
async def test_s03_a_first_message_that_names_nobody_ends_it(api: Api, callers: Callers, first: str) -> None:
    async with api.ws_connect("/hbd") as ws:
        await ws.send_str(first)
        frame = await ws.receive(timeout=DEADLINE)
        assert (frame.type, frame.data) == (WSMsgType.CLOSE, SIGN_IN)


async def test_s03_a_token_in_the_first_message_or_in_the_url_lets_in(api: Api, callers: Callers) -> None:
    token = await callers.token("monitor")
    async with api.ws_connect("/hbd") as said, api.ws_connect(f"/hbd?token={token}") as shown:
        await said.send_json({"type": "auth", "token": token})
        for ws in (said, shown):
            assert (await ws.receive_json(timeout=DEADLINE))["data"]["name"] == "alpha"


async def test_s03_whoever_lacks_the_second_factor_is_refused(api: Api, callers: Callers) -> None:
    with pytest.raises(WSServerHandshakeError) as refused:
        await open_feed(api, str(await callers.token("held back")))
    assert refused.value.status == 403
    async with api.ws_connect("/hbd") as ws:
        await ws.send_json({"type": "auth", "token": await callers.token("held back")})
        assert await closing(ws) == SIGN_IN


# ----------------------------------------------------------------------------------------------------- S9 and then?


async def change_own_password(api: Api, world: World, name: str) -> None:
    """With another session than the one that is open."""
    headers = {"Authorization": f"Bearer {await world.session(name)}"}
    body = {"password": {"current": PASSWORD, "new": "battery staple"}}
    assert (await api.put("/api/0/users/me", json=body, headers=headers)).status == 200


async def disable(api: Api, world: World, name: str) -> None:
    await world.security.accounts.change(world.security.accounts.require(name), {"enabled": False}, entry("x"))


async def delete(api: Api, world: World, name: str) -> None:
    await world.security.host_access.delete_user(world.security.accounts.require(name), entry("x"))


async def sign_out(api: Api, world: World, name: str) -> None:
    accounts = world.security.accounts
    await accounts.end(accounts.sessions(accounts.require(name)), entry("x"))


async def require_second_factor(api: Api, world: World, name: str) -> None:
    await world.configure(Config(auth=Auth(second_factor=("viewer",))))


Ending = Callable[[Api, World, str], Awaitable[None]]


@pytest.fixture
async def watched(world: World) -> AsyncIterator[World]:
    """A world whose host belongs to ``bob``, who is no admin."""
    await world.user("root", "admin")
    await world.user("bob")
    host = await world.enrol("alpha")
    await world.security.host_access.change(host, entry("x"), owner="bob")
    world.apply_access([host])
    yield world


@pytest.mark.parametrize("ends", [change_own_password, disable, delete, sign_out, require_second_factor])
async def test_s09_an_open_feed_ends_with_the_right_to_it(api: Api, watched: World, ends: Ending) -> None:
    async with await open_feed(api, await watched.session("bob")) as ws:
        await ws.receive_json(timeout=DEADLINE)
        await ends(api, watched, "bob")
        assert await closing(ws) == SIGN_IN


async def test_s09_an_open_feed_ends_with_the_session_that_is_signed_out(api: Api, watched: World) -> None:
    token = await watched.session("bob")
    async with await open_feed(api, token) as ws:
        await ws.receive_json(timeout=DEADLINE)
        await api.post("/api/0/auth/logout", headers={"Authorization": f"Bearer {token}"})
        assert await closing(ws) == SIGN_IN


async def test_s09_an_open_feed_ends_with_its_api_token(api: Api, watched: World) -> None:
    accounts = watched.security.accounts
    made, token = await accounts.add_token(
        accounts.require("bob"), "script", entry("x"), scope="read", hosts=None, expires=None
    )
    async with await open_feed(api, token) as ws:
        await ws.receive_json(timeout=DEADLINE)
        await accounts.delete_token(made, entry("x"))
        assert await closing(ws) == SIGN_IN


@pytest.mark.parametrize("kind", ["session", "token"])
async def test_s09_an_open_feed_ends_when_what_opened_it_expires(api: Api, watched: World, kind: str) -> None:
    accounts = watched.security.accounts
    bob = accounts.require("bob")
    if kind == "session":
        token = await watched.session("bob")
        shown = accounts.sessions(bob)[0]
    else:
        shown, token = await accounts.add_token(bob, "x", entry("x"), scope="read", hosts=None, expires=None)
    async with await open_feed(api, token) as ws:
        await ws.receive_json(timeout=DEADLINE)
        shown.expires = 1.0
        watched.feed.review(asyncio.get_running_loop().time())  # what the daemon does every second
        assert await closing(ws) == SIGN_IN


# --------------------------------------------------------------------------------------------------- S4 whose hosts


class Listener:
    """All that one subscriber is ever sent, as it came."""

    def __init__(self, ws: ClientWebSocketResponse) -> None:
        self.ws = ws
        self.heard: list[str] = []
        self._task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async for message in self.ws:
            self.heard.append(message.data)

    async def has(self, text: str) -> None:
        async with asyncio.timeout(DEADLINE):
            while not any(text in frame for frame in self.heard):
                await asyncio.sleep(0.01)

    async def end(self) -> None:
        await self.ws.close()
        await self._task


async def test_s04_nobody_hears_a_byte_of_hosts_that_are_anothers(api: Api, world: World) -> None:
    """Ten thousand updates; each host's name is in every word about it."""
    await world.user("root", "admin")
    names = ("ann", "bob")
    for name in names:
        await world.user(name)
    hosts = []
    for number in range(20):
        host = await world.enrol(f"of-{names[number % 2]}-{number:02d}-secret")
        await world.security.host_access.change(host, entry("x"), owner=names[number % 2])
        hosts.append(host)
    world.apply_access(hosts)
    listeners = {name: Listener(await open_feed(api, await world.session(name))) for name in names}
    chance = random.Random(1)
    for round_ in range(100):
        for _ in range(100):
            host = chance.choice(hosts)
            kind = chance.randrange(3)
            if kind == 0:
                world.beat(host)
            else:
                world.sample(host, "cpu_monitor", {"note": host.name, "cpu_percent": float(round_)})
        host = chance.choice(hosts)
        await world.note(f"{host.name} did something", host)
        if round_ == 50:  # everybody's rights are looked at again
            ann = world.security.accounts.require("ann")
            await world.security.accounts.change(ann, {"full_name": "Ann"}, entry("x"))
    for name in names:
        host = next(host for host in hosts if host.owner == name)
        await world.note(f"{host.name} is the last word", host)
    for name, other in (("ann", "bob"), ("bob", "ann")):
        await listeners[name].has("is the last word")
        await listeners[name].end()
        text = "".join(listeners[name].heard)
        assert f"of-{name}-" in text
        assert f"of-{other}-" not in text


async def test_s04_a_host_that_is_taken_away_is_gone_at_once_and_heard_of_no_more(api: Api, watched: World) -> None:
    host = watched.hosts.require("alpha")
    other = await watched.enrol("marker")
    await watched.security.host_access.change(other, entry("x"), owner="bob")
    watched.apply_access([other])
    bob = Listener(await open_feed(api, await watched.session("bob")))
    await bob.has('"alpha"')
    watched.beat(host)  # is on its way when the right goes
    watched.sample(host, "cpu_monitor", {"note": "alpha"})
    headers = {"Authorization": f"Bearer {await watched.session('root')}"}
    await api.put("/api/0/hosts/alpha/access", json={"owner": "root"}, headers=headers)
    until_gone = len(bob.heard)
    await bob.has('"gone"')
    for value in range(1_000):
        watched.sample(host, "cpu_monitor", {"note": "alpha", "value": value})
        watched.beat(host)
    await watched.note("alpha is busy", host)
    watched.sample(other, "cpu_monitor", {"note": "end of this"})
    await bob.has("end of this")
    await bob.end()
    late = "".join(bob.heard[until_gone:])
    assert json.loads(next(frame for frame in bob.heard if '"gone"' in frame))["data"] == {"id": host.id}
    assert "alpha" not in late.partition('"gone"')[2]


async def test_s04_a_role_that_is_taken_away_takes_its_hosts_along_while_the_feed_is_open(
    api: Api, world: World
) -> None:
    await world.user("root", "admin")
    bob = await world.user("bob", "operator")
    mine, other = await world.enrol("mine"), await world.enrol("other")
    await world.security.host_access.change(mine, entry("x"), owner="bob")
    world.apply_access([mine])
    listener = Listener(await open_feed(api, await world.session("bob")))
    await listener.has('"other"')
    await world.security.accounts.change(bob, {"role": Role.VIEWER}, entry("x"))
    await listener.has('"gone"')
    for value in range(1_000):
        world.sample(other, "cpu_monitor", {"note": "other", "value": value})
    await world.note("other is busy", other)
    world.sample(mine, "cpu_monitor", {"note": "end of this"})
    await listener.has("end of this")
    await listener.end()
    assert "other" not in "".join(listener.heard).partition('"gone"')[2]


async def test_s04_asking_for_hosts_of_others_gives_nothing(api: Api, callers: Callers, world: World) -> None:
    token = await callers.token("owner")
    async with api.ws_connect(f"/hbd?hosts=beta,alpha&token={token}") as ws:
        assert (await ws.receive_json(timeout=DEADLINE))["data"]["name"] == "alpha"
        await ws.send_json({"type": "subscribe", "hosts": ["beta"]})
        world.beat(world.hosts.require("beta"))
        await ws.send_json({"type": "subscribe", "hosts": ["BETA", "alpha"]})
        assert (await ws.receive_json(timeout=DEADLINE))["data"]["name"] == "alpha"


# ------------------------------------------------------------------------------------------------- S5 other sites


FOREIGN = [
    "https://evil.example",
    "null",
    "http://localhost.evil.example",
    "http://127.0.0.1:1",
    "http://",
    "x",
    "file://",
]


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("way", ["cookie", "bearer"])
async def test_s05_the_page_of_another_site_opens_no_feed(api: Api, callers: Callers, origin: str, way: str) -> None:
    token = await callers.token("owner")
    shown = {"Cookie": f"hbd_session={token}"} if way == "cookie" else {"Authorization": f"Bearer {token}"}
    with pytest.raises(WSServerHandshakeError) as refused:
        await api.ws_connect("/hbd", headers=shown | {"Origin": origin})
    assert refused.value.status == 403


async def test_s05_a_cookie_without_an_origin_opens_no_feed(api: Api, callers: Callers) -> None:
    with pytest.raises(WSServerHandshakeError) as refused:
        await api.ws_connect("/hbd", headers={"Cookie": f"hbd_session={await callers.token('owner')}"})
    assert refused.value.status == 403


async def test_s05_two_origins_open_no_feed(api: Api, callers: Callers) -> None:
    headers = [("Origin", own_origin(api)), ("Origin", "https://evil.example")]
    with pytest.raises(WSServerHandshakeError) as refused:
        await api.ws_connect("/hbd", headers=headers)
    assert refused.value.status in (400, 403)


async def test_s05_our_own_page_and_programs_get_in(api: Api, callers: Callers) -> None:
    token = await callers.token("owner")
    cookie = {"Cookie": f"hbd_session={token}", "Origin": own_origin(api)}
    for headers in (cookie, {"Authorization": f"Bearer {token}"}):
        async with api.ws_connect("/hbd", headers=headers) as ws:
            assert (await ws.receive_json(timeout=DEADLINE))["type"] == "host"


async def test_s05_a_site_that_cors_lets_read_gets_no_cookie_session(api: Api, callers: Callers, world: World) -> None:
    """Whoever is in ``cors.origins`` may open the feed with a token; with a cookie alone it would need none."""
    world.parts.config = Config(cors=Cors(origins=("https://grafana.example",)))
    headers = {"Cookie": f"hbd_session={await callers.token('owner')}", "Origin": "https://grafana.example"}
    with pytest.raises(WSServerHandshakeError) as refused:
        await api.ws_connect("/hbd", headers=headers)
    assert refused.value.status == 403
