"""The commands ``hbd agent …``, carried out by the running daemon or, without one, on the database itself."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from hbd.agent_register import AgentRegister
from hbd.errors import NotFound
from hbd.hosts import Host, Hosts
from hbd.presence import Presence
from hbd.store import Store
from hbd.store.audit import Entry


class Agents:
    """presence: None where no daemon runs."""

    def __init__(self, register: AgentRegister, hosts: Hosts, store: Store, presence: Presence | None = None) -> None:
        self._register = register
        self._hosts = hosts
        self._store = store
        self._presence = presence

    def commands(self) -> dict[str, Callable[..., Awaitable[Any]]]:
        """By name, as ``control`` knows them."""
        return {
            "agent add": self.add,
            "agent list": self.list,
            "agent rotate": self.rotate,
            "agent revoke": self.revoke,
            "agent remove": self.remove,
        }

    async def add(self, name: str, by: str = "") -> str:
        """by: who gave the command, a user of the machine; it is told in the audit log."""
        _, key = await self._register.enrol(name, _entry("agent.add", name, by))
        return key

    async def list(self) -> list[dict[str, Any]]:
        seen: dict[int, float] = {}
        for connection in await self._store.hosts.connections():
            seen[connection.host_id] = max(seen.get(connection.host_id, 0.0), connection.last_seen)
        return [self._line(host, seen.get(host.id)) for host in self._hosts]

    def _line(self, host: Host, seen: float | None) -> dict[str, Any]:
        view = self._presence.view(host.id) if self._presence else None
        return {
            "name": host.name,
            "agent_id": host.agent_id,
            "key": self._register.has_key(host),
            "version": host.agent_version,
            "state": view.state if view else None,
            "last_seen": view.last_seen if view else seen,
        }

    async def rotate(self, name: str, by: str = "") -> str:
        host = self._hosts.require(name)
        return await self._register.rotate(host, _entry("agent.rotate", host.name, by))

    async def revoke(self, name: str, by: str = "") -> None:
        host = self._hosts.require(name)
        await self._register.revoke(host, _entry("agent.revoke", host.name, by))

    async def remove(self, name: str, by: str = "") -> None:
        """Delete a host, also one in drophosts, with all that is stored of it. Raises NotFound."""
        host = self._hosts.known(name)
        if host is None:
            raise NotFound(f"Host '{name}' not found")
        await self._register.remove(host, _entry("agent.remove", host.name, by))


def _entry(action: str, name: str, by: str) -> Entry:
    detail = f"by {by}" if by else ""
    return Entry(time=time.time(), user="", via="cli", action=action, object=f"host {name}", detail=detail)
