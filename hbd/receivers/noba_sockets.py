"""The WebSockets of NOBA-style agents: JSON text frames, ``identify`` first; one for each host, the newest counts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from hbd.config.structs import Limits
from hbd.enrolment import LiveKey
from hbd.hosts import Host
from hbd.pipeline import Pipeline
from hbd.receivers.noba_agents import NobaAgents
from hbd.remote.frames import Frame
from hbd.stats import Stats

log = logging.getLogger(__name__)

IDENTIFY_SECONDS = 10.0
IDLE_SECONDS = 600.0  # an agent that runs something says nothing meanwhile; any other one pings every 30 s
SEND_SECONDS = 20.0  # an agent that reads nothing for so long is cut off
CLOSE_SECONDS = 1.0
MAX_OUTGOING = 100
MAX_UNREADABLE = 20
NOT_IDENTIFIED = 4002  # close code of the system that these agents are of
# Such an agent answers no ping of ours while it runs a command, but its machine does.
KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
PONG: Frame = {"type": "pong"}

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class NobaSockets:
    def __init__(self, agents: NobaAgents, pipeline: Pipeline, stats: Stats, limits: Callable[[], Limits]) -> None:
        """limits: as the config has them now."""
        self._agents = agents
        self._pipeline = pipeline
        self._limits = limits
        self._stats = stats
        self._sockets: dict[int, NobaSocket] = {}
        self._open: Counter[str] = Counter()
        stats.gauge("noba_sockets", "Agents of the NOBA kind that hold a WebSocket.", lambda: len(self._sockets))

    async def serve(self, request: web.Request, key: LiveKey, address: str) -> web.StreamResponse:
        """One connection of an agent that has shown its key, from its beginning to its end."""
        limits = self._limits()
        most = limits.max_links_per_address
        if self._open.total() >= limits.max_links or (most and self._open[address] >= most):
            self._stats.count("links_refused_total", reason="limit")
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "30"})
        ws = web.WebSocketResponse(compress=False, max_msg_size=limits.max_frame_bytes, timeout=CLOSE_SECONDS)
        self._open[address] += 1
        try:
            await ws.prepare(request)
            _keep_alive(request)
            said = await _identified(ws)
            if said is not None and not self._agents.may_connect(key):  # nobody could tell it while it took its time
                await ws.close(code=WSCloseCode.POLICY_VIOLATION, message=b"this agent key was revoked")
            elif said is not None:
                self._pipeline.facts(key.host, agent_version=said.get("agent_version"))
                await self._hold(NobaSocket(ws, request.transport, key, self._agents))
        except ConnectionError:
            pass  # the agent left
        finally:
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]
        return ws

    async def _hold(self, held: NobaSocket) -> None:
        host = held.host
        before = self._sockets.get(host.id)
        self._sockets[host.id] = held
        self._agents.desk.attach(host, held, None)
        try:
            if before is not None:
                await before.close(WSCloseCode.OK, "another connection of this host took over")
            await held.run()
        finally:
            self._agents.desk.detach(host, held)
            if self._sockets.get(host.id) is held:
                del self._sockets[host.id]

    def holds(self, host: Host) -> bool:
        """Whether the agent of a host can be told something at once."""
        return host.id in self._sockets

    def drop(self, host: Host) -> None:
        """Let go of a host that has just lost its key, or its place here."""
        if (held := self._sockets.get(host.id)) is not None:
            held.cut()

    def cut(self, key: LiveKey) -> None:
        """End the connection that was opened with a key which has just expired."""
        held = self._sockets.get(key.host.id)
        if held is not None and held.key.hash == key.hash:
            held.cut()

    async def close(self) -> None:
        """End every connection; the agents come back when they find a daemon again."""
        closing = [held.close(WSCloseCode.GOING_AWAY, "the daemon is stopping") for held in self._sockets.values()]
        await asyncio.gather(*closing, return_exceptions=True)


class NobaSocket:
    """One agent that has said who it is."""

    def __init__(
        self, ws: web.WebSocketResponse, transport: asyncio.Transport | None, key: LiveKey, agents: NobaAgents
    ) -> None:
        """key: that it was opened with."""
        self.host = key.host
        self.key = key
        self._ws = ws
        self._transport = transport
        self._agents = agents
        self._outgoing: asyncio.Queue[Frame] = asyncio.Queue(MAX_OUTGOING)
        self._ended = False

    def send(self, command: Frame) -> bool:
        """Have a command go out. One that cannot, as nobody is there any more or too many wait, is kept for the next
        report."""
        if self._ended or self._outgoing.full():
            self._agents.keep(self.host, command)
        else:
            self._outgoing.put_nowait(command)
        return True

    async def run(self) -> None:
        """Read until the agent or we close."""
        writing = asyncio.create_task(self._write())
        try:
            await self._read()
        finally:
            self._ended = True
            writing.cancel()
            while not self._outgoing.empty():
                frame = self._outgoing.get_nowait()
                if frame is not PONG:
                    self._agents.keep(self.host, frame)

    async def _read(self) -> None:
        unreadable = 0
        while True:
            try:
                message = await self._ws.receive(timeout=IDLE_SECONDS)
            except TimeoutError:
                log.info("%s has said nothing for %.0f s; its connection is closed", self.host.name, IDLE_SECONDS)
                break
            if message.type is not WSMsgType.TEXT:
                break
            said = _said(message.data)
            if said is None:
                unreadable += 1
                if unreadable >= MAX_UNREADABLE:
                    break
            elif said.get("type") == "ping" and "id" not in said:  # with one, it is how the oldest agents answer a ping
                if not self._outgoing.full():
                    self._outgoing.put_nowait(PONG)
            else:
                self._agents.heard(self.host, said, self)
        await self.close(WSCloseCode.POLICY_VIOLATION, "not read any further")

    async def _write(self) -> None:
        try:
            while True:
                frame = await self._outgoing.get()
                message = frame if frame is PONG else self._agents.worded(self.host, frame)
                async with asyncio.timeout(SEND_SECONDS):
                    await self._ws.send_str(_encode(message).decode())
        except TimeoutError:
            log.warning("%s reads nothing; its connection is cut", self.host.name)
            self.cut()
        except ConnectionError:
            pass  # the reader hears of it, too

    async def close(self, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._ws.close(code=code, message=reason.encode())
        except (TimeoutError, ConnectionError):
            self.cut()

    def cut(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def _identified(ws: web.WebSocketResponse) -> dict[str, Any] | None:
    """What the agent says of itself first; None when it begins otherwise. Who it is its key has told."""
    with contextlib.suppress(TimeoutError):
        message = await ws.receive(timeout=IDENTIFY_SECONDS)
        said = _said(message.data) if message.type is WSMsgType.TEXT else None
        if said is not None and said.get("type") == "identify":
            return said
    with contextlib.suppress(ConnectionError):
        await ws.close(code=NOT_IDENTIFIED, message=b"an identify message comes first")
    return None


def _said(text: str) -> dict[str, Any] | None:
    try:
        return _decode(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return None


def _keep_alive(request: web.Request) -> None:
    """Hear of a machine that is gone without a word in a minute, not in hours."""
    sock = request.transport.get_extra_info("socket") if request.transport is not None else None
    if sock is None:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if (option := getattr(socket, name, None)) is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
