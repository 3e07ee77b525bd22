"""Opening the agent's WebSocket to one server, up to its welcome; and how to take what a server says."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit, urlunsplit

from hbc import __version__
from hbc.trust import SYSTEM_TRUST, Trust, TrustProblem
from hbc.wire import (
    LINK_PATH,
    MAX_FRAME_BYTES,
    Hello,
    Proof,
    Welcome,
    agent_proof,
    daemon_proof,
    key_id,
    new_nonce,
)

if TYPE_CHECKING:  # 5 MiB that ``hbc once`` does not need
    from websockets.asyncio.client import ClientConnection
    from websockets.datastructures import Headers

OPEN_TIMEOUT = 10.0  # seconds, for the connection and for the welcome each
PING_SECONDS = 15.0  # a peer that vanished is noticed after two of these
CLOSE_TIMEOUT = 1.0
RETRY_MAX = 3600.0  # no server can send an agent away for longer
RETRY_IMPOSTOR = 60.0  # seconds; a server that is not ours is left alone for so long
NOT_OURS = "it did not prove that it knows this agent's key, which it was not told"
_FRAMES_BEFORE_WELCOME = 5  # that say something else
_SAID_CHARACTERS = 300  # of a text from the server in the log


class Refused(Exception):
    """The server does not want this agent now. retry: seconds it asks to wait. code: its word for why, or ""."""

    def __init__(self, text: str, retry: float, code: str = "") -> None:
        super().__init__(text)
        self.retry = retry
        self.code = code


def link_url(server: str, path: str = LINK_PATH) -> str:
    """The WebSocket address behind a configured server: https becomes wss, http ws; a path before ours is kept."""
    parts = urlsplit(server)
    scheme = {"https": "wss", "http": "ws"}.get(parts.scheme, parts.scheme)
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/") + path, "", ""))


async def greet(
    server: str,
    hello: Callable[[], Hello],
    trust: Trust = SYSTEM_TRUST,
    hashed: Callable[[], bytes | None] = lambda: None,
) -> tuple[ClientConnection, Welcome]:
    """An open link and its welcome. hashed: of the agent's key (``hbc.wire.key_hash``), None while it has none; with
    one the server has to prove that it knows the key, which itself is never sent.

    Raises Refused, or OSError and its like when there is no talking to the server.
    """
    from websockets.exceptions import WebSocketException

    socket = await connect(link_url(server), trust)
    try:
        first, known, nonce = hello(), hashed(), new_nonce()
        if known is not None:
            first["key_id"], first["nonce"] = key_id(known).hex(), nonce
        await socket.send(json.dumps(first))
        async with asyncio.timeout(OPEN_TIMEOUT):
            if known is not None:
                await _prove(socket, known, nonce)
            return socket, cast(Welcome, await _heard(socket, "welcome"))
    except (WebSocketException, ValueError) as error:
        await close(socket)
        raise ConnectionError(f"closed before the welcome: {said(error)}") from None
    except TimeoutError:
        await close(socket)
        raise ConnectionError(f"no welcome within {OPEN_TIMEOUT:g} s") from None
    except BaseException:
        await close(socket)
        raise


async def connect(
    url: str, trust: Trust, *, headers: Mapping[str, str] | None = None, pings: bool = True
) -> ClientConnection:
    """A WebSocket. pings: whether a peer that does not answer them in time is taken for gone.

    Raises Refused, or OSError and its like.
    """
    from websockets.asyncio.client import connect as connect_
    from websockets.exceptions import InvalidStatus, WebSocketException

    class Here(connect_):
        """A hello carries the key, a stream its token: they go to the server that the config names, nowhere else."""

        def process_redirect(self, exc: Exception) -> Exception:
            return exc

    try:
        secured = trust.context() if url.startswith("wss:") else None
        socket = await Here(
            url,
            ssl=secured,
            compression=None,
            open_timeout=OPEN_TIMEOUT,
            ping_interval=PING_SECONDS if pings else None,
            ping_timeout=PING_SECONDS,
            close_timeout=CLOSE_TIMEOUT,
            max_size=MAX_FRAME_BYTES,
            user_agent_header=f"hbc/{__version__}",
            additional_headers=headers,
        )
    except InvalidStatus as error:
        text = f"the server answered {error.response.status_code}"
        retry = _retry_after(error.response.headers)
        if retry is not None:
            raise Refused(text, retry) from None
        raise ConnectionError(text) from None
    except (WebSocketException, ImportError) as error:  # the latter: a SOCKS proxy that nothing here can speak to
        raise ConnectionError(f"no WebSocket: {error}") from None
    except TrustProblem as problem:
        raise ConnectionError(str(problem)) from None
    if secured is not None:
        try:
            trust.check(socket.transport.get_extra_info("ssl_object").getpeercert(binary_form=True))
        except TrustProblem as problem:
            await close(socket)
            raise ConnectionError(str(problem)) from None
    return socket


def _retry_after(headers: Headers) -> float | None:
    """Seconds; None for a date, and for several headers of which nobody knows which one counts."""
    values = headers.get_all("Retry-After")
    return float(values[0][:6]) if len(values) == 1 and values[0].isdecimal() else None


async def _prove(socket: ClientConnection, hashed: bytes, nonce: str) -> None:
    """Have the server prove that it knows our key, then do the same. Raises Refused; ValueError for odd frames."""
    frame = await _heard(socket, "challenge")
    theirs = str(frame.get("nonce"))[:_SAID_CHARACTERS]
    if not hmac.compare_digest(str(frame.get("proof")).encode(), daemon_proof(hashed, nonce, theirs).encode()):
        raise Refused(NOT_OURS, RETRY_IMPOSTOR, "impostor")
    await socket.send(json.dumps(Proof(type="proof", proof=agent_proof(hashed, nonce, theirs))))


async def _heard(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """The first frame of that kind. Raises Refused, ValueError."""
    # Bounded by a count too: frames that lie ready are read without a pause in which the time limit could strike.
    for _ in range(_FRAMES_BEFORE_WELCOME):
        frame = parse(await socket.recv())
        if frame.get("type") == kind:
            return frame
        if frame.get("type") == "welcome":
            raise Refused(NOT_OURS, RETRY_IMPOSTOR, "impostor")
        if frame.get("type") == "refused":
            code = said(frame.get("code"))
            raise Refused(f"{said(frame.get('reason'))} ({code})", seconds(frame.get("retry"), 30.0), code)
    raise ValueError(f"everything but a {kind} came")


async def close(socket: ClientConnection) -> None:
    """Close a link, within two seconds."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT * 2):
            await socket.close()
    except TimeoutError:
        socket.transport.abort()


def parse(text: str | bytes) -> dict[str, Any]:
    """Raises ValueError for anything but a JSON object."""
    try:
        frame = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(frame, dict):
        raise ValueError("not an object")
    return frame


def seconds(value: object, default: float) -> float:
    """A wait the server asks for, kept in bounds."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        return default
    return float(min(value, RETRY_MAX))


def said(value: object) -> str:
    """A text of the server's for the log, however long or odd it is."""
    return str(value)[:_SAID_CHARACTERS]
