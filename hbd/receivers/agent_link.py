"""The agent link: one WebSocket to each hbc, JSON text frames in the words of ``hbc/wire.py``."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import re
from collections import Counter
from ipaddress import IPv6Address, ip_address
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web
from msgspec import Meta, Raw, Struct

from hbc import wire
from hbd.config import Config
from hbd.enrolment import Enrolment
from hbd.errors import Conflict, HbdError, InvalidInput, NotFound, StorageError
from hbd.hosts import Host, Hosts
from hbd.model import Beat, Family, Moment, Sample, is_host_name
from hbd.model import Report as ModelReport
from hbd.pipeline import Outcome, Pipeline, Source
from hbd.receivers.udp import Heartbeats
from hbd.stats import Stats

log = logging.getLogger(__name__)

HELLO_SECONDS = 10.0  # how long a fresh connection may take to say who it is
PING_SECONDS = 30.0  # a link that answers no ping is closed: its peer is gone without a word
MAX_IN_FLIGHT = 256  # reports of one link that wait for their commit; the link is not read beyond that
CLOCK_TOLERANCE_SECONDS = 30.0  # an agent's clock that is further off is corrected for
OLDEST_SAMPLE_SECONDS = 30 * 86_400.0  # agents keep unsent reports for a week; what claims to be older is not
BUSY_RETRY_SECONDS = 5.0
REFUSED_RETRY_SECONDS = 60.0
MAX_DIGITS = 300
MANY_METRICS_BYTES = 8_192  # a shorter body cannot hold enough metrics to be worth counting them

RunId = Annotated[str, Meta(pattern=r"\A[0-9a-f]{16}\Z")]
PluginName = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_.:-]{1,64}\Z")]
Text = Annotated[str, Meta(max_length=4096)]
Key = Annotated[str, Meta(min_length=1, max_length=256)]
# Three levels of names are what any plugin needs (plugin.key.metric and one to spare); lists hold rows of a table.
Leaf = int | float | bool | None | Text
Level3 = dict[Key, Leaf | list[Leaf]]
Level2 = dict[Key, Leaf | Level3 | list[Leaf | Level3]]
Level1 = dict[Key, Leaf | Level2 | list[Leaf | Level2]]


class Hello(Struct, tag="hello"):
    protocol: int
    version: Annotated[str, Meta(max_length=64)]
    name: Annotated[str, Meta(max_length=1024)]
    boot_id: Annotated[str, Meta(max_length=64)]
    run_id: RunId
    time: float
    interval: Annotated[float, Meta(gt=0, le=86_400)]
    event: Literal["booted", "started", "reconnected"] = "started"
    key: Annotated[str, Meta(max_length=256)] | None = None
    capabilities: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=64)] = []
    tags: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=64)] = []


class Report(Struct, tag="report", gc=False):
    run_id: RunId
    seq: Annotated[int, Meta(ge=1, lt=1 << 53)]
    time: float
    samples: Raw


class Bye(Struct, tag="bye"):
    reason: Literal["stopped", "shutdown"] = "stopped"


class ReportHead(Struct):
    run_id: RunId
    seq: Annotated[int, Meta(ge=1, lt=1 << 53)]
    time: float


class WireSample(Struct, gc=False):
    plugin: PluginName
    time: float
    data: Level1


_decode_frame = msgspec.json.Decoder(Hello | Report | Bye).decode
_decode_samples = msgspec.json.Decoder(Annotated[list[WireSample], Meta(max_length=wire.MAX_SAMPLES_PER_REPORT)]).decode
_encode = msgspec.json.Encoder().encode
_UNREADABLE = (msgspec.MsgspecError, RecursionError)
_RUN_ID = re.compile(r'"run_id"\s*:\s*"([0-9a-f]{16})"')
_SEQ = re.compile(r'"seq"\s*:\s*(\d{1,15})\b')


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
        hosts: Hosts,
        enrolment: Enrolment,
        pipeline: Pipeline,
        heartbeats: Heartbeats,
        stats: Stats,
    ) -> None:
        self.config = config
        self.heartbeat_port = 0
        """where agents are told to send heartbeats; 0 until the sockets are bound"""
        self._hosts = hosts
        self._enrolment = enrolment
        self._pipeline = pipeline
        self._heartbeats = heartbeats
        self._stats = stats
        self._links: dict[int, Link] = {}
        self._open: Counter[str] = Counter()
        stats.gauge("agent_links", "Agents that hold a link.", lambda: len(self._links))
        stats.describe("links_refused_total", "Links that were not taken, by reason.")
        stats.describe("samples_rejected_total", "Samples that were refused for what they contain.")
        stats.describe("frames_ignored_total", "Frames of agents that could not be read or are of no known type.")

    def __len__(self) -> int:
        return len(self._links)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """One connection from its hello to its end."""
        limits, peer = self.config.limits, request.remote or ""
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
                await link.run()
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
        for link in list(self._links.values()):
            await link.close(WSCloseCode.GOING_AWAY, b"the daemon is stopping")

    async def drop(self, host: Host, reason: str) -> None:
        """End the link of one host, whose key or existence has just ended."""
        link = self._links.get(host.id)
        if link is not None:
            await link.close(WSCloseCode.POLICY_VIOLATION, reason.encode())

    async def prove(self, host: Host) -> None:
        """The key of a host has arrived at its agent. A disk that cannot note it now will at the next hello."""
        try:
            await self._enrolment.prove(host)
        except StorageError as error:
            log.warning("%s: %s", host.name, error)

    # -------------------------------------------------------------------------------------------------------- hello

    async def _greet(self, socket: web.WebSocketResponse, request: web.Request) -> Link | None:
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                first = await socket.receive()
            if first.type is not WSMsgType.TEXT:
                raise Refusal("protocol", "a hello in a text frame comes first")
            host, hello, key = await self._admit(first.data)
        except TimeoutError:
            self._stats.count("links_refused_total", reason="silent")
            await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"no hello")
            return None
        except Refusal as refusal:
            self._stats.count("links_refused_total", reason=refusal.code)
            answer = wire.Refused(type="refused", code=refusal.code, reason=str(refusal), retry=refusal.retry)
            if not socket.closed:
                await socket.send_str(_encode(answer).decode())
                await socket.close(code=WSCloseCode.POLICY_VIOLATION)
            return None
        link = Link(self, socket, host, hello, request.remote, unproven=key is not None)
        await self._replace(host, link)
        welcome = wire.Welcome(
            type="welcome",
            protocol=wire.PROTOCOL,
            version=_version(),
            host=host.name,
            time=link.connected.wall,
            heartbeat_port=self.heartbeat_port,
        )
        if host.interval is not None:
            welcome["interval"] = host.interval
        if key is not None:
            welcome["key"] = key
        await socket.send_str(_encode(welcome).decode())
        return link

    async def _admit(self, text: str) -> tuple[Host, Hello, str | None]:
        """Who says hello; with the key that was just made, if one was. Raises Refusal."""
        try:
            hello = _decode_frame(text)
        except _UNREADABLE as error:
            raise Refusal("protocol", f"the hello cannot be read: {error}") from None
        if not isinstance(hello, Hello):
            raise Refusal("protocol", "a hello comes first")
        if hello.protocol != wire.PROTOCOL:
            raise Refusal("protocol", f"this daemon speaks protocol {wire.PROTOCOL}, not {hello.protocol}")
        if hello.key:
            host = self._enrolment.host_of(hello.key, Moment.now().wall)
            if host is None:
                raise Refusal("key", "nobody has this key: it is wrong or was revoked")
            made = None
            await self.prove(host)
        else:
            host, made = await self._enrol(hello)
        if not host.enabled:
            raise Refusal("disabled", f"host '{host.name}' is switched off in the config of the daemon")
        return host, hello, made

    async def _enrol(self, hello: Hello) -> tuple[Host, str]:
        if not is_host_name(hello.name):
            raise Refusal("name", "name: 1-253 letters, digits, '.', '_', '-' or ':' are allowed")
        if self.config.enrollment != "open":
            raise Refusal("enrollment", "a key is needed; make one with: hbd agent add " + hello.name)
        if self.config.is_dropped(hello.name):
            raise Refusal("disabled", f"host '{hello.name}' is in drophosts")
        if self._hosts.get(hello.name) is None and len(self._hosts) >= self.config.limits.max_hosts:
            raise Refusal("enrollment", f"the limit of {self.config.limits.max_hosts} hosts is reached")
        try:
            key = await self._enrolment.add(hello.name, hello.tags, handed_out=True)
        except Conflict:
            raise Refusal(
                "key", f"host '{hello.name}' is enrolled with a key; give that key or rotate it on the daemon"
            ) from None
        except HbdError as error:
            raise Refusal("busy", str(error), retry=BUSY_RETRY_SECONDS) from None
        return self._hosts.require(hello.name), key

    async def _replace(self, host: Host, link: Link) -> None:
        """The newest link of a host counts: an older one is a connection whose end was never heard."""
        now = link.connected
        old = self._links.get(host.id)
        self._links[host.id] = link
        self._linked(host, True)
        if old is not None:
            if old.hello.boot_id != link.hello.boot_id and now.mono - old.last_frame < old.hello.interval * 2:
                self._pipeline.conflict(host, now)
            await old.close(WSCloseCode.POLICY_VIOLATION, b"another link of this host took over")
        self._heartbeats.announce(host.id, link.hello.run_id, link.hello.time)
        self._pipeline.hello(host, link.hello.event, link.hello.interval, link.source, now)
        offset = now.wall - link.hello.time
        host.clock_offset = offset if math.isfinite(offset) else None
        self._pipeline.facts(host, host.os, link.hello.version)

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
        host: Host,
        hello: Hello,
        remote: str | None,
        unproven: bool = False,
    ) -> None:
        """unproven: its key was made a moment ago and goes out with the welcome."""
        self.host = host
        self._unproven = unproven
        self.hello = hello
        self.connected = Moment.now()
        self.last_frame = self.connected.mono
        self._links = links
        self._socket = socket
        self.source = _peer(remote)
        self._in_flight = 0
        self._room = asyncio.Event()
        self._room.set()
        self._stored: dict[str, list[int]] = {}
        self._failed: dict[str, list[int]] = {}
        self._rejected: dict[str, list[wire.Rejected]] = {}
        self._problem = ""
        self._flushing: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Read until the peer or we close."""
        async for frame in self._socket:
            if frame.type is not WSMsgType.TEXT:
                break
            now = Moment.now()
            self.last_frame = now.mono
            if self._unproven:  # whoever sends something after the welcome has got it, and the key with it
                self._unproven = False
                await self._links.prove(self.host)
            self._take(frame.data, now)
            await self._room.wait()
        if self._flushing is not None:
            await self._flushing

    async def close(self, code: int, message: bytes) -> None:
        await self._socket.close(code=code, message=message)

    def _take(self, text: str, now: Moment) -> None:
        try:
            frame = _decode_frame(text)
        except _UNREADABLE as error:
            self._unreadable(text, error, now)
            return
        if isinstance(frame, Report):
            self._report(frame, now)
        elif isinstance(frame, Bye):
            self._links._pipeline.farewell(self.host.id, Beat(frame.reason), now)

    def _unreadable(self, text: str, error: Exception, now: Moment) -> None:
        """A frame that is not as it should be: save what can be saved of a report, ignore the rest."""
        report = _salvage(text)
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
            samples = _decode_samples(body)
            if len(body) > MANY_METRICS_BYTES:
                _check_metrics(samples, limit)
        except (*_UNREADABLE, InvalidInput):
            samples, rejected = _sift(body, frame.seq, limit)
            self._links._stats.count("samples_rejected_total", len(rejected))
            self._rejected.setdefault(frame.run_id, []).extend(rejected)
            body = _encode(samples)
        shift = _shift(frame.time, now.wall)
        self.host.clock_offset = now.wall - frame.time if math.isfinite(frame.time) else None
        newest = now.wall - shift
        if not all(newest - OLDEST_SAMPLE_SECONDS <= sample.time <= newest for sample in samples):
            for sample in samples:
                if not newest - OLDEST_SAMPLE_SECONDS <= sample.time <= newest:
                    sample.time = newest  # no clock can be trusted that says this: it is as old as its report
            body = _encode(samples)
        report = ModelReport(
            host_id=self.host.id,
            run_id=frame.run_id,
            seq=frame.seq,
            samples=tuple(Sample(sample.plugin, sample.time + shift, sample.data) for sample in samples),
            body=body,
            shift=shift,
            interval=self.hello.interval,
            family=self.source.family,
            address=self.source.address,
        )
        self._in_flight += 1
        if self._in_flight >= MAX_IN_FLIGHT:
            self._room.clear()
        future = self._links._pipeline.accept(report, now)
        future.add_done_callback(lambda done: self._settled(frame.run_id, frame.seq, done))

    def _settled(self, run_id: str, seq: int, future: asyncio.Future[Outcome]) -> None:
        self._in_flight -= 1
        if self._in_flight < MAX_IN_FLIGHT:
            self._room.set()
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            self._stored.setdefault(run_id, []).append(seq)
        elif not isinstance(error, NotFound):
            self._problem = str(error)
            self._failed.setdefault(run_id, []).append(seq)
        # All futures of one turn are done at once: one task sends the answers for all of them.
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().create_task(self._flush())

    async def _flush(self) -> None:
        try:
            while self._stored or self._failed:
                stored, self._stored = self._stored, {}
                failed, self._failed = self._failed, {}
                rejected, self._rejected = self._rejected, {}
                for run_id, seqs in stored.items():
                    ack = wire.Ack(type="ack", run_id=run_id, seqs=seqs)
                    if run_id in rejected:
                        ack["rejected"] = rejected[run_id]
                    await self._socket.send_str(_encode(ack).decode())
                for run_id, seqs in failed.items():
                    busy = wire.Busy(
                        type="busy", run_id=run_id, seqs=seqs, reason=self._problem, retry=BUSY_RETRY_SECONDS
                    )
                    await self._socket.send_str(_encode(busy).decode())
        except ConnectionError:
            pass  # the agent is gone; it keeps what it was not told about
        finally:
            self._flushing = None


