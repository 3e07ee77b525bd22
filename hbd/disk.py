"""Keeps the database within its limit and within the disk: what is given up, in which order, and who is told.

With ``retention.max_size`` the oldest history goes until the database is no larger. When the disk is full (``Room``)

1. the ballast goes, at once, by the writer itself: what is small and must be known is written into its room;
2. history goes, the oldest of the finest first, for as long as there is any: its room takes the samples that come;
3. then samples are not taken: agents keep them, they are judged all the same, and all else is still written.

When there is room again the ballast is made anew, and everything is taken.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from hbd.config import Config
from hbd.model import Moment
from hbd.rollups import HOUR, MINUTE, QUARTER
from hbd.store import Store
from hbd.store.ballast import SPARE_BYTES
from hbd.store.database import Room
from hbd.store.history import RAW

log = logging.getLogger(__name__)

GIVING_UP = ((RAW, 6 * 3600.0), (MINUTE, 2 * 86_400.0), (QUARTER, 14 * 86_400.0), (HOUR, 90 * 86_400.0))
"""in this order history is given up, but for its last so many seconds"""
KEPT_FREE_BYTES = 8 << 20  # free pages of the database that are kept for what comes next
LEAST_FREE_BYTES = 2 << 20  # on a full disk; with less no samples are taken
BREATH_SECONDS = 0.05  # between two slices of work, so that reports never wait behind more than one of them


class Disk:
    """config is replaced at a reload. note: adds a line to the journal."""

    def __init__(self, config: Config, store: Store, note: Callable[[str, Moment], None]) -> None:
        self.config = config
        self._store = store
        self._database = store.database
        self._note = note
        self._told = Room.ENOUGH
        self._given_up = 0
        """rows of history since the disk is full"""
        self._lacks_ballast = False
        self._over_size = 0
        """bytes that the database has beyond its limit, with nothing left to give up"""

    def warnings(self) -> list[str]:
        """``key: reason``."""
        warnings = []
        if self._database.room is Room.ENOUGH and self._lacks_ballast:
            needed = (self.config.ballast + SPARE_BYTES) >> 20
            warnings.append(f"ballast: there is no room for it; {needed} MiB must be free beside the database")
        if self._over_size:
            over = max(1, self._over_size >> 20)
            warnings.append(f"retention.max_size: the database is {over} MiB larger, with nothing left to give up")
        return warnings

    # -------------------------------------------------------------------------------------------------- a full disk

    async def look(self, now: Moment) -> None:
        """See whether there is room, and make some; to be called every few seconds. Raises StorageError."""
        wanted = self.config.ballast
        lacks = not await self._database.make_ballast(wanted)
        if lacks and not self._lacks_ballast and self._database.room is Room.ENOUGH:
            log.warning("there is no room for a ballast of %d MiB beside the database", wanted >> 20)
        self._lacks_ballast = lacks
        try:
            if self._database.room is not Room.ENOUGH:
                if self._database.problem is not None:
                    await self._store.probe()
                await self._make_room(now.wall)
        finally:
            self._tell(now)

    async def _make_room(self, now: float) -> None:
        """Give up history until what comes has room in the file as it is, and say whether it has."""
        while (free := (await self._database.usage()).free) < KEPT_FREE_BYTES:
            given_up = await self._give_up(now)
            if not given_up:
                break
            self._given_up += given_up
            await asyncio.sleep(BREATH_SECONDS)
        least = LEAST_FREE_BYTES if self._database.room is Room.TIGHT else KEPT_FREE_BYTES
        self._database.room = Room.TIGHT if free >= least else Room.NONE

    async def _give_up(self, now: float) -> int:
        """Some rows of history, the least missed first; returns how many, 0 when nothing is left that may go."""
        for tier, least in GIVING_UP:
            if gone := await self._store.history.give_up(tier, now - least):
                return gone
        return 0

    def _tell(self, now: Moment) -> None:
        room = self._database.room
        if room is self._told:
            return
        self._told = room
        if room is Room.ENOUGH:
            text = f"the disk has room again; {self._given_up} rows of history were given up"
            self._given_up = 0
            log.warning("%s", text)
        else:
            text = self._database.trouble or ""
            log.error("%s", text)
        self._note(text, now)

    # ---------------------------------------------------------------------------------------------- a limit of its size

    async def keep_within(self, limit: int | None, now: float) -> None:
        """Give up history until the database is within its limit, and give back what is free. Raises StorageError."""
        over = 0
        if limit is not None:
            while (over := (await self._database.usage()).used - limit) > 0:
                if not await self._give_up(now):
                    break
                await asyncio.sleep(BREATH_SECONDS)
        if over > 0 and not self._over_size:
            text = f"the database is {max(1, over >> 20)} MiB larger than retention.max_size, with nothing to give up"
            log.warning("%s", text)
            self._note(text, Moment.now())
        self._over_size = max(0, over)
        if self._database.room is Room.ENOUGH:  # else what is free is all there is for what comes
            await self._shrink(limit)

    async def _shrink(self, limit: int | None) -> None:
        """Give back what is free and not going to be used again soon, or beyond the limit."""
        while True:
            used, free = await self._database.usage()
            fits = limit is None or used + free <= limit
            if not free or (fits and free <= max(KEPT_FREE_BYTES, used // 10)):
                return
            await self._database.shrink()
            if (await self._database.usage()).free == free:  # a file that an older hbd made keeps its size
                return
            await asyncio.sleep(BREATH_SECONDS)
