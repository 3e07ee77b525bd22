"""Mail over SMTP, plain text. What is said of one problem stays one thread in the reader's mailbox."""

from __future__ import annotations

import re
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from ipaddress import ip_address

import aiosmtplib

from hbd.channels.base import SEND_SECONDS, Channel, Field, Flaw, Message, SendFailed, Settings, Tools, within_limit
from hbd.channels.words import plain
from hbd.model import is_host_name

MAX_RECIPIENTS = 50
MAX_THREADS = 20  # of problems that a message is filed under
_OF_THE_MESSAGE = frozenset((523, 552, 554))  # too large, or not wanted for what is in it
PORTS = {"starttls": 587, "tls": 465, "none": 25}

_ADDRESS = re.compile(
    r"(?!\.)[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@"
    r"(?=.{1,253}\Z|.{1,253}>)(?:[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*|\[(?:IPv6:)?[0-9A-Fa-f.:]{2,45}\])"
)
_NAMED = re.compile(rf"(?:(?P<name>[^\x00-\x1f\x7f<>\"\\@,;:]{{1,100}}?) *<(?P<of>{_ADDRESS.pattern})>)")
_ODD = re.compile(r"[^A-Za-z0-9._-]")


class Email:
    key = "email"
    label = "E-mail"
    fields = (
        Field("host", "Mail server", required=True),
        Field("port", "Port", "number", help="Left out: 587 with STARTTLS, 465 with TLS, else 25."),
        Field("tls", "Encryption", "choice", choices=("starttls", "tls", "none"), default="starttls"),
        Field("username", "User name"),
        Field("password", "Password", "secret"),
        Field("from", "From", required=True, help="hbd@example.org, or: hbd <hbd@example.org>"),
        Field("to", "To", "list", required=True),
    )

    def check(self, settings: Settings) -> list[Flaw]:
        flaws = []
        if not is_server(settings["host"]):
            flaws.append(("host", "must be a host name or an address"))
        if not 1 <= settings.get("port", 1) <= 65535 or settings.get("port", 1) % 1:
            flaws.append(("port", "must be 1 to 65535"))
        if not _ADDRESS.fullmatch(settings["from"]) and not _NAMED.fullmatch(settings["from"]):
            flaws.append(("from", "must be a mail address"))
        flaws += [("to", "must be mail addresses") for one in settings["to"] if not _ADDRESS.fullmatch(one)][:1]
        if len(settings["to"]) > MAX_RECIPIENTS:
            flaws.append(("to", f"must be {MAX_RECIPIENTS} addresses at most"))
        if bool(settings.get("username")) != bool(settings.get("password")):
            missing = "password" if settings.get("username") else "username"
            flaws.append((missing, "user name and password belong together"))
        if settings.get("tls") == "none" and settings.get("password") and not _is_this_machine(settings["host"]):
            flaws.append(("tls", "a password is not sent unencrypted, but to this machine"))
        return flaws

    def targets(self, settings: Settings) -> Sequence[tuple[str, int]]:
        return [(settings["host"], _port(settings))]

    def open(self, name: str, settings: Settings, tools: Tools) -> Channel:
        return _Open(settings, tools)


class _Open:
    refresh = None

    def __init__(self, settings: Settings, tools: Tools) -> None:
        self._settings = settings
        self._tools = tools

    async def send(self, message: Message) -> str:
        letter = written(message, self._settings["from"], self._settings["to"])
        async with within_limit():
            return await self._hand_over(letter)

    async def _hand_over(self, letter: EmailMessage) -> str:
        settings, tls = self._settings, self._settings.get("tls", "starttls")
        client = aiosmtplib.SMTP(
            hostname=settings["host"],
            port=None,
            sock=await self._tools.guard.connect(settings["host"], _port(settings)),
            use_tls=tls == "tls",
            start_tls=tls == "starttls",
            tls_context=None if tls == "none" else ssl.create_default_context(),
            username=settings.get("username") or None,
            password=settings.get("password") or None,
            local_hostname="[127.0.0.1]",
            timeout=SEND_SECONDS,
        )
        try:
            async with client:
                refused, _ = await client.send_message(letter)
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise _failure("no recipient was taken", [one.code for one in error.recipients]) from None
        except aiosmtplib.SMTPAuthenticationError as error:
            raise _failure("user name or password was refused", [error.code]) from None
        except aiosmtplib.SMTPResponseException as error:
            raise _failure("the mail was refused", [error.code]) from None
        except ssl.SSLError:
            raise SendFailed("the server cannot be trusted (TLS)") from None
        except (aiosmtplib.SMTPException, OSError):
            raise SendFailed("the mail server did not go on") from None
        finally:
            client.close()
        return f"250, {len(refused)} of {len(settings['to'])} recipients refused" if refused else "250"

    async def close(self) -> None:
        pass


def written(message: Message, sender: str, recipients: Sequence[str]) -> EmailMessage:
    letter = EmailMessage(policy=SMTP)
    named = _NAMED.fullmatch(sender)
    letter["From"] = f'"{named["name"]}" <{named["of"]}>' if named else sender
    letter["To"] = ", ".join(recipients)
    letter["Subject"] = plain(message.title)
    letter["Date"] = format_datetime(datetime.fromtimestamp(message.sent, UTC))
    letter["Message-ID"] = _reference("message", message.id)
    threads = dict.fromkeys(_reference("problem", item.id) for item in message.items[:MAX_THREADS])
    if threads:
        letter["In-Reply-To"] = next(iter(threads))
        letter["References"] = " ".join(threads)
    letter["Auto-Submitted"] = "auto-generated"
    letter["X-Hbd-Message"] = _ODD.sub("-", message.id)
    letter.set_content(message.text + "\n")
    return letter


def is_server(text: str) -> bool:
    """Whether text may be the name or the address of a server."""
    try:
        ip_address(text)
    except ValueError:
        return is_host_name(text) and ":" not in text
    return True


def _reference(kind: str, text: str) -> str:
    return f"<{kind}-{_ODD.sub('-', text)[:100]}@hbd>"


def _failure(what: str, codes: Sequence[int]) -> SendFailed:
    permanent = bool(codes) and all(500 <= code < 600 for code in codes)
    refused = bool(codes) and all(code in _OF_THE_MESSAGE for code in codes)
    return SendFailed(f"{what} (status {codes[0]})" if codes else what, permanent=permanent, refused=refused)


def _port(settings: Settings) -> int:
    return int(settings.get("port") or PORTS[settings.get("tls", "starttls")])


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
