"""Which hosts and connections are up, overdue, down or not known. Pure: plain values in, transitions out.

A sign of life is a heartbeat or a report. Silence is the time since the last one, of either kind. With an interval
and the grace it makes the state of a connection:

    UP ── silence of an interval and a little ──► OVERDUE ── silence of interval x grace ──► DOWN
    UNKNOWN (known from the store, not heard in this run of the daemon) ── interval x grace ──► DOWN
    any ── sign of life ──► UP

Only signs of life make anything better; time only makes it worse. Every deadline is by ``Moment.mono``; the wall clock
is written down for people and decides nothing. The reasons are in docs/decisions/0003-liveness.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf

from msgspec import Struct

from hbd.connections import NEVER, STRIP_MINUTES, Blindness, ConnectionRecord, HostRecord
from hbd.model import Beat, Family, Heartbeat, Moment, State, Transition
from hbd.wheel import Wheel

BLIND_AFTER = 2.0  # seconds in which neither a tick nor a sign of life was seen: the daemon itself was not there
SETTLE = 2.0  # seconds in which what was sent before a farewell, or waited in a socket, may still come in

# Reading a member of an enumeration costs more than all else that a heartbeat needs.
_UP, _OVERDUE, _DOWN, _UNKNOWN = State.UP, State.OVERDUE, State.DOWN, State.UNKNOWN
_ALIVE = Beat.ALIVE
_WORDS = {
    Beat.STARTED: "agent started",
    Beat.BOOTED: "host booted",
    Beat.STOPPED: "agent stopped on purpose",
    Beat.SHUTDOWN: "host was shut down",
}


class KnownConnection(Struct, frozen=True):
    """What the store remembers of a connection. last_seen: Unix seconds; interval: seconds, None when not known."""

    family: Family
    address: str
    last_seen: float
    interval: float | None = None


class ConnectionView(Struct, frozen=True):
    """A connection, for people. Times are Unix seconds, interval and rtt seconds; see ``web.schemas.Connection``."""

    family: Family
    address: str
    state: State
    since: float
    last_seen: float
    interval: float
    rtt: float | None
    lost: int
    heartbeat_at: float | None
    report_at: float | None


class HostPresence(Struct, frozen=True):
    """A host, for people. since and last_seen: Unix seconds, None when it was never heard; interval: seconds.

    reason: why it is not up, or what is remarkable although it is. connections: IPv4 before IPv6.
    strip: the last 30 minutes of the monotonic clock, oldest first, the last one still running; a letter tells the
    worst state in its minute: u up, o overdue, d down, - not known.
    """

    state: State
    since: float | None
    last_seen: float | None
    reason: str
    interval: float
    connections: list[ConnectionView]
    strip: str


class Presence:
    """Hosts and their connections. ``tick`` is to be called at least once a second.

    grace: how many intervals of silence make a connection DOWN, at least 1.
    Intervals are finite and greater than 0; the receivers see to that.
    """

    def __init__(self, grace: float, now: Moment) -> None:
        self._grace = grace
        self._hosts: dict[int, HostRecord] = {}
        self._counts = dict.fromkeys(State, 0)
        self._wheel: Wheel[ConnectionRecord] = Wheel(now.mono)
        self._awake = now
        self._blind_until = -inf
        self._blind: list[Blindness] = []

    # ------------------------------------------------------------------------------------------------ who is watched

    def know(
        self,
        host_id: int,
        *,
        interval: float,
        known: Iterable[KnownConnection] = (),
        last_seen: float | None = None,
        configured: float | None = None,
        now: Moment,
    ) -> None:
        """Watch a host from the store, or one just enrolled. It is UNKNOWN until it is heard.

        interval: what holds while neither the config nor the agent says one. configured: what the config says.
        known, last_seen (Unix seconds): how it was heard before. A host that was heard before and stays silent is
        DOWN after a full grace from now; one that was never heard has neither of the two and stays UNKNOWN.
        A host that is watched already only takes the two intervals.
        """
        host = self._hosts.get(host_id)
        if host is not None:
            host.fallback = interval
            self._configure_host(host, configured, self._grace, now)
            return
        host = self._hosts[host_id] = HostRecord(host_id, interval, configured, now.mono)
        self._counts[_UNKNOWN] += 1
        for link in known:
            connection = self._connection(host, link.family, link.address, now)
            connection.last_seen_before = link.last_seen
            connection.beat_said = connection.report_said = link.interval
        if last_seen is not None and not host.connections:
            self._connection(host, None, None, now).last_seen_before = last_seen
        for connection in host.connections.values():
            self._arm(connection)
        if host.connections:
            host.since = now.wall
            host.reason = "not heard since the daemon started"

    def forget(self, host_id: int) -> None:
        """The host is deleted; what still comes from it changes nothing."""
        host = self._hosts.pop(host_id, None)
        if host is not None:
            self._counts[host.state] -= 1
            for connection in host.connections.values():
                self._wheel.disarm(connection)

    def configure(self, *, grace: float, intervals: Mapping[int, float | None], now: Moment) -> None:
        """Take over a reloaded config; running deadlines follow it.

        intervals: by host id, seconds; None, or no entry: as the agent says. Where less silence is allowed than
        before, it is counted from now: nobody has been silent by a rule that did not hold yet.
        """
        before, self._grace = self._grace, grace
        for host in self._hosts.values():
            self._configure_host(host, intervals.get(host.id), before, now)

    def _configure_host(self, host: HostRecord, configured: float | None, grace_before: float, now: Moment) -> None:
        host.configured = configured
        for connection in host.connections.values():
            allowed_before = connection.interval * grace_before
            self._deadlines(connection)
            if connection.interval * self._grace < allowed_before:
                connection.counted_from = now.mono
            self._arm(connection)

    def _connection(
        self, host: HostRecord, family: Family | None, address: str | None, now: Moment
    ) -> ConnectionRecord:
        connection = host.connections.get(family)
        if connection is None:
            connection = host.connections[family] = ConnectionRecord(host, family, now)
        if address is not None:
            connection.address = address
        return connection

    # ------------------------------------------------------------------------------------------------- signs of life

    def beat(self, beat: Heartbeat, now: Moment) -> list[Transition]:
        """A heartbeat came in. That it is authentic and no repeat was seen to before.

        One that was overtaken by a newer one of its run says nothing of now: it is taken off ``lost``, no more.
        """
        if now.mono - self._awake.mono > BLIND_AFTER:
            self._could_not_see(now)
        self._awake = now
        host = self._hosts.get(beat.host_id)
        if host is None:
            return []
        connection = host.connections.get(beat.family)
        if (
            connection is not None
            and beat.run_id == connection.run_id
            and beat.seq == connection.seq + 1
            and beat.interval == connection.beat_said
            and beat.kind is _ALIVE
            and connection.settled <= connection.beat_interval
        ):
            connection.heartbeat = now
            connection.seq = beat.seq
            connection.address = beat.address
            if beat.rtt is not None:
                connection.rtt = beat.rtt
            return []
        return self._notable_beat(host, beat, now)

    def _notable_beat(self, host: HostRecord, beat: Heartbeat, now: Moment) -> list[Transition]:
        known = host.connections.get(beat.family)
        if known is not None and beat.run_id == known.run_id and beat.seq <= known.seq:
            if beat.seq < known.seq and known.lost:
                known.lost -= 1
            return []
        connection = self._connection(host, beat.family, beat.address, now)
        restarted = connection.run_id not in ("", beat.run_id)
        reason = _back("heartbeat", now.mono - connection.heard.mono)
        self._count_lost(connection, beat)
        connection.heartbeat = now
        if beat.interval is not None:
            connection.beat_said = beat.interval
        if beat.rtt is not None:
            connection.rtt = beat.rtt
        if beat.kind in (Beat.STOPPED, Beat.SHUTDOWN):
            self.farewell(host.id, beat.kind, now)
        elif beat.kind is not _ALIVE or restarted:
            host.farewell = None
            reason = _WORDS.get(beat.kind, "agent started")
        return self._heard(connection, reason, now)

    def _count_lost(self, connection: ConnectionRecord, beat: Heartbeat) -> None:
        """Take the number of a heartbeat that is the newest of its run, and count those before it that are missing."""
        if beat.run_id != connection.run_id:
            # What was sent in a run that began out of our sight, nobody knows.
            connection.lost = beat.seq - 1 if connection.run_id else 0
            connection.run_id = beat.run_id
        elif connection.heartbeat.mono > self._blind_until + SETTLE:
            # Else it was the daemon that missed them: while it was blind its socket kept the first few and no more.
            connection.lost += beat.seq - connection.seq - 1
        connection.seq = beat.seq

    def report(
        self, host_id: int, *, family: Family | None, address: str | None, interval: float | None, now: Moment
    ) -> list[Transition]:
        """A report came in: a sign of life on its family; without one, of the host alone.

        interval: seconds until the next one, None when the agent did not say (what it said before holds).
        """
        if now.mono - self._awake.mono > BLIND_AFTER:
            self._could_not_see(now)
        self._awake = now
        host = self._hosts.get(host_id)
        if host is None:
            return []
        connection = self._connection(host, family, address, now)
        reason = "" if connection.state is _UP else _back("report", now.mono - connection.heard.mono)
        connection.report = now
        if interval is not None and interval != connection.report_said:
            connection.report_said = interval
        elif connection.settled <= connection.report_interval:
            return []
        return self._heard(connection, reason, now)

    def farewell(self, host_id: int, kind: Beat, now: Moment) -> list[Transition]:
        """The agent said that it stops (STOPPED) or that its machine does (SHUTDOWN).

        That changes no state, so the list is empty: the silence that follows does, at its usual time and with this
        as its reason. Signs of life that overlap with it (within 2 s) leave it standing; later ones, and a start of
        the agent, take it back.
        """
        host = self._hosts.get(host_id)
        if host is not None:
            host.farewell = kind
            host.farewell_at = now.mono
            for connection in host.connections.values():
                connection.settled = inf
        return []

    def _heard(self, connection: ConnectionRecord, reason: str, now: Moment) -> list[Transition]:
        host = connection.host
        if now.mono - host.farewell_at > SETTLE:
            host.farewell = None
        host.heard = True
        transitions: list[Transition] = []
        if connection.state is not _UP:
            self._enter(connection, _UP, reason, now, transitions)
        self._arm(connection)
        return transitions

    # ---------------------------------------------------------------------------------------------------------- time

    def tick(self, now: Moment) -> list[Transition]:
        """Let time pass: all whose deadline has come by now."""
        if now.mono - self._awake.mono > BLIND_AFTER:
            self._could_not_see(now)
        self._awake = now
        transitions: list[Transition] = []
        for connection in self._wheel.due(now.mono):
            if connection.settled < inf:
                # Nearly always it was heard again. The interval may have grown since, not shrunk: so this is no later.
                beat_at, report_at = connection.heartbeat.mono, connection.report.mono
                overdue_at = (beat_at if beat_at > report_at else report_at) + connection.patience
                if now.mono < overdue_at:
                    self._wheel.arm(connection, overdue_at)
                    continue
            overdue_at, down_at = self._deadlines(connection)
            if now.mono >= down_at:
                self._enter(connection, _DOWN, self._why(connection, now), now, transitions)
            elif now.mono < overdue_at:
                self._wheel.arm(connection, overdue_at)
            else:
                if connection.state is _UP:
                    self._enter(connection, _OVERDUE, self._why(connection, now), now, transitions)
                self._wheel.arm(connection, down_at)
        return transitions

    def _could_not_see(self, now: Moment) -> None:
        """Nobody is blamed for silence that the daemon could not have heard broken: all get a full grace from now."""
        self._blind_until = now.mono
        oldest = now.mono - 60 * (STRIP_MINUTES + 1)
        self._blind = [blind for blind in self._blind if blind.until.mono > oldest]
        self._blind.append(Blindness(self._awake, now))

    @property
    def blindness(self) -> Blindness | None:
        """The last time in which the daemon could not see, for the journal; None when there was none so far."""
        return self._blind[-1] if self._blind else None

    def _arm(self, connection: ConnectionRecord) -> None:
        overdue_at, down_at = self._deadlines(connection)
        if connection.state is not _DOWN:
            self._wheel.arm(connection, down_at if connection.state is _OVERDUE else overdue_at)

    def _deadlines(self, connection: ConnectionRecord) -> tuple[float, float]:
        """When the connection is overdue and when down, by what is known now; sets its intervals.

        Heartbeats and reports may come at intervals of their own. Of the kinds that were not given up when the last
        sign of life came, the shorter interval counts; but nothing is DOWN while the next sign of the other kind is
        still on time, so that a blocked UDP port brings no DOWN between two slow reports.
        """
        host, grace = connection.host, self._grace
        beat_interval = _awaited(host.configured, connection.beat_said, host.fallback)
        report_interval = _awaited(host.configured, connection.report_said, host.fallback)
        connection.beat_interval, connection.report_interval = beat_interval, report_interval
        counted_from = max(connection.counted_from, self._blind_until)
        beat_at, report_at = connection.heartbeat.mono, connection.report.mono
        last = max(beat_at, report_at)
        if last == -inf:
            connection.interval = beat_interval
            down_at = counted_from + beat_interval * grace
            return down_at, down_at

        interval = inf
        awaited = -inf
        if last - beat_at <= beat_interval * grace:
            interval = beat_interval
            awaited = max(beat_at, counted_from) + self._on_time(beat_interval)
        if last - report_at <= report_interval * grace:
            interval = min(interval, report_interval)
            awaited = max(awaited, max(report_at, counted_from) + self._on_time(report_interval))
        connection.interval = interval
        connection.settled = interval if connection.state is _UP and host.farewell is None else inf
        connection.patience = self._on_time(interval)
        silent_from = max(last, counted_from)
        return silent_from + connection.patience, max(silent_from + interval * grace, awaited)

    def _on_time(self, interval: float) -> float:
        """Seconds of silence that are no delay yet: the interval and a little, since clocks and networks are late.

        A quarter of the interval, at least 0.5 s, yet never more than half of the way to DOWN.
        """
        return interval + min(max(interval / 4, 0.5), interval * (self._grace - 1) / 2)

    def _why(self, connection: ConnectionRecord, now: Moment) -> str:
        if connection.host.farewell is not None:
            return _WORDS[connection.host.farewell]
        heard = connection.heard
        if heard is NEVER:
            return "not heard since the daemon started"
        if heard.mono < self._blind_until:
            return f"not heard for {_spell(now.mono - self._blind_until)} since the daemon could see again"
        kinds = {"heartbeat": connection.heartbeat, "report": connection.report}
        silent = " or ".join(kind for kind, last in kinds.items() if last is not NEVER)
        return f"no {silent} for {_spell(now.mono - heard.mono)}"

    def _enter(
        self, connection: ConnectionRecord, state: State, reason: str, now: Moment, transitions: list[Transition]
    ) -> None:
        """Put the connection into the state, then the host into the best state that its connections have."""
        host = connection.host
        before, connection.state, connection.since = connection.state, state, now.wall
        connection.settled = inf
        if connection.family is not None:
            transitions.append(Transition(host.id, connection.family, before, state, now.wall, reason))
        after = host.best_state()
        if after is not host.state:
            transitions.append(Transition(host.id, None, host.state, after, now.wall, reason))
            host.unroll_strip(now.mono, self._blind)
            host.mark_strip(after)
            self._counts[host.state] -= 1
            self._counts[after] += 1
            host.state, host.since, host.reason = after, now.wall, reason
            if after is _UP:
                host.up_since = now.mono

    def report_interval(self, host_id: int, silence: float) -> float:
        """Seconds between reports of a host as they are expected now, by what was said before.

        silence: where nothing was said, so many seconds without a report make it DOWN.
        """
        host = self._hosts.get(host_id)
        said = [link.report_said for link in host.connections.values() if link.report_said] if host is not None else []
        return max(said, default=silence / self._grace)

    # ---------------------------------------------------------------------------------------------------- for people

    def counts(self) -> dict[State, int]:
        """How many hosts are in each state."""
        return self._counts.copy()

    def view(self, host_id: int) -> HostPresence | None:
        """The host as it is now, or None when nobody made it known."""
        host = self._hosts.get(host_id)
        if host is None:
            return None
        host.unroll_strip(self._awake.mono, self._blind)
        links = host.connections.values()
        latest = max(links, key=lambda link: (link.heard.mono, link.last_seen), default=None)
        return HostPresence(
            state=host.state,
            since=host.since,
            last_seen=latest.last_seen if latest else None,
            reason=self._remarkable(host) if host.state is _UP else host.reason,
            interval=host.configured or (latest.interval if latest else host.fallback),
            connections=[_view(host.connections[family], family) for family in Family if family in host.connections],
            strip=host.strip,
        )

    def _remarkable(self, host: HostRecord) -> str:
        """What people should know of a host that is up."""
        if host.farewell is not None:
            return _WORDS[host.farewell]
        links = host.connections.values()
        beat_at = max(link.heartbeat.mono for link in links)
        report_at = max(link.report.mono for link in links)
        if max(beat_at, report_at) < self._blind_until:
            return "not heard since the daemon could see again"
        # How often a kind would come that never came is not known: perhaps as seldom as the other.
        beat_interval = max(link.beat_interval for link in links)
        report_interval = max(link.report_interval for link in links)
        longest = max(beat_interval, report_interval)
        since = max(host.up_since, self._blind_until)
        silence = self._awake.mono - max(beat_at, since)
        beats_stopped = silence > self._grace * (longest if beat_at == -inf else beat_interval)
        silence = self._awake.mono - max(report_at, since)
        reports_stopped = silence > self._grace * (longest if report_at == -inf else report_interval)
        if reports_stopped and not beats_stopped:
            return "heartbeats arrive, reports do not"
        # Foreign agents send no heartbeats. Their reports come over no family, ours do.
        ours = any(link.family is not None and link.state is _UP for link in links)
        if beats_stopped and not reports_stopped and ours:
            return "reports arrive, heartbeats do not"
        return ""


def _view(connection: ConnectionRecord, family: Family) -> ConnectionView:
    heartbeat, report = connection.heartbeat, connection.report
    return ConnectionView(
        family=family,
        address=connection.address,
        state=connection.state,
        since=connection.since,
        last_seen=connection.last_seen,
        interval=connection.interval,
        rtt=connection.rtt,
        lost=connection.lost,
        heartbeat_at=None if heartbeat is NEVER else heartbeat.wall,
        report_at=None if report is NEVER else report.wall,
    )


def _awaited(configured: float | None, said: float | None, fallback: float) -> float:
    """How often a sign of life is to come. What the config wants; longer where the agent says that it is slower.

    An agent obeys the config from its next hello on; until then nobody is overdue for keeping its word.
    """
    if configured is None:
        return said or fallback
    return max(configured, said or 0.0)


def _back(kind: str, silence: float) -> str:
    return f"first {kind}" if silence == inf else f"{kind} after {_spell(silence)} of silence"


def _spell(seconds: float) -> str:
    """A duration in the largest unit that keeps two digits: ``31 s``, ``5 min``, ``3 h``, ``9 d``."""
    for unit, length, limit in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < limit:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"
