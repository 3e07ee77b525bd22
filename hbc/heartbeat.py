"""UDP heartbeats to the daemon, over IPv4 and IPv6 apart.

Each family counts its own beats, so that the daemon sees what was lost, and measures the round trip of each beat by
its echo. A family without an address or a route is silent and looked at again later. Nothing here waits for anything
but the timer: look-ups run in a thread, sending never blocks.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import time
from collections.abc import Callable
from math import inf

from hbc.wire import ECHO_BYTES, Beat, pack_beat, unpack_echo

log = logging.getLogger(__name__)

FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
RESOLVE_SECONDS = 300.0  # how long an address is used unasked
RESOLVE_AFTER_FAILURE = 30.0  # the same while beats fail or stay unanswered
_UNANSWERED_IS_FAILURE = 3
_OPENING_BEATS = 30  # a start is told this often at the most where no echo comes
MOST_REPEATS = 24  # beats out of turn while none is answered, for three intervals; then the path is blocked or gone
_FAREWELLS = 3
_FAREWELL_GAP = 0.05  # seconds
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def repeat_after(interval: float) -> float:
    """How long a beat may stay unanswered before the next one comes out of turn. Seconds.

    Three intervals then hold enough of them for one to arrive even where every fifth datagram is lost.
    """
    return interval / 8


class Pulse:
    """One family's count of beats and its round trips; no I/O. now: monotonic seconds."""

    def __init__(self, family: int, run_id: str, opening: str) -> None:
        """opening: the kind of the first beats, ``booted`` or ``started``, sent until one is answered."""
        self.family = family
        self.run_id = run_id
        self.rtt: float | None = None  # seconds, of the last answered beat
        self.unanswered = 0  # beats since the last answer
        self._opening = opening
        self._seq = 0
        self._unheard = 0  # beats since any was answered, be it not the last
        self._last = -inf
        self._sent: dict[int, float] = {}  # the last few beats without an answer: seq → when

    def next(self, now: float, wall: float, interval: float, kind: str | None = None) -> Beat:
        """The beat to send now. kind: a farewell, else what is due."""
        if kind is None:
            kind = self._opening if self._opening and self._seq < _OPENING_BEATS else "alive"
        # The round trip is of the beat just before; when that one got no answer there is none to tell.
        rtt = self.rtt if self.unanswered == 0 else None
        self._seq += 1
        self.unanswered += 1
        self._unheard += 1
        self._last = now
        self._sent[self._seq] = now
        while len(self._sent) > 2 * _UNANSWERED_IS_FAILURE:
            del self._sent[next(iter(self._sent))]
        return Beat(self.run_id, self._seq, wall, rtt, interval, kind, self.family)

    def answered(self, run_id: str, seq: int, now: float) -> None:
        """An authentic echo came; one that is no answer to a recent beat is ignored."""
        if run_id != self.run_id:
            return
        sent = self._sent.pop(seq, None)
        if sent is None:
            return
        self._opening = ""
        self._unheard = 0
        if seq == self._seq:
            self.unanswered = 0
            self.rtt = now - sent

    def repeat_at(self, interval: float) -> float:
        """When a beat is due out of turn because the last ones were not answered; inf: not at all."""
        if not 0 < self._unheard <= MOST_REPEATS:
            return inf
        return self._last + max(repeat_after(interval), 2 * (self.rtt or 0.0))

    @property
    def failing(self) -> bool:
        return self.unanswered >= _UNANSWERED_IS_FAILURE


