"""WebSockets: the live feed at ``/hbd`` of both ports, and the way in for agents.

What subscribers get is decided in ``hbd/feed.py``.
"""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import nullcontext
from typing import Annotated, Any

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web
from msgspec import Meta, Struct

from hbd.access import EVERYBODY, Action, Identity, may
from hbd.errors import Busy, Forbidden, InvalidInput
from hbd.feed import SIGN_IN, TRY_AGAIN_LATER
from hbd.subscription import View, Who, seer
from hbd.web import schemas
from hbd.web.auth import known, renewed
from hbd.web.call import Call, Caller
from hbd.web.frames import error_frame
from hbd.web.invalid import invalid
from hbd.web.origins import check_feed_origin
from hbd.web.parts import Parts
from hbd.web.strangers import STRANGERS
from hbd.web.throttle import Throttle

PING_SECONDS = 30.0
GOODBYE_SECONDS = 30.0  # how long a connection that we end may take to read what is on its way
FLUSH_SECONDS = 0.05  # how often that is looked at
SIGN_IN_SECONDS = 5.0  # how long somebody may take to say who they are
MAX_FRAME_BYTES = 64 * 1024
MAX_MISTAKES = 5  # unreadable frames of one subscriber
FRAMES_AT_ONCE, FRAMES_PER_SECOND = 10, 1.0  # of one subscriber: each may cost a snapshot
SEND_BUFFER_BYTES = 64 * 1024  # small, so that a subscriber that reads nothing is noticed soon


class FeedQuery(Struct):
    """The same as in a subscribe frame, for those who know at once what they want."""

    hosts: Annotated[str | None, Meta(description="Only these hosts, separated by commas.")] = None
    types: Annotated[str | None, Meta(description="Only these types, separated by commas.")] = None
    batch: Annotated[bool, Meta(description="One frame per tick instead of one per message.")] = False


class Auth(Struct, tag="auth"):
    """The first message of whoever cannot send a header. Nobody needs it on a daemon without users."""

    token: str | None = None


_pause = asyncio.sleep
_DECODER: msgspec.json.Decoder[schemas.Subscribe | Auth] = msgspec.json.Decoder(schemas.Subscribe | Auth)


async def feed(call: Call) -> web.StreamResponse:
    request, parts, live = call.request, call.parts, call.parts.feed
    check_feed_origin(request, parts.config, ambient=call.caller.ambient)
    stranger = call.identity.role is None and not call.identity.open
    live.require_room(call.identity.name)
    query: FeedQuery = call.query
    hosts, types = _listed(query.hosts, schemas.FeedHosts, "hosts"), _listed(query.types, schemas.FeedTypes, "types")
    view = _view(call.identity, hosts, types, query.batch)

    ws = web.WebSocketResponse(heartbeat=PING_SECONDS, compress=False, max_msg_size=MAX_FRAME_BYTES)
    with request.app[STRANGERS].one(call.caller.address) if stranger else nullcontext():
        await ws.prepare(request)
        transport = request.transport
        if transport is None:
            return ws
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        caller = await _introduced(ws, call) if stranger else call.caller
    if caller is None:
        await ws.close(code=SIGN_IN, message=b"Sign in first")
        return ws
    who = _who(parts, caller)
    channel = SocketChannel(ws, transport)
    loop = asyncio.get_running_loop()
    try:
        view = msgspec.structs.replace(view, identity=seer(caller.identity))
        subscription = live.subscribe(channel, view, loop.time(), who, caller.identity.name)
    except Busy as error:
        await ws.close(code=TRY_AGAIN_LATER, message=str(error).encode())
        return ws
    try:
        mistakes, pace = 0, Throttle(FRAMES_PER_SECOND, FRAMES_AT_ONCE, max_keys=1)
        async for message in ws:
            while not subscription.closed and (wait := pace.take("", loop.time())) > 0:
                await _pause(wait)  # what comes meanwhile waits with the sender
            if subscription.closed:
                continue
            wanted = _read(message.data if message.type is WSMsgType.TEXT else None)
            if isinstance(wanted, schemas.Subscribe):
                identity = subscription.view.identity
                live.narrow(subscription, _view(identity, wanted.hosts, wanted.types, wanted.batch))
            elif isinstance(wanted, str):
                mistakes += 1
                live.tell(subscription, [error_frame(wanted)], loop.time())
                if mistakes >= MAX_MISTAKES:
                    live.send_away(subscription, WSCloseCode.POLICY_VIOLATION, "Too many frames that cannot be read")
    finally:
        live.leave(subscription)
        await channel.closed()
    return ws


