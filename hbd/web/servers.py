"""Hosts as the processes API calls them."""

from __future__ import annotations

import asyncio

from hbd.access import visible
from hbd.hosts import Host
from hbd.model import State
from hbd.web import process_view
from hbd.web.call import Call

AT_ONCE = 200  # hosts, before others get their turn on the loop


async def index(call: Call) -> process_view.ServerList:
    listed = []
    for host in visible(call.identity, call.parts.hosts):
        listed.append(_listed(call, host))
        if len(listed) % AT_ONCE == 0:
            await asyncio.sleep(0)
    return process_view.ServerList(listed)


async def show(call: Call) -> process_view.OneServer:
    return process_view.OneServer(_listed(call, call.host))


def _listed(call: Call, host: Host) -> process_view.ListedServer:
    view = call.parts.presence.view(host.id)
    return process_view.ListedServer(
        id=host.id,
        hostname=host.name,
        last_agent_version=host.agent_version or None,
        agent_id=host.agent_id,
        state=view.state if view is not None else State.UNKNOWN,
        process_count=len(call.parts.processes.watches.of(host.id)),
    )