# ------------------------------------------------------------------------------------------------------ plain helpers


def _version() -> str:
    from hbd import __version__

    return __version__


def _peer(remote: str | None) -> Source:
    """Family and address of a peer; an IPv4 address that came in over IPv6 is what it is."""
    try:
        address = ip_address((remote or "").partition("%")[0])
    except ValueError:
        return Source(None, remote)
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is None:
            return Source(Family.IPV6, str(address))
        address = address.ipv4_mapped
    return Source(Family.IPV4, str(address))


def _shift(sent: float, received: float) -> float:
    """Seconds to add to an agent's times: none for a clock that is about right, else what it is off by."""
    if not math.isfinite(sent):
        return 0.0
    offset = received - sent
    return offset if abs(offset) > CLOCK_TOLERANCE_SECONDS else 0.0


def _count(data: object) -> int:
    if isinstance(data, dict):
        return sum(map(_count, data.values()))
    if isinstance(data, list):
        return sum(map(_count, data))
    return 1


def _check_metrics(samples: list[WireSample], limit: int) -> None:
    if sum(_count(sample.data) for sample in samples) > limit:
        raise InvalidInput(f"more than {limit} metrics in one report", "samples")


def _sift(body: bytes, seq: int, limit: int) -> tuple[list[WireSample], list[wire.Rejected]]:
    """The good samples of a list that is not good as a whole, and why the others are not."""
    taken: list[WireSample] = []
    rejected: list[wire.Rejected] = []
    metrics = 0
    try:
        parts = _loose(body)
    except (ValueError, RecursionError) as error:
        return [], [wire.Rejected(seq=seq, plugin="", reason=f"samples: {error}")]
    if not isinstance(parts, list):
        return [], [wire.Rejected(seq=seq, plugin="", reason="samples: a list is needed")]
    for part in parts:
        name = part.get("plugin") if isinstance(part, dict) else None
        try:
            sample = msgspec.convert(_strict(part), WireSample)
            size = _count(sample.data)
            if metrics + size > limit:
                raise ValueError(f"more than {limit} metrics in one report")
            if len(taken) >= wire.MAX_SAMPLES_PER_REPORT:
                raise ValueError(f"more than {wire.MAX_SAMPLES_PER_REPORT} samples in one report")
        except (ValueError, RecursionError) as error:
            rejected.append(wire.Rejected(seq=seq, plugin=str(name)[:64], reason=str(error)[:500]))
        else:
            metrics += size
            taken.append(sample)
    return taken, rejected