class Path(asyncio.DatagramProtocol):
    """The way of one family to the daemon: look up, send, hear."""

    def __init__(self, pulse: Pulse, hashed_key: Callable[[], bytes | None]) -> None:
        self.pulse = pulse
        self.address: str | None = None
        self._hashed_key = hashed_key
        self._transport: asyncio.DatagramTransport | None = None
        self._target: tuple[str, int] | None = None
        self._resolved = float("-inf")  # monotonic
        self._measured = False
        self._broken = False
        self._interval = 0.0  # seconds, as of the last beat
        self._told: str | None = None  # the address last logged
        self._lookup: asyncio.Task[None] | None = None

    def aim(self, host: str, port: int) -> None:
        """Send to this host from now on; port 0: nowhere."""
        self.close()
        self._target = (host, port)
        self._resolved = float("-inf")

    def beat(self, interval: float, kind: str | None = None) -> None:
        """Send one heartbeat if there is a way and a key; see to the way if not."""
        self._interval = interval
        self._find_way(time.monotonic())
        self._send(kind)

    def _send(self, kind: str | None = None) -> None:
        hashed = self._hashed_key()
        if self._transport is None or hashed is None:
            return
        beat = self.pulse.next(time.monotonic(), time.time(), self._interval, kind)
        self._transport.sendto(pack_beat(hashed, beat))

    def close(self) -> None:
        if self._lookup is not None:
            self._lookup.cancel()
            self._lookup = None
        if self._transport is not None:
            self._transport.close()
            self._transport = None
        self.address = None

    def _find_way(self, now: float) -> None:
        if self._lookup is not None and not self._lookup.done():
            return
        if now - self._resolved >= (RESOLVE_AFTER_FAILURE if self._failing else RESOLVE_SECONDS):
            self._resolved = now
            self._lookup = asyncio.get_running_loop().create_task(self._look_up())

    async def _look_up(self) -> None:
        assert self._target is not None
        host, port = self._target
        if port == 0:
            return
        if host in _LOOPBACK:
            host = "127.0.0.1" if self.pulse.family == 4 else "::1"
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, family=FAMILIES[self.pulse.family], type=socket.SOCK_DGRAM)
            where = found[0][4]
            address = str(where[0])
            if address == self.address and not self._failing:
                return
            # A connected socket keeps the local address it began with, which the machine may have lost: make it anew.
            channel = _connected(FAMILIES[self.pulse.family], where)
        except (OSError, UnicodeError) as error:  # no address of this family, or no route to it
            log.debug("no heartbeats over IPv%d to %s: %s", self.pulse.family, host, error)
            return
        if self._transport is not None:
            self._transport.close()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=channel)
        self._broken = False
        if self.address is None:
            self._send()  # the beat that was due when the way was not known yet
        self.address = address
        if self._told != self.address:
            self._told = self.address
            log.info("heartbeats over IPv%d go to %s port %d", self.pulse.family, self.address, port)

    @property
    def _failing(self) -> bool:
        return self._broken or self._transport is None or self.pulse.failing

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        hashed = self._hashed_key()
        if hashed is None or len(data) != ECHO_BYTES:
            return
        echo = unpack_echo(hashed, data)
        if echo is not None:
            run_id, seq, _ = echo
            self.pulse.answered(run_id, seq, time.monotonic())
            if not self._measured and self.pulse.rtt is not None:
                self._measured = True
                self._send()  # the daemon need not wait an interval to learn the latency

    def error_received(self, exc: Exception) -> None:
        self._broken = True

    def connection_lost(self, exc: Exception | None) -> None:
        self._broken = True


class Heart:
    """Both families' heartbeats, on time while everything else hangs."""

    def __init__(self, run_id: str, opening: str, hashed_key: Callable[[], bytes | None], interval: float) -> None:
        """opening: ``booted`` or ``started``. hashed_key: see ``hbc.wire.key_hash``; None while not enrolled."""
        self.interval = interval  # seconds; change it with ``pace``
        self.paths = [Path(Pulse(family, run_id, opening), hashed_key) for family in FAMILIES]
        self._target: tuple[str, int] | None = None
        self._aimed = asyncio.Event()  # there is a reason to beat now
        self._paced = False  # and from now on in another interval

    def aim(self, host: str, port: int) -> None:
        """Where beats go from now on; a first beat follows at once when that is new."""
        if (host, port) == self._target:
            return
        self._target = (host, port)
        for path in self.paths:
            path.aim(host, port)
        self._aimed.set()

    def pace(self, interval: float) -> None:
        """Beat every interval seconds from now on; a first beat follows at once when that is new."""
        if interval == self.interval:
            return
        self.interval = interval
        self._paced = True
        self._aimed.set()

    def rtt(self) -> dict[str, float]:
        """Seconds of the last round trip of each family that has one: ``{"ipv4": 0.012}``."""
        return {f"ipv{path.pulse.family}": path.pulse.rtt for path in self.paths if path.pulse.rtt is not None}

    async def run(self) -> None:
        """Beat until cancelled."""
        while self._target is None:
            await self._aimed.wait()
            self._aimed.clear()
        # Agents that were started together by a tool do not beat together for ever.
        due = time.monotonic() + random.uniform(0.0, min(1.0, self.interval / 4))  # noqa: S311
        while True:
            self._aimed.clear()
            out_of_turn = min(path.pulse.repeat_at(self.interval) for path in self.paths)
            try:
                async with asyncio.timeout(min(due, out_of_turn) - time.monotonic()):
                    await self._aimed.wait()
            except TimeoutError:
                if time.monotonic() < due:
                    self._repeat()
                    continue
            self._beat()
            now = time.monotonic()
            if self._paced:
                self._paced = False
                due = now + self.interval
            elif now >= due:
                due = max(due + self.interval, now)

    async def farewell(self, kind: str) -> None:
        """Say that silence follows, a few times because any one may be lost, and stop. kind: stopped or shutdown."""
        for _ in range(_FAREWELLS):
            self._beat(kind)
            await asyncio.sleep(_FAREWELL_GAP)
        for path in self.paths:
            path.close()

    def _repeat(self) -> None:
        """Where the last beat was not answered, it or its echo may be lost."""
        now = time.monotonic()
        for path in self.paths:
            if path.pulse.repeat_at(self.interval) <= now:
                path.beat(self.interval)

    def _beat(self, kind: str | None = None) -> None:
        for path in self.paths:
            path.beat(self.interval, kind)


def _connected(family: socket.AddressFamily, where: tuple[object, ...]) -> socket.socket:
    """A UDP socket that talks to where alone. Raises OSError when there is no route."""
    channel = socket.socket(family, socket.SOCK_DGRAM)
    try:
        channel.setblocking(False)
        channel.connect(where)
    except BaseException:
        channel.close()
        raise
    return channel
