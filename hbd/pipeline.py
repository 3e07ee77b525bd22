"""The one way in. Every report, heartbeat and tick of the clock passes here, in one order of steps.

A report is acknowledged after the transaction that holds it is committed, and not before. Reports that arrive while
a transaction is being written share the next one: a *turn*. A turn goes

1. collect what arrived since the last turn began (``accept``, ``beat``, ``tick`` only add to it),
2. judge what came in: which alerts change because of it, and who is to be told,
3. write it in one transaction: samples, alerts, notices, journal lines, connection states and their changes,
4. adopt it in memory: rings, alerts and report numbers follow the disk, they never lead,
5. tell the feed, resolve the futures of the reports.

When the write fails nothing of step 4 has happened: the agents are told to keep their reports, journal lines and
connection states wait for the next turn. Liveness does not wait for the disk: a storage error is never a host state.
On a full disk (``lacks_room``) reports are judged and not written: agents keep them, and alerts go on.
When the fault lies in the turn itself, its rows are written one by one, and the one that cannot be is dropped.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import partial
from typing import NamedTuple

import msgspec

from hbd.alerts import PRESENCE, AlertEvent, Alerts, Plan
from hbd.availability import Unseen
from hbd.connections import Blindness
from hbd.derived import Additions, Derived
from hbd.errors import HbdError, InvalidInput, NotFound, StorageError, StorageFull
from hbd.feed import Feed
from hbd.hosts import Host, Hosts
from hbd.model import (
    Beat,
    Family,
    Heartbeat,
    Level,
    Message,
    Moment,
    Report,
    Sample,
    State,
    Transition,
    without_joiners,
)
from hbd.no_data import NoData, Telling, is_of_data
from hbd.notices import Notices
from hbd.notices import Plan as NoticePlan
from hbd.presence import Presence
from hbd.processes import PLUGIN as PROCESSES
from hbd.processes import Watches
from hbd.rings import Rings
from hbd.rules import HostRules, RuleBook
from hbd.sequences import Sequences
from hbd.stats import Stats
from hbd.store import Store, Turn
from hbd.store.hosts import BeatRow, ConnectionRow
from hbd.watch_rules import WatchRules

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.05  # turns begin at least this far apart, so that under load many reports share one commit
BEATS_SECONDS = (
    1.0  # a heartbeat is on disk after this at the latest; until then a recording of it would pass a kill -9
)
MAX_WAITING_REPORTS = 50_000  # beyond this the disk is too slow for what comes in: agents are asked to wait
LIVENESS = {State.UP: Level.OK, State.OVERDUE: Level.WARNING, State.DOWN: Level.CRITICAL}
_FLAPPING = {"": "", "begins": "flapping, ", "ends": "flapping no more, "}
FAREWELLS = (Beat.STOPPED, Beat.SHUTDOWN)
CONFLICT_NOTICE_SECONDS = 600.0
MAX_WAITING_BYTES = 128 << 20  # of reports
MAX_FACT = 256  # letters of what an agent says of its system
MAX_WAITING_MESSAGES = 10_000  # journal lines kept while the disk refuses them; the oldest go first
MAX_WAITING_TRANSITIONS = 100_000  # likewise
SLEPT_SECONDS = 2.0  # by which the wall clock ran ahead of the other since the last tick: nobody lived through them


class Outcome(StrEnum):
    STORED = "stored"
    DUPLICATE = "duplicate"


class Source(NamedTuple):
    """Where something came from; both None when it did not come over a network of ours."""

    family: Family | None
    address: str | None


class Pipeline:
    def __init__(
        self,
        hosts: Hosts,
        presence: Presence,
        rings: Rings,
        store: Store,
        feed: Feed,
        stats: Stats,
        alerts: Alerts | None = None,
        notices: Notices | None = None,
        watches: Watches | None = None,
    ) -> None:
        self._hosts = hosts
        self._presence = presence
        self._rings = rings
        self._store = store
        self._feed = feed
        self._stats = stats
        self.sequences = Sequences()
        self.told: dict[int, State] = {}
        """host id → the state that the journal told last; filled from the store at the start"""
        self.lost_families: set[tuple[int, Family]] = set()
        """those that the journal told to be DOWN, each on its own or with its host; filled likewise"""
        self.alerts = alerts or Alerts()
        self.notices = notices if notices is not None else Notices()
        self.rules = RuleBook({})
        """what samples are judged by; replaced at a reload"""
        self.no_data = NoData(self.expects_data)
        self.heard_of: Callable[[AlertEvent], None] = lambda event: None
        """called with every change of an alert once it is on disk"""
        self.lacks_room: Callable[[], bool] = lambda: False
        """whether the disk is too full for reports"""
        self.derived = Derived(watches)
        """what is added to samples before they are judged; filled from the store at the start"""
        self._watch_rules = WatchRules(self.derived.watches)
        self._liveness: dict[tuple[int, str], tuple[Level, str, Moment]] = {}
        """what is to be told to the alerts of who lives; kept until it is on disk"""
        self._now = Moment(0.0, 0.0)
        """when something last came in here"""
        self._beats_due = -math.inf
        self._blindness: Blindness | None = None
        self._offset: float | None = None
        self._turn = Turn()
        self._waiting: dict[tuple[int, str, int], asyncio.Future[Outcome]] = {}
        self._waiting_bytes = 0
        self._parted: dict[int, Beat] = {}
        self._runs: dict[int, str] = {}
        self._conflicts: dict[int, float] = {}
        self._wake = asyncio.Event()
        self._closing = False
        stats.describe("reports_total", "Reports taken, by outcome.")
        stats.describe("samples_total", "Samples taken.")
        stats.describe("heartbeats_total", "Heartbeats taken.")
        stats.describe("samples_unjudged_total", "Samples that no rule could judge because of a fault in hbd.")
        stats.describe("journal_dropped_total", "Journal lines lost because the disk refused them for too long.")
        stats.describe("transitions_dropped_total", "Changes of state that availability lacks, for the same reason.")
        stats.describe("rows_dropped_total", "Rows that the database can never take, by kind.")
        stats.gauge("reports_waiting", "Reports that wait for their commit.", lambda: len(self._waiting))

    # ------------------------------------------------------------------------------------------------------- ways in

    def accept(self, report: Report, now: Moment) -> asyncio.Future[Outcome]:
        """Take a report. The future is done when the report is on disk, or was there before.

        It fails with StorageError when the report could not be written (send it again), InvalidInput when it never
        can be, NotFound when its host is gone. Reports of one host may be resolved in any order.
        """
        self._now = now
        loop = asyncio.get_running_loop()
        if report.agent_time is not None:
            self.derived.clocks.heard(report.host_id, report.agent_time, now)
        key = (report.host_id, report.run_id, report.seq)
        waiting = self._waiting.get(key)
        if waiting is not None:
            return waiting
        future: asyncio.Future[Outcome] = loop.create_future()
        host = self._hosts.by_id(report.host_id)
        if host is None:
            future.set_exception(NotFound("this host was deleted"))
            return future
        if report.alive:
            self._told_apart(
                self._presence.report(
                    host.id, family=report.family, address=report.address, interval=report.interval, now=now
                )
            )
            samples = report.samples if self._runs.get(host.id, report.run_id) == report.run_id else ()
            self._note_data(self.no_data.report(host.id, samples, report.interval or host.interval, now))
        if key in self.sequences:
            self._stats.count("reports_total", outcome=Outcome.DUPLICATE)
            future.set_result(Outcome.DUPLICATE)
        elif len(self._waiting) >= MAX_WAITING_REPORTS or self._waiting_bytes >= MAX_WAITING_BYTES or self._closing:
            self._stats.count("reports_total", outcome="refused")
            future.set_exception(StorageError("stopping" if self._closing else "too many reports wait for the disk"))
        else:
            self._waiting[key] = future
            self._waiting_bytes += len(report.body)
            self._turn.reports.append((report, now.wall))
            self._wake.set()
        return future

    def beat(self, heartbeat: Heartbeat, path: int, now: Moment) -> None:
        """Take a heartbeat that is authentic and new. path: 4 or 6, the family the agent says it sent over."""
        self._now = now
        self._stats.count("heartbeats_total")
        self.derived.clocks.heard(heartbeat.host_id, heartbeat.agent_time, now)
        self._told_apart(self._presence.beat(heartbeat, now))
        self._feed.host(heartbeat.host_id)
        if heartbeat.kind in FAREWELLS:
            self._said_farewell(heartbeat.host_id, heartbeat.kind, now)
        elif heartbeat.kind is not Beat.ALIVE:
            self._parted.pop(heartbeat.host_id, None)
        newest = self._turn.beats.get((heartbeat.host_id, path))
        if newest is None or newest.run_id != heartbeat.run_id or newest.seq < heartbeat.seq:
            self._turn.beats[heartbeat.host_id, path] = BeatRow(
                heartbeat.host_id, path, heartbeat.run_id, heartbeat.seq, heartbeat.agent_time
            )

    def hello(self, host: Host, run_id: str, event: str, interval: float, source: Source, now: Moment) -> None:
        """An agent opened its link. event: ``booted``, ``started`` or ``reconnected``; interval: of its reports, s."""
        self._now = now
        self._parted.pop(host.id, None)
        started = ""
        if event != "reconnected" and self._runs.get(host.id) != run_id:
            started = "host booted, agent started" if event == "booted" else "agent started"
        self._runs[host.id] = run_id
        self._note_data(self.no_data.hello(host.id, interval, bool(started), now))
        told = self._told_apart(
            self._presence.report(host.id, family=source.family, address=source.address, interval=interval, now=now),
            started,
        )
        if started and not told:
            self.note(started, now, host)

    def farewell(self, host_id: int, kind: Beat, now: Moment) -> None:
        """The agent said over its link that it stops, or that its machine does."""
        self._now = now
        self._told_apart(self._presence.farewell(host_id, kind, now))
        self._said_farewell(host_id, kind, now)

    def _said_farewell(self, host_id: int, kind: Beat, now: Moment) -> None:
        """It is said over the link and by heartbeats, some of them twice; one line tells it."""
        host = self._hosts.by_id(host_id)
        if host is not None and host_id not in self._parted:
            self._parted[host_id] = kind
            text = "agent stopped on purpose" if kind is Beat.STOPPED else "host is being shut down"
            self.note(text, now, host)
            self._lives(host, f"{PRESENCE}.host", Level.OK, text)

    def conflict(self, host: Host, now: Moment) -> None:
        """Two machines use the key of this host at the same time; told once in a while."""
        if now.mono - self._conflicts.get(host.id, -math.inf) >= CONFLICT_NOTICE_SECONDS:
            self._conflicts[host.id] = now.mono
            self.note("two machines report with the key of this host; enrol one of them anew", now, host)

    def report_interval(self, host: Host, silence: float) -> float:
        """Seconds between reports of a host, see ``Presence.report_interval``."""
        return self._presence.report_interval(host.id, silence)

    def changed(self, host: Host) -> None:
        """Something about a host changed that its watchers can see."""
        self._feed.host(host.id)

    def tick(self, now: Moment) -> None:
        """Let time pass: the silent become overdue, then down."""
        self._now = now
        self._told_apart(self._presence.tick(now))
        if self._liveness or self.alerts.has_due(now) or self.notices.has_wishes:
            self._wake.set()
        if self._turn.beats and now.mono >= self._beats_due:
            self._beats_due = now.mono + BEATS_SECONDS
            self._wake.set()
        blindness = self._presence.blindness
        if blindness is not None and blindness is not self._blindness:
            self._blindness = blindness
            since, until = blindness.since.wall, blindness.until.wall
            self._turn.unseen.append(Unseen(min(since, until), until, False))
            seconds = blindness.until.mono - blindness.since.mono
            self.note(f"hbd itself could not see for {seconds:.0f} s; nobody is blamed for silence in that time", now)
            self.no_data.blind(now)
        self._note_sleep(now)
        self._note_data(self.no_data.tick(now))

    def resume(self, watched_until: float | None, now: Moment) -> None:
        """The daemon starts. watched_until: Unix seconds, when it could last see before; None: it is the first time."""
        if watched_until is not None:
            self._turn.unseen.append(Unseen(min(watched_until, now.wall), now.wall, True))

    def lose_sight(self, host: Host, now: Moment) -> None:
        """A host is looked after no more: from now on nobody knows how it is."""
        view = self._presence.view(host.id)
        if view is not None:
            states = {None: view.state} | {link.family: link.state for link in view.connections}
            self._turn.transitions += (
                Transition(host.id, family, state, State.UNKNOWN, now.wall, "not looked after")
                for family, state in states.items()
            )
            self._wake.set()

    def _note_sleep(self, now: Moment) -> None:
        """The machine slept, or its clock was set forward: of the time that is missing nobody knows anything."""
        before, self._offset = self._offset, now.wall - now.mono
        if before is not None and self._offset - before > SLEPT_SECONDS:
            self._turn.unseen.append(Unseen(now.wall - (self._offset - before), now.wall, False))
            self._wake.set()

    def note(self, text: str, now: Moment, host: Host | None = None) -> None:
        """Add a line to the journal."""
        message = Message(now.wall, host.name if host else "", text)
        self._turn.messages.append((host.id if host else None, message))
        self._feed.message(message)
        self._wake.set()

    def facts(
        self, host: Host, *, os: object = None, agent_version: object = None, tags: list[str] | None = None
    ) -> None:
        """Remember what an agent says of its host, where it differs from what we knew.

        os, agent_version: what is no line of text is passed over.
        tags: all that the agent gives its host; the caller has the config's added to them.
        """
        before = (host.os, host.agent_version, host.agent_tags)
        host.os = host.os if (said := _fact(os)) is None else said
        host.agent_version = host.agent_version if (said := _fact(agent_version)) is None else said
        if tags is not None:
            host.agent_tags = tags
        if before != (host.os, host.agent_version, host.agent_tags):
            host.version += 1
            self._turn.facts[host.id] = (host.os, host.agent_version, host.agent_tags)
            self._wake.set()
            self._feed.host(host.id)

    # --------------------------------------------------------------------------------------------------- transitions

    def _told_apart(self, transitions: Sequence[Transition], because: str = "") -> bool:
        """Write down what changed: a host's change is one journal line, whatever its connections did meanwhile.

        because: why a host came up, when more is known than presence can know. Returns whether a host's line was told.
        """
        told = False
        hosts_that_changed = {change.host_id for change in transitions if change.family is None}
        for change in transitions:
            host = self._hosts.by_id(change.host_id)
            if host is None:
                continue
            self._feed.host(host.id)
            self._turn.transitions.append(change)
            self._wake.set()
            at = Moment(change.at, 0.0)
            if change.family is not None:
                self.remember_connections((host,))
                if change.after is State.UP:
                    self._lives(host, f"{PRESENCE}.{change.family}", Level.OK, "heard again")
                if self._worth_a_line(change) and host.id not in hosts_that_changed:
                    if change.after is State.DOWN:
                        self._lives(host, f"{PRESENCE}.{change.family}", Level.WARNING, change.reason)
                    self.note(f"{change.family} is {change.after}{_because(change.reason)}", at, host)
                continue
            self._note_data(self.no_data.lives(host.id, change.after, self._now))
            if self._is_news(host, change.after):
                if host.id not in self._parted or change.after is State.UP:
                    self._lives(host, f"{PRESENCE}.host", LIVENESS[change.after], change.reason)
                told = True
                self.told[host.id] = change.after
                self._turn.states[host.id] = change.after
                self.note(f"{change.after}{_because(because or change.reason)}", at, host)
        return told

    def _lives(self, host: Host, path: str, level: Level, reason: str) -> None:
        """Have the alerts hear whether a host, or one family of it, lives."""
        if host.watched:
            self._liveness[host.id, path] = (level, reason, self._now)
            self._wake.set()

    def watched_again(self, host: Host) -> None:
        """A host is watched that was not: its alerts hear how it is, as they only hear of changes from now on."""
        view = self._presence.view(host.id)
        if view is None or view.state is State.UNKNOWN:
            return
        if view.state is State.UP:
            for link in view.connections:
                if (host.id, link.family) in self.lost_families:
                    self._lives(host, f"{PRESENCE}.{link.family}", Level.WARNING, "not heard while the host was")
        elif host.id not in self._parted:  # who said farewell is not missed
            self._lives(host, f"{PRESENCE}.host", LIVENESS[view.state], view.reason)

    def is_judged(self, host_id: int, path: str) -> bool:
        """Whether there is a rule for a path of a host; for whether it lives: whether that matters to anybody."""
        host = self._hosts.by_id(host_id)
        if host is None:
            return False
        if path.startswith(f"{PRESENCE}."):
            return self.expects_data(host_id, path) if is_of_data(path) else host.watched
        plugin = PROCESSES if path.startswith(f"{PROCESSES}.") else ""
        rule = next(iter(self.rules_for(host, plugin).explain(path)), None)
        return rule is not None and rule.threshold.enabled

    def _note_data(self, tellings: Iterable[Telling]) -> None:
        for telling in tellings:
            host = self._hosts.by_id(telling.host_id)
            if host is not None:
                self._lives(host, telling.path, telling.level, telling.reason)

    def expects_data(self, host_id: int, path: str) -> bool:
        """Whether a path of ``hbd.no_data`` is watched: its host is, and no threshold switches it off."""
        host = self._hosts.by_id(host_id)
        return host is not None and host.watched and not self.rules.of(host.threshold_config).is_off(path)

    def rules_for(self, host: Host, plugin: str) -> HostRules:
        """What samples of a plugin of a host are judged by."""
        rules = self.rules.of(host.threshold_config)
        return self._watch_rules.of(host.id, rules) if plugin == PROCESSES else rules

    def _is_news(self, host: Host, state: State) -> bool:
        if state is State.UNKNOWN or self.told.get(host.id) is state:
            return False
        return state is not State.OVERDUE or host.id not in self._parted  # who said farewell is not late

    def _worth_a_line(self, change: Transition) -> bool:
        """One family lost or found again while the host itself stays up, if that was not told before a restart."""
        assert change.family is not None
        family = (change.host_id, change.family)
        was_lost = family in self.lost_families
        if change.after is State.DOWN:
            self.lost_families.add(family)
        elif change.after is State.UP:
            self.lost_families.discard(family)
        if was_lost is (family in self.lost_families):
            return False
        view = self._presence.view(change.host_id)
        return view is not None and view.state is State.UP

    def remember_connections(self, hosts: Iterable[Host]) -> None:
        """Have their connections written with the next turn, so that a restart knows when they were last seen."""
        for host in hosts:
            view = self._presence.view(host.id)
            for link in view.connections if view else ():
                if link.state is not State.UNKNOWN:
                    self._turn.connections[host.id, link.family] = ConnectionRow(
                        host.id, link.family, link.address, link.state, link.since, link.last_seen, link.interval
                    )
        self._wake.set()

    # --------------------------------------------------------------------------------------------------------- turns

    async def run(self) -> None:
        """Write turns until ``close``; then write what is left and return."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            began = loop.time()
            await self._write_turn()
            if self._closing and not self._wake.is_set():
                return
            await asyncio.sleep(max(0.0, began + GATHER_SECONDS - loop.time()))

    def close(self) -> None:
        """Take nothing more; ``run`` returns when all that was taken is written."""
        self._closing = True
        self._wake.set()

    async def _write_turn(self) -> None:
        turn, self._turn = self._turn, Turn()
        turn, additions = self._completed(turn)
        plan, liveness = self._judge(turn, self._liveness)
        notices = self._told_of(plan)
        if self.lacks_room() and turn.reports:
            for report, _ in turn.reports:
                self._settle(report, StorageFull("the disk of the server is full"))
            turn, additions = msgspec.structs.replace(turn, reports=[], trends=[], processes=[]), self.derived.begin()
        written = _with_alerts(turn, plan, notices, self._lines(plan))
        if not written:
            self.alerts.adopt(plan)  # timers that were looked at in vain
            self.notices.adopt(notices)
            self._heard(liveness)
            return
        try:
            await self._store.record(written, self._now.wall)
        except StorageError as error:
            self._put_back(turn, error)
        except Exception:
            log.exception("a turn cannot be written as a whole; trying its rows one by one")
            await self._rescue(turn)
        else:
            self._heard(liveness)
            self.derived.adopt(additions)
            self._adopt(turn, plan, notices)

    async def _rescue(self, turn: Turn) -> None:
        """The fault is not of the disk but of something in this turn: save all of it but that."""
        for kind, row in msgspec.structs.replace(turn, trends=[], processes=[]).rows():
            row, additions = self._completed(row)
            plan, _ = self._judge(row, {})
            notices = self._told_of(plan)
            try:
                await self._store.record(_with_alerts(row, plan, notices, self._lines(plan)))
            except StorageError as error:
                self._put_back(row, error)
            except Exception as error:
                self._stats.count("rows_dropped_total", kind=kind)
                log.error("a row of %s can never be written and is dropped: %s", kind, error)
                for report, _ in row.reports:
                    self._settle(report, InvalidInput("the database cannot take this report"))
            else:
                self.derived.adopt(additions)
                self._adopt(row, plan, notices)

    def _completed(self, turn: Turn) -> tuple[Turn, Additions]:
        """The turn with what is derived from its reports."""
        additions = self.derived.begin()
        reports = []
        for report, received in turn.reports:
            try:
                reports.append((additions.complete(report, received), received))
            except Exception:  # it must not be lost for it
                self._stats.count("samples_unjudged_total", len(report.samples))
                log.exception("nothing could be derived from a report of host %d", report.host_id)
                reports.append((report, received))
        derived = {"trends": additions.rows, "processes": additions.processes}
        return msgspec.structs.replace(turn, reports=reports, **derived), additions

    def _judge(
        self, turn: Turn, liveness: Mapping[tuple[int, str], tuple[Level, str, Moment]]
    ) -> tuple[Plan, dict[tuple[int, str], tuple[Level, str, Moment]]]:
        """Which alerts change with a turn; and the liveness that is in it."""
        now, included = self._now, dict(liveness)
        plan = self.alerts.begin(now)
        for report, received in turn.reports:
            host = self._hosts.by_id(report.host_id)
            if host is None:
                continue
            came = Moment(received, now.mono - (now.wall - received))
            level_of = partial(plan.level, host.id)
            for sample in report.samples:
                try:
                    rules = self.rules_for(host, sample.plugin)
                    verdicts = rules.judge(sample.plugin, sample.data, level_of)
                    plan.judge(host.id, sample.plugin, verdicts, sample.time, came)
                except Exception:  # its report must not be lost for it
                    self._stats.count("samples_unjudged_total")
                    log.exception("a sample of %s could not be judged", host.name)
        for (host_id, path), (level, reason, at) in included.items():
            if self._hosts.by_id(host_id) is not None:
                plan.liveness(host_id, path, level, reason, at)
        plan.tick(now)
        return plan, included

    def _told_of(self, plan: Plan) -> NoticePlan:
        """Who is to be told of what changes."""
        return self.notices.begin(plan.events, self.alerts.open(), plan.now)

    def _heard(self, liveness: Mapping[tuple[int, str], tuple[Level, str, Moment]]) -> None:
        """This is on disk; what came since waits for the next turn."""
        for key, said in liveness.items():
            if self._liveness.get(key) == said:
                del self._liveness[key]

    def _lines(self, plan: Plan) -> list[tuple[int | None, Message]]:
        """The journal lines of a plan. Liveness has lines of its own; what flaps has one at each end."""
        lines: list[tuple[int | None, Message]] = []
        for event in plan.events:
            host = self._hosts.by_id(event.host_id)
            lives = event.path.startswith(f"{PRESENCE}.") and not is_of_data(event.path)
            if host is not None and event.flapping != "goes on" and (event.flapping or not lives):
                text = f"{_FLAPPING[event.flapping]}{event.after}: {event.path}{_because(event.reason)}"
                lines.append((host.id, Message(event.at, host.name, text)))
        return lines

    def _settle(self, report: Report, error: HbdError | None = None) -> None:
        """Answer whoever waits for a report."""
        self._stats.count("reports_total", outcome="refused" if error else Outcome.STORED)
        self._waiting_bytes -= len(report.body)
        future = self._waiting.pop((report.host_id, report.run_id, report.seq))
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(Outcome.STORED)

    def _adopt(self, turn: Turn, plan: Plan, notices: NoticePlan) -> None:
        self.alerts.adopt(plan)
        self.notices.adopt(notices)
        for event in plan.events:
            self.heard_of(event)
            self._feed.alert(event)
        for _, line in self._lines(plan):
            self._feed.message(line)
        for report, _ in turn.reports:
            host = self._hosts.by_id(report.host_id)
            try:
                if host is not None:
                    self.sequences.add(report.host_id, report.run_id, report.seq)
                    for sample in report.samples:
                        self._adopt_sample(host, sample)
                    self._feed.host(host.id)
                    self._stats.count("samples_total", len(report.samples))
            except Exception:  # it is on disk; memory without it is a smaller harm than no answer
                log.exception("a stored report could not be taken into memory")
            self._settle(report)

    def _adopt_sample(self, host: Host, sample: Sample) -> None:
        if not self._rings.add(host.id, sample):
            return
        newest = self._rings.latest(host.id, sample.plugin)
        if newest is None or newest.time > sample.time:
            return  # late: it fills the ring, but says nothing of now
        self._feed.plugin(host.id, sample)
        if sample.plugin == "os_info":
            self.facts(host, os=sample.data.get("os"), agent_version=sample.data.get("agent_version"))

    def _put_back(self, turn: Turn, error: StorageError) -> None:
        """The write failed: whoever waits is told, what nobody would send again is kept for the next turn."""
        for report, _ in turn.reports:
            self._settle(report, error)
        newer = self._turn
        messages = turn.messages + newer.messages
        excess = len(messages) - MAX_WAITING_MESSAGES
        if excess > 0:
            self._stats.count("journal_dropped_total", excess)
            del messages[:excess]
        transitions = turn.transitions + newer.transitions
        excess = len(transitions) - MAX_WAITING_TRANSITIONS
        if excess > 0:
            self._stats.count("transitions_dropped_total", excess)
            del transitions[:excess]
        self._turn = Turn(
            reports=newer.reports,
            messages=messages,
            transitions=transitions,
            unseen=turn.unseen + newer.unseen,
            connections=turn.connections | newer.connections,
            beats=turn.beats | newer.beats,
            states=turn.states | newer.states,
            facts=turn.facts | newer.facts,
        )

    def forget(self, host: Host) -> None:
        """Drop all that memory holds of a host that is being deleted."""
        self._presence.forget(host.id)
        self.no_data.forget(host.id)
        self.alerts.forget(host.id)
        self.notices.forget_host(host.id)
        self.derived.forget(host.id)
        self._watch_rules.forget(host.id)
        self._rings.drop(host.id)
        self.sequences.forget(host.id)
        self.told.pop(host.id, None)
        self._parted.pop(host.id, None)
        self._runs.pop(host.id, None)
        self._conflicts.pop(host.id, None)
        self.lost_families -= {(host.id, family) for family in Family}


def _with_alerts(turn: Turn, plan: Plan, notices: NoticePlan, lines: list[tuple[int | None, Message]]) -> Turn:
    """A turn with the alerts that change with it. The turn itself stays as it is: it may have to be judged again."""
    return msgspec.structs.replace(
        turn,
        messages=turn.messages + lines,
        alerts=plan.rows,
        gone=plan.gone,
        events=plan.events,
        notices=notices.rows,
    )


def _fact(value: object) -> str | None:
    """One line that can be shown anywhere; None: it is none."""
    if not isinstance(value, str) or not without_joiners(value[:MAX_FACT]).isprintable():
        return None
    return value[:MAX_FACT]


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""