def _loose(text: str | bytes) -> Any:
    """JSON with the words that Python's reader knows beyond it; a number of absurd length is none (NaN)."""
    return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) <= MAX_DIGITS else math.nan)


def _strict(value: Any) -> Any:
    """value as JSON would carry it. Raises ValueError for what JSON has no word for: NaN, infinities, half letters."""
    return msgspec.json.decode(json.dumps(value, allow_nan=False, ensure_ascii=False).encode())


def _salvage(text: str) -> Report | None:
    """The report in a frame that is no strict JSON (NaN in one value, say), None when it is none at all.

    One that cannot be read at all but for its number comes without samples: the agent must not send it for ever.
    """
    try:
        frame = _loose(text)
    except (ValueError, RecursionError):
        run_id, seq = _RUN_ID.search(text), _SEQ.search(text)
        if run_id is None or seq is None or '"report"' not in text:
            return None
        return Report(run_id=run_id[1], seq=int(seq[1]), time=math.nan, samples=Raw(b"null"))
    try:
        if not isinstance(frame, dict) or frame.get("type") != "report":
            return None
        samples = json.dumps(frame.pop("samples", None)).encode()
        head = msgspec.convert(frame, ReportHead)
    except (ValueError, RecursionError):
        return None
    return Report(run_id=head.run_id, seq=head.seq, time=head.time, samples=Raw(samples))
