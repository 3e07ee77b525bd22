"""Jobs and their calls. What people change is written with its audit entry."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from hbd.job_schedule import Progress, Status, Timing
from hbd.store import audit
from hbd.store.audit import Entry
from hbd.store.database import Database

PINGS_KEPT = 100  # of each job


class Job(Struct, frozen=True):
    """token: whoever has it may call, and no more. told: the status that was told last."""

    id: int
    host_id: int
    name: str
    token: str
    timing: Timing
    paused: bool
    created: float
    author: str
    progress: Progress = Progress()
    told: Status = Status.NEW


class Ping(Struct, frozen=True):
    """One call. kind: success, start, fail or log. seconds: that the run took. body: what it said, cut."""

    time: float
    kind: str
    exit_code: int | None
    seconds: float | None
    address: str
    body: str


class JobTables:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[Job]:
        sql = (
            "SELECT id, host_id, name, token, period, grace, cron, timezone, paused, created, author, done, begun, run,"
            " failed, seconds, exit_code, heard, told FROM jobs ORDER BY id"
        )
        return await self._database.read_long(lambda db: [_job(row) for row in db.execute(sql)], 60)

    async def add(self, job: Job, entry: Entry) -> Job:
        """Returns it with its id."""

        def work(db: sqlite3.Connection) -> int:
            made = db.execute(
                "INSERT INTO jobs (host_id, name, token, period, grace, cron, timezone, paused, created, author, told)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (job.host_id, job.name, job.token, *_timing(job), job.paused, job.created, job.author, job.told),
            )
            audit.insert(db, entry)
            return made.lastrowid or 0

        return replace(job, id=await self._database.write(work))

    async def change(self, job: Job, entry: Entry) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.execute(
                "UPDATE jobs SET name = ?, token = ?, period = ?, grace = ?, cron = ?, timezone = ?, paused = ?"
                " WHERE id = ?",
                (job.name, job.token, *_timing(job), job.paused, job.id),
            )
            audit.insert(db, entry)

        await self._database.write(work)

    async def delete(self, job_id: int, entry: Entry) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM jobs WHERE id = ?", (job_id,))
            audit.insert(db, entry)

        await self._database.write(work)

    async def ping(self, job: Job, ping: Ping) -> None:
        """Write a call, and where its job stands after it."""
        progress = job.progress

        def work(db: sqlite3.Connection) -> None:
            db.execute(
                "UPDATE jobs SET done = ?, begun = ?, run = ?, failed = ?, seconds = ?, exit_code = ?, heard = ?,"
                " paused = ? WHERE id = ?",
                (
                    progress.done,
                    progress.begun,
                    progress.run,
                    progress.failed,
                    progress.seconds,
                    progress.exit_code,
                    progress.heard,
                    job.paused,
                    job.id,
                ),
            )
            # Nothing, when the job was deleted meanwhile.
            db.execute(
                "INSERT INTO job_pings (job_id, time, kind, exit_code, seconds, address, body)"
                " SELECT id, ?, ?, ?, ?, ?, ? FROM jobs WHERE id = ?",
                (ping.time, ping.kind, ping.exit_code, ping.seconds, ping.address, ping.body, job.id),
            )
            db.execute(
                "DELETE FROM job_pings WHERE job_id = ?1 AND id <= (SELECT id FROM job_pings WHERE job_id = ?1"
                " ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                (job.id, PINGS_KEPT),
            )

        await self._database.write(work)

    async def told(self, jobs: Sequence[tuple[int, Status]]) -> None:
        """(id, status that was told) of some."""
        await self._database.write(
            lambda db: db.executemany(
                "UPDATE jobs SET told = ? WHERE id = ?", [(str(status), job_id) for job_id, status in jobs]
            )
        )

    async def pings(self, job_id: int, limit: int) -> list[Ping]:
        """The newest, newest first."""
        sql = (
            "SELECT time, kind, exit_code, seconds, address, body FROM job_pings WHERE job_id = ?"
            " ORDER BY id DESC LIMIT ?"
        )
        return await self._database.read(lambda db: [Ping(*row) for row in db.execute(sql, (job_id, limit))])


def _timing(job: Job) -> tuple[Any, ...]:
    return job.timing.period, job.timing.grace, job.timing.cron, job.timing.timezone


def _job(row: Sequence[Any]) -> Job:
    return Job(
        id=row[0],
        host_id=row[1],
        name=row[2],
        token=row[3],
        timing=Timing(row[4], row[5], row[6], row[7]),
        paused=bool(row[8]),
        created=row[9],
        author=row[10],
        progress=Progress(row[11], row[12], row[13], bool(row[14]), *row[15:18]),
        told=Status(row[18]),
    )
