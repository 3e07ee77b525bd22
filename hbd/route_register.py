"""Notification routes as they change. What is changed is on disk, with its audit entry, before it counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec.structs import replace

from hbd.errors import Conflict, NotFound
from hbd.notices import Notices
from hbd.routing import Route, Router
from hbd.store import Store
from hbd.store.audit import Entry

MOST_ROUTES = 1_000


class RouteRegister:
    """Changes raise StorageError, with everything as it was."""

    def __init__(self, store: Store, router: Router, notices: Notices) -> None:
        self._store = store.routes
        self._router = router
        self._notices = notices
        self._changing = asyncio.Lock()

    async def load(self) -> None:
        self._router.stored = await self._store.all()

    @asynccontextmanager
    async def rewriting(self) -> AsyncIterator[None]:
        """No route is changed otherwise while the block writes some; then they are what is on disk."""
        async with self._changing:
            yield
            self._put(await self._store.all())

    def all(self) -> tuple[Route, ...]:
        """Those of the config first."""
        return self._router.routes

    def get(self, route_id: int) -> Route:
        """One that is not of the config. Raises NotFound."""
        for route in self._router.stored:
            if route.id == route_id:
                return route
        raise NotFound(f"Route '{route_id}' not found")

    async def add(self, route: Route, entry: Entry) -> Route:
        """Returns it with its id. Raises Conflict when there are too many."""
        async with self._changing:
            if len(self._router.stored) >= MOST_ROUTES:
                raise Conflict(f"There are {MOST_ROUTES} routes already")
            made = await self._store.save(route, entry)
            self._put([*self._router.stored, made])
            return made

    async def change(self, route_id: int, route: Route, entry: Entry) -> Route:
        """Put one in place of another, whose author stays. Raises NotFound."""
        async with self._changing:
            before = self.get(route_id)
            changed = replace(route, id=route_id, author=before.author, created=before.created)
            await self._store.save(changed, entry)
            self._put([changed if one.id == route_id else one for one in self._router.stored])
            return changed

    async def delete(self, route_id: int, entry: Entry) -> None:
        """Raises NotFound."""
        async with self._changing:
            self.get(route_id)
            await self._store.delete(route_id, entry)
            self._put([one for one in self._router.stored if one.id != route_id])

    def _put(self, routes: list[Route]) -> None:
        self._router.stored = routes
        self._notices.reroute()
