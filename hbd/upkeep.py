"""What has to be done now and then: folding, forgetting, saving what is only in memory, trying a sick disk again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from hbd.config import Config
from hbd.errors import StorageError
from hbd.hosts import Hosts
from hbd.pipeline import Pipeline
from hbd.store import Store

log = logging.getLogger(__name__)

ROUND_SECONDS = 60.0
PROBE_SECONDS = 2.0
FOLD_KEEP_SECONDS = 20 * 60.0  # reports younger than this stay as they came
FOLD_DUE_SECONDS = 2 * FOLD_KEEP_SECONDS  # a host is folded when it has one this old: some 120 samples a chunk at 10 s
HOSTS_AT_ONCE = 200  # about 3 ms of the loop
BREATH_SECONDS = 0.05  # between two slices of work, so that reports never wait behind more than one of them


class Upkeep:
    def __init__(self, config: Config, hosts: Hosts, store: Store, pipeline: Pipeline) -> None:
        self.config = config
        self._hosts = hosts
        self._store = store
        self._pipeline = pipeline

    async def run(self) -> None:
        """Go round until cancelled."""
        next_round = time.monotonic() + ROUND_SECONDS
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            try:
                if self._store.database.problem is not None:
                    await self._store.probe()
                elif time.monotonic() >= next_round:
                    next_round = time.monotonic() + ROUND_SECONDS
                    await self.round(time.time())
            except StorageError as error:
                log.debug("upkeep waits for the disk: %s", error)
            except Exception:
                log.exception("upkeep failed; it goes on")

    async def round(self, now: float) -> None:
        """Everything once. now: Unix seconds."""
        await self.remember_connections()
        await self.fold(now)
        await self.prune(now)

    async def remember_connections(self) -> None:
        hosts = list(self._hosts)
        for start in range(0, len(hosts), HOSTS_AT_ONCE):
            self._pipeline.remember_connections(hosts[start : start + HOSTS_AT_ONCE])
            await asyncio.sleep(BREATH_SECONDS)

    async def fold(self, now: float) -> None:
        samples = self._store.samples
        await _in_slices(lambda: samples.fold(now - FOLD_DUE_SECONDS, now - FOLD_KEEP_SECONDS))

    async def prune(self, now: float) -> None:
        retention, keep = self.config.retention, self.config.limits.max_messages
        await _in_slices(lambda: self._store.samples.prune(now - retention.samples))
        await _in_slices(lambda: self._store.messages.prune(now - retention.messages, keep))


async def _in_slices(step: Callable[[], Awaitable[int]]) -> None:
    """Repeat a step until it says that it did nothing."""
    while True:
        if not await step():
            return
        await asyncio.sleep(BREATH_SECONDS)
