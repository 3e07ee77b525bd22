"""Bytes that are no text, where text is expected: nobody gets a 500 for them, and nobody is kept out by them."""

from __future__ import annotations

import asyncio
import socket

import pytest
from world import PASSWORD, Api, World

from hbd.config import Config
from hbd.config.structs import Auth, ProxyLogin

CAFE = b"caf\xe9"
FORM = b"application/x-www-form-urlencoded"


def ask(api: Api, request: bytes) -> bytes:
    """The status line and headers of the answer to a request as it is."""
    with socket.create_connection(("127.0.0.1", api.port or 0), timeout=10) as sock:
        sock.sendall(request)
        return sock.makefile("rb").read()


async def asked(api: Api, *headers: bytes, body: bytes = b"", target: bytes = b"GET /live") -> int:
    """The status of the answer."""
    head = [
        target + b" HTTP/1.1",
        b"Host: localhost",
        b"Connection: close",
        b"Content-Length: %d" % len(body),
        *headers,
    ]
    answer = await asyncio.to_thread(ask, api, b"\r\n".join([*head, b"", body]))
    return int(answer.split(b" ", 2)[1])


async def test_a_user_agent_that_is_no_text_signs_in(api: Api, world: World) -> None:
    await world.user("alice")
    body = b'{"username": "alice", "password": "%s"}' % PASSWORD.encode()
    headers = (b"Content-Type: application/json", b"User-Agent: " + CAFE)
    assert await asked(api, *headers, body=body, target=b"POST /api/0/auth/login") == 200
    (session,) = world.security.accounts.sessions(world.security.accounts.require("alice"))
    assert session.user_agent == r"caf\udce9"


@pytest.mark.parametrize("body", [b"username=\xff&password=x", b"\xff=alice"])
async def test_a_form_that_is_no_text_is_refused(api: Api, world: World, body: bytes) -> None:
    await world.user("alice")
    assert await asked(api, b"Content-Type: " + FORM, body=body, target=b"POST /login") == 400


@pytest.mark.parametrize("charset", [b"nonsense", b"hex", b"utf-7", b"undefined"])
async def test_the_charset_of_a_form_does_not_count(api: Api, world: World, charset: bytes) -> None:
    await world.user("alice")
    headers = b"Content-Type: " + FORM + b"; charset=" + charset
    body = b"username=%2B2AA-&password=x"
    assert await asked(api, headers, body=body, target=b"POST /login") == 401


async def test_a_form_of_very_many_fields_is_refused(api: Api, world: World) -> None:
    await world.user("alice")
    assert await asked(api, b"Content-Type: " + FORM, body=b"a=b&" * 1000, target=b"POST /login") == 400


@pytest.mark.parametrize(("header", "status"), [(b"Remote-Name", 200), (b"Remote-User", 403), (b"Remote-Groups", 200)])
async def test_what_a_proxy_says_may_be_no_text(api: Api, world: World, header: bytes, status: int) -> None:
    proxy = ProxyLogin(
        user_header="Remote-User", name_header="Remote-Name", groups_header="Remote-Groups", default_role="viewer"
    )
    await world.configure(Config(trusted_proxies=("127.0.0.1/32",), auth=Auth(proxy=proxy)))
    said = {b"Remote-User": b"carol"} | {header: CAFE}
    assert await asked(api, *(name + b": " + value for name, value in said.items())) == status
