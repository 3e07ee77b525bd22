"""Notification routes that were made over the API."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from hbd.matching import Matcher
from hbd.model import Level
from hbd.routing import Route
from hbd.store import audit
from hbd.store.audit import Entry
from hbd.store.database import Database


class _Settings(NamedTuple):
    """What a row has as JSON."""

    hosts: tuple[str, ...]
    tags: tuple[str, ...]
    metrics: tuple[str, ...]
    channels: tuple[str, ...]
    min_level: Level
    after: float


class RouteTable:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[Route]:
        sql = "SELECT id, name, settings, author, created FROM notification_routes ORDER BY id"

        def query(db: sqlite3.Connection) -> list[Route]:
            found = []
            for number, name, text, author, created in db.execute(sql):
                settings = msgspec.json.decode(text, type=_Settings)
                found.append(
                    Route(
                        id=number,
                        name=name,
                        matcher=Matcher(hosts=settings.hosts, tags=settings.tags, metrics=settings.metrics),
                        channels=settings.channels,
                        min_level=settings.min_level,
                        after=settings.after,
                        author=author,
                        created=created,
                    )
                )
            return found

        return await self._database.read(query)

    async def save(self, route: Route, entry: Entry) -> Route:
        """A new one, whose id is 0, or in place of the one with its id. Returns it with its id."""
        about = route.matcher
        settings = _Settings(about.hosts, about.tags, about.metrics, route.channels, route.min_level, route.after)
        values = (route.name, msgspec.json.encode(settings).decode(), route.author, route.created)

        def work(db: sqlite3.Connection) -> int:
            if route.id:
                sql = "UPDATE notification_routes SET name = ?, settings = ?, author = ?, created = ? WHERE id = ?"
                db.execute(sql, (*values, route.id))
                number = route.id
            else:
                sql = "INSERT INTO notification_routes (name, settings, author, created) VALUES (?, ?, ?, ?)"
                number = db.execute(sql, values).lastrowid or 0
            audit.insert(db, replace(entry, object=f"route {number} {route.name}"))
            return number

        return replace(route, id=await self._database.write(work))

    async def delete(self, route_id: int, entry: Entry) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM notification_routes WHERE id = ?", (route_id,))
            audit.insert(db, entry)

        await self._database.write(work)
