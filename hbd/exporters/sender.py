"""Sends samples to receivers of Prometheus remote write, and goes on where it was after every outage and restart.

What was taken is on disk (``hbd.store.exports``) before more is sent; while a receiver is away nothing waits in memory.
After a crash some of it goes out twice. Prometheus refuses a whole request for one value that it has or that is older
than what it has, so a request that is refused is sent again in halves, until only that is left out.
"""

from __future__ import annotations

import asyncio
import io
import logging
import math
import random
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import NamedTuple

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorError,
    ClientError,
    ClientSession,
    ClientSSLError,
    DummyCookieJar,
    TCPConnector,
)

from hbd.channels.base import SendFailed
from hbd.channels.http import USER_AGENT, retry_after
from hbd.config import Config
from hbd.config.structs import RemoteWrite
from hbd.errors import StorageError
from hbd.exporters.remote_write import HEADERS, Point, compressor, points, write_request
from hbd.hosts import Hosts
from hbd.matching import Matcher
from hbd.model import Moment
from hbd.stats import Stats
from hbd.store.exports import Exports, Fresh, Owed

log = logging.getLogger(__name__)

MOST_POINTS = 10_000  # of one request
MOST_OWED = 40_000  # of a debt that are read at once
MOST_BYTES = 4 << 20  # of one request, before it is compressed
MOST_HALVES = 200  # requests for a batch that is refused again and again; then what is refused is given up as it is
SEND_SECONDS = 30.0
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
LONGEST_ASKED = 3600.0  # of what a receiver may ask to wait
TOLD_SECONDS = 30.0  # a shorter failure is not worth a line in the journal
QUIET_SECONDS = 3600.0  # what has not come again for so long is told anew
BREATH_SECONDS = 0.05  # between two requests, so that nobody else ever waits behind more than one of them
SHORTEST_SPAN, LONGEST_SPAN = 150.0, 1800.0
"""of a debt that is read at once, seconds. Hosts are never further apart than this: Prometheus does not take what is an
hour older than the newest sample of any of them."""
STORAGE_SECONDS = 2.0

_OF_THE_REQUEST = frozenset((400, 409, 413, 422))
"""of 4xx: what is in the request was not wanted, and less of it may be"""

Note = Callable[[str, Moment], None]


