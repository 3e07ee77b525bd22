"""Alerts over HTTP."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from hbd.access import Action, may, sees_everything, visible
from hbd.hosts import Host
from hbd.model import Level
from hbd.web import past, schemas
from hbd.web.alert_count import SEVERITY, open_alerts
from hbd.web.alert_words import allowed_to, described
from hbd.web.call import Call
from hbd.web.errors import require


class AlertsQuery(past.AtQuery):
    limit: Annotated[
        Annotated[int, Meta(ge=0, le=100_000)] | None,
        Meta(description="How many alerts; all the numbers are about all of them."),
    ] = None


class HistoryQuery(Struct):
    host: Annotated[str | None, Meta(description="Only changes of this host.")] = None
    metric: Annotated[str, Meta(max_length=1000, description="Only changes of this `metric_path`.")] = ""
    level: Annotated[Level | None, Meta(description="Only changes to this level.")] = None
    limit: Annotated[int, Meta(ge=1, le=1000, description="How many changes.")] = 100
    before: Annotated[
        Annotated[int, Meta(ge=1, le=2**63 - 1)] | None,
        Meta(description="Only changes with a smaller id: the next page."),
    ] = None


async def index(call: Call) -> schemas.Alerts:
    """The worst first, of these the newest."""
    at = await past.moment_of(call, call.query.at)
    return listed(call, call.query.limit) if at is None else await past.alerts_at(call, at, call.query.limit)


def listed(call: Call, limit: int | None = None) -> schemas.Alerts:
    """What the caller may see of all that is not OK. limit: so many are shown, and all are counted."""
    alerts, hosts = call.parts.alerts, {host.id: host for host in visible(call.identity, call.parts.hosts)}
    found = [alert for alert in alerts.open() if alert.host_id in hosts]  # others may be in drophosts
    found.sort(key=lambda alert: (SEVERITY[alert.level], -alert.since, hosts[alert.host_id].name.lower(), alert.path))
    answer = schemas.Alerts(host_count=len(hosts), metric_count=_judged(call, hosts))
    answer.summary.total = len(found)
    answer.open_count, answer.open_level = open_alerts(call)
    for alert in found:
        match alert.level:
            case Level.CRITICAL:
                answer.summary.critical += 1
            case Level.WARNING:
                answer.summary.warning += 1
            case Level.UNKNOWN:
                answer.summary.unknown += 1
    rights: dict[int, list[str]] = {}
    for alert in found[:limit]:
        host = hosts[alert.host_id]
        allowed = rights.get(host.id)
        if allowed is None:
            allowed = rights[host.id] = allowed_to(call.identity, host)
        words = described(host, alert, call.parts.hushing, call.parts.notifications)
        answer.alerts.append(schemas.Alert(hostname=host.name, tags=host.tags, allowed=allowed, **words))
    return answer


async def of_host(call: Call) -> schemas.HostAlerts:
    alerts = call.parts.alerts
    hushing, notifications = call.parts.hushing, call.parts.notifications
    return schemas.HostAlerts(
        hostname=call.host.name,
        alerts=[
            schemas.HostAlert(**described(call.host, alert, hushing, notifications))
            for alert in alerts.of(call.host.id)
        ],
        summary=schemas.AlertCounts(*alerts.counts(call.host.id)),
    )


async def history(call: Call) -> schemas.AlertHistory:
    query: HistoryQuery = call.query
    hosts = call.parts.hosts
    wanted: list[int] | None = None
    if query.host is not None:
        host = hosts.require(query.host)
        require(may(call.identity, Action.VIEW, host))
        wanted = [host.id]
    elif not sees_everything(call.identity):
        wanted = [host.id for host in visible(call.identity, hosts)]
    found = await call.parts.store.alerts.history(
        query.limit + 1, host_ids=wanted, path=query.metric, after=query.level, before=query.before
    )
    shown = found[: query.limit]
    events = [
        schemas.PastAlert(
            id=number,
            hostname=past.name,
            metric_path=event.path,
            problem=event.problem,
            before=event.before,
            after=event.after,
            time=event.at,
            value=event.value,
            reason=event.reason,
            flapping=event.flapping,
        )
        for number, event in shown
        if (past := hosts.by_id(event.host_id)) is not None
    ]
    return schemas.AlertHistory(events, shown[-1][0] if len(found) > len(shown) else None)


def _judged(call: Call, hosts: dict[int, Host]) -> int:
    alerts = call.parts.alerts
    if len(hosts) == len(call.parts.hosts.everyone()):
        return sum(alerts.totals())
    return sum(sum(alerts.counts(host_id)) for host_id in hosts)
