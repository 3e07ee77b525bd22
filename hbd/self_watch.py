"""What hbd tells people about itself: storage that does not take everything, backups that fail, channels that fail, a
network that is gone.

None of it is kept on disk: storage may be the very thing that fails, and after a restart it is looked at anew.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import NamedTuple

from hbd.alerts import Alerts
from hbd.channels.words import moment, span
from hbd.isolation import Isolation, Phase
from hbd.model import Level, Moment
from hbd.notices import Notice, Notices
from hbd.notifier import Notifier
from hbd.routing import LIVES

log = logging.getLogger(__name__)

STORAGE_SECONDS = 10.0  # a disk that is full for a moment is nobody's night
CHANNEL_SECONDS = 60.0


class _Care(NamedTuple):
    """Something that hbd has to do well, and what is said when it does not. after: seconds until that is said.

    again: said when it does again; {lasted} is how long it did not.
    """

    after: float
    level: Level
    fails: str
    works: str
    again: str


_STORAGE = _Care(
    STORAGE_SECONDS,
    Level.CRITICAL,
    "CRITICAL hbd: storage is degraded",
    "OK hbd: it stores again",
    "After {lasted} everything is stored.",
)
_BACKUP = _Care(
    0.0,
    Level.WARNING,
    "WARNING hbd: no backup can be made",
    "OK hbd: a backup was made",
    "After {lasted} there is a new one, and it is proven.",
)


class _Trouble:
    """One thing that is wrong. told: channels that were told of it."""

    def __init__(self, since: Moment) -> None:
        self.since = since
        self.told: dict[str, None] = {}


class SelfWatch:
    def __init__(
        self,
        notifier: Notifier,
        notices: Notices,
        alerts: Alerts,
        *,
        storage_problem: Callable[[], str | None],
        backup_problem: Callable[[], str | None] = lambda: None,
        heard: Callable[[], int],
        listeners: Callable[[], Iterable[str]],
    ) -> None:
        """storage_problem, backup_problem: what does not work, and what comes of it; None while all does.

        heard: how many hosts are up.
        listeners: channels that are told of hbd itself.
        """
        self._notifier = notifier
        self._notices = notices
        self._alerts = alerts
        self._storage_problem = storage_problem
        self.backup_problem = backup_problem
        self._heard = heard
        self._listeners = listeners
        self.isolation = Isolation()
        self._cut_off: dict[str, None] = {}
        """channels that were sent the word that hbd hears nobody"""
        self._failing: dict[_Care, _Trouble] = {}
        self._channels: dict[str, _Trouble] = {}

    def look(self, now: Moment) -> None:
        """To be called every second or so."""
        self._look_at(_STORAGE, self._storage_problem(), now)
        self._look_at(_BACKUP, self.backup_problem(), now)
        self._look_at_channels(now)
        self._look_at_hosts(now)

    # ---------------------------------------------------------------------------------------------- storage, backups

    def _look_at(self, care: _Care, problem: str | None, now: Moment) -> None:
        trouble = self._failing.get(care)
        if problem is None:
            if trouble is not None and trouble.told:
                text = care.again.format(lasted=span(now.mono - trouble.since.mono))
                self._say(trouble.told, care.works, text, Level.OK)
            self._failing.pop(care, None)
            return
        trouble = self._failing.setdefault(care, _Trouble(now))
        if now.mono - trouble.since.mono >= care.after and not trouble.told:
            trouble.told = dict.fromkeys(self._listeners())
            self._say(trouble.told, care.fails, problem, care.level)

    # ------------------------------------------------------------------------------------------------------- channels

    def _look_at_channels(self, now: Moment) -> None:
        failing = self._notifier.failing()
        for name in [name for name in self._channels if name not in failing]:
            trouble = self._channels.pop(name)
            lasted = span(now.mono - trouble.since.mono)
            text = f"Channel {name} takes messages again, after {lasted}."
            self._say(trouble.told, f"OK channel {name} works again", text, Level.OK)
        for name, (since, reason) in failing.items():
            trouble = self._channels.setdefault(name, _Trouble(since))
            if now.mono - since.mono >= CHANNEL_SECONDS and not trouble.told:
                trouble.told = {other: None for other in self._listeners() if other not in failing}
                text = f"Channel {name} has taken no message since {moment(since.wall)}: {reason}"
                self._say(trouble.told, f"WARNING channel {name} fails", text, Level.WARNING)

    # ---------------------------------------------------------------------------------------------------------- hosts

    def _look_at_hosts(self, now: Moment) -> None:
        silent = [alert.since for alert in self._alerts.open() if alert.path == LIVES and alert.level is not Level.OK]
        if self.isolation.phase is Phase.WELL and not silent:
            return
        changed = self.isolation.look(silent, self._heard(), now)
        if changed and self.isolation.phase is Phase.SUSPECTED:
            self._cut_off.clear()
        if self.isolation.phase is Phase.SUSPECTED:
            self._tell_that_nobody_is_heard()
        elif changed and self.isolation.phase is Phase.WELL:
            self._tell_that_hosts_are_heard(now)
        if changed:
            log.warning("hosts that fell silent at once: %d; %s", self.isolation.silent, self.isolation.phase)
            self._notifier.wake()

    def _tell_that_nobody_is_heard(self) -> None:
        """To every channel that would otherwise be told of each host."""
        waiting = (
            name
            for name in self._notices.channels()
            if name not in self._cut_off and any(_would_be_told(notice) for notice in self._notices.news(name))
        )
        found = self.isolation
        for name in [*waiting]:
            self._cut_off[name] = None
            title = f"CRITICAL hbd hears only {found.heard} of {found.heard + found.silent} hosts"
            text = (
                f"{found.silent} hosts fell silent at once. Their common trouble is likely the network of hbd itself.\n"
                f"Since {moment(found.since.wall)}. If this goes on, the hosts are named in another message."
            )
            self._notifier.say(name, title, text, Level.CRITICAL, taken=self._was_taken, topic="isolation")

    def _was_taken(self, now: Moment) -> None:
        self.isolation.taken(now)

    def _tell_that_hosts_are_heard(self, now: Moment) -> None:
        found = self.isolation
        lasted = span(now.mono - found.since.mono)
        text = (
            f"{found.silent} hosts could not be heard from {moment(found.since.wall)} on, for {lasted}."
            " What single hosts are still down is told as always."
        )
        for name in self._cut_off:
            self._notifier.say(name, "OK hbd hears its hosts again", text, Level.OK, topic="isolation")
        self._cut_off.clear()

    def _say(self, channels: Iterable[str], title: str, text: str, level: Level) -> None:
        for name in channels:
            self._notifier.say(name, title, text, level)


def _would_be_told(notice: Notice) -> bool:
    return notice.path == LIVES and not notice.over and notice.level is Level.CRITICAL
