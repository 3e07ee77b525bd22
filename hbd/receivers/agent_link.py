"""The agent link: one WebSocket to each hbc, JSON text frames in the words of ``hbc/wire.py``."""

from __future__ import annotations

import asyncio
import hmac
import logging
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from hbc import wire
from hbd import addresses
from hbd.config import Config
from hbd.enrolment import Enrolment, LimitReached, LiveKey
from hbd.errors import Conflict, HbdError, InvalidInput, NotFound, StorageError
from hbd.hosts import Host
from hbd.model import Beat, Moment, Sample, is_host_name
from hbd.model import Report as ModelReport
from hbd.pipeline import Outcome, Pipeline
from hbd.receivers.agent_frames import (
    MANY_METRICS_BYTES,
    OLDEST_SAMPLE_SECONDS,
    UNREADABLE,
    Bye,
    Hello,
    Proof,
    Report,
    check_size,
    decode_frame,
    decode_samples,
    encode,
    offset_of,
    salvage,
    shift_of,
    sift,
)
from hbd.receivers.doors import source_of
from hbd.receivers.udp import Heartbeats
from hbd.remote.frames import Frame
from hbd.stats import Stats

log = logging.getLogger(__name__)

HELLO_SECONDS = 10.0  # how long a fresh connection may take to say who it is
PING_SECONDS = 30.0  # a link that answers no ping is closed: its peer is gone without a word
MAX_IN_FLIGHT = 256  # reports of one link that wait for their commit or for their answer to be sent
MAX_IN_FLIGHT_BYTES = 4 << 20  # beyond either the link is not read
MAX_OUTGOING = 1_000  # frames for one agent that have not gone out; beyond it is told nothing more
MAX_REJECTIONS = 50  # told in one answer; the rest is counted
ANSWER_SECONDS = 20.0  # a peer that takes no answer for so long is cut off
CLOSE_SECONDS = 1.0
MAX_REFUSALS = 1_000
REFUSAL_NOTICE_SECONDS = 600.0  # the same refusal of the same address is logged this often at the most
BUSY_RETRY_SECONDS = 5.0
REFUSED_RETRY_SECONDS = 60.0


class Refusal(HbdError):
    """A hello that is not taken. code, retry: see ``wire.Refused``."""

    def __init__(self, code: str, reason: str, retry: float = REFUSED_RETRY_SECONDS) -> None:
        super().__init__(reason)
        self.code = code
        self.retry = retry


