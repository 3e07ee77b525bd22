"""Alerts over HTTP."""

from __future__ import annotations

from typing import Any

from hbd.access import sees_everything, visible
from hbd.alerts import Alert
from hbd.model import Level
from hbd.web import schemas
from hbd.web.call import Call


async def index(call: Call) -> schemas.Alerts:
    """The worst first, of these the newest."""
    hosts = {host.id: host.name for host in visible(call.identity, call.parts.hosts)}
    all_of_them = sees_everything(call.identity)
    found = [alert for alert in call.parts.alerts.not_ok() if all_of_them or alert.host_id in hosts]
    found.sort(key=lambda alert: (_SEVERITY[alert.level], -alert.since))
    summary = schemas.AlertTotals(total=0)
    shown = []
    for alert in found:
        if alert.host_id not in hosts:
            continue  # in drophosts
        shown.append(schemas.Alert(hostname=hosts[alert.host_id], **_words(alert)))
        summary.total += 1
        match alert.level:
            case Level.CRITICAL:
                summary.critical += 1
            case Level.WARNING:
                summary.warning += 1
            case _:
                summary.unknown += 1
    return schemas.Alerts(alerts=shown, summary=summary, host_count=len(hosts))


async def of_host(call: Call) -> schemas.HostAlerts:
    alerts = call.parts.alerts
    return schemas.HostAlerts(
        hostname=call.host.name,
        alerts=[schemas.HostAlert(**_words(alert)) for alert in alerts.of(call.host.id)],
        summary=schemas.AlertCounts(*alerts.counts(call.host.id)),
    )


_SEVERITY = {Level.CRITICAL: 0, Level.WARNING: 1, Level.UNKNOWN: 2, Level.OK: 3}


def _words(alert: Alert) -> dict[str, Any]:
    pending, pending_since = alert.pending or (None, None)
    return {
        "metric_path": alert.path,
        "level": alert.level,
        "since": alert.since,
        "last_value": alert.value,
        "last_check": alert.checked,
        "reason": alert.reason,
        "rule": alert.source,
        "pending": pending,
        "pending_since": pending_since,
    }
