"""What has to be done now and then: folding, forgetting, saving what is only in memory, looking after the disk, warning
of a certificate that ends."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from functools import partial

from hbd.backups import Backups
from hbd.config import Config
from hbd.config.structs import Retention
from hbd.disk import BREATH_SECONDS, Disk
from hbd.errors import HbdError, StorageError
from hbd.hosts import Hosts
from hbd.model import Moment
from hbd.pipeline import Pipeline
from hbd.process_register import RECENT_SECONDS
from hbd.rollups import DAY, HOUR, MINUTE, QUARTER
from hbd.store import Store
from hbd.store.history import RAW
from hbd.tls import Certificate

log = logging.getLogger(__name__)

ROUND_SECONDS = 60.0
PROBE_SECONDS = 2.0
FOLD_KEEP_SECONDS = 20 * 60.0  # reports younger than this stay as they came
FOLD_DUE_SECONDS = 2 * FOLD_KEEP_SECONDS  # a host is folded when it has one this old: some 120 samples a chunk at 10 s
JUMP_SECONDS = 60.0
STEADY_SECONDS = 6 * 3600.0  # a wrong clock is noticed and mended by then
HOSTS_AT_ONCE = 200  # about 3 ms of the loop
BACKUP_RETRY_SECONDS = 600.0  # each try copies all of the database


class Upkeep:
    def __init__(
        self,
        config: Config,
        hosts: Hosts,
        store: Store,
        pipeline: Pipeline,
        backups: Backups,
        certificate: Certificate | None = None,
    ) -> None:
        self.config = config
        self.disk = Disk(config, store, pipeline.note)
        self._backups = backups
        self._certificate = certificate
        self._hosts = hosts
        self._backup_after = -math.inf
        self._offset: float | None = None
        self._steady_from = -math.inf
        self._store = store
        self._pipeline = pipeline

    async def run(self) -> None:
        """Go round until cancelled."""
        next_round = time.monotonic() + ROUND_SECONDS
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            try:
                await self.look_at_disk(Moment.now())
                if self._store.database.problem is None and time.monotonic() >= next_round:
                    next_round = time.monotonic() + ROUND_SECONDS
                    await self.round(Moment.now())
            except StorageError as error:
                log.debug("upkeep waits for the disk: %s", error)
            except Exception:
                log.exception("upkeep failed; it goes on")

    async def look_at_disk(self, now: Moment) -> None:
        """Whether it takes what it should; every few seconds. Raises StorageError."""
        self._store.database.look_after_files()
        self.disk.config = self.config
        await self.disk.look(now)
        if self._store.database.problem is not None:
            await self._store.probe()

    async def round(self, now: Moment) -> None:
        """Everything once. Raises StorageError; a fault in one thing keeps nothing else from being done."""
        self.warn_of_certificate(now)
        await self._try("remembering connections", self.remember_connections())
        await self._try("folding", self.fold(now.wall))
        await self._try("packing", self.pack(now.wall))
        await self._try("packing what was shown", self.pack_shown(now.wall))
        if self._clock_is_steady(now):
            await self._try("forgetting", self.prune(now.wall))
        await self._try("the backup", self.back_up(now))

    @staticmethod
    async def _try(name: str, step: Awaitable[None]) -> None:
        try:
            await step
        except StorageError:
            raise
        except Exception:
            log.exception("%s failed; upkeep goes on", name)

    def _clock_is_steady(self, now: Moment) -> bool:
        """Whether the wall clock has run evenly for a while: after a jump nothing is thrown away in its name."""
        offset = now.wall - now.mono
        if self._offset is not None and abs(offset - self._offset) > JUMP_SECONDS:
            log.warning(
                "the clock of this machine jumped by %.0f s; nothing is pruned for a while", offset - self._offset
            )
            self._steady_from = now.mono + STEADY_SECONDS
        self._offset = offset
        return now.mono >= self._steady_from

    def warn_of_certificate(self, now: Moment) -> None:
        """Say in log and journal what is wrong with its dates, once a day."""
        if self._certificate is not None and (warning := self._certificate.due_warning(now)):
            log.warning("%s", warning)
            self._pipeline.note(warning, now)

    async def back_up(self, now: Moment) -> None:
        """Make the copy that is due, where the config wants any. One that fails is told once, and tried again."""
        plan = self.config.backup
        if plan.folder is None or now.mono < self._backup_after:
            return
        failed = self._backups.problem
        try:
            await self._backups.rotate(plan.folder, plan.every, plan.keep, now.wall)
        except (HbdError, OSError) as error:
            self._backup_after = now.mono + BACKUP_RETRY_SECONDS
            self._backups.problem = str(error)
            log.error("no backup could be made: %s", error)
            if not failed:
                self._pipeline.note(f"no backup could be made: {error}", now)

    async def remember_connections(self) -> None:
        hosts = list(self._hosts)
        for start in range(0, len(hosts), HOSTS_AT_ONCE):
            self._pipeline.remember_connections(hosts[start : start + HOSTS_AT_ONCE])
            await asyncio.sleep(BREATH_SECONDS)

    async def fold(self, now: float) -> None:
        await _in_slices(lambda: self._store.samples.fold(now, FOLD_KEEP_SECONDS, FOLD_DUE_SECONDS))

    async def pack(self, now: float) -> None:
        await _in_slices(lambda: self._store.history.pack(now))

    async def pack_shown(self, now: float) -> None:
        await _in_slices(lambda: self._store.chronicle.pack(now))

    async def prune(self, now: float) -> None:
        retention, limits = self.config.retention, self.config.limits
        await _in_slices(lambda: self._store.samples.prune(now - retention.samples))
        for tier, kept in history_kept(retention).items():
            await _in_slices(partial(self._store.history.prune, tier, now - kept))
        await _in_slices(lambda: self._store.chronicle.thin(now - retention.samples))
        await _in_slices(lambda: self._store.chronicle.prune(now - max(retention.samples, retention.minutes)))
        await self._store.chronicle.prune_runs(now - max(retention.samples, retention.minutes))
        await self._store.samples.prune_sequences(now - retention.samples)
        forgotten = now - max(retention.samples, RECENT_SECONDS)
        await _in_slices(lambda: self._store.processes.prune(now - retention.samples, forgotten))
        await _in_slices(lambda: self._store.messages.prune(now - retention.messages, limits.max_messages))
        await _in_slices(lambda: self._store.alerts.prune(now - retention.messages))
        await _in_slices(lambda: self._store.notices.prune(now - retention.messages))
        await _in_slices(lambda: self._store.transitions.prune(now - retention.availability))
        await _in_slices(lambda: self._store.hushing.prune(now - retention.messages))
        await _in_slices(lambda: self._store.audit.prune(now - retention.audit, limits.max_audit_entries))
        await self.disk.keep_within(retention.max_size, now)


def history_kept(retention: Retention) -> dict[int, float]:
    """Tier of history → seconds for which it is kept."""
    return {
        RAW: retention.samples,
        MINUTE: retention.minutes,
        QUARTER: retention.quarters,
        HOUR: retention.hours,
        DAY: retention.days,
    }


async def _in_slices(step: Callable[[], Awaitable[int]]) -> None:
    """Repeat a step until it says that it did nothing."""
    while True:
        if not await step():
            return
        await asyncio.sleep(BREATH_SECONDS)
