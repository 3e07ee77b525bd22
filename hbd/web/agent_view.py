"""A host as the agents API shows it: the agent on it, and what it measured last."""

from __future__ import annotations

import time
from typing import Literal

from msgspec import Struct
from msgspec.structs import asdict

from hbd.hosts import Host
from hbd.model import Data, State
from hbd.presence import HostPresence
from hbd.web import schemas
from hbd.web.hostview import NOT_HEARD, fullest, number
from hbd.web.parts import Parts

Status = Literal["online", "offline", "pending"]


class Agent(Struct, kw_only=True):
    """One line of the list. Times are whole Unix seconds.

    hostname: the name of the host; what the machine calls itself is ``reported_hostname`` of the detail. label: what
    people call it, the host's name where they gave none. ip, os, version: "" until they are known. last_seen: null when
    it was never heard. server_id: the host's number. connected: whether a command reaches the agent at once.
    """

    id: str
    label: str
    hostname: str
    ip: str
    os: str
    version: str
    status: Status
    last_seen: int | None
    tags: list[str]
    server_id: int
    connected: bool
    has_key: bool
    owner: str | None


class Key(Struct, kw_only=True):
    """What may be told of an agent's key. fingerprint: names it without giving it away.

    expires: Unix seconds, null for the one that stays. used: whether an agent has shown it yet.
    """

    fingerprint: str
    created: int
    expires: int | None
    used: bool


class Metrics(Struct, kw_only=True):
    """The newest numbers of a host; null where it does not report them. timestamp: of the newest sample, Unix seconds.

    disk_percent: of ``/``, else of the fullest disk. plugins: everything, by plugin.
    """

    timestamp: float | None = None
    cpu_percent: float | None = None
    mem_percent: float | None = None
    disk_percent: float | None = None
    load_1min: float | None = None
    rx_bytes_per_second: float | None = None
    tx_bytes_per_second: float | None = None
    uptime_s: int | None = None
    plugins: dict[str, schemas.PluginState]


class AgentDetail(Agent, kw_only=True):
    """One agent. given_tags: those that people gave it here; ``tags`` has the agent's own and the config's beside them.

    state, since, reason: as ``/api/0/hosts`` has them.
    """

    state: State
    since: float | None
    reason: str
    addresses: list[str]
    kernel: str
    arch: str
    reported_hostname: str
    given_tags: list[str]
    managers: list[str]
    monitors: list[str]
    keys: list[Key]
    alerts: schemas.AlertCounts
    metrics: Metrics


def line(parts: Parts, host: Host) -> Agent:
    view = _presence(parts, host)
    newest = max(view.connections, key=lambda connection: connection.last_seen, default=None)
    return Agent(
        id=host.agent_id,
        label=host.label or host.name,
        hostname=host.name,
        ip=newest.address if newest is not None else "",
        os=host.os,
        version=host.agent_version,
        status=_status(view, parts.told.get(host.id)),
        last_seen=None if view.last_seen is None else int(view.last_seen),
        tags=host.tags,
        server_id=host.id,
        connected=host.link or parts.noba_sockets.holds(host),
        has_key=parts.agents.has_key(host),
        owner=host.owner,
    )


def detail(parts: Parts, host: Host) -> AgentDetail:
    view, about = _presence(parts, host), _newest(parts, host, "os_info")
    return AgentDetail(
        **asdict(line(parts, host)),
        state=view.state,
        since=view.since,
        reason=view.reason,
        addresses=[connection.address for connection in view.connections if connection.address],
        kernel=_text(about.get("kernel")),
        arch=_text(about.get("arch")),
        reported_hostname=_text(about.get("hostname")),
        given_tags=host.given_tags,
        managers=host.managers,
        monitors=host.monitors,
        keys=[
            Key(
                fingerprint=key.fingerprint,
                created=int(key.created),
                expires=None if key.expires is None else int(key.expires),
                used=key.used is not None,
            )
            for key in parts.agents.keys(host, time.time())
        ],
        alerts=schemas.AlertCounts(*parts.alerts.counts(host.id)),
        metrics=current_metrics(parts, host),
    )


def current_metrics(parts: Parts, host: Host) -> Metrics:
    plugins = {
        name: schemas.PluginState(newest.time, newest.data, parts.rings.count(host.id, name))
        for name in parts.rings.plugins(host.id)
        if (newest := parts.rings.latest(host.id, name)) is not None
    }
    summary = parts.views.summary(host.id)
    uptime = number(_newest(parts, host, "os_info").get("uptime_seconds"))
    disks = _newest(parts, host, "disk_monitor")
    root, _ = fullest({"/": disks.get("/")})
    return Metrics(
        timestamp=max((plugin.timestamp for plugin in plugins.values()), default=None),
        cpu_percent=summary.cpu_percent,
        mem_percent=summary.memory_percent,
        disk_percent=summary.disk_percent if root is None else root,
        load_1min=summary.load_1min,
        rx_bytes_per_second=summary.rx_bytes_per_second,
        tx_bytes_per_second=summary.tx_bytes_per_second,
        uptime_s=None if uptime is None else int(uptime),
        plugins=plugins,
    )


def _presence(parts: Parts, host: Host) -> HostPresence:
    return parts.presence.view(host.id) or NOT_HEARD


def _status(view: HostPresence, told: State | None) -> Status:
    """told: the state that counts while it is not known yet: the one before a restart of the daemon."""
    if view.last_seen is None:
        return "pending"
    state = told if view.state is State.UNKNOWN else view.state
    return "offline" if state in (State.OVERDUE, State.DOWN) else "online"


def _newest(parts: Parts, host: Host, plugin: str) -> Data:
    sample = parts.rings.latest(host.id, plugin)
    return {} if sample is None else sample.data


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
