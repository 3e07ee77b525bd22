"""The commands ``hbd agent …``, carried out by the running daemon or, without one, on the database itself."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from hbd.enrolment import Enrolment
from hbd.errors import NotFound
from hbd.feed import Feed
from hbd.hosts import Host, Hosts
from hbd.hushing import Hushing
from hbd.model import Moment
from hbd.pipeline import Pipeline
from hbd.presence import Presence
from hbd.receivers.agent_link import AgentLinks
from hbd.receivers.udp import Heartbeats
from hbd.store import Store
from hbd.store.audit import Entry


class Running(NamedTuple):
    """The parts of a running daemon that have to hear of a change."""

    presence: Presence
    pipeline: Pipeline
    links: AgentLinks
    heartbeats: Heartbeats
    feed: Feed
    hushing: Hushing


class Agents:
    """running: None where no daemon runs."""

    def __init__(self, enrolment: Enrolment, hosts: Hosts, store: Store, running: Running | None = None) -> None:
        self._enrolment = enrolment
        self._hosts = hosts
        self._store = store
        self._running = running

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
        key = await self._enrolment.add(name)
        await self._tell("enrolled", "agent.add", name, by)
        return key

    async def list(self) -> list[dict[str, Any]]:
        seen: dict[int, float] = {}
        for connection in await self._store.hosts.connections():
            seen[connection.host_id] = max(seen.get(connection.host_id, 0.0), connection.last_seen)
        return [self._line(host, seen.get(host.id)) for host in self._hosts]

    def _line(self, host: Host, seen: float | None) -> dict[str, Any]:
        view = self._running.presence.view(host.id) if self._running else None
        return {
            "name": host.name,
            "agent_id": host.agent_id,
            "key": self._enrolment.has_key(host),
            "version": host.agent_version,
            "state": view.state if view else None,
            "last_seen": view.last_seen if view else seen,
        }

    async def rotate(self, name: str, by: str = "") -> str:
        key = await self._enrolment.rotate(name)
        await self._tell("the key was rotated", "agent.rotate", name, by)
        return key

    async def revoke(self, name: str, by: str = "") -> None:
        await self._enrolment.revoke(name)
        await self._tell("the key was revoked", "agent.revoke", name, by)
        if self._running:
            await self._running.links.drop(self._hosts.require(name), "the key was revoked")

    async def remove(self, name: str, by: str = "") -> None:
        """Delete a host, also one in drophosts, with all that is stored of it. Raises NotFound."""
        host = self._hosts.known(name)
        if host is None:
            raise NotFound(f"Host '{name}' not found")
        await self._enrolment.remove(host)
        await self._audit("agent.remove", host.name, by)
        if self._running:
            await self._running.links.drop(host, "this host was removed")
            self._running.heartbeats.forget(host.id)
            self._running.pipeline.forget(host)
            self._running.hushing.forget(host.id)
            self._running.pipeline.note(f"host {host.name} was removed", Moment.now())

    async def _tell(self, text: str, action: str, name: str, by: str) -> None:
        """Write it into the journal and the audit log."""
        host = self._hosts.require(name)
        await self._audit(action, host.name, by)
        if self._running:
            self._running.pipeline.note(text, Moment.now(), host)

    async def _audit(self, action: str, name: str, by: str) -> None:
        detail = f"by {by}" if by else ""
        entry = Entry(time=time.time(), user="", via="cli", action=action, object=f"host {name}", detail=detail)
        await self._store.audit.add([entry])
