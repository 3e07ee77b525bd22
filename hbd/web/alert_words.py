"""An alert as its readers see it, and what they may do about it."""

from __future__ import annotations

from typing import Any

from hbd.access import Action, Identity, may
from hbd.alerts import Alert
from hbd.hosts import Host
from hbd.hushing import Hushing
from hbd.notifications import Notifications
from hbd.web import schemas
from hbd.web.alert_view import subject

_RIGHTS = {"acknowledge": Action.ACKNOWLEDGE, "silence": Action.MANAGE}


def allowed_to(identity: Identity, host: Host) -> list[str]:
    """What somebody may do about the alerts of a host."""
    return [name for name, action in _RIGHTS.items() if may(identity, action, host, changes=True).allowed]


def described(host: Host, alert: Alert, hushing: Hushing, notifications: Notifications) -> dict[str, Any]:
    """The members of ``schemas.HostAlert``."""
    ack = hushing.ack_of(alert.problem)
    held = notifications.held_back(host, alert)
    pending, pending_since = alert.pending or (None, None)
    name, key, unit = subject(alert)
    threshold = alert.rule.threshold if alert.rule is not None else None
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
        "flapping": alert.flapping,
        "notification_count": notifications.notices.times_told(alert.problem),
        "acknowledged": schemas.Acknowledged(ack.user, ack.note, ack.time) if ack is not None else None,
        "held": schemas.Held(**held._asdict()) if held is not None else None,
        "name": name,
        "key": key,
        "unit": unit,
        "operator": threshold.operator if threshold is not None else "",
        "warning": threshold.warning if threshold is not None else None,
        "critical": threshold.critical if threshold is not None else None,
    }
