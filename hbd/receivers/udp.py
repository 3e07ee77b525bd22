"""Heartbeats over UDP. Without a valid MAC a datagram changes nothing and gets no answer; with one it counts once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import cast

from msgspec import Struct

from hbc import wire
from hbd.enrolment import Enrolment, LiveKey
from hbd.model import Beat, Family, Heartbeat, Moment
from hbd.pipeline import Pipeline
from hbd.stats import Stats
from hbd.store.hosts import BeatRow

WINDOW = 64  # heartbeats that overtook each other by less than this are all taken


class Window(Struct):
    """Which heartbeats of one path were taken: the newest run, its highest seq, and a bit for each of the 64 up to it.

    time: of the agent's clock, in the newest heartbeat.
    """

    run_id: str
    highest: int
    seen: int
    time: float

    def takes(self, beat: wire.Beat) -> bool:
        """Whether this heartbeat is new; from now on it is not.

        Another run's heartbeat must be younger by the agent's own clock, or a recording of an earlier run would do.
        """
        if beat.run_id != self.run_id:
            if beat.time <= self.time:
                return False
            self.run_id, self.highest, self.seen = beat.run_id, beat.seq, 1
        elif beat.seq > self.highest:
            self.seen = (self.seen << min(beat.seq - self.highest, WINDOW) | 1) & ((1 << WINDOW) - 1)
            self.highest = beat.seq
        else:
            bit = 1 << (self.highest - beat.seq)
            if self.highest - beat.seq >= WINDOW or self.seen & bit:
                return False
            self.seen |= bit
        self.time = max(self.time, beat.time)
        return True


class Heartbeats:
    """Takes datagrams from all heartbeat sockets."""

    def __init__(self, enrolment: Enrolment, pipeline: Pipeline, stats: Stats) -> None:
        self._enrolment = enrolment
        self._pipeline = pipeline
        self._stats = stats
        self._windows: dict[tuple[int, int], Window] = {}
        stats.describe("heartbeats_refused_total", "Datagrams on the heartbeat port that changed nothing, by reason.")

    def load(self, rows: Iterable[BeatRow]) -> None:
        """Know what was taken before the restart."""
        for row in rows:
            self._windows[row.host_id, row.path] = Window(row.run_id, row.seq, (1 << WINDOW) - 1, row.time)

    def announce(self, host_id: int, run_id: str, time: float) -> None:
        """The link vouches for this run: its heartbeats are new even if the agent's clock went back.

        time: of the agent's clock now; heartbeats of other runs must be younger.
        """
        for path in (4, 6):
            window = self._windows.get((host_id, path))
            if window is None or window.run_id != run_id:
                self._windows[host_id, path] = Window(run_id, 0, 1, time)

    def forget(self, host_id: int) -> None:
        for path in (4, 6):
            self._windows.pop((host_id, path), None)

    def received(self, datagram: bytes, family: Family, address: str, now: Moment) -> bytes | None:
        """Take one datagram; returns the echo to send back, None when it gets no answer."""
        key, beat, problem = self._authentic(datagram, now)
        if key is None or beat is None:
            self._stats.count("heartbeats_refused_total", reason=problem)
            return None
        heartbeat = Heartbeat(
            host_id=key.host.id,
            family=family,
            address=address,
            run_id=beat.run_id,
            seq=beat.seq,
            kind=Beat(beat.kind),
            interval=beat.interval,
            rtt=beat.rtt,
            agent_time=beat.time,
        )
        self._pipeline.beat(heartbeat, beat.family, now)
        return wire.pack_echo(key.hash, beat)

    def _authentic(self, datagram: bytes, now: Moment) -> tuple[LiveKey | None, wire.Beat | None, str]:
        """(the key it is signed with, what it says, "") of a new heartbeat; else (None, None, why it is none)."""
        identifier = wire.beat_key_id(datagram)
        if identifier is None:
            return None, None, "malformed"
        key = self._enrolment.by_key_id(identifier, now.wall)
        if key is None:
            return None, None, "unknown_key"
        beat = wire.unpack_beat(key.hash, datagram)
        if beat is None:
            return None, None, "bad_mac"
        if not key.host.enabled:
            return None, None, "disabled"
        window = self._windows.get((key.host.id, beat.family))
        if window is None:
            self._windows[key.host.id, beat.family] = Window(beat.run_id, beat.seq, 1, beat.time)
        elif not window.takes(beat):
            return None, None, "replayed"
        return key, beat, ""


class HeartbeatProtocol(asyncio.DatagramProtocol):
    """One bound socket."""

    def __init__(self, heartbeats: Heartbeats, family: Family) -> None:
        self._heartbeats = heartbeats
        self._family = family
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        echo = self._heartbeats.received(data, self._family, addr[0], Moment.now())
        if echo is not None and self._transport is not None:
            self._transport.sendto(echo, addr)