class AgentLinks:
    """All links of this daemon."""

    def __init__(
        self,
        config: Config,
        enrolment: Enrolment,
        pipeline: Pipeline,
        heartbeats: Heartbeats,
        stats: Stats,
        on_facts: Callable[[Host], None] = lambda host: None,
        closed: Callable[[], bool] = lambda: False,
    ) -> None:
        """on_facts is called when an agent has said anew what it knows of its host.

        closed: whether people have to sign in: then agents that nobody enrolled are not taken either, by default.
        """
        self.config = config
        self.on_facts = on_facts
        self._closed = closed
        self.heartbeat_port = 0
        """where agents are told to send heartbeats; 0 until the sockets are bound"""
        self._enrolment = enrolment
        self._pipeline = pipeline
        self._heartbeats = heartbeats
        self._stats = stats
        self.watched: Callable[[Host], list[str]] = lambda host: []
        """names of the processes that the agent of a host is to look after; told with its welcome"""
        self.on_linked: list[Callable[[Host], None]] = []
        """called with every host whose agent was welcomed, once it can be sent something"""
        self.on_frame: dict[type, Callable[[Host, Any], None]] = {}
        """by the type of a frame (``hbd.remote.frames``): who hears of it"""
        self._links: dict[int, Link] = {}
        self._refusals: dict[tuple[str, str | None], float] = {}
        self._open: Counter[str] = Counter()
        stats.gauge("agent_links", "Agents that hold a link.", lambda: len(self._links))
        stats.describe("links_refused_total", "Links that were not taken, by reason.")
        stats.describe("samples_rejected_total", "Samples that were refused for what they contain.")
        stats.describe("frames_ignored_total", "Frames of agents that could not be read or are of no known type.")

    def __len__(self) -> int:
        return len(self._links)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """One connection from its hello to its end."""
        limits, forwarded = self.config.limits, request.headers.getall("X-Forwarded-For", ())
        peer = addresses.client(request.remote, forwarded, self.config.proxies)
        if self._open.total() >= limits.max_links or (
            limits.max_links_per_address and self._open[peer] >= limits.max_links_per_address
        ):
            self._stats.count("links_refused_total", reason="limit")
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "30"})
        socket = web.WebSocketResponse(
            heartbeat=PING_SECONDS, compress=False, max_msg_size=limits.max_frame_bytes, timeout=2.0
        )
        self._open[peer] += 1
        link: Link | None = None
        try:
            await socket.prepare(request)
            link = await self._greet(socket, request)
            if link is not None:
                await self._register(link)
                await link.run()
        except ConnectionError:
            pass  # the peer left; it keeps whatever it was not told about
        finally:
            self._open[peer] -= 1
            if not self._open[peer]:
                del self._open[peer]
            if link is not None and self._links.get(link.host.id) is link:
                del self._links[link.host.id]
                self._linked(link.host, False)
        return socket

    async def close(self) -> None:
        """End every link; the agents come back when they find a daemon again."""
        closing = [link.close(WSCloseCode.GOING_AWAY, "the daemon is stopping") for link in self._links.values()]
        await asyncio.gather(*closing, return_exceptions=True)

    async def drop(self, host: Host, reason: str) -> None:
        """End the link of one host, whose key or existence has just ended."""
        await self._end(host, WSCloseCode.POLICY_VIOLATION, reason)

    async def renew(self, host: Host) -> None:
        """Have the agent of a host say hello again: what its welcome told is no longer so."""
        await self._end(host, WSCloseCode.GOING_AWAY, "config changed")

    async def _end(self, host: Host, code: int, reason: str) -> None:
        link = self._links.get(host.id)
        if link is not None:
            await link.close(code, reason)

    def send(self, host: Host, frame: Frame) -> bool:
        """Send a frame to the agent of a host. False when it has no link, or does not read what it is sent."""
        link = self._links.get(host.id)
        return link is not None and link.send(frame)

    def cut(self, key: LiveKey) -> None:
        """End the link that was opened with a key which has just expired."""
        link = self._links.get(key.host.id)
        if link is not None and link.key.hash == key.hash:
            link.cut()

    async def prove(self, key: LiveKey) -> None:
        """A key has arrived at its agent. A disk that cannot note it now will at the next hello."""
        try:
            await self._enrolment.prove(key, Moment.now().wall)
        except StorageError as error:
            log.warning("%s: %s", key.host.name, error)

    # -------------------------------------------------------------------------------------------------------- hello

    async def _greet(self, socket: web.WebSocketResponse, request: web.Request) -> Link | None:
        """Hear the hello; the link of an agent that is admitted, None when it was refused."""
        remote = request.remote
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                first = await socket.receive()
            if first.type is not WSMsgType.TEXT:
                raise Refusal("protocol", "a hello in a text frame comes first")
            key, hello, made = await self._admit(first.data, socket)
        except TimeoutError:
            self._refused("silent", "no hello", remote)
            await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"no hello")
            return None
        except Refusal as refusal:
            self._refused(refusal.code, str(refusal), remote)
            answer = wire.Refused(type="refused", code=refusal.code, reason=str(refusal), retry=refusal.retry)
            if not socket.closed:
                await socket.send_str(encode(answer).decode())
                await socket.close(code=WSCloseCode.POLICY_VIOLATION)
            return None
        return Link(self, socket, key, hello, remote, made, request.transport)

    def _refused(self, code: str, reason: str, remote: str | None) -> None:
        self._stats.count("links_refused_total", reason=code)
        now = Moment.now().mono
        if now - self._refusals.get((code, remote), -math.inf) >= REFUSAL_NOTICE_SECONDS:
            if len(self._refusals) >= MAX_REFUSALS:
                self._refusals.clear()
            self._refusals[code, remote] = now
            log.warning("an agent at %s was refused (%s): %s", remote, code, reason)

    async def _admit(self, text: str, socket: web.WebSocketResponse) -> tuple[LiveKey, Hello, str | None]:
        """With whose key somebody says hello; and that key itself if it was just made. Raises Refusal."""
        try:
            hello = decode_frame(text)
        except UNREADABLE as error:
            raise Refusal("protocol", f"the hello cannot be read: {error}") from None
        if not isinstance(hello, Hello):
            raise Refusal("protocol", "a hello comes first")
        if hello.protocol != wire.PROTOCOL:
            raise Refusal("protocol", f"this daemon speaks protocol {wire.PROTOCOL}, not {hello.protocol}")
        if hello.key or hello.key_id:
            made, key = None, await self._shown(hello, socket)
            if key is not None:
                await self.prove(key)
            if key is None or not self._enrolment.works(key, Moment.now().wall):  # it may have been revoked meanwhile
                raise Refusal("key", "nobody has this key: it is wrong or was revoked")
        else:
            made = await self._enrol(hello)
            key = self._enrolment.live(made, Moment.now().wall)
            assert key is not None, "it was made a moment ago"
        if not key.host.enabled:
            raise Refusal("disabled", f"host '{key.host.name}' is switched off on the daemon")
        return key, hello, made

    async def _shown(self, hello: Hello, socket: web.WebSocketResponse) -> LiveKey | None:
        """The key that a hello shows, or names and then proves to have; None when nobody has it. Raises Refusal."""
        now = Moment.now().wall
        if hello.key:
            return self._enrolment.live(hello.key, now)
        if hello.nonce is None or hello.key_id is None:
            raise Refusal("protocol", "nonce: is needed with key_id")
        key = self._enrolment.by_key_id(bytes.fromhex(hello.key_id), now)
        if key is None:
            return None
        nonce = wire.new_nonce()
        proof = wire.daemon_proof(key.hash, hello.nonce, nonce)
        await socket.send_str(encode(wire.Challenge(type="challenge", nonce=nonce, proof=proof)).decode())
        async with asyncio.timeout(HELLO_SECONDS):
            answer = await socket.receive()
        try:
            said = decode_frame(answer.data) if answer.type is WSMsgType.TEXT else None
        except UNREADABLE:
            said = None
        expected = wire.agent_proof(key.hash, hello.nonce, nonce)
        if not isinstance(said, Proof) or not hmac.compare_digest(said.proof, expected):
            raise Refusal("key", "the agent did not prove that it has this key")
        return key

    async def _enrol(self, hello: Hello) -> str:
        """The key that was made for somebody who has none. Raises Refusal."""
        if not is_host_name(hello.name):
            raise Refusal("name", "name: 1-253 letters, digits, '.', '_', '-' or ':' are allowed")
        if self.config.enrollment(self._closed()) != "open":
            raise Refusal("enrollment", "a key is needed; make one with: hbd agent add " + hello.name)
        if self.config.is_dropped(hello.name):
            raise Refusal("disabled", f"host '{hello.name}' is in drophosts")
        try:
            return await self._enrolment.add(
                hello.name, hello.tags, handed_out=True, max_hosts=self.config.limits.max_hosts
            )
        except LimitReached as error:
            raise Refusal("enrollment", str(error)) from None
        except Conflict:
            raise Refusal(
                "key", f"host '{hello.name}' is enrolled with a key; give that key or rotate it on the daemon"
            ) from None
        except HbdError as error:
            raise Refusal("busy", str(error), retry=BUSY_RETRY_SECONDS) from None

    async def _register(self, link: Link) -> None:
        """Welcome a link. The newest of a host counts: an older one is a connection whose end was never heard."""
        host, hello, now = link.host, link.hello, link.connected
        old = self._links.get(host.id)
        self._links[host.id] = link
        self._linked(host, True)
        if old is not None:
            if old.hello.boot_id != hello.boot_id and now.mono - old.last_frame < old.interval * 2:
                self._pipeline.conflict(host, now)
            await old.close(WSCloseCode.POLICY_VIOLATION, "another link of this host took over")
        self._heartbeats.announce(host.id, hello.run_id, hello.time)
        self._pipeline.hello(host, hello.run_id, hello.event, link.interval, link.source, now)
        host.clock_offset = offset_of(hello.time, now.wall)
        self._pipeline.derived.clocks.heard(host.id, hello.time, now)
        self._pipeline.facts(host, agent_version=hello.version, tags=hello.tags)
        self.on_facts(host)
        await link.welcome(self.heartbeat_port)
        for listener in self.on_linked:
            listener(host)

    def _linked(self, host: Host, linked: bool) -> None:
        host.link = linked
        host.version += 1
        self._pipeline.changed(host)


