"""How long clients may take, and who has run out of time. Heads, bodies and replies each have a queue of their own."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from hbd.stats import Stats

log = logging.getLogger(__name__)

GRAIN_SECONDS = 0.05  # the timer of a queue goes off no more often than that
CROWD_MOVES = 16
QUIET_SECONDS = 60.0  # between two lines in the log about the same shortage
OUT_OF_DESCRIPTORS = "socket.accept() out of system resource"  # asyncio's words to its exception handler

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """Seconds are of real time, sizes are bytes.

    head: for a request's line and headers, from the start of the connection or the first byte after the last reply;
        under ten, so that the connection is gone after ten also when the loop is late.
    body, reply: in every such span of time at least ``pace`` bytes a second have to come or go, else it is over. So
        whoever keeps that pace may take as long as they need.
    crowd: connections of one address without a first request that are left alone. When more than ``roomy`` of all
        descriptors (0 to 1) are taken, those that come beyond it have only ``crowded`` seconds for their head, and
        again as long while one in ``CROWD_MOVES`` of that crowd sends one in that time: so do agents that reconnect by
        the thousand from behind one address, and nobody hostile does.
    spare: descriptors that connections leave to the rest of the daemon.
    """

    head: float = 9.0
    body: float = 10.0
    reply: float = 20.0
    pace: int = 1024
    crowd: int = 128
    crowded: float = 2.0
    roomy: float = 0.5
    spare: int = 32


class Vigil(Generic[T]):
    """Those who have the same number of seconds for something, longest waiting first. One timer serves them all."""

    def __init__(self, seconds: float, over: Callable[[T], None]) -> None:
        """over: called with whoever is still here after that time, and no longer is by then."""
        self._seconds = seconds
        self._over = over
        self._since: dict[T, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def add(self, one: T) -> None:
        """The time of this one begins now, also when it was here before."""
        now = self._loop.time()
        self._since.pop(one, None)
        self._since[one] = now
        if self._timer is None:
            self._timer = self._loop.call_at(now + self._seconds, self._look)

    def discard(self, one: T) -> None:
        self._since.pop(one, None)

    def close(self) -> None:
        self._since.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        late: list[T] = []
        for one, since in self._since.items():
            if since + self._seconds > now:
                self._timer = self._loop.call_at(max(since + self._seconds, now + GRAIN_SECONDS), self._look)
                break
            late.append(one)
        for one in late:
            del self._since[one]
        for one in late:
            self._over(one)


class Origin:
    """Whoever is behind one address. waiting: connections without a first request. heard: those that had one by now."""

    __slots__ = ("heard", "key", "waiting")

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.waiting = 0
        self.heard = 0


class Crowd:
    """Who stands at the door, by where they come from."""

    def __init__(self) -> None:
        self._origins: dict[bytes, Origin] = {}

    def enter(self, peer: object) -> Origin:
        """peer: the name of the other end of a connection."""
        key = origin_of(peer)
        origin = self._origins.get(key)
        if origin is None:
            origin = self._origins[key] = Origin(key)
        origin.waiting += 1
        return origin

    def leave(self, origin: Origin) -> None:
        origin.waiting -= 1
        if not origin.waiting:
            del self._origins[origin.key]


class Shortage:
    """Says once a minute that descriptors have run out, however often they do."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._told: float | None = None
        stats.describe("connections_refused_total", "Connections that were refused because descriptors had run out.")

    def tell(self, now: float) -> None:
        """now: seconds of any clock that is never put back."""
        self._stats.count("connections_refused_total")
        if self._told is None or now - self._told >= QUIET_SECONDS:
            self._told = now
            log.warning("no file descriptors left for more connections; the limit is %d", descriptor_limit())

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the loop tell us, and not the log, when it cannot accept. It would do so a hundred times a second."""
        if loop.get_exception_handler() is None:
            loop.set_exception_handler(self._handle)

    def _handle(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if context.get("message") == OUT_OF_DESCRIPTORS:
            self.tell(loop.time())
        else:
            loop.default_exception_handler(context)


def descriptor_limit() -> int:
    """How many descriptors this process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else 1 << 30


def origin_of(peer: object) -> bytes:
    """Who stands behind a peer name: an IPv4 address or the /64 of an IPv6 one; empty for what is neither."""
    if not isinstance(peer, tuple):
        return b""
    address = str(peer[0]).partition("%")[0]
    if ":" in address:
        return socket.inet_pton(socket.AF_INET6, address)[:8]
    return socket.inet_pton(socket.AF_INET, address)
