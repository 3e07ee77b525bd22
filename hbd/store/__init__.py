"""All SQL of the daemon, one file a table group over one ``Database``."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from hbd.alerts import AlertEvent, AlertRow
from hbd.availability import Unseen
from hbd.derived import TrendRow
from hbd.model import Message, Report, State, Transition
from hbd.notices import NoticeRow
from hbd.processes import ProcessSample
from hbd.stats import Stats
from hbd.store import alerts as _alerts
from hbd.store import hosts as _hosts
from hbd.store import hushing as _hushing
from hbd.store import messages as _messages
from hbd.store import notices as _notices
from hbd.store import processes as _processes
from hbd.store import samples as _samples
from hbd.store import transitions as _transitions
from hbd.store import trends as _trends
from hbd.store.accounts import AccountTables
from hbd.store.alerts import AlertTables
from hbd.store.audit import AuditLog
from hbd.store.channels import ChannelTables
from hbd.store.chronicle import ChronicleTables
from hbd.store.commands import CommandTables
from hbd.store.database import Database
from hbd.store.deployments import DeploymentTables
from hbd.store.exports import Exports
from hbd.store.history import History
from hbd.store.hosts import BeatRow, ConnectionRow, HostTables
from hbd.store.hushing import HushTables
from hbd.store.jobs import JobTables
from hbd.store.messages import Messages
from hbd.store.mishaps import Mishaps
from hbd.store.notices import NoticeTables
from hbd.store.processes import ProcessTables
from hbd.store.reports import ReportTables
from hbd.store.routes import RouteTable
from hbd.store.samples import Samples
from hbd.store.transitions import Transitions
from hbd.store.trends import TrendTables


class Turn(Struct):
    """What belongs together and is written in one transaction. See ``Pipeline``.

    reports: with the Unix seconds of their arrival. messages: with the host's id, None for the daemon's own.
    states: host id → the state the journal told last. facts: host id → (operating system, agent version, agent's tags).
    alerts, events: where alerts stand now, and what was told of them. gone: (host id, path) of those that are no more.
    notices: what channels are to know because of them.
    trends: of the hosts whose reports made a point. processes: what the reports say of watched ones.
    transitions: changes of state. unseen: times in which the daemon could not see.
    """

    reports: list[tuple[Report, float]] = field(default_factory=list)
    messages: list[tuple[int | None, Message]] = field(default_factory=list)
    connections: dict[tuple[int, str], ConnectionRow] = field(default_factory=dict)
    beats: dict[tuple[int, int], BeatRow] = field(default_factory=dict)
    states: dict[int, State] = field(default_factory=dict)
    facts: dict[int, tuple[str, str, list[str]]] = field(default_factory=dict)
    alerts: list[AlertRow] = field(default_factory=list)
    gone: list[tuple[int, str]] = field(default_factory=list)
    events: list[AlertEvent] = field(default_factory=list)
    notices: list[NoticeRow] = field(default_factory=list)
    trends: list[TrendRow] = field(default_factory=list)
    processes: list[ProcessSample] = field(default_factory=list)
    transitions: list[Transition] = field(default_factory=list)
    unseen: list[Unseen] = field(default_factory=list)

    def rows(self) -> Iterator[tuple[str, Turn]]:
        """The same as turns of one row each, with the name of the row's kind."""
        for kind in self.__struct_fields__:
            rows: Any = getattr(self, kind)
            parts: list[Any] = [{key: rows[key]} for key in rows] if isinstance(rows, dict) else [[row] for row in rows]
            for part in parts:
                yield kind, Turn(**{kind: part})

    def __bool__(self) -> bool:
        return any(getattr(self, kind) for kind in self.__struct_fields__)


class Store:
    """The tables of one database."""

    def __init__(self, path: Path, stats: Stats, database: Database | None = None) -> None:
        """database: None as a rule; see ``hbd.store.together``."""
        self.database = database or Database(path, stats)
        mishaps = Mishaps(stats)
        self.hosts = HostTables(self.database)
        self.messages = Messages(self.database)
        self.samples = Samples(self.database, mishaps)
        self.jobs = JobTables(self.database)
        self.history = History(self.database, mishaps)
        self.chronicle = ChronicleTables(self.database)
        self.exports = Exports(self.database)
        self.trends = TrendTables(self.database)
        self.transitions = Transitions(self.database)
        self.processes = ProcessTables(self.database)
        self.accounts = AccountTables(self.database)
        self.audit = AuditLog(self.database)
        self.alerts = AlertTables(self.database)
        self.hushing = HushTables(self.database)
        self.notices = NoticeTables(self.database)
        self.channels = ChannelTables(self.database)
        self.commands = CommandTables(self.database)
        self.routes = RouteTable(self.database)
        self.deployments = DeploymentTables(self.database)
        self.reports = ReportTables(self.database)

    async def open(self) -> None:
        await self.database.open()

    async def close(self) -> None:
        await self.database.close()

    async def probe(self) -> None:
        """Write a little and nothing that matters, to see whether the disk takes it. Raises StorageError."""
        await self.database.write(
            lambda db: db.execute(
                "INSERT INTO meta (key, value) VALUES ('probe', random())"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
            )
        )

    async def record(self, turn: Turn, now: float | None = None) -> None:
        """Write a turn of the pipeline, all of it or nothing. now: Unix seconds; by then the daemon was watching.

        Raises StorageError.
        """

        def work(db: sqlite3.Connection) -> None:
            _samples.insert(db, turn.reports)
            _trends.save(db, turn.trends)
            _processes.insert(db, turn.processes)
            _messages.insert(db, turn.messages)
            _hosts.save_connections(db, turn.connections.values())
            _hosts.save_beats(db, turn.beats.values())
            _hosts.save_states(db, turn.states.items())
            _hosts.save_facts(db, ((host_id, *facts) for host_id, facts in turn.facts.items()))
            _alerts.save(db, turn.alerts, turn.gone, turn.events)
            _hushing.end_acks(db, turn.events)
            _notices.save(db, turn.notices)
            _transitions.insert(db, turn.transitions)
            _transitions.save_unseen(db, turn.unseen)
            if now is not None:
                _transitions.watched(db, now)

        await self.database.write(work)
