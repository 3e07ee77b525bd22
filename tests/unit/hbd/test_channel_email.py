from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, cast

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from certificates import Authority
from channel_kit import item, message, tools

from hbd.channels import base
from hbd.channels.base import Message, SendFailed
from hbd.channels.email import Email
from hbd.model import Level


class Mailbox:
    """What a mail server does with what comes; each answer can be another than usual."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.to_data = "250 OK"
        self.to_recipient: dict[str, str] = {}
        self.encrypted: list[bool] = []

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self.to_recipient.get(address, "250 OK")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.to_data.startswith("250"):
            content = cast(bytes, envelope.original_content)
            self.letters.append(message_from_bytes(content, policy=default))
            self.recipients.append(envelope.rcpt_tos)
            self.encrypted.append(session.ssl is not None)
        return self.to_data


Start = Callable[..., Awaitable[int]]


@pytest.fixture(name="mailbox")
def a_mailbox() -> Mailbox:
    return Mailbox()


@asynccontextmanager
async def listening(
    mailbox: Mailbox, *, over_tls: ssl.SSLContext | None = None, **of_server: Any
) -> AsyncIterator[int]:
    def protocol() -> SMTP:
        return SMTP(mailbox, hostname="mail.example.org", **of_server)

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, ssl=over_tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@pytest.fixture(name="tls")
def a_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """The context of a server that is trusted here."""
    authority = Authority(tmp_path)
    chain, key = authority.issue("server", "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain, key)
    return context


def settings(port: int = 25, /, **changed: Any) -> dict[str, Any]:
    given = {"host": "127.0.0.1", "port": port, "tls": "none", "from": "hbd@example.org", "to": ("bob@example.org",)}
    return given | changed


async def send(port: int, what: Message | None = None, **changed: Any) -> str:
    given = settings(port, **changed)
    assert Email().check(given) == []
    return await Email().open("mail", given, tools()).send(what or message())


async def test_a_message_is_a_letter(mailbox: Mailbox) -> None:
    async with listening(mailbox) as port:
        assert await send(port, to=("bob@example.org", "carol@example.org")) == "250"
    (letter,) = mailbox.letters
    assert letter["Subject"] == "CRITICAL web1: CPU 95.5 > 90 for 5 min"
    assert (letter["From"], letter["To"]) == ("hbd@example.org", "bob@example.org, carol@example.org")
    assert mailbox.recipients == [["bob@example.org", "carol@example.org"]]
    assert letter.get_content().splitlines()[1] == "Host: web1"


async def test_the_sender_may_have_a_name(mailbox: Mailbox) -> None:
    async with listening(mailbox) as port:
        named: dict[str, Any] = {"from": "The monitor <hbd@example.org>"}
        await send(port, **named)
    assert mailbox.letters[0]["From"].addresses[0].display_name == "The monitor"


async def test_all_letters_about_a_problem_are_one_thread(mailbox: Mailbox) -> None:
    async with listening(mailbox) as port:
        await send(port, message(item(), id="m1"))
        await send(port, message(item(Level.OK, before=Level.CRITICAL), id="m2"))
    first, last = mailbox.letters
    assert first["References"] == last["References"] == "<problem-p1@hbd>"
    assert first["Message-ID"] != last["Message-ID"]


async def test_a_new_try_is_the_same_letter(mailbox: Mailbox) -> None:
    async with listening(mailbox) as port:
        await send(port)
        await send(port)
    assert mailbox.letters[0]["Message-ID"] == mailbox.letters[1]["Message-ID"] == "<message-m1@hbd>"


async def test_starttls_comes_before_anything_else(mailbox: Mailbox, tls: ssl.SSLContext) -> None:
    async with listening(mailbox, tls_context=tls, require_starttls=True) as port:
        assert await send(port, tls="starttls") == "250"
    assert mailbox.encrypted == [True]


async def test_a_server_without_starttls_gets_nothing(mailbox: Mailbox) -> None:
    async with listening(mailbox) as port:
        with pytest.raises(SendFailed, match="did not go on"):
            await send(port, tls="starttls")
    assert mailbox.letters == []


async def test_tls_from_the_first_byte_works_too(mailbox: Mailbox, tls: ssl.SSLContext) -> None:
    async with listening(mailbox, over_tls=tls) as port:
        assert await send(port, tls="tls") == "250"


async def test_a_server_that_is_not_trusted_gets_nothing(
    mailbox: Mailbox, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)  # the server's side of it
    async with listening(mailbox, tls_context=tls) as port:
        with pytest.raises(SendFailed, match=r"cannot be trusted|did not go on"):
            await send(port, tls="starttls")
    assert mailbox.letters == []


def _checks(right: bool) -> Callable[..., AuthResult]:
    def authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        known = right and (data.login, data.password) == (b"hbd", b"s3cret")
        return AuthResult(success=known, handled=False)

    return authenticate


async def test_a_user_name_and_password_are_shown(mailbox: Mailbox, tls: ssl.SSLContext) -> None:
    async with listening(mailbox, tls_context=tls, authenticator=_checks(True), auth_required=True) as port:
        assert await send(port, tls="starttls", username="hbd", password="s3cret") == "250"


async def test_a_wrong_password_is_permanent_and_told_nowhere(mailbox: Mailbox, tls: ssl.SSLContext) -> None:
    async with listening(mailbox, tls_context=tls, authenticator=_checks(False), auth_required=True) as port:
        with pytest.raises(SendFailed) as failed:
            await send(port, tls="starttls", username="hbd", password="wr0ng")
    assert failed.value.permanent and str(failed.value) == "user name or password was refused (status 535)"


async def test_greylisting_is_not_permanent(mailbox: Mailbox) -> None:
    mailbox.to_recipient["bob@example.org"] = "451 4.7.1 Come back later, inner secret"
    async with listening(mailbox) as port:
        with pytest.raises(SendFailed, match=r"^no recipient was taken \(status 451\)$") as failed:
            await send(port)
    assert not failed.value.permanent


async def test_a_letter_that_is_too_large_is(mailbox: Mailbox) -> None:
    mailbox.to_data = "552 5.3.4 Too large, inner secret"
    async with listening(mailbox) as port:
        with pytest.raises(SendFailed, match=r"^the mail was refused \(status 552\)$") as failed:
            await send(port)
    assert failed.value.permanent and failed.value.refused


async def test_one_recipient_of_two_is_taken_as_sent(mailbox: Mailbox) -> None:
    mailbox.to_recipient["bob@example.org"] = "550 5.1.1 Nobody of that name"
    async with listening(mailbox) as port:
        assert await send(port, to=("bob@example.org", "carol@example.org")) == "250, 1 of 2 recipients refused"


async def test_a_server_that_says_nothing_fails_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "SEND_SECONDS", 0.2)
    done = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        with pytest.raises(SendFailed, match="no answer within"):
            await send(server.sockets[0].getsockname()[1])
        done.set()


async def test_a_server_that_is_not_there_has_not_taken_it() -> None:
    with pytest.raises(SendFailed, match="cannot be reached"):
        await Email().open("mail", settings(1), tools()).send(message())


@pytest.mark.parametrize("odd", ["x\r\nBcc: eve@example.org", "x\nBcc: eve@example.org", "x\r\n\r\nbody", "x\x00y"])
async def test_s39_a_subject_cannot_bring_another_header(mailbox: Mailbox, odd: str) -> None:
    async with listening(mailbox) as port:
        await send(port, message(item(host=odd), id=odd, title=odd))
    (letter,) = mailbox.letters
    assert letter["Bcc"] is None and mailbox.recipients == [["bob@example.org"]]


ODD_ADDRESSES = [
    "bob@example.org\r\nBcc: eve@example.org",
    "bob@example.org\nRCPT TO:<eve@example.org>",
    "bob@example.org, eve@example.org",
    "bob@example.org> <eve@example.org",
    "bob",
    "@example.org",
    "bob@",
    "",
]


@pytest.mark.parametrize("odd", ODD_ADDRESSES)
@pytest.mark.parametrize("field", ["from", "to"])
def test_s39_an_address_that_is_none_is_refused(odd: str, field: str) -> None:
    given = settings(**{field: (odd,) if field == "to" else odd})
    assert [key for key, _ in Email().check(given)] == [field]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"host": "mail.example.org\r\n"}, "host"),
        ({"host": "mail example"}, "host"),
        ({"port": 0}, "port"),
        ({"port": 65_536}, "port"),
        ({"username": "hbd"}, "password"),
        ({"password": "x"}, "username"),
        ({"host": "mail.example.org", "username": "hbd", "password": "x"}, "tls"),
        ({"to": tuple(f"u{number}@example.org" for number in range(51))}, "to"),
    ],
)
def test_a_setting_that_cannot_be_is_named(changed: dict[str, Any], field: str) -> None:
    assert [key for key, _ in Email().check(settings(**changed))] == [field]