async def _introduced(ws: web.WebSocketResponse, call: Call) -> Caller | None:
    """Whom the first message of a connection names; None when it comes too late or names nobody."""
    if call.caller.refused:
        return None
    try:
        async with asyncio.timeout(SIGN_IN_SECONDS):
            message = await ws.receive()
    except TimeoutError:
        return None
    said = _read(message.data if message.type is WSMsgType.TEXT else None)
    if not isinstance(said, Auth) or not said.token:
        return None
    now = time.time()
    credential = call.parts.accounts.credential(said.token, now)
    if credential is None or not may(credential.identity, Action.VIEW).allowed:
        return None
    call.parts.accounts.use(credential, call.caller.address, now)
    return known(credential, call.caller.address, ambient=False)


def _who(parts: Parts, caller: Caller) -> Who:
    """Asks again and again whom a connection stands for."""
    credential = caller.credential

    def who() -> Identity | None:
        if parts.accounts.open:
            return EVERYBODY
        now = renewed(parts, credential) if credential is not None else None
        return now.identity if now is not None and may(now.identity, Action.VIEW).allowed else None

    return who


async def agent_link(call: Call) -> web.StreamResponse:
    """An agent's own connection; what is said there is decided in ``hbd/receivers/agent_link.py``."""
    if "Origin" in call.request.headers:  # only browsers send one, and no page has any business here
        raise Forbidden("This is for agents")
    return await call.parts.agent_link(call.request)


class SocketChannel:
    """A WebSocket as ``hbd.feed.Channel``. Frames come ready made, so they go straight to the transport."""

    def __init__(self, ws: web.WebSocketResponse, transport: asyncio.WriteTransport) -> None:
        self._ws = ws
        self._transport = transport
        self._closing: asyncio.Task[None] | None = None

    def buffered(self) -> int:
        return self._transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def close(self, code: int, reason: str) -> None:
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(code, reason))

    async def _close(self, code: int, reason: str) -> None:
        """Say goodbye, give what is on its way some time to be read, then let go."""
        try:
            await self._ws.close(code=code, message=reason.encode(), drain=False)
            for _ in range(int(GOODBYE_SECONDS / FLUSH_SECONDS)):
                if not self.buffered():
                    break
                await asyncio.sleep(FLUSH_SECONDS)
        finally:
            if self.buffered():
                self._transport.abort()

    async def closed(self) -> None:
        """Wait for a goodbye that was begun."""
        if self._closing is not None:
            await self._closing


def _read(text: str | None) -> schemas.Subscribe | Auth | str:
    """What a subscriber sent, or what is wrong with it."""
    if text is None:
        return "send JSON as text"
    try:
        return _DECODER.decode(text)
    except msgspec.ValidationError as error:
        return str(invalid(error, _DECODER.type))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return "this is not JSON"


def _view(identity: Identity, hosts: list[str] | None, types: list[schemas.FeedType] | None, batch: bool) -> View:
    return View(
        identity=identity,
        hosts=None if hosts is None else frozenset(name.lower() for name in hosts),
        types=None if types is None else frozenset(types),
        batch=batch,
    )


def _listed(text: str | None, kind: Any, field: str) -> Any:
    """What stands in a URL, separated by commas, as that kind of list; None for nothing. Raises InvalidInput."""
    if text is None:
        return None
    try:
        return msgspec.convert([part for part in text.split(",") if part], kind)
    except msgspec.ValidationError as error:
        raise InvalidInput(invalid(error, kind).reason, field) from None
