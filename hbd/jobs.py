"""Jobs that call when they are done: what is known of them, and the samples that tell of it.

A host's jobs are one sample of the plugin ``jobs``, made at each call and when time changes a status. It goes the way
of all reports, but for being no sign of life of the host: hbd says it, or somebody who has the job's address.
"""

from __future__ import annotations

import asyncio
import logging
import math
import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from heapq import heappop, heappush

from msgspec.structs import replace

from hbd.errors import Conflict, HbdError, NotFound
from hbd.hosts import Host, Hosts
from hbd.job_schedule import Status, Timing, next_change, status
from hbd.model import Data, Moment, Sample
from hbd.pipeline import Source
from hbd.receivers.foreign import ForeignReports
from hbd.stats import Stats
from hbd.store.audit import Entry
from hbd.store.jobs import Job, JobTables, Ping

log = logging.getLogger(__name__)

PLUGIN = "jobs"
TICK_SECONDS = 1.0
MOST_JOBS = 100  # of each host
MOST_BODY = 10_000  # characters of a call
STATES = {Status.DOWN: 2, Status.UNSEEN: 3}
"""what a status means to the operator ``nagios``; all others are 0"""


class Jobs:
    """Changes raise StorageError, with everything as it was."""

    def __init__(
        self,
        tables: JobTables,
        hosts: Hosts,
        reports: ForeignReports,
        stats: Stats,
        clock: Callable[[], Moment] = Moment.now,
    ) -> None:
        self._tables = tables
        self._hosts = hosts
        self._reports = reports
        self._stats = stats
        self.clock = clock
        self._jobs: dict[int, Job] = {}
        self._of_host: dict[int, dict[int, None]] = {}
        self._by_token: dict[str, int] = {}
        self._due: list[tuple[float, int]] = []
        self._seen_from: dict[int, float] = {}
        """job id → start of this run of hbd, of those that were not down then"""
        self._untold: dict[int, None] = {}
        """hosts with something new to tell"""
        self._changing = asyncio.Lock()
        stats.describe("job_pings_total", "Calls of jobs, by kind.")
        stats.gauge("jobs", "Jobs that are to call.", lambda: len(self._jobs))

    async def load(self) -> None:
        """Know the jobs of the store again."""
        now = self.clock().wall
        for job in await self._tables.all():
            if job.told is not Status.DOWN:
                self._seen_from[job.id] = now
            self._put(job)
            if self.status(job, now) is not job.told:
                self._untold[job.host_id] = None

    @asynccontextmanager
    async def rewriting(self) -> AsyncIterator[None]:
        """No job is changed otherwise while the block writes some; then they are what is on disk. They are told with
        the next tick."""
        async with self._changing:
            yield
            left = {job.id: job for job in await self._tables.all()}
            for before in list(self._jobs.values()):
                after = left.pop(before.id, None)
                if after is None:
                    self._drop(before)
                    self._untold[before.host_id] = None
                elif after != before:
                    self._by_token.pop(before.token, None)
                    self._put(after)
                    self._untold[before.host_id] = None
            for new in left.values():
                self._put(new)
                self._untold[new.host_id] = None

    # ------------------------------------------------------------------------------------------------------- answers

    def all(self) -> Iterable[Job]:
        return self._jobs.values()

    def of(self, host: Host) -> list[Job]:
        """Those of a host, in the order in which they were made."""
        return [self._jobs[job_id] for job_id in self._of_host.get(host.id, ())]

    def get(self, host: Host, job_id: int) -> Job:
        """Raises NotFound."""
        job = self._jobs.get(job_id)
        if job is None or job.host_id != host.id:
            raise NotFound(f"Job '{job_id}' not found")
        return job

    def status(self, job: Job, now: float) -> Status:
        seen_from = self._seen_from.get(job.id, -math.inf)
        return status(job.timing, job.progress, now, paused=job.paused, seen_from=seen_from)

    async def pings(self, job: Job, limit: int) -> list[Ping]:
        return await self._tables.pings(job.id, limit)

    # -------------------------------------------------------------------------------------------------------- changes

    async def add(self, host: Host, name: str, timing: Timing, author: str, entry: Entry) -> Job:
        """Raises Conflict when there is one of that name, or as many as may be."""
        async with self._changing:
            self._require_free(host, name)
            if len(self._of_host.get(host.id, ())) >= MOST_JOBS:
                raise Conflict(f"{MOST_JOBS} jobs are on this host, and no more may be")
            job = Job(
                id=0,
                host_id=host.id,
                name=name,
                token=str(uuid.uuid4()),
                timing=timing,
                paused=False,
                created=self.clock().wall,
                author=author,
            )
            job = await self._tables.add(job, entry)
            self._put(job)
        await self._tell(host)
        return job

    async def change(self, host: Host, job_id: int, name: str, timing: Timing, paused: bool, entry: Entry) -> Job:
        """Raises Conflict, NotFound."""
        async with self._changing:
            job = replace(self.get(host, job_id), name=name, timing=timing, paused=paused)
            self._require_free(host, name, job_id)
            await self._tables.change(job, entry)
            self._put(job)
        await self._tell(host)
        return job

    async def delete(self, host: Host, job_id: int, entry: Entry) -> None:
        """Raises NotFound."""
        async with self._changing:
            job = self.get(host, job_id)
            await self._tables.delete(job_id, entry)
            self._drop(job)
        await self._tell(host)

    def forget(self, host: Host) -> None:
        """The host is gone, and its jobs with it."""
        for job in self.of(host):
            self._drop(job)
        self._untold.pop(host.id, None)

    def _require_free(self, host: Host, name: str, job_id: int = 0) -> None:
        if any(job.name == name and job.id != job_id for job in self.of(host)):
            raise Conflict(f"There is a job '{name}' on this host already")

    def _put(self, job: Job) -> None:
        self._jobs[job.id] = job
        self._of_host.setdefault(job.host_id, {})[job.id] = None
        self._by_token[job.token] = job.id
        self._arm(job, self.clock().wall)

    def _drop(self, job: Job) -> None:
        self._jobs.pop(job.id, None)
        self._of_host.get(job.host_id, {}).pop(job.id, None)
        self._by_token.pop(job.token, None)
        self._seen_from.pop(job.id, None)

    # ---------------------------------------------------------------------------------------------------------- calls

    async def ping(
        self, token: str, kind: str, *, exit_code: int | None = None, run: str = "", address: str = "", body: str = ""
    ) -> None:
        """Take a call; it is on disk when this returns. kind: success, start, fail or log. run: id of the run.

        Raises NotFound, StorageError.
        """
        async with self._changing:
            job = self._jobs.get(self._by_token.get(token, 0))
            host = self._hosts.by_id(job.host_id) if job is not None else None
            if job is None or host is None:
                raise NotFound("not found")
            now, progress = self.clock().wall, job.progress
            if kind == "start":
                progress = progress.began(now, run)
            elif kind != "log":
                progress = progress.ended(now, exit_code=exit_code, failed=kind == "fail", run=run)
            heard = replace(job, progress=progress, paused=job.paused and kind == "log")
            seconds = progress.seconds if kind in ("success", "fail") else None
            await self._tables.ping(heard, Ping(now, kind, exit_code, seconds, address, body[:MOST_BODY]))
            if kind not in ("start", "log"):
                self._seen_from.pop(job.id, None)
            self._put(heard)
        self._stats.count("job_pings_total", kind=kind)
        if kind != "log":
            await self._tell(host)

    # ----------------------------------------------------------------------------------------------------------- time

    async def run(self) -> None:
        """Let time pass until cancelled."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                await self.tick()
            except Exception:
                log.exception("looking after jobs failed; it goes on")

    async def tick(self) -> None:
        """Tell what time has changed by now, and what could not be told before."""
        now = self.clock().wall
        while self._due and self._due[0][0] <= now:
            _, job_id = heappop(self._due)
            job = self._jobs.get(job_id)
            if job is not None:
                self._arm(job, now)
                if self.status(job, now) is not job.told:
                    self._untold[job.host_id] = None
        for host_id in list(self._untold):
            host = self._hosts.by_id(host_id)
            if host is not None:
                await self._tell(host)

    def _arm(self, job: Job, now: float) -> None:
        seen_from = self._seen_from.get(job.id, -math.inf)
        due = next_change(job.timing, job.progress, now, paused=job.paused, seen_from=seen_from)
        if due < math.inf:
            heappush(self._due, (due, job.id))
        if len(self._due) > 1_000 + 4 * len(self._jobs):  # most of them are of calls that have come
            self._due.clear()
            for other in self._jobs.values():
                self._arm(other, now)

    async def _tell(self, host: Host) -> None:
        """Send a sample of all jobs of a host. When that fails it is tried again with the next tick."""
        now = self.clock()
        self._untold[host.id] = None
        jobs = self.of(host)
        found = {job.id: self.status(job, now.wall) for job in jobs}
        sample = Sample(PLUGIN, now.wall, {job.name: _told(job, found[job.id], now.wall) for job in jobs})
        try:
            await self._reports.take(host, [sample], now, source=Source(None, None), alive=False)
            changed = [(job.id, found[job.id]) for job in jobs if job.told is not found[job.id]]
            if changed:
                await self._tables.told(changed)
        except HbdError as error:
            log.warning("the jobs of %s could not be told: %s", host.name, error)
            return
        for job_id, told in changed:
            if job_id in self._jobs:
                self._jobs[job_id] = replace(self._jobs[job_id], told=told)
        self._untold.pop(host.id, None)


_WORDS = {
    Status.NEW: "never called yet",
    Status.UP: "called, and all is well",
    Status.LATE: "its call is late",
    Status.UNSEEN: "its call was due while hbd did not run",
    Status.PAUSED: "paused",
}


def in_words(job: Job, found: Status, now: float) -> str:
    """Why a job has that status."""
    progress = job.progress
    if found is not Status.DOWN:
        return _WORDS[found]
    if progress.failed:
        return f"failed with exit code {progress.exit_code}" if progress.exit_code else "says that it failed"
    if progress.begun is not None and now >= progress.begun + job.timing.grace:
        return "began and did not end in time"
    return "did not call in time"


def _told(job: Job, found: Status, now: float) -> Data:
    progress = job.progress
    data: Data = {
        "state": STATES.get(found, 0),
        "status": str(found),
        "output": in_words(job, found, now),
        "running": progress.begun is not None,
    }
    if progress.heard is not None:
        data["last_ping"] = progress.heard
    if progress.seconds is not None:
        data["seconds"] = round(progress.seconds, 3)
    if progress.exit_code is not None:
        data["exit_code"] = progress.exit_code
    return data