class _Refused(Exception):
    """The receiver answered 4xx: this must not be sent again."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.said = said


class _Trouble(NamedTuple):
    since: Moment
    reason: str


class Writer:
    """Sends to one receiver."""

    def __init__(
        self, name: str, settings: RemoteWrite, exports: Exports, hosts: Hosts, stats: Stats, note: Note
    ) -> None:
        self.settings = settings
        self.trouble: _Trouble | None = None
        self._name = name
        self._exports = exports
        self._hosts = hosts
        self._url = settings.url or ""
        self._matcher = Matcher(hosts=settings.hosts)
        self._stats = stats
        self._note = note
        self._compress = compressor()
        self._headers = {**{key: value.reveal() for key, value in settings.headers.items()}, **HEADERS}
        self._headers |= {"User-Agent": USER_AGENT, **_authorization(settings)}
        self._wait = FIRST_WAIT
        self._told = False
        self._said: dict[str, float] = {}
        """what was said of it → when it last happened, monotonic seconds"""
        self._span = SHORTEST_SPAN * 4
        self._behind_since: float | None = None
        self._doubtful: int | None = None
        """points up to this time, in milliseconds, may be there already: they were sent before a cut, or before a crash
        as what is now the first batch"""

    def lag(self) -> float:
        """How old the oldest sample is that was not sent when there was time for it, seconds."""
        return max(0.0, time.time() - self._behind_since) if self._behind_since is not None else 0.0

    async def run(self) -> None:
        """Send until cancelled."""
        connector = TCPConnector(limit=1)
        async with ClientSession(connector=connector, cookie_jar=DummyCookieJar(), trust_env=False) as session:
            while True:
                wait = await self.step(session)
                await asyncio.sleep(wait)

    async def step(self, session: ClientSession) -> float:
        """Send what is next, if there is anything; returns how long to wait then, seconds."""
        try:
            more = await self._send_next(session)
        except SendFailed as failure:
            return self._failed(failure)
        except StorageError as error:
            log.debug("remote write to %s waits for the disk: %s", self._name, error)
            return STORAGE_SECONDS
        except Exception:
            log.exception("remote write to %s failed; it goes on", self._name)
            return self._failed(SendFailed("a fault in hbd; the log tells more"))
        self._works()
        return BREATH_SECONDS if more else self.settings.interval

    async def _send_next(self, session: ClientSession) -> bool:
        """Returns whether there may be more. Raises SendFailed, StorageError."""
        due = await self._exports.next(self._name, self._span)
        if due is None:
            self._behind_since = None
            return False
        self._behind_since = due.since
        hosts = {
            host.id: host.name
            for host in map(self._hosts.by_id, due.host_ids)
            if host is not None and not host.dropped and self._matcher.about_host(host)
        }
        batch: list[Point] = []
        if hosts:
            batch = await asyncio.to_thread(_points, due, hosts)
            if isinstance(due, Owed):
                self._measure(due, len(batch))
        elif isinstance(due, Owed):
            due = due._replace(end=math.inf)
        newest = batch[-1].time if batch else 0
        if self._doubtful is None:
            self._doubtful = newest
        try:
            barred = await self._deliver(session, batch)
            await self._exports.done(self._name, due)
        except (SendFailed, StorageError):
            self._doubtful = max(self._doubtful, newest)
            raise
        if barred is not None:  # the next batch would hardly fare better; somebody has to mend the settings
            raise SendFailed(str(barred), permanent=True)
        if isinstance(due, Fresh) and not due.full:
            self._behind_since = None
            self._doubtful = 0  # all of that has been sent again
            return False
        return True

    async def _deliver(self, session: ClientSession, batch: Sequence[Point]) -> _Refused | None:
        """Have a batch taken, but for what is refused. Returns a refusal that is not for what is in it, and
        kept the rest from being sent. Raises SendFailed."""
        parts = [batch[start : start + MOST_POINTS] for start in range(0, len(batch), MOST_POINTS)][::-1]
        halves = 0
        while parts:
            part = parts.pop()
            body = await asyncio.to_thread(write_request, part)
            middle = len(part) // 2
            if len(body) > MOST_BYTES and middle:
                parts += (part[middle:], part[:middle])
                continue
            try:
                await self._post(session, await asyncio.to_thread(self._compress, body))
            except _Refused as refusal:
                if refusal.status not in _OF_THE_REQUEST:
                    self._drop([part, *parts], refusal)
                    return refusal
                if middle and halves < MOST_HALVES:
                    halves += 2
                    parts += (part[middle:], part[:middle])
                else:
                    self._drop([part], refusal)
            else:
                self._count("sent", len(part))
        return None

    async def _post(self, session: ClientSession, body: bytes) -> None:
        try:
            async with (
                asyncio.timeout(SEND_SECONDS),
                session.post(self._url, data=io.BytesIO(body), headers=self._headers, allow_redirects=False) as answer,
            ):
                status, asked = answer.status, answer.headers.get("Retry-After", "")
                said = await answer.content.read(500) if status >= 400 else b""
        except TimeoutError:
            raise SendFailed(f"no answer within {SEND_SECONDS:g} s") from None
        except (ClientConnectorCertificateError, ClientSSLError):
            raise SendFailed("the receiver cannot be trusted (TLS)") from None
        except ClientConnectorError:
            raise SendFailed("the receiver cannot be reached") from None
        except (ClientError, OSError, ValueError):
            raise SendFailed("the connection was cut before there was an answer") from None
        if 200 <= status < 300:
            return
        if 400 <= status < 500 and status != 429:
            raise _Refused(status, _one_line(said))
        raise SendFailed(f"status {status}", retry_after=retry_after(asked, time.time()))

    def _drop(self, parts: Sequence[Sequence[Point]], refusal: _Refused) -> None:
        """Refused for good. What may have come twice is there already, and no loss."""
        number = sum(map(len, parts))
        repeated = 0
        if refusal.status in _OF_THE_REQUEST:
            repeated = sum(point.time <= (self._doubtful or 0) for part in parts for point in part)
        self._count("repeated", repeated)
        self._count("refused", number - repeated)
        if number > repeated:
            status = f"status {refusal.status}"
            text = f"remote write: {self._name} refuses values, which are dropped and counted ({status})"
            self._say_once(status, text, refusal.said or "it says no more")

    def _measure(self, due: Owed, number: int) -> None:
        """Choose how much of a debt is read the next time; and see whether it was there at all."""
        if number > MOST_OWED:
            self._span = max(SHORTEST_SPAN, self._span / 2)
        elif number < MOST_OWED // 2:
            self._span = min(LONGEST_SPAN, self._span * 2)
        if not due.chunks:
            self._stats.count("remote_write_lost_seconds_total", due.end - due.since, exporter=self._name)
            told = f"remote write: samples were deleted before {self._name} could take them"
            self._say_once("lost", told, f"host {due.host_id}, {_moment(due.since)}")

    def _count(self, outcome: str, number: int) -> None:
        if number:
            self._stats.count("remote_write_samples_total", number, exporter=self._name, outcome=outcome)

    def _say_once(self, topic: str, text: str, detail: str) -> None:
        """detail: for the log alone; it may name hosts that not everybody sees who reads the journal."""
        now = Moment.now()
        if now.mono - self._said.get(topic, -math.inf) > QUIET_SECONDS:
            log.warning("%s: %s", text, detail)
            self._note(text, now)
        self._said[topic] = now.mono

    def _failed(self, failure: SendFailed) -> float:
        """Returns how long to wait before the next try, seconds."""
        now = Moment.now()
        self._stats.count("remote_write_failures_total", exporter=self._name)
        since = self.trouble.since if self.trouble is not None else now
        self.trouble = _Trouble(since, str(failure))
        if not self._told and now.mono - since.mono >= TOLD_SECONDS:
            self._told = True
            meanwhile = "dropped, a little at a time" if failure.permanent else "kept for it"
            text = f"remote write to {self._name} fails: {failure}; what it misses is {meanwhile}"
            log.warning("%s", text)
            self._note(text, now)
        wait, self._wait = self._wait, min(self._wait * 2, LONGEST_WAIT)
        asked = min(failure.retry_after or 0.0, LONGEST_ASKED)
        return max(asked, wait * random.uniform(0.5, 1.0))  # noqa: S311

    def _works(self) -> None:
        if self._told:
            text = f"remote write to {self._name} works again"
            log.info("%s", text)
            self._note(text, Moment.now())
        self.trouble, self._told, self._wait = None, False, FIRST_WAIT


class RemoteWrites:
    """All receivers of the config; each has a position of its own and waits for no other."""

    def __init__(self, config: Config, exports: Exports, hosts: Hosts, stats: Stats, note: Note) -> None:
        self._wanted = config.remote_write
        self._exports = exports
        self._hosts = hosts
        self._stats = stats
        self._note = note
        self._changed = asyncio.Event()
        self._running: dict[str, tuple[Writer, asyncio.Task[None]]] = {}
        stats.describe("remote_write_samples_total", "Values for remote write, by exporter and outcome.")
        stats.describe("remote_write_failures_total", "Requests of remote write that have to be tried again.")
        stats.describe(
            "remote_write_lost_seconds_total", "Time of hosts whose samples were deleted before they were sent."
        )
        stats.gauge("remote_write_failing", "Exporters whose receiver takes nothing.", lambda: len(self.problems()))
        stats.gauge("remote_write_lag_seconds", "Age of the oldest sample that waits for its receiver.", self._lag)

    async def load(self) -> None:
        """Everything that comes from now on will be sent. Raises StorageError."""
        await self._exports.begin(self._wanted)

    def configure(self, config: Config) -> None:
        self._wanted = config.remote_write
        self._changed.set()

    def problems(self) -> list[str]:
        """``key: reason`` of each receiver that takes nothing."""
        return [
            f"remote_write.{name}: the receiver has taken nothing since {_moment(trouble.since.wall)}: {trouble.reason}"
            for name, (writer, _) in self._running.items()
            if (trouble := writer.trouble) is not None
        ]

    def _lag(self) -> float:
        return max((writer.lag() for writer, _ in self._running.values()), default=0.0)

    async def run(self) -> None:
        """Send until cancelled."""
        try:
            while True:
                self._changed.clear()
                try:
                    await self._follow(self._wanted)
                except StorageError as error:
                    log.debug("remote write waits for the disk: %s", error)
                    await asyncio.sleep(STORAGE_SECONDS)
                    continue
                await self._changed.wait()
        finally:
            await self._end(list(self._running))

    async def _follow(self, wanted: dict[str, RemoteWrite]) -> None:
        await self._end([name for name, (writer, _) in self._running.items() if wanted.get(name) != writer.settings])
        await self._exports.begin(wanted)
        for name, settings in wanted.items():
            if name not in self._running:
                writer = Writer(name, settings, self._exports, self._hosts, self._stats, self._note)
                self._running[name] = (writer, asyncio.create_task(writer.run(), name=f"remote write to {name}"))

    async def _end(self, names: Sequence[str]) -> None:
        tasks = [self._running.pop(name)[1] for name in names]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _points(due: Fresh | Owed, hosts: dict[int, str]) -> list[Point]:
    return points((hosts[host_id], sample) for host_id, sample in due.samples() if host_id in hosts)


def _authorization(settings: RemoteWrite) -> dict[str, str]:
    if settings.bearer_token is not None:
        return {"Authorization": f"Bearer {settings.bearer_token.reveal()}"}
    if settings.username is not None and settings.password is not None:
        pair = f"{settings.username}:{settings.password.reveal()}".encode()
        return {"Authorization": f"Basic {b64encode(pair).decode()}"}
    return {}


def _moment(wall: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(wall))


def _one_line(said: bytes) -> str:
    text = " ".join(said.decode("utf-8", "replace").split())
    return "".join(character for character in text if character.isprintable())[:200]
