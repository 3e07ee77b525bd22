"""Watched processes as people change them. What is changed is on disk, with its audit entry, before it counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from msgspec.structs import replace

from hbd.alerts import Alerts
from hbd.config import Config
from hbd.config.structs import Plan
from hbd.errors import Conflict, NotFound
from hbd.processes import Known, Watched, Watches
from hbd.store import Store
from hbd.store.audit import Entry
from hbd.store.processes import ProcessHistory
from hbd.watch_rules import ended

SAMPLES = 100
RECENT_SECONDS = 86_400.0  # in which restarts are recent
DEFAULT_PLAN = "self-hosted"


class Duplicate(Conflict):
    """A process of that name is watched on this host already."""


class PlanLimit(Conflict):
    """As many processes are watched on this host as may be."""

    def __init__(self, limit: int, count: int) -> None:
        super().__init__(f"{count} processes are watched on this host, and {limit} may be")
        self.limit = limit
        self.count = count


class ProcessRegister:
    """Changes raise StorageError, with everything as it was."""

    def __init__(self, config: Config, store: Store, watches: Watches, alerts: Alerts) -> None:
        self.config = config
        self.changed: Callable[[int], None] = lambda host_id: None
        """called with the id of a host when its agent is to look after other processes than before"""
        self.is_judged: Callable[[int, str], bool] = lambda host_id, path: False
        """whether there is a rule for a path of a host"""
        self.watches = watches
        self._store = store.processes
        self._alerts = alerts
        self._changing = asyncio.Lock()

    async def load(self) -> None:
        self.watches.load(await self._store.all())

    @asynccontextmanager
    async def rewriting(self) -> AsyncIterator[None]:
        """Nothing is changed otherwise while the block writes watched processes; then they are what is on disk."""
        async with self._changing:
            yield
            left = {known.watched.id: known.watched for known in await self._store.all()}
            for before in self.watches.all():
                after = left.pop(before.id, None)
                if after is None:
                    self.watches.remove(before.host_id, before.id)
                    self._end_alerts(before, None)
                    self.changed(before.host_id)
                elif after != before:
                    self._put(after)
                    self._end_alerts(before, after)
            for new in left.values():
                self._put(new)

    @property
    def plan(self) -> tuple[str, int]:
        """The plan in force, the first one of the config, and how many processes of each host may be watched by it."""
        return next(((name, plan.limit) for name, plan in self.config.plans.items()), (DEFAULT_PLAN, Plan().limit))

    def get(self, host_id: int, process_id: int) -> Known:
        """Raises NotFound."""
        known = self.watches.get(host_id, process_id)
        if known is None:
            raise NotFound(f"Process '{process_id}' not found")
        return known

    async def history(self, watched: Watched, now: float) -> ProcessHistory:
        """The last samples, and the restarts of the last day. now: Unix seconds."""
        return await self._store.history(watched, SAMPLES, now - RECENT_SECONDS)

    async def add(self, watched: Watched, entry: Entry) -> Known:
        """watched: without an id. Raises Duplicate, PlanLimit, NotFound when its host is gone."""
        async with self._changing:
            self._require_free(watched)
            _, limit = self.plan
            if (count := len(self.watches.of(watched.host_id))) >= limit:
                raise PlanLimit(limit, count)
            return self._put(await self._store.add(watched, entry))

    async def change(self, host_id: int, process_id: int, changes: Mapping[str, Any], entry: Entry) -> Known:
        """changes: by field of ``Watched``; all others stay. Raises Duplicate, NotFound."""
        async with self._changing:
            before = self.get(host_id, process_id).watched
            after = replace(before, **changes)
            self._require_free(after)
            await self._store.change(after, entry)
            known = self._put(after)
            self._end_alerts(before, after)
            return known

    async def delete(self, host_id: int, process_id: int, entry: Entry) -> None:
        """Raises NotFound."""
        async with self._changing:
            watched = self.get(host_id, process_id).watched
            await self._store.delete(process_id, entry)
            self.watches.remove(host_id, process_id)
            self._end_alerts(watched, None)
            self.changed(host_id)

    def _require_free(self, watched: Watched) -> None:
        other = self.watches.named(watched.host_id, watched.name)
        if other is not None and other.watched.id != watched.id:
            raise Duplicate(f"'{watched.name}' is watched on this host already")

    def _put(self, watched: Watched) -> Known:
        names = self.watches.names(watched.host_id)
        self.watches.put(watched)
        if names != self.watches.names(watched.host_id):
            self.changed(watched.host_id)
        return self.get(watched.host_id, watched.id)

    def _end_alerts(self, before: Watched, after: Watched | None) -> None:
        host_id = before.host_id
        paths = ended(before, after, lambda path: self.is_judged(host_id, path))
        self._alerts.end_paths((host_id, path) for path in paths)
