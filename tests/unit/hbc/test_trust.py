"""Whom the agent believes: over real handshakes with a server that shows one certificate or another."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from websockets.asyncio.server import ServerConnection, serve

from hbc.greeting import close, greet
from hbc.trust import Trust, TrustProblem
from hbc.wire import PROTOCOL, Hello

WELCOME = '{"type": "welcome", "protocol": 1, "version": "9", "host": "web1", "heartbeat_port": 0}'
Pair = tuple[Path, Path]


def hello() -> Hello:
    return Hello(
        type="hello",
        protocol=PROTOCOL,
        version="1",
        name="web1",
        boot_id="",
        run_id="00112233445566aa",
        time=1.8e9,
        interval=10.0,
        event="started",
        capabilities=[],
        tags=[],
    )


class Server:
    """Welcomes everybody, and keeps what it was told."""

    def __init__(self) -> None:
        self.heard: list[str | bytes] = []
        self.url = ""

    async def serve(self, socket: ServerConnection) -> None:
        async for frame in socket:
            self.heard.append(frame)
            await socket.send(WELCOME)


@asynccontextmanager
async def showing(certificate: Path, key: Path) -> AsyncIterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = Server()
    async with serve(server.serve, "127.0.0.1", 0, ssl=context) as listening:
        server.url = f"https://127.0.0.1:{next(iter(listening.sockets)).getsockname()[1]}"
        yield server


async def welcomed(server: Server, trust: Trust) -> bool:
    """Raises what ``greet`` raises."""
    socket, welcome = await greet(server.url, hello, trust)
    await close(socket)
    return welcome["type"] == "welcome"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def test_an_authority_of_ones_own_is_believed(authority: Authority) -> None:
    async with showing(*authority.issue()) as server:
        assert await welcomed(server, Trust(ca_file=authority.file))


async def test_an_https_address_in_capitals_is_one_too(authority: Authority) -> None:
    async with showing(*authority.issue()) as server:
        server.url = server.url.replace("https", "HTTPS")
        assert await welcomed(server, Trust(ca_file=authority.file))


async def test_a_self_signed_certificate_is_its_own_authority(authority: Authority) -> None:
    certificate, key = authority.issue()
    async with showing(certificate, key) as server:
        assert await welcomed(server, Trust(ca_file=certificate))


async def test_another_authority_is_believed_no_more_when_one_is_named(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    async with showing(*authority.issue()) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            await welcomed(server, Trust(ca_file=other.file))
        assert server.heard == []


Refusal = Callable[[Authority], tuple[Pair, Trust]]
REFUSED: dict[str, Refusal] = {
    "nobody knows its authority": lambda authority: (authority.issue(), Trust()),
    "it is for another name": lambda authority: (
        authority.issue("server", "mon.example"),
        Trust(ca_file=authority.file),
    ),
    "it has expired": lambda authority: (authority.issue(days=-1), Trust(ca_file=authority.file)),
    "it has expired, though it is pinned": lambda authority: (
        (pair := authority.issue(days=-1)),
        Trust(pin_file=pair[0]),
    ),
    "another one is pinned": lambda authority: (authority.issue(), Trust(pin_file=authority.issue("other")[0])),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_certificate_is_refused_when(case: str, authority: Authority) -> None:
    pair, trust = REFUSED[case](authority)
    async with showing(*pair) as server:
        with pytest.raises((ssl.SSLCertVerificationError, ConnectionError)):
            await welcomed(server, trust)
        assert server.heard == []


async def test_a_pinned_certificate_is_believed_whatever_its_name(authority: Authority) -> None:
    certificate, key = authority.issue("server", "mon.example")
    async with showing(certificate, key) as server:
        assert await welcomed(server, Trust(pin_file=certificate))


async def test_a_pinned_authority_vouches_for_nobody(authority: Authority) -> None:
    async with showing(*authority.issue()) as server:
        with pytest.raises(ConnectionError, match="pin_file: the server has another certificate than those in"):
            await welcomed(server, Trust(pin_file=authority.file))
        assert server.heard == []


async def test_a_replaced_file_counts_from_the_next_connection_on(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.issue("server", "mon.example")
    pinned = tmp_path / "pinned.pem"
    trust = Trust(pin_file=pinned)
    pinned.write_bytes(authority.issue("other")[0].read_bytes())
    async with showing(certificate, key) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            await welcomed(server, trust)
        pinned.write_bytes(certificate.read_bytes())
        assert await welcomed(server, trust)


async def test_a_file_that_has_gone_is_no_reason_to_trust_everybody(authority: Authority, tmp_path: Path) -> None:
    async with showing(*authority.issue()) as server:
        with pytest.raises(ConnectionError, match=r"ca_file: .* cannot be read: No such file"):
            await welcomed(server, Trust(ca_file=tmp_path / "nothing"))


async def test_a_plain_server_behind_an_https_address_is_told_nothing(authority: Authority) -> None:
    server = Server()
    async with serve(server.serve, "127.0.0.1", 0) as listening:
        server.url = f"https://127.0.0.1:{next(iter(listening.sockets)).getsockname()[1]}"
        with pytest.raises(OSError):
            await welcomed(server, Trust(ca_file=authority.file))
    assert server.heard == []


@pytest.mark.parametrize("key", ["ca_file", "pin_file"])
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "there is no certificate in {file}"),
        ("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "a certificate in {file} cannot be read: "),
    ],
)
def test_a_file_without_a_certificate_is_a_problem(tmp_path: Path, key: str, text: str, reason: str) -> None:
    file = tmp_path / "file.pem"
    file.write_text(text)
    settings: dict[str, Any] = {key: file}
    with pytest.raises(TrustProblem) as raised:
        Trust(**settings).context()
    assert str(raised.value).startswith(f"{key}: {reason.format(file=file)}")
