"""S9: who loses a right while a request is on its way does not use it any more."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from world import Api, World

from hbd.store.audit import Entry


class Slow:
    """A request whose last byte is held back."""

    def __init__(self, api: Api, token: str, method: str, path: str, body: object) -> None:
        self._api = api
        self._body = json.dumps(body).encode()
        self._head = (
            f"{method} /api/0{path} HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: {token}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(self._body)}\r\n\r\n"
        ).encode()

    async def begin(self, world: World) -> None:
        """Send all but the end, and wait until the daemon waits for it."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._api.port)
        self._writer.write(self._head + self._body[:-1])
        async with asyncio.timeout(5):
            while not any(session.last_used > self.began for session in self._sessions(world)):
                await asyncio.sleep(0.01)

    def _sessions(self, world: World):  # type: ignore[no-untyped-def]
        return world.security.accounts.sessions(world.security.accounts.require("eve"))

    async def finish(self) -> int:
        self._writer.write(self._body[-1:])
        async with asyncio.timeout(5):
            answer = await self._reader.read()
        self._writer.close()
        return int(answer.split()[1])

    @property
    def began(self) -> float:
        return self._began

    def mark(self) -> None:
        self._began = time.time()


@pytest.mark.parametrize("how", ["demoted", "disabled", "signed out"])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/users", {"username": "mallory", "admin": True}),
        ("PUT", "/users/alice", {"enabled": False}),
        ("PUT", "/hosts/web/access", {"owner": "eve"}),
    ],
)
async def test_s09_a_right_that_is_gone_when_the_body_ends_counts_no_more(
    api: Api, world: World, how: str, method: str, path: str, body: object
) -> None:
    await world.user("alice", "admin")
    eve = await world.user("eve", "admin")
    await world.enrol("web")
    accounts = world.security.accounts
    slow = Slow(api, await world.session("eve"), method, path, body)
    slow.mark()
    await slow.begin(world)
    entry = Entry(time=time.time(), user="alice", via="session", action="user.change", object="user eve")
    if how == "demoted":
        await accounts.change(eve, {"role": "viewer"}, entry)
    elif how == "disabled":
        await accounts.change(eve, {"enabled": False}, entry)
    else:
        await accounts.end(accounts.sessions(eve), entry)
    assert await slow.finish() in (401, 403)
    assert accounts.get("mallory") is None
    assert accounts.require("alice").enabled
    assert world.hosts.require("web").owner == "alice"
