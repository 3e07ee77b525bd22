"""Rows about hosts, values and alerts, as Grafana is shown them. Times are milliseconds since 1970."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from hbd.hosts import Host
from hbd.model import Level, State
from hbd.web import grafana_series
from hbd.web.alert_count import SEVERITY
from hbd.web.call import Call


class HostRow(Struct, kw_only=True):
    """up, down: 1 or 0. since, last_seen: milliseconds. critical, warning, unknown: how many alerts."""

    host: str
    state: State
    up: int
    down: int
    since: int | None
    last_seen: int | None
    tags: str
    os: str
    agent_version: str
    critical: int
    warning: int
    unknown: int
    cpu_percent: float | None
    load_1min: float | None
    memory_percent: float | None
    disk_percent: float | None
    disk_mount: str | None
    rx_bytes_per_second: float | None
    tx_bytes_per_second: float | None


class MetricRow(Struct):
    metric: str


class ValueRow(Struct):
    """time: milliseconds. value: null in a gap."""

    time: int
    host: str
    metric: str
    value: float | None


class AlertRow(Struct):
    """since: milliseconds. acknowledged_by: "" when nobody has."""

    since: int
    host: str
    metric: str
    level: Level
    value: float | None
    reason: str
    acknowledged_by: str


class SpanRow(Struct, rename={"time_end": "timeEnd"}):
    """Something was wrong from time until timeEnd, in milliseconds; open: it still is."""

    time: int
    time_end: int
    title: str
    text: str
    tags: str
    host: str
    metric: str
    level: Level
    open: bool


async def host_rows(call: Call, hosts: list[Host]) -> list[HostRow]:
    found = []
    for number, host in enumerate(hosts):
        if number % grafana_series.HOSTS_AT_ONCE == grafana_series.HOSTS_AT_ONCE - 1:
            await asyncio.sleep(0)
        found.append(_host_row(call, host))
    return found


def _host_row(call: Call, host: Host) -> HostRow:
    shown = call.parts.views.host(host)
    told, summary = shown.alerts, shown.summary
    return HostRow(
        host=shown.name,
        state=shown.state,
        up=int(shown.state is State.UP),
        down=int(shown.state is State.DOWN),
        since=None if shown.since is None else milliseconds(shown.since),
        last_seen=None if shown.last_seen is None else milliseconds(shown.last_seen),
        tags=", ".join(shown.tags),
        os=shown.os,
        agent_version=shown.agent_version,
        critical=told.critical,
        warning=told.warning,
        unknown=told.unknown,
        cpu_percent=summary.cpu_percent,
        load_1min=summary.load_1min,
        memory_percent=summary.memory_percent,
        disk_percent=summary.disk_percent,
        disk_mount=summary.disk_mount,
        rx_bytes_per_second=summary.rx_bytes_per_second,
        tx_bytes_per_second=summary.tx_bytes_per_second,
    )


def alert_rows(call: Call, hosts: list[Host], levels: frozenset[Level] = frozenset()) -> list[AlertRow]:
    """What is wrong with these hosts now, the worst first, of these the newest. levels: only these; none: all."""
    by_id = {host.id: host for host in hosts}
    found = [
        alert
        for alert in call.parts.alerts.not_ok()
        if alert.host_id in by_id and (not levels or alert.level in levels)
    ]
    found.sort(key=lambda alert: (SEVERITY[alert.level], -alert.since))
    rows = []
    for alert in found:
        ack = call.parts.hushing.ack_of(alert.problem)
        rows.append(
            AlertRow(
                milliseconds(alert.since),
                by_id[alert.host_id].name,
                alert.path,
                alert.level,
                alert.value,
                alert.reason,
                ack.user if ack is not None else "",
            )
        )
    return rows


async def span_rows(call: Call, hosts: list[Host], start: float, to: float, limit: int) -> list[SpanRow]:
    """When something was wrong, for annotations, the newest first."""
    found = await grafana_series.wrong_spans(call, hosts, start, to)
    return [
        SpanRow(
            milliseconds(each.start),
            milliseconds(each.end),
            f"{each.level} on {host.name}",
            each.metric,
            f"{each.level},{host.name}",
            host.name,
            each.metric,
            each.level,
            each.open,
        )
        for host, each in found[:limit]
    ]


def milliseconds(moment: float) -> int:
    return round(moment * 1000)
