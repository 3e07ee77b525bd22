"""Writes down what is shown, as it is shown: what ``?at=`` answers is what was answered then.

Once a second it looks at the hosts that came to be shown otherwise, and notes what differs from what it noted before::

    HostViews.take_changed ──► look ──► a document for each of them ──► what differs ──► some seconds later: the store

A document is the host as ``GET /api/0/hosts`` shows it, its open alerts as ``GET /api/0/alerts`` does, and which
samples were its newest. What they measured is in the history.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from hbd import chronicle
from hbd.alerts import Alert, Alerts
from hbd.chronicle import Change
from hbd.errors import StorageError
from hbd.hosts import Host, Hosts
from hbd.hushing import Hushing
from hbd.model import Level
from hbd.notifications import Notifications
from hbd.rings import Rings
from hbd.stats import Stats
from hbd.store.chronicle import WINDOW_SECONDS, ChronicleTables, Run, Strand
from hbd.web.alert_words import described
from hbd.web.hostview import HostViews

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
HOSTS_A_SECOND = 1_000  # with more, a second is too short to look at all of them
HOSTS_AT_ONCE = 50  # some 5 ms of the loop
AGAIN = 500  # open alerts of hosts without news that are looked at again: others may hold them back by now
FLUSH_SECONDS = 5.0
TURNS = 6  # every flush writes each sixth host, so that a row is about half a minute
MOST_WAITING = 100_000  # changes that wait while the disk takes none
STEP_BACK_MS = 2_000  # of the clock; by less it is only waited for

OPEN, NEWEST, STANDS = "open", "newest", "open_for_somebody"
"""members of a document beside those of the host"""

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class _Noted:
    """What was noted of a host last, and the window that this is in."""

    __slots__ = ("doc", "window")

    def __init__(self, doc: dict[str, Any], window: int) -> None:
        self.doc = doc
        self.window = window


class Recorder:
    """clock: Unix seconds."""

    def __init__(
        self,
        hosts: Hosts,
        views: HostViews,
        rings: Rings,
        alerts: Alerts,
        hushing: Hushing,
        notifications: Notifications,
        store: ChronicleTables,
        stats: Stats,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._hosts = hosts
        self._views = views
        self._rings = rings
        self._alerts = alerts
        self._hushing = hushing
        self._notifications = notifications
        self._store = store
        self.clock = clock
        """the clock that what is shown is dated by"""
        self._noted: dict[int, _Noted] = {}
        self._waiting: dict[int, list[tuple[int, Change]]] = {}
        """host id → (window, change), oldest first"""
        self._count = 0
        self._started = 0
        self._latest = 0
        self._next = 0
        self._turn = 0
        self._flushing = asyncio.Lock()
        self._writing: dict[int, list[tuple[int, Change]]] = {}
        """what is on its way to the disk"""
        stats.describe("chronicle_changes_total", "Changes of what is shown that were noted for the past.")
        stats.describe("chronicle_dropped_total", "Such changes lost because the disk refused them for too long.")
        self._stats = stats

    async def run(self) -> None:
        """Look and write until cancelled; then write what is left."""
        due = time.monotonic() + FLUSH_SECONDS
        try:
            while True:
                await asyncio.sleep(max(LOOK_SECONDS, len(self._hosts) / HOSTS_A_SECOND))
                try:
                    await self.look()
                except StorageError as error:
                    log.debug("what is shown waits for the disk: %s", error)
                try:
                    if time.monotonic() >= due:
                        due = time.monotonic() + FLUSH_SECONDS
                        self._turn = (self._turn + 1) % TURNS
                        await self._write([host_id for host_id in self._waiting if host_id % TURNS == self._turn])
                except StorageError as error:
                    log.debug("what was shown waits for the disk: %s", error)
                except Exception:
                    log.exception("what is shown could not be noted")
        finally:
            try:
                await self.flush()
            except StorageError as error:
                log.warning("what was shown last is lost to the past: %s", error)

    async def look(self) -> None:
        """Note what is shown otherwise than before. Raises StorageError, with nothing noted."""
        if self._started and self._milliseconds() < self._latest:
            await self._begin_again()
        if not self._started:
            started = self._milliseconds()
            await self._store.write((), Run(started, started))
            self._started = self._latest = started
        changed = self._views.take_changed()
        if len(self._noted) < len(self._hosts):
            changed.update(host.id for host in self._hosts if host.id not in self._noted)
        problems = self._problems()
        for number, host_id in enumerate((*changed, *self._again(problems, changed)), 1):
            try:
                self._note(host_id, problems.get(host_id, ()))
            except Exception:  # the others are still noted, and this one anew when it changes
                self._noted.pop(host_id, None)
                log.exception("what is shown of host %d could not be noted", host_id)
            if number % HOSTS_AT_ONCE == 0:
                await asyncio.sleep(0)
        self._latest = self._milliseconds()

    async def flush(self) -> None:
        """Have everything on disk that was noted. Raises StorageError."""
        await self._write(list(self._waiting))

    @property
    def current(self) -> Run | None:
        """This run of the daemon, as far as it was looked at what is shown."""
        return Run(self._started, self._latest) if self._started else None

    def waiting(self, host_id: int) -> list[Change]:
        """What was noted of a host and may not be on disk yet, oldest first.

        Who reads the store asks this before, so that nothing is missed that is written meanwhile.
        """
        return [change for kept in (self._writing, self._waiting) for _, change in kept.get(host_id, ())]

    async def _begin_again(self) -> None:
        """The clock was set back: what was noted of the time that comes once more is forgotten. Raises StorageError."""
        log.warning("the clock was set back; what was shown since is forgotten")
        at = self._milliseconds()
        await self._store.rewind(at)
        for host_id, changes in list(self._waiting.items()):
            kept = [one for one in changes if one[1].at < at]
            self._count -= len(changes) - len(kept)
            if kept:
                self._waiting[host_id] = kept
            else:
                del self._waiting[host_id]
        self._noted.clear()
        self._started = self._latest = 0

    # ------------------------------------------------------------------------------------------------------- noting

    def _problems(self) -> dict[int, list[Alert]]:
        found: dict[int, list[Alert]] = {}
        for alert in self._alerts.open():
            found.setdefault(alert.host_id, []).append(alert)
        return found

    def _again(self, problems: dict[int, list[Alert]], changed: set[int]) -> Iterator[int]:
        """Hosts with open alerts, some of them at a time and all in turn."""
        others = [host_id for host_id in problems if host_id not in changed]
        left = AGAIN
        for step in range(len(others)):
            host_id = others[(self._next + step) % len(others)]
            left -= len(problems[host_id])
            yield host_id
            if left <= 0:
                self._next = (self._next + step + 1) % len(others)
                break

    def _note(self, host_id: int, problems: Sequence[Alert]) -> None:
        host, noted, at = self._hosts.by_id(host_id), self._noted.get(host_id), self._milliseconds()
        if host is None:
            if self._noted.pop(host_id, None) is not None:
                self._keep(host_id, Change(at, True, {}, []))
            return
        doc, window = self._document(host, problems), at // 1000 // WINDOW_SECONDS * WINDOW_SECONDS
        if noted is None:
            self._keep(host_id, chronicle.base(doc, at))
            self._noted[host_id] = _Noted(doc, window)
            return
        change = chronicle.difference(noted.doc, doc, at)
        if change is not None:
            self._keep(host_id, change if noted.window == window else chronicle.base(doc, at))
            noted.doc, noted.window = doc, window

    def _document(self, host: Host, problems: Sequence[Alert]) -> dict[str, Any]:
        doc = _decode(self._views.fragment(host))
        if problems:
            now = self.clock()
            words = {
                alert.path: described(host, alert, self._hushing, self._notifications)
                | {STANDS: self._stands(host, alert, now)}
                for alert in problems
            }
            doc[OPEN] = msgspec.to_builtins(words)
        doc[NEWEST] = {
            plugin: {"time": newest.time, "count": self._rings.count(host.id, plugin)}
            for plugin in self._rings.plugins(host.id)
            if (newest := self._rings.latest(host.id, plugin)) is not None
        }
        return doc

    def _stands(self, host: Host, alert: Alert, now: float) -> bool:
        """Whether it is counted beside the word Alerts; see ``hbd.web.alert_count``."""
        return (
            alert.level is not Level.OK
            and self._hushing.held(host, alert.path, alert.level, alert.problem, now) is None
        )

    def _keep(self, host_id: int, change: Change) -> None:
        if self._count >= MOST_WAITING:
            self._stats.count("chronicle_dropped_total", self._count)
            self._waiting.clear()
            self._noted.clear()
            self._count = 0
            return
        self._stats.count("chronicle_changes_total")
        window = change.at // 1000 // WINDOW_SECONDS * WINDOW_SECONDS
        self._waiting.setdefault(host_id, []).append((window, change))
        self._count += 1

    def _milliseconds(self) -> int:
        """Now; for a clock that was set back by little, the latest that it was."""
        now = round(self.clock() * 1000)
        return self._latest if self._latest - STEP_BACK_MS <= now < self._latest else now

    # ------------------------------------------------------------------------------------------------------ writing

    async def _write(self, host_ids: Sequence[int]) -> None:
        async with self._flushing:
            if not self._started:
                return
            taken = {host_id: self._waiting.pop(host_id) for host_id in host_ids if host_id in self._waiting}
            self._count -= sum(map(len, taken.values()))
            self._writing = taken
            # So far everything is on disk, of all hosts: a crash leaves no time that seems known and is not.
            oldest = min((changes[0][1].at for changes in self._waiting.values()), default=self._latest)
            try:
                await self._store.write(list(_strands(taken)), Run(self._started, min(oldest, self._latest)))
            except BaseException:
                for host_id, changes in taken.items():
                    self._waiting[host_id] = changes + self._waiting.get(host_id, [])
                    self._count += len(changes)
                raise
            finally:
                self._writing = {}


def _strands(taken: dict[int, list[tuple[int, Change]]]) -> Iterator[Strand]:
    """Each of one host and one window. A host that was noted within a window goes on without a base in it."""
    for host_id, changes in taken.items():
        strand: Strand | None = None
        for window, change in changes:
            if strand is None or strand.window != window:
                if strand is not None:
                    yield strand
                strand = Strand(host_id, window, [])
            strand.changes.append(change)
        if strand is not None:
            yield strand
