"""What presence remembers of a host and of its connections. Only ``hbd.presence`` writes here."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from msgspec import Struct

from hbd.model import Beat, Family, Moment, State
from hbd.wheel import Timer

STRIP_MINUTES = 30
NEVER = Moment(0.0, -inf)

# Reading a member of an enumeration is slow where it is done for every connection.
_UP, _OVERDUE, _DOWN, _UNKNOWN = State.UP, State.OVERDUE, State.DOWN, State.UNKNOWN
_LETTERS = {_UNKNOWN: "-", _UP: "u", _OVERDUE: "o", _DOWN: "d"}
_SEVERITY = "-uod"


class Blindness(Struct, frozen=True):
    """A time in which the daemon could not see: it was stopped, or its machine was."""

    since: Moment
    until: Moment


class HostRecord:
    __slots__ = (
        "configured",
        "connections",
        "fallback",
        "farewell",
        "farewell_at",
        "heard",
        "id",
        "reason",
        "since",
        "state",
        "strip",
        "strip_minute",
        "up_since",
    )

    def __init__(self, id: int, fallback: float, configured: float | None, mono: float) -> None:
        self.id = id
        self.fallback = fallback
        """seconds between signs of life while neither the config nor the agent says"""
        self.configured = configured
        self.connections: dict[Family | None, ConnectionRecord] = {}
        self.state = _UNKNOWN
        self.since: float | None = None
        self.reason = "never heard"
        self.heard = False
        """whether there was a sign of life in this run of the daemon"""
        self.up_since = inf
        self.farewell: Beat | None = None
        self.farewell_at = -inf
        self.strip = "-" * STRIP_MINUTES
        self.strip_minute = int(mono // 60)

    def best_state(self) -> State:
        """UP if any connection is, else OVERDUE if any is, else DOWN; UNKNOWN while nothing is heard or given up."""
        states = [connection.state for connection in self.connections.values()]
        if _UP in states:
            return _UP
        if _OVERDUE in states:
            return _OVERDUE
        return _DOWN if self.heard or _UNKNOWN not in states else _UNKNOWN

    def unroll_strip(self, mono: float, blind: Iterable[Blindness]) -> None:
        """Bring the strip up to this minute: since it was last written the host was in the state it is in now.

        So a host costs nothing by the minute. Minutes that lie in a blindness as a whole are not known.
        """
        minute = int(mono // 60)
        passed = min(minute - self.strip_minute, STRIP_MINUTES)
        if passed <= 0:
            return
        first = minute - passed + 1
        letters = [_LETTERS[self.state]] * passed
        for span in blind:
            for dark in range(max(first, int(-(-span.since.mono // 60))), int(span.until.mono // 60)):
                letters[dark - first] = "-"
        self.strip = self.strip[passed:] + "".join(letters)
        self.strip_minute = minute

    def mark_strip(self, state: State) -> None:
        """The host enters a state in the minute that the strip was brought up to; the worst of a minute stays."""
        self.strip = self.strip[:-1] + max(self.strip[-1], _LETTERS[state], key=_SEVERITY.index)


class ConnectionRecord(Timer):
    """One family of a host; family None: signs of life that came over no network of ours, which nobody is shown."""

    __slots__ = (
        "address",
        "beat_interval",
        "beat_said",
        "counted_from",
        "family",
        "heartbeat",
        "host",
        "interval",
        "last_seen_before",
        "lost",
        "patience",
        "report",
        "report_interval",
        "report_said",
        "rtt",
        "run_id",
        "seq",
        "settled",
        "since",
        "state",
    )

    def __init__(self, host: HostRecord, family: Family | None, now: Moment) -> None:
        super().__init__()
        self.host = host
        self.family = family
        self.address = ""
        self.state = _UNKNOWN
        self.since = now.wall
        self.counted_from = now.mono
        """silence before this is not held against it"""
        self.last_seen_before = 0.0
        """Unix seconds, from the store: last sign of life in an earlier run of the daemon"""
        self.heartbeat = NEVER
        self.report = NEVER
        self.beat_said: float | None = None
        self.report_said: float | None = None
        self.beat_interval = self.report_interval = self.interval = host.configured or host.fallback
        self.settled = inf
        """the interval its timer was set with, while it is UP and there is nothing to be told of it, else inf: a sign
        of life whose own interval is not shorter changes nothing but its time"""
        self.patience = 0.0
        """seconds of silence that are no delay at that interval"""
        self.run_id = ""
        self.seq = 0
        self.rtt: float | None = None
        self.lost = 0

    @property
    def heard(self) -> Moment:
        """The last sign of life in this run of the daemon, or NEVER."""
        return self.heartbeat if self.heartbeat.mono > self.report.mono else self.report

    @property
    def last_seen(self) -> float:
        """The last sign of life, Unix seconds."""
        heard = self.heard
        return self.last_seen_before if heard is NEVER else heard.wall
