"""Watched processes and their hosts in the shapes of the processes API. Yes and no are 1 and 0, times ISO 8601 UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from hbd.alerts import Alerts
from hbd.hosts import Host
from hbd.model import Level, State
from hbd.processes import METRICS, Known, ProcessSample, Watched
from hbd.watch_rules import path_of

LONGEST_NAME = 100
LEAST_PERCENT, MOST_PERCENT = 0.01, 100.0
Name = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)]
Percent = Annotated[float, Meta(ge=LEAST_PERCENT, le=MOST_PERCENT)]
Flag = Literal[0, 1]
AlertedState = Literal["down", "restart", "cpu", "memory"]
Status = Literal["paused", "pending", "down", "alerting", "up"]

_STATES: tuple[AlertedState, ...] = ("down", "restart", "cpu", "memory")  # as METRICS


class Server(Struct, kw_only=True):
    id: int
    hostname: str
    last_agent_version: str | None


class ListedServer(Server, kw_only=True):
    """state: as in the list of hosts. process_count: watched processes, paused ones too."""

    agent_id: str
    state: State
    process_count: int


class ServerList(Struct):
    servers: list[ListedServer]


class OneServer(Struct):
    server: ListedServer


class NewProcess(Struct, kw_only=True):
    """Yes and no may also be 1 and 0."""

    process_name: Name
    enabled: bool = True
    alert_on_down: bool = True
    alert_on_restart: bool = False
    alert_on_cpu: bool = False
    alert_on_memory: bool = False
    cpu_threshold_pct: Percent = 50.0
    memory_threshold_pct: Percent = 25.0


class ProcessChange(Struct, kw_only=True):
    """What is left out stays; one of them is needed."""

    process_name: Name | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    alert_on_down: bool | UnsetType = UNSET
    alert_on_restart: bool | UnsetType = UNSET
    alert_on_cpu: bool | UnsetType = UNSET
    alert_on_memory: bool | UnsetType = UNSET
    cpu_threshold_pct: Percent | UnsetType = UNSET
    memory_threshold_pct: Percent | UnsetType = UNSET


class Process(Struct, kw_only=True):
    """A watched process. user_id: who made it. alerted_state: the worst that is told of it now."""

    id: int
    server_id: int
    user_id: int | None
    process_name: str
    enabled: Flag
    alert_on_down: Flag
    alert_on_restart: Flag
    alert_on_cpu: Flag
    alert_on_memory: Flag
    cpu_threshold_pct: float
    memory_threshold_pct: float
    last_count: int | None
    last_cpu_pct: float | None
    last_memory_pct: float | None
    last_sample_at: str | None
    alerted_state: AlertedState | None
    status: Status


class ProcessList(Struct, kw_only=True):
    """plan_limit: processes that may be watched on each server."""

    processes: list[Process]
    plan_limit: int
    current_count: int
    plan: str
    server: Server


class OneProcess(Struct):
    process: Process


class ShownSample(Struct, kw_only=True):
    """oldest_start_unix: null while none runs."""

    id: int
    watched_process_id: int
    count: int
    cpu_pct: float | None
    memory_pct: float | None
    oldest_start_unix: int | None
    recorded_at: str


class ProcessDetail(Struct, kw_only=True):
    """samples: the last 100, newest first. recent_restarts: of the last 24 hours."""

    process: Process
    samples: list[ShownSample]
    samples_total: int
    recent_restarts: int


class Gone(Struct):
    ok: bool = True


def server(host: Host) -> Server:
    return Server(id=host.id, hostname=host.name, last_agent_version=host.agent_version or None)


def process(known: Known, alerts: Alerts) -> Process:
    watched, newest = known.watched, known.newest
    alerted = _alerted_state(watched, alerts)
    return Process(
        id=watched.id,
        server_id=watched.host_id,
        user_id=watched.user_id,
        process_name=watched.name,
        enabled=_flag(watched.enabled),
        alert_on_down=_flag(watched.alert_on_down),
        alert_on_restart=_flag(watched.alert_on_restart),
        alert_on_cpu=_flag(watched.alert_on_cpu),
        alert_on_memory=_flag(watched.alert_on_memory),
        cpu_threshold_pct=watched.cpu_limit,
        memory_threshold_pct=watched.memory_limit,
        last_count=newest.count if newest else None,
        last_cpu_pct=newest.cpu_percent if newest else None,
        last_memory_pct=newest.memory_percent if newest else None,
        last_sample_at=iso(newest.time) if newest else None,
        alerted_state=alerted,
        status=_status(watched, newest, alerted),
    )


def sample(row: ProcessSample) -> ShownSample:
    return ShownSample(
        id=row.id,
        watched_process_id=row.process_id,
        count=row.count,
        cpu_pct=row.cpu_percent,
        memory_pct=row.memory_percent,
        oldest_start_unix=int(row.oldest_start) if row.oldest_start is not None else None,
        recorded_at=iso(row.time),
    )


def iso(seconds: float) -> str:
    """A time of the clock as ``2026-05-24T18:41:00Z``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _alerted_state(watched: Watched, alerts: Alerts) -> AlertedState | None:
    if not watched.enabled:
        return None
    told = (alerts.level(watched.host_id, path_of(watched.name, metric)) for metric in METRICS)
    return next((state for state, level in zip(_STATES, told, strict=True) if level is not Level.OK), None)


def _status(watched: Watched, newest: ProcessSample | None, alerted: AlertedState | None) -> Status:
    if not watched.enabled:
        return "paused"
    if newest is None:
        return "pending"
    if newest.count == 0:
        return "down"
    return "alerting" if alerted is not None else "up"


def _flag(value: bool) -> Flag:
    return 1 if value else 0