class Link:
    """One agent that was welcomed."""

    def __init__(
        self,
        links: AgentLinks,
        socket: web.WebSocketResponse,
        key: LiveKey,
        hello: Hello,
        remote: str | None,
        new_key: str | None = None,
        transport: asyncio.Transport | None = None,
    ) -> None:
        """key: that it was opened with. new_key: the same if it was made a moment ago; it goes out with the welcome."""
        self.host = host = key.host
        self.key = key
        self.hello = hello
        self.interval = host.interval or hello.interval
        """seconds between reports: what the config wants, else what the agent means to do"""
        self.source = source_of(remote or "")
        self.connected = Moment.now()
        self.last_frame = self.connected.mono
        self._new_key = new_key
        self._links = links
        self._socket = socket
        self._transport = transport
        self._in_flight = 0
        self._in_flight_bytes = 0
        self._room = asyncio.Event()
        self._room.set()
        self._stored: dict[str, list[int]] = {}
        self._failed: dict[str, list[int]] = {}
        self._rejected: dict[str, list[wire.Rejected]] = {}
        self._problem = ""
        self._outgoing: list[bytes] = []
        self._welcomed = False
        self._flushing: asyncio.Task[None] | None = None

    async def welcome(self, heartbeat_port: int) -> None:
        words = wire.Welcome(
            type="welcome",
            protocol=wire.PROTOCOL,
            version=_version(),
            host=self.host.name,
            time=self.connected.wall,
            heartbeat_port=heartbeat_port,
        )
        if self.host.interval is not None:
            words["interval"] = self.host.interval
        if self._new_key is not None:
            words["key"] = self._new_key
        if watched := self._links.watched(self.host):
            words["watch"] = watched
        await self._socket.send_str(encode(words).decode())
        self._welcomed = True
        self._go_out()

    async def run(self) -> None:
        """Read until the peer or we close."""
        async for frame in self._socket:
            if frame.type is not WSMsgType.TEXT:
                break
            now = Moment.now()
            self.last_frame = now.mono
            if self._new_key is not None:  # whoever sends something after the welcome has got it, and the key with it
                self._new_key = None
                await self._links.prove(self.key)
            self._take(frame.data, now)
            await self._wait_for_room()
        if self._flushing is not None:
            await self._flushing

    async def _wait_for_room(self) -> None:
        """Do not read on while too much is unanswered: the peer's own buffers fill then, not ours."""
        try:
            while not self._room.is_set() or (self._flushing is not None and self._unsent() >= MAX_IN_FLIGHT):
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self._room.wait()
                    if self._flushing is not None:
                        await asyncio.shield(self._flushing)
        except TimeoutError:
            if self._flushing is not None:  # it waits for a peer that does not read
                log.warning("%s takes no answers; its link is cut", self.host.name)
                self.cut()
                raise ConnectionResetError from None

    def _unsent(self) -> int:
        kinds = (self._stored, self._failed, self._rejected)
        return sum(len(entries) for kind in kinds for entries in kind.values())

    def cut(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
        if self._transport is not None:
            self._transport.abort()

    async def close(self, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._socket.close(code=code, message=reason.encode())
        except (TimeoutError, ConnectionError):
            self.cut()

    def _take(self, text: str, now: Moment) -> None:
        try:
            frame = decode_frame(text)
        except UNREADABLE as error:
            self._unreadable(text, error, now)
            return
        if isinstance(frame, Report):
            self._report(frame, now)
        elif isinstance(frame, Bye):
            self._links._pipeline.farewell(self.host.id, Beat(frame.reason), now)
        elif (listener := self._links.on_frame.get(type(frame))) is not None:
            listener(self.host, frame)

    def _unreadable(self, text: str, error: Exception, now: Moment) -> None:
        """A frame that is not as it should be: save what can be saved of a report, ignore the rest."""
        report = salvage(text)
        if report is None:
            self._links._stats.count("frames_ignored_total")
            log.debug("%s: frame ignored: %s", self.host.name, error)
        else:
            self._report(report, now)

    # ------------------------------------------------------------------------------------------------------- reports

    def _report(self, frame: Report, now: Moment) -> None:
        body = bytes(frame.samples)
        limit = self._links.config.limits.max_metrics_per_report
        try:
            samples = decode_samples(body)
            if len(body) > MANY_METRICS_BYTES:
                check_size(samples, limit)
        except (*UNREADABLE, InvalidInput):
            samples, rejected = sift(body, frame.seq, limit)
            self._reject(frame.run_id, rejected)
            body = encode(samples)
        shift = shift_of(frame.time, now.wall)
        self.host.clock_offset = offset_of(frame.time, now.wall)
        newest = now.wall - shift
        if not all(newest - OLDEST_SAMPLE_SECONDS <= sample.time <= newest for sample in samples):
            for sample in samples:
                if not newest - OLDEST_SAMPLE_SECONDS <= sample.time <= newest:
                    sample.time = newest  # no clock can be trusted that says this: it is as old as its report
            body = encode(samples)
        report = ModelReport(
            host_id=self.host.id,
            run_id=frame.run_id,
            seq=frame.seq,
            samples=tuple(Sample(sample.plugin, sample.time + shift, sample.data) for sample in samples),
            body=body,
            shift=shift,
            interval=self.interval,
            family=self.source.family,
            address=self.source.address,
            agent_time=frame.time,
        )
        self._in_flight += 1
        self._in_flight_bytes += len(body)
        if self._in_flight >= MAX_IN_FLIGHT or self._in_flight_bytes >= MAX_IN_FLIGHT_BYTES:
            self._room.clear()
        future = self._links._pipeline.accept(report, now)
        future.add_done_callback(lambda done: self._settled(frame.run_id, frame.seq, len(body), done))

    def _reject(self, run_id: str, rejected: list[wire.Rejected]) -> None:
        self._links._stats.count("samples_rejected_total", len(rejected))
        told = self._rejected.setdefault(run_id, [])
        told.extend(rejected[: max(0, MAX_REJECTIONS - len(told))])

    def _settled(self, run_id: str, seq: int, size: int, future: asyncio.Future[Outcome]) -> None:
        self._in_flight -= 1
        self._in_flight_bytes -= size
        if self._in_flight < MAX_IN_FLIGHT and self._in_flight_bytes < MAX_IN_FLIGHT_BYTES:
            self._room.set()
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            self._stored.setdefault(run_id, []).append(seq)
        elif isinstance(error, InvalidInput):
            self._stored.setdefault(run_id, []).append(seq)
            self._reject(run_id, [wire.Rejected(seq=seq, plugin="", reason=str(error))])
        elif not isinstance(error, NotFound):
            self._problem = str(error)
            self._failed.setdefault(run_id, []).append(seq)
        # All futures of one turn are done at once: one task sends the answers for all of them.
        self._go_out()

    def send(self, frame: Frame) -> bool:
        """Have a frame go out; False when too many wait already."""
        if len(self._outgoing) >= MAX_OUTGOING or self._socket.closed:
            return False
        self._outgoing.append(encode(frame))
        if self._welcomed:  # that is the first that an agent may hear
            self._go_out()
        return True

    def _go_out(self) -> None:
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().create_task(self._flush())

    async def _flush(self) -> None:
        try:
            while self._stored or self._failed or self._outgoing:
                outgoing, self._outgoing = self._outgoing, []
                stored, self._stored = self._stored, {}
                failed, self._failed = self._failed, {}
                rejected, self._rejected = self._rejected, {}
                for run_id, seqs in stored.items():
                    ack = wire.Ack(type="ack", run_id=run_id, seqs=seqs)
                    if run_id in rejected:
                        ack["rejected"] = rejected[run_id]
                    await self._socket.send_str(encode(ack).decode())
                for run_id, seqs in failed.items():
                    busy = wire.Busy(
                        type="busy", run_id=run_id, seqs=seqs, reason=self._problem, retry=BUSY_RETRY_SECONDS
                    )
                    await self._socket.send_str(encode(busy).decode())
                for frame in outgoing:
                    await self._socket.send_str(frame.decode())
        except ConnectionError:
            pass  # the agent is gone; it keeps what it was not told about
        finally:
            self._flushing = None


# ------------------------------------------------------------------------------------------------------ plain helpers


def _version() -> str:
    from hbd import __version__

    return __version__
