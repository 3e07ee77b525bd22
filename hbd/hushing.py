"""Silences, maintenance windows and acknowledgements, in memory and on disk. What ``held`` knows is on disk."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager

from msgspec.structs import replace

from hbd.alerts import AlertEvent, Alerts
from hbd.config import Config
from hbd.errors import Conflict, InvalidInput, NotFound
from hbd.hosts import Host
from hbd.hushes import Ack, Held, Hushes, MaintenanceWindow, Silence, is_worse
from hbd.matching import Matcher
from hbd.model import Level, Message
from hbd.schedule import Window
from hbd.store import Store
from hbd.store.audit import Entry
from hbd.store.hushing import WindowRow

log = logging.getLogger(__name__)

MOST_SILENCES = 5_000  # that have not ended
MOST_WINDOWS = 1_000
MOST_OF_ONE = 200  # silences, and windows, that one user has made


class Hushing:
    """Changes raise StorageError, with everything as it was. Times are Unix seconds."""

    def __init__(self, store: Store, alerts: Alerts) -> None:
        self._store = store.hushing
        self._alerts = alerts
        self._hushes = Hushes()
        self._changing = asyncio.Lock()

    async def load(self, config: Config, now: float) -> None:
        """Know what an earlier run of the daemon knew, and the windows of the config."""
        self._hushes.put_silences(await self._store.silences(now), now)
        self._put_windows(await self._store.windows())
        for ack in await self._store.acks():
            self._hushes.put_ack(ack)
        self.configure(config)

    @asynccontextmanager
    async def rewriting(self, now: float) -> AsyncIterator[None]:
        """No silence and no window is changed otherwise while the block writes some; then they are what is on disk."""
        async with self._changing:
            yield
            silences, windows = await self._store.silences(now), await self._store.windows()
            left = {silence.id for silence in silences}
            ended = (replace(one, ends=now) for one in self._hushes.silences(now) if one.id not in left)
            self._hushes.put_silences([*silences, *ended], now)
            kept = {row.id for row in windows}
            for window in self._hushes.windows():
                if window.id is not None and window.id not in kept:
                    self._hushes.put_window(window.id, None)
            self._put_windows(windows)

    def _put_windows(self, rows: Iterable[WindowRow]) -> None:
        for row in rows:
            try:
                window = Window.read(row.texts)
            except InvalidInput as wrong:
                log.error("the maintenance window %s is passed over: %s", row.name, wrong)
            else:
                self._hushes.put_window(row.id, _maintenance(row, window))

    def configure(self, config: Config) -> None:
        """Take the windows of a config that was read again."""
        self._hushes.configure(
            MaintenanceWindow(
                id=None, name=name, matcher=section.matcher, window=section.window, author="", source="config"
            )
            for name, section in config.maintenance.items()
        )

    # ------------------------------------------------------------------------------------------------------- answers

    def held(self, host: Host, path: str, level: Level, problem: str, now: float) -> Held | None:
        """What holds back a path of a host at that level, of several the one that lasts longest.

        problem: its id, "" while it is OK.
        """
        return self._hushes.held(host, path, level, problem, now)

    def ack_of(self, problem: str) -> Ack | None:
        """Who looks after a problem."""
        return self._hushes.ack_of(problem)

    def silences(self, now: float) -> list[Silence]:
        """Those that have not ended, the next to end first."""
        return self._hushes.silences(now)

    async def ended_silences(self, now: float, limit: int) -> list[Silence]:
        """The last that ended, the newest end first."""
        return await self._store.ended_silences(now, limit)

    def silence(self, silence_id: int) -> Silence:
        """One that has not ended long ago. Raises NotFound."""
        found = self._hushes.silence(silence_id)
        if found is None:
            raise NotFound(f"Silence '{silence_id}' not found")
        return found

    def windows(self) -> list[MaintenanceWindow]:
        """All of them by name, those of the config among them."""
        return self._hushes.windows()

    def window(self, window_id: int) -> MaintenanceWindow:
        """One that is not of the config. Raises NotFound."""
        found = self._hushes.window(window_id)
        if found is None:
            raise NotFound(f"Window '{window_id}' not found")
        return found

    def turned(self, hosts: Iterable[Host], now: float) -> Iterator[AlertEvent]:
        """What open pages are to look at again, as a silence or a window began or ended since this was last asked."""
        matchers = self._hushes.turned(now)
        return self.look_again(*matchers, hosts=hosts) if matchers else iter(())

    def look_again(self, *matchers: Matcher, hosts: Iterable[Host]) -> Iterator[AlertEvent]:
        """What is not OK on these hosts and one of the matchers fits, as it is."""
        by_id = {host.id: host for host in hosts}
        for alert in self._alerts.not_ok():
            host = by_id.get(alert.host_id)
            if host is not None and any(matcher.matches(host, alert.path, alert.level) for matcher in matchers):
                yield AlertEvent(
                    id="",
                    problem=alert.problem,
                    host_id=alert.host_id,
                    path=alert.path,
                    before=alert.level,
                    after=alert.level,
                    at=alert.since,
                    value=alert.value,
                    reason=alert.reason,
                )

    # ------------------------------------------------------------------------------------------------------ silences

    async def add_silence(self, silence: Silence, entry: Entry, now: float) -> Silence:
        """Returns it with its id. Raises Conflict when there are too many."""
        async with self._changing:
            there = self._hushes.silences(now)
            if len(there) >= MOST_SILENCES:
                raise Conflict(f"There are {MOST_SILENCES} silences already")
            if _are_too_many(silence.author, there):
                raise Conflict(f"You have made {MOST_OF_ONE} silences that have not ended")
            made = await self._store.add_silence(silence, entry)
            self._hushes.put_silences([made], now)
            return made

    async def end_silence(self, silence_id: int, entry: Entry, now: float) -> None:
        """Raises NotFound, or Conflict when it has ended."""
        async with self._changing:
            silence = self.silence(silence_id)
            if silence.state(now) == "ended":
                raise Conflict("This silence has ended")
            ended = replace(silence, ends=now)
            await self._store.end_silence(ended, entry)
            self._hushes.put_silences([ended], now)

    # ------------------------------------------------------------------------------------------------------- windows

    async def add_window(self, window: MaintenanceWindow, entry: Entry) -> MaintenanceWindow:
        """Returns it with its id. Raises Conflict when there are too many."""
        async with self._changing:
            there = self._hushes.windows()
            if len(there) >= MOST_WINDOWS:
                raise Conflict(f"There are {MOST_WINDOWS} maintenance windows already")
            if _are_too_many(window.author, there):
                raise Conflict(f"You have made {MOST_OF_ONE} maintenance windows already")
            window_id = await self._store.save_window(_row(window, entry.time), entry)
            made = replace(window, id=window_id)
            self._hushes.put_window(window_id, made)
            return made

    async def change_window(self, window_id: int, window: MaintenanceWindow, entry: Entry) -> MaintenanceWindow:
        """Put one in place of another, whose id and author stay. Raises NotFound."""
        async with self._changing:
            changed = replace(window, id=window_id, author=self.window(window_id).author)
            await self._store.save_window(_row(changed, entry.time), entry)
            self._hushes.put_window(window_id, changed)
            return changed

    async def delete_window(self, window_id: int, entry: Entry) -> None:
        """Raises NotFound."""
        async with self._changing:
            self.window(window_id)
            await self._store.delete_window(window_id, entry)
            self._hushes.put_window(window_id, None)

    # ---------------------------------------------------------------------------------------------- acknowledgements

    async def acknowledge(self, ack: Ack, entry: Entry, line: Message) -> None:
        """In place of one before. line: for the journal. Raises Conflict when the problem is over or worse."""
        async with self._changing:
            if not await self._store.acknowledge(ack, entry, line):
                raise Conflict("This has changed meanwhile; look at it again")
            self._hushes.put_ack(ack)
            alert = self._alerts.get(ack.host_id, ack.path)  # what was written right behind it may be known before it
            if alert is None or alert.problem != ack.problem or is_worse(alert.level, ack):
                self._hushes.drop_ack(ack.problem)

    async def end_ack(self, problem: str, entry: Entry, line: Message) -> None:
        """Raises Conflict when nobody has acknowledged it."""
        async with self._changing:
            ack = self.ack_of(problem)
            if ack is None:
                raise Conflict("Nobody has acknowledged this")
            await self._store.end_ack(ack, entry, line)
            self._hushes.drop_ack(problem)

    def came_to(self, event: AlertEvent) -> None:
        """This is on disk, and so is the end of an acknowledgement that it ended."""
        self._hushes.came_to(event)

    def forget(self, host_id: int) -> None:
        """The host is deleted."""
        self._hushes.forget(host_id)


def _are_too_many(author: str, there: Iterable[Silence | MaintenanceWindow]) -> bool:
    """Whether these hold as much of one user as they may; "" is everybody, where there are no users."""
    return author != "" and sum(one.author == author for one in there) >= MOST_OF_ONE


def _maintenance(row: WindowRow, window: Window) -> MaintenanceWindow:
    return MaintenanceWindow(
        id=row.id, name=row.name, matcher=row.matcher, window=window, author=row.author, source="api"
    )


def _row(window: MaintenanceWindow, now: float) -> WindowRow:
    return WindowRow(window.id or 0, window.name, window.matcher, window.window.texts, window.author, now)
