"""Tells somebody outside, again and again, that hbd works: when that stops, they raise the alarm that hbd cannot."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from hbd.channels.base import SendFailed, Tools
from hbd.channels.guard import Allowed, Guard
from hbd.channels.http import request
from hbd.channels.threads import Threads
from hbd.config import Config
from hbd.stats import Stats

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0  # how soon a changed config counts


class Watchdog:
    """config is replaced at a reload. unready: why the daemon does not work, empty when it does."""

    def __init__(self, config: Config, unready: Callable[[], list[str]], stats: Stats) -> None:
        self.config = config
        self._unready = unready
        self._stats = stats
        self._failing = False
        threads = Threads(2, "watchdog")
        guard = Guard(trusted=True, allowed=Allowed(()), own_ports=lambda: (), threads=threads)
        self._tools = Tools(guard=guard, threads=threads, scripts=None, clock=time.time)
        stats.describe("watchdog_calls_total", "Calls to the outside watchdog, by outcome.")

    async def run(self) -> None:
        """Call until cancelled."""
        called = -float("inf")
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            settings = self.config.notifications.watchdog
            if settings.url is None or time.monotonic() - called < settings.interval:
                continue
            called = time.monotonic()
            await self.call(settings.url)

    async def call(self, url: str) -> bool:
        """Call once; whether it was taken. Nothing is called while the daemon does not work."""
        reasons = self._unready()
        if reasons:
            self._stats.count("watchdog_calls_total", outcome="held")
            return False
        try:
            await request(self._tools, url, b"", method="GET")
        except SendFailed as failure:
            self._stats.count("watchdog_calls_total", outcome="failed")
            if not self._failing:
                log.warning("the outside watchdog could not be called: %s", failure)
            self._failing = True
            return False
        self._stats.count("watchdog_calls_total", outcome="done")
        if self._failing:
            log.info("the outside watchdog is called again")
        self._failing = False
        return True
