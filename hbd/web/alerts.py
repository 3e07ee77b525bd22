"""Alerts over HTTP. No rules judge samples in this version, so that nothing is ever alerting."""

from __future__ import annotations

from hbd.web import schemas
from hbd.web.call import Call
from hbd.web.layout import visible_hosts


async def index(call: Call) -> schemas.Alerts:
    return schemas.Alerts(host_count=len(visible_hosts(call)))


async def of_host(call: Call) -> schemas.HostAlerts:
    return schemas.HostAlerts(hostname=call.host.name)
