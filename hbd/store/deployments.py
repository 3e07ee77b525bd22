"""Deployments of agents over SSH, and the host keys of the machines."""

from __future__ import annotations

import sqlite3
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Struct

from hbd.store import audit
from hbd.store.audit import Entry
from hbd.store.database import Database

KEPT = 100

Status = Literal["running", "done", "failed", "cancelled"]
StepStatus = Literal["waiting", "running", "done", "failed"]


class Step(Struct):
    name: str
    title: str
    status: StepStatus = "waiting"
    detail: str = ""


class DeploymentRow(NamedTuple):
    """One deployment, without its id. Times are Unix seconds. host_key: the fingerprint of the machine's. lent: hash of
    a key that its machine may have, until that is known."""

    host_id: int | None
    address: str
    port: int
    ssh_user: str
    label: str
    author: str
    created: float
    finished: float | None
    status: Status
    steps: list[Step]
    error: str
    code: str
    host_key: str
    lent: bytes | None


_steps = msgspec.json.Decoder(list[Step]).decode


class DeploymentTables:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[tuple[int, DeploymentRow]]:
        """The newest ones, the oldest of them first."""

        def query(db: sqlite3.Connection) -> list[tuple[int, DeploymentRow]]:
            rows = db.execute(
                "SELECT id, host_id, address, port, ssh_user, label, author, created, finished, status, steps, error,"
                " code, host_key, lent FROM deployments ORDER BY id DESC LIMIT ?",
                (KEPT,),
            )
            return [(row[0], _row(*row[1:])) for row in rows][::-1]

        return await self._database.read(query)

    async def add(self, row: DeploymentRow, entry: Entry) -> int:
        """Keep a new one and return its id; of the oldest there are too many then."""

        def work(db: sqlite3.Connection) -> int:
            number = db.execute(
                "INSERT INTO deployments (host_id, address, port, ssh_user, label, author, created, finished, status,"
                " steps, error, code, host_key, lent) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                _values(row),
            ).lastrowid
            assert number is not None
            db.execute("DELETE FROM deployments WHERE id <= ?", (number - KEPT,))
            audit.insert(db, entry)
            return number

        return await self._database.write(work)

    async def save(self, number: int, row: DeploymentRow, *entries: Entry) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.execute(
                "UPDATE deployments SET host_id = ?, address = ?, port = ?, ssh_user = ?, label = ?, author = ?,"
                " created = ?, finished = ?, status = ?, steps = ?, error = ?, code = ?, host_key = ?, lent = ?"
                " WHERE id = ?",
                (*_values(row), number),
            )
            audit.insert(db, *entries)

        await self._database.write(work)

    async def host_keys(self, address: str, port: int) -> list[str]:
        """What was recorded of a machine, as lines of known_hosts."""
        sql = "SELECT key FROM ssh_host_keys WHERE address = ? AND port = ?"
        return await self._database.read(lambda db: [line for (line,) in db.execute(sql, (address, port))])

    async def record(self, address: str, port: int, key: str, entry: Entry) -> None:
        """Believe this machine by this key, a line of known_hosts, from now on."""

        def work(db: sqlite3.Connection) -> None:
            row = (address, port, key, entry.time, entry.user)
            db.execute(
                "INSERT OR IGNORE INTO ssh_host_keys (address, port, key, recorded, author) VALUES (?, ?, ?, ?, ?)", row
            )
            audit.insert(db, entry)

        await self._database.write(work)

    async def forget_host_keys(self, address: str, port: int, entry: Entry) -> int:
        """Believe a machine by none of the recorded keys any more; returns how many those were."""

        def work(db: sqlite3.Connection) -> int:
            gone = db.execute("DELETE FROM ssh_host_keys WHERE address = ? AND port = ?", (address, port)).rowcount
            audit.insert(db, entry)
            return gone

        return await self._database.write(work)


def _row(*columns: Any) -> DeploymentRow:
    """Of a row of the table without its id."""
    return DeploymentRow._make((*columns[:9], _steps(columns[9]), *columns[10:]))


def _values(row: DeploymentRow) -> tuple[object, ...]:
    return (*row[:9], msgspec.json.encode(row.steps).decode(), *row[10:])
