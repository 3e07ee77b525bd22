"""A fleet and its daemon in virtual time: agents that beat and report over a bad network, and what is told of them.

Everything of the daemon that decides is real: ``Pipeline`` with presence, alerts and notices. The store keeps rows in
memory, and a restart builds a new daemon from them as ``hbd.recall`` does. The network, all seeded:

- every datagram, heartbeat or echo, is lost with ``loss``, each by itself; what arrives is up to some 100 ms late,
- one family of a host, or all of its network, is now and then dead for a while (``family_burst``, ``host_burst``),
- reports go over TCP: a packet that is lost is sent again after 0.2 s, 0.6 s, 1.4 s and so on, all behind it wait.

A host counts as falsely DOWN when it is told so and beat all the time that the grace covers.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from heapq import heapify, heappop, heappush
from math import inf

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from hbc.heartbeat import MOST_REPEATS, repeat_after
from hbd.alerts import AlertEvent, AlertRow, Alerts
from hbd.config import Config
from hbd.errors import HbdError
from hbd.hosts import Host, Hosts
from hbd.model import Beat, Family, Heartbeat, Level, Message, Moment, Report, Sample, State
from hbd.notices import Notice, Notices
from hbd.pipeline import Outcome, Pipeline, Source
from hbd.presence import KnownConnection, Presence
from hbd.rings import Rings
from hbd.routing import LIVES, Router
from hbd.stats import Stats
from hbd.store import Turn
from hbd.store.hosts import ConnectionRow

GRACE = 3.0
TICK = 0.25
DAY = 86_400.0
CHANNEL = "pager"
HAPPENINGS = ("clock_set_on", "clock_set_back", "stops", "suspends", "restarts", "reboots", "reloads")
PATHS = {Family.IPV4: 4, Family.IPV6: 6}


class Kind(Struct, frozen=True, kw_only=True):
    """Some hosts that are alike. interval: seconds between beats, and between reports. links: whether they report."""

    hosts: int
    interval: float
    families: tuple[Family, ...] = tuple(Family)
    links: bool = True
    repeats: bool = True


class Weather(Struct, frozen=True, kw_only=True):
    """loss: of datagrams and packets. family_burst, host_burst: chance of an outage at a regular beat.

    Outages of a host are at most one interval long, those of one family, of hosts that have two, at most ten.
    """

    loss: float = 0.2
    family_burst: float = 1e-3
    host_burst: float = 1e-4


class Agent:
    """One host. Times are true seconds."""

    __slots__ = (
        "alive_since",
        "cut_until",
        "died",
        "families",
        "host",
        "interval",
        "kind",
        "lost_until",
        "phase",
        "repeat_at",
        "reports",
        "run",
        "seq",
        "unheard",
    )

    def __init__(self, host: Host, kind: Kind, phase: float) -> None:
        self.host = host
        self.kind = kind
        self.families = kind.families
        self.interval = kind.interval
        self.alive_since = -inf
        self.died: float | None = None
        self.cut_until = -inf
        self.begin(1, phase)
        self.lost_until = dict.fromkeys(self.families, -inf)

    def begin(self, run: int, phase: float) -> None:
        """A run of the agent, with its first beat at ``phase``."""
        self.run = f"{run:016x}"
        self.reports = 0
        self.phase = phase
        self.seq = dict.fromkeys(self.families, 0)
        self.unheard = dict.fromkeys(self.families, 0)
        self.repeat_at = dict.fromkeys(self.families, inf)


class Rows:
    """What the database would have."""

    def __init__(self) -> None:
        self.connections: dict[tuple[int, str], ConnectionRow] = {}
        self.states: dict[int, State] = {}
        self.alerts: dict[tuple[int, str], AlertRow] = {}
        self.notices: dict[tuple[str, str], tuple[float, float]] = {}
        """due and after, Unix seconds"""
        self.events: list[AlertEvent] = []
        """of the last turns, until somebody takes them"""

    async def record(self, turn: Turn, now: float | None = None) -> None:
        self.connections |= turn.connections
        self.states |= turn.states
        self.alerts |= {(row.host_id, row.path): row for row in turn.alerts}
        for key in turn.gone:
            del self.alerts[key]
        self.notices |= {(row.problem, row.channel): (row.due, row.after) for row in turn.notices}
        self.events += turn.events


class NoFeed:
    """Nobody watches."""

    def host(self, host_id: int) -> None:
        pass

    def alert(self, event: AlertEvent) -> None:
        pass

    def message(self, message: Message) -> None:
        pass

    def plugin(self, host_id: int, sample: Sample) -> None:
        pass


class Pager(Struct, frozen=True):
    """The one channel."""

    min_level: Level = Level.WARNING
    enabled: bool = True


class Fleet:
    """``pass_time`` lets it live; the counts tell what came of it."""

    def __init__(self, kinds: list[Kind], seed: int, weather: Weather | None = None) -> None:
        self.random = random.Random(seed)
        self.weather = weather or Weather()
        self.true = 0.0
        """seconds that passed"""
        self.asleep = 0.0
        """those of them in which the machine of the daemon was suspended, so that its monotonic clock stood still"""
        self.wall_jump = 0.0
        self.mono_zero = -1000.0
        self.seen_from = 0.0
        """since when the daemon sees without a break, under the rules of now"""
        self.sent = 0
        self.lost = 0
        self.false_downs: list[str] = []
        self.false_messages: list[str] = []
        self.late_messages = 0
        """that a living host is overdue: true, and told only if it lasts"""
        self.told: Counter[Level] = Counter()
        self.down_after: list[tuple[float, float]] = []
        """of true failures: seconds from death to the event, and the interval"""
        self.flapping_downs = 0
        """those of true failures that no message told, as the host was flapping"""
        self.happened: Counter[str] = Counter()
        self.missed = 0
        """dead hosts of which no down was told"""
        self.hosts = Hosts()
        self.agents: list[Agent] = []
        self._moments: list[tuple[float, int, int, Family | None, bool]] = []
        """heap of (when, number, host id, family; None: the regular beat of all, whether it is a report)"""
        self._number = 0
        for kind in kinds:
            for _ in range(kind.hosts):
                host = Host(len(self.agents), f"host-{len(self.agents)}", "")
                host.interval = kind.interval
                agent = Agent(host, kind, self.random.uniform(0.0, kind.interval))
                self.hosts.add(host)
                self.agents.append(agent)
                self._schedule(agent)
        config = msgspec.convert(
            {"grace": GRACE, "notification_routes": {"all": {"channels": [CHANNEL]}}}, Config, strict=False
        )
        self.router = Router(config, self.hosts, lambda name: None, lambda name: Pager(), lambda user, name: True)
        self.rows = Rows()
        self._start([])

    # -------------------------------------------------------------------------------------------------- the daemon

    @property
    def now(self) -> Moment:
        """What the clocks of the daemon show."""
        return Moment(1.7e9 + self.true + self.wall_jump, self.true - self.asleep - self.mono_zero)

    def _start(self, told: list[Notice]) -> None:
        """A new process of the daemon. told: the notices that are open, as they are on disk but for ``due``."""
        now, rows = self.now, self.rows
        self.presence = Presence(GRACE, now)
        self.alerts = Alerts()
        self.notices = Notices(self.router)
        stats = Stats()
        self.pipeline = Pipeline(
            self.hosts,
            self.presence,
            Rings(),
            rows,  # type: ignore[arg-type]  # it is asked to record and nothing else
            NoFeed(),  # type: ignore[arg-type]
            stats,
            self.alerts,
            self.notices,
        )
        known: dict[int, list[KnownConnection]] = {}
        for row in rows.connections.values():
            known.setdefault(row.host_id, []).append(
                KnownConnection(row.family, row.address, row.last_seen, row.interval)
            )
            if row.state is State.DOWN:
                self.pipeline.lost_families.add((row.host_id, row.family))
        self.pipeline.told |= rows.states
        for host in self.hosts.everyone():
            self.presence.know(host.id, interval=10.0, known=known.get(host.id, ()), configured=host.interval, now=now)
        self.alerts.load(rows.alerts.values(), now)
        self.pipeline.no_data.load(((alert.host_id, alert.path) for alert in self.alerts.not_ok()), now)
        self.alerts.reconfigure(lambda host_id, path: True)
        self.notices.load(
            replace(notice, due=now.mono + due - now.wall, after=now.mono + after - now.wall)
            for notice in told
            for due, after in [rows.notices[notice.key]]
        )
        self.notices.reroute()
        self.seen_from = self.true

    async def restart(self, seconds: float, *, reboot: bool = False) -> None:
        """The daemon is away for so long. reboot: its machine, too, and the monotonic clock begins anew."""
        self.pipeline.remember_connections(self.hosts)
        await self._turn()
        left = list(self.notices.of_channel(CHANNEL))
        self._pass_unseen(seconds)
        if reboot:
            self.asleep, self.mono_zero = 0.0, self.true - 30.0
        self._start(left)

    def stop(self, seconds: float) -> None:
        """The daemon's process stands still."""
        self._pass_unseen(seconds)

    def suspend(self, seconds: float) -> None:
        """The daemon's machine sleeps."""
        self._pass_unseen(seconds)
        self.asleep += seconds

    def set_clock(self, seconds: float) -> None:
        """The daemon's wall clock jumps."""
        self.wall_jump += seconds

    def reload(self) -> None:
        """Another interval for a tenth of the hosts that have a link; their agents hear of it within seconds."""
        linked = [agent for agent in self.agents if agent.kind.links]
        for agent in self.random.sample(linked, len(linked) // 10):
            changed = agent.host.interval == agent.kind.interval
            agent.host.interval = agent.kind.interval * 2 if changed else agent.kind.interval
            self._push(self.true + self.random.uniform(0.1, 3.0), agent, None, True)
        self.alerts.reconfigure(lambda host_id, path: True)
        self.presence.configure(grace=GRACE, intervals={host.id: host.interval for host in self.hosts}, now=self.now)
        self.notices.reroute()
        self.seen_from = self.true

    def _pass_unseen(self, seconds: float) -> None:
        """Datagrams of that time are lost; TCP brings its reports soon after."""
        end = self.true + seconds
        while self._moments[0][0] <= end:
            at, _, host_id, family, reports = heappop(self._moments)
            agent = self.agents[host_id]
            if reports:
                self._push(end + self.random.uniform(0.0, min(3.0, agent.interval)), agent, None, True)
            elif family is None:
                self._next_beat(agent, at)
        self.true = self.seen_from = end

    # -------------------------------------------------------------------------------------------------------- time

    async def pass_time(self, seconds: float) -> None:
        """The daemon is there and sees."""
        end = self.true + seconds
        moments = self._moments
        while self.true < end:
            tick = self.true + TICK
            while moments[0][0] <= tick:
                at, _, host_id, family, reports = heappop(moments)
                agent = self.agents[host_id]
                self.true = at
                if agent.died is not None:
                    continue
                if reports:
                    self._reported(agent)
                elif family is None:
                    self._beat(agent)
                elif at == agent.repeat_at[family]:
                    self._send(agent, family)
            self.true = tick
            self.pipeline.tick(self.now)
            if self.pipeline._wake.is_set():
                await self._turn()
            self._tell()

    async def _turn(self) -> None:
        self.pipeline._wake.clear()
        await self.pipeline._write_turn()
        for event in self.rows.events:
            if event.path == LIVES and event.after is Level.CRITICAL and event.before is not Level.CRITICAL:
                self._went_down(event)
        self.rows.events.clear()

    def _went_down(self, event: AlertEvent) -> None:
        agent = self.agents[event.host_id]
        if agent.died is not None:
            interval = max(agent.interval, agent.host.interval or 0.0)
            self.down_after.append((self.true - max(agent.died, self.seen_from), interval))
            self.flapping_downs += event.flapping == "goes on"
        elif self._beats_long(agent):
            self.false_downs.append(f"{self.true:.1f} s: {agent.kind}: {event.reason}")

    def _beats_long(self, agent: Agent) -> bool:
        return agent.died is None and self.true - agent.alive_since > GRACE * agent.interval

    def _tell(self) -> None:
        """What ``Notifier`` would send: news that are due. Nothing is held back, and the channel takes all."""
        now = self.now
        ready = [
            notice
            for notice in self.notices.news(CHANNEL)
            if notice.closed or now.mono >= max(notice.due, notice.after)
        ]
        if not ready:
            return
        for notice in ready:
            if not notice.closed:
                self.told[notice.level] += 1
                if notice.path == LIVES and self._beats_long(self.agents[notice.host_id]):
                    if notice.level is Level.CRITICAL:
                        self.false_messages.append(f"{self.true:.1f} s: {notice}")
                    elif notice.level is Level.WARNING:
                        self.late_messages += 1
        self.notices.tell([notice for notice in ready if not notice.closed], now)
        self.notices.close([notice.key for notice in ready if (here := self.notices.get(notice.key)) and here.closed])

    # -------------------------------------------------------------------------------------------------------- agents

    def die(self, agent: Agent) -> None:
        """Without a word."""
        agent.died = self.true

    def revive(self, agent: Agent) -> None:
        """It is started again."""
        agent.died, agent.alive_since = None, self.true
        agent.begin(int(agent.run, 16) + 1, self.true + self.random.uniform(0.0, 1.0))
        self._schedule(agent)

    def _schedule(self, agent: Agent) -> None:
        self._moments = (
            [moment for moment in self._moments if moment[2] != agent.host.id] if self.true else self._moments
        )
        heapify(self._moments)
        self._push(agent.phase, agent, None, False)
        if agent.kind.links:
            self._push(agent.phase + self.random.uniform(0.0, agent.interval), agent, None, True)

    def _push(self, at: float, agent: Agent, family: Family | None, reports: bool) -> None:
        self._number += 1
        heappush(self._moments, (at, self._number, agent.host.id, family, reports))

    def _next_beat(self, agent: Agent, now: float) -> None:
        """The next regular one. It is late by what loop, network and queues take; that does not add up."""
        while agent.phase <= now:
            agent.phase += agent.interval
        self._push(agent.phase + min(self.random.expovariate(50.0), 0.5), agent, None, False)

    def _beat(self, agent: Agent) -> None:
        draw, weather = self.random, self.weather
        if draw.random() < weather.host_burst:
            agent.cut_until = self.true + draw.uniform(0.0, agent.interval)
        if len(agent.families) > 1 and draw.random() < weather.family_burst:
            agent.lost_until[draw.choice(agent.families)] = self.true + draw.uniform(0.0, 10 * agent.interval)
        for family in agent.families:
            self._send(agent, family)
        self._next_beat(agent, self.true)

    def _send(self, agent: Agent, family: Family) -> None:
        """A datagram, and its echo; without one the agent beats out of turn."""
        self.sent += 1
        agent.seq[family] += 1
        loss, draw = self.weather.loss, self.random.random
        cut = max(agent.cut_until, agent.lost_until[family])
        if self.true >= cut and draw() >= loss:
            now = self.now
            kind = Beat.STARTED if agent.seq[family] <= 2 else Beat.ALIVE
            beat = Heartbeat(
                agent.host.id, family, "", agent.run, agent.seq[family], kind, agent.interval, agent_time=now.wall
            )
            self.pipeline.beat(beat, PATHS[family], now)
            if draw() >= loss:
                agent.unheard[family] = 0
                agent.repeat_at[family] = inf
                return
        else:
            self.lost += 1
        agent.unheard[family] += 1
        if agent.kind.repeats and agent.unheard[family] <= MOST_REPEATS:
            agent.repeat_at[family] = again = self.true + repeat_after(agent.interval)
            self._push(again, agent, family, False)

    def _reported(self, agent: Agent) -> None:
        """A report came in. It may be the first one after the config changed."""
        now, wanted = self.now, agent.host.interval
        if wanted is not None and wanted != agent.interval:
            agent.interval, agent.phase = wanted, self.true
            self.pipeline.hello(agent.host, agent.run, "reconnected", wanted, Source(agent.families[-1], ""), now)
        agent.reports += 1
        report = Report(
            agent.host.id, agent.run, agent.reports, (), b"", 0.0, agent.interval, agent.families[-1], "", now.wall
        )
        self.pipeline.accept(report, now).add_done_callback(_seen)
        sent = self.true + agent.interval
        self._push(max(sent + self._tcp_delay(), agent.cut_until + 0.2), agent, None, True)

    def _tcp_delay(self) -> float:
        delay, wait = 0.02, 0.2
        while self.random.random() < self.weather.loss:
            delay, wait = delay + wait, min(2 * wait, 120.0)
        return delay


def _seen(future: asyncio.Future[Outcome]) -> None:
    """Who is refused sends again; here the next report does."""
    assert future.cancelled() or future.exception() is None or isinstance(future.exception(), HbdError)


def kinds(share: float = 1.0, *, repeats: bool = True) -> list[Kind]:
    """A fleet of all intervals, with one family and two, with a link and without. share: of 376 hosts."""
    return [
        Kind(hosts=max(1, round(count * share)), interval=interval, families=families, links=links, repeats=repeats)
        for interval, count in ((2.0, 4), (5.0, 12), (10.0, 60), (30.0, 12), (60.0, 6))
        for families in (tuple(Family), (Family.IPV4,))
        for links in (True, False)
    ]


async def history(fleet: Fleet, beats: int, deaths: int) -> None:
    """All that may happen to a daemon, every few minutes, until so many beats were sent.

    deaths: how many hosts fall silent in the three minutes before each of it; they are down for a while.
    """
    draw = fleet.random
    rest = 2 * GRACE * max(2 * agent.kind.interval for agent in fleet.agents)
    while fleet.sent < beats:
        await fleet.pass_time(draw.uniform(100.0, 300.0))
        dead = draw.sample(fleet.agents, deaths)
        for agent in dead:
            fleet.die(agent)
            await fleet.pass_time(draw.uniform(0.0, 180.0 / deaths))
        happens = draw.choice(HAPPENINGS)
        fleet.happened[happens] += 1
        match happens:
            case "clock_set_on":
                fleet.set_clock(DAY)
            case "clock_set_back":
                fleet.set_clock(-DAY)
            case "stops":
                fleet.stop(draw.choice([2.0, 20.0, 300.0, 3600.0]))
            case "suspends":
                fleet.suspend(draw.choice([20.0, 300.0, 3600.0]))
            case "restarts":
                await fleet.restart(draw.choice([1.0, 10.0, 120.0, 3600.0]))
            case "reboots":
                await fleet.restart(draw.uniform(30.0, 300.0), reboot=True)
            case "reloads":
                fleet.reload()
        await fleet.pass_time(rest)
        fleet.missed += sum(fleet.alerts.level(agent.host.id, LIVES) is not Level.CRITICAL for agent in dead)
        for agent in dead:
            fleet.revive(agent)
