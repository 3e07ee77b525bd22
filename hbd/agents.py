"""The commands ``hbd agent …``, carried out by the running daemon or, without one, on the database itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from hbd.enrolment import Enrolment
from hbd.hosts import Hosts
from hbd.presence import Presence
from hbd.receivers.agent_link import AgentLinks
from hbd.store import Store


def commands(
    enrolment: Enrolment, hosts: Hosts, store: Store, presence: Presence | None = None, links: AgentLinks | None = None
) -> dict[str, Callable[..., Awaitable[Any]]]:
    """By name, as ``control`` knows them. presence, links: of the running daemon."""

    async def add(name: str) -> str:
        return await enrolment.add(name)

    async def listing() -> list[dict[str, Any]]:
        rows = []
        seen: dict[int, float] = {}
        for connection in await store.hosts.connections():
            seen[connection.host_id] = max(seen.get(connection.host_id, 0.0), connection.last_seen)
        for host in hosts:
            view = presence.view(host.id) if presence else None
            rows.append(
                {
                    "name": host.name,
                    "agent_id": host.agent_id,
                    "key": enrolment.has_key(host),
                    "version": host.agent_version,
                    "state": view.state if view else None,
                    "last_seen": view.last_seen if view else seen.get(host.id),
                }
            )
        return rows

    async def rotate(name: str) -> str:
        return await enrolment.rotate(name)

    async def revoke(name: str) -> None:
        await enrolment.revoke(name)
        if links is not None:
            await links.drop(hosts.require(name), "the key was revoked")

    return {"agent add": add, "agent list": listing, "agent rotate": rotate, "agent revoke": revoke}
