"""How many alerts wait for somebody: the number beside the word Alerts on every page."""

from __future__ import annotations

import time
from typing import NamedTuple

from hbd.access import visible
from hbd.model import Level
from hbd.web.call import Call

SEVERITY = {Level.CRITICAL: 0, Level.WARNING: 1, Level.UNKNOWN: 2, Level.OK: 3}


class OpenAlerts(NamedTuple):
    """Those that nobody has acknowledged and nothing holds back. level: the worst of them, OK when there are none."""

    alerts: int
    level: Level


NONE_OPEN = OpenAlerts(0, Level.OK)


def open_alerts(call: Call) -> OpenAlerts:
    """Of the hosts that the caller may see."""
    found = list(call.parts.alerts.not_ok())
    if not found:
        return NONE_OPEN
    hosts = {host.id: host for host in visible(call.identity, call.parts.hosts)}
    hushing, now = call.parts.hushing, time.time()
    count, worst = 0, Level.OK
    for alert in found:
        host = hosts.get(alert.host_id)
        if host is not None and hushing.held(host, alert.path, alert.level, alert.problem, now) is None:
            count += 1
            worst = min(worst, alert.level, key=SEVERITY.__getitem__)
    return OpenAlerts(count, worst)
