"""Sends what is left to tell, channel by channel, and writes down what became of it.

Every channel has a line of its own with at most one message on it: a service that hangs holds up nobody else. A message
takes along everything that is ready for its channel. ::

    notice with news ──► due? ──► held? ──► ready ──► message ──► taken: told side on disk
                          no ▼     yes ▼                      └─► not taken: tried again later, and told
                             looked at again later                through the fallback channel meanwhile

What a notice is, and why there is no queue, is in ``hbd.notices``; which are told now says ``hbd.notice_sorting``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from hbd.alerts import Alerts
from hbd.channel_line import FIRST_RETRY, MOST_ITEMS, Choice, Choices, Line, Note
from hbd.channel_register import ChannelState
from hbd.channels.base import Message, SendFailed
from hbd.errors import HbdError, StorageError
from hbd.hosts import Hosts
from hbd.hushes import Held
from hbd.model import Level, Moment
from hbd.notice_sorting import GIVE_UP_SECONDS, NOT_TAKEN, Findings, Sorter
from hbd.notice_words import INSTEAD, NoticeWords, about_hbd, delivery
from hbd.notices import DISMISSED, Key, Notice, Notices
from hbd.routing import Router, held
from hbd.stats import Stats
from hbd.store.notices import NoticeTables

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0  # how often held notices are looked at again
FALLBACK_FAILURES = 2
MOST_REFUSALS = 3  # of single messages, before the channel counts as failing
MOST_NOTES = 100
SAVE_SECONDS = 2.0  # between tries to write down what was sent


class Notifier:
    def __init__(
        self,
        notices: Notices,
        tables: NoticeTables,
        alerts: Alerts,
        hosts: Hosts,
        router: Router,
        choices: Choices,
        stats: Stats,
        *,
        why_held: Callable[[Notice], Held | None] = lambda notice: None,
        now: Callable[[], Moment] = Moment.now,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """why_held: why a notice of an open problem waits (silences and the like; not the quiet hours of a channel)."""
        self.notices = notices
        self._tables = tables
        self._router = router
        self._choices = choices
        self._stats = stats
        self._sorter = Sorter(notices, router, why_held)
        self._words = NoticeWords(alerts, hosts, router)
        self._now = now
        self._jitter = jitter
        self._lines: dict[str, Line] = {}
        self._wake = asyncio.Event()
        notices.on_news = self._news
        stats.describe("notifications_total", "Messages to channels, by channel and outcome.")
        stats.gauge(
            "notices", "Problems that channels are to be told of, each counted for every channel.", notices.__len__
        )
        stats.gauge("notices_refused", "Those that were one too many.", lambda: notices.refused)

    # ----------------------------------------------------------------------------------------------------- the rounds

    def wake(self) -> None:
        """Something changed that may hold messages or let them go."""
        for line in self._lines.values():
            line.look_at = 0.0
        self._wake.set()

    def _news(self, channels: set[str]) -> None:
        for name in channels:
            line = self._line(name)
            line.look_at = line.rested_at
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled."""
        try:
            while True:
                try:
                    pause = self.round()
                except Exception:
                    log.exception("a round of notifications failed")
                    pause = LOOK_SECONDS
                try:
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
                except TimeoutError:
                    pass
                self._wake.clear()
        finally:
            await self.close()

    async def close(self) -> None:
        """Let go of all channels. What was not sent is on disk and is sent after the next start."""
        tasks = [line.task for line in self._lines.values() if line.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for line in self._lines.values():
            await line.close()

    def round(self) -> float:
        """Begin what can be begun; returns for how many seconds nothing else is to be done unless something changes."""
        now = self._now()
        pause = LOOK_SECONDS
        for name in {*self.notices.channels(), *self._lines}:
            line = self._line(name)
            if line.task is not None or not (line.unsaved or line.notes or self.notices.concern(name)):
                continue
            start = line.not_before if line.unsaved or line.notes else line.look_at
            if now.mono < start:
                pause = min(pause, start - now.mono)
                continue
            line.task = asyncio.create_task(self._serve(line))
            line.task.add_done_callback(partial(self._served, line))
        return max(0.01, pause)

    def _line(self, name: str) -> Line:
        line = self._lines.get(name)
        if line is None:
            line = self._lines[name] = Line(name, self._choices)
        return line

    def _served(self, line: Line, task: asyncio.Task[None]) -> None:
        line.task = None
        if not task.cancelled() and task.exception() is not None:
            log.error("notifications through %s stumbled", line.name, exc_info=task.exception())
            line.not_before = self._now().mono + FIRST_RETRY
        self._wake.set()

    async def _serve(self, line: Line) -> None:
        """One look at a channel: clear away, send one message if there is any, write down what became of it."""
        now = self._now()
        choice = self._choices.get(line.name)
        if line.notes and choice is not None:  # that storage fails must be told though nothing can be written down
            await self._send_note(line, choice, now)
            return
        if not await self._save(line):
            return
        if choice is None:
            await self._drop(line, now)
            return
        line.gone = None
        if line.opened_as is None:  # it may be of a type that wants to hear again of what was told before a restart
            with contextlib.suppress(HbdError):  # why it cannot be opened is told when there is something to send
                await line.open(choice)
        found = self._sorter.sort(line, choice, now)
        done = self._now().mono
        line.rested_at = done + 10 * (done - now.mono)
        line.look_at = max(line.rested_at, min(found.next_due, now.mono + LOOK_SECONDS))
        if found.closed or found.owed or found.dead or found.log:
            self._keep(line, found)
            if not await self._save(line):
                return
        if now.mono < line.next_message_at():
            line.look_at = max(line.rested_at, min(line.look_at, line.next_message_at()))
            if line.failures >= FALLBACK_FAILURES:
                self._fall_back(line, choice, found.ready)
        elif found.ready or found.repeated:
            await self._send(line, choice, found, now)
        elif found.refreshed:
            await self._refresh(line, choice, found.refreshed, now)

    def _keep(self, line: Line, found: Findings) -> None:
        self.notices.owe(found.owed)
        self.notices.give_up(found.dead)
        self.notices.close(found.closed)
        for key in found.closed:
            line.held.pop(key, None)

        async def save() -> None:
            await self._tables.save(*found.log, owed=found.owed, dead=found.dead, closed=found.closed)

        line.unsaved.append(save)

    async def _save(self, line: Line) -> bool:
        """Write down what was done; nothing else is sent before."""
        while line.unsaved:
            try:
                await line.unsaved[0]()
            except StorageError:
                line.not_before = self._now().mono + SAVE_SECONDS
                return False
            line.unsaved.pop(0)
        return True

    async def _drop(self, line: Line, now: Moment) -> None:
        """The channel is gone. What it was told it is told to its end if it comes back within a day."""
        line.gone = now.mono if line.gone is None else line.gone
        line.look_at = now.mono + LOOK_SECONDS
        for_good = now.mono - line.gone >= GIVE_UP_SECONDS
        left = [notice for notice in self.notices.of_channel(line.name) if for_good or not notice.heard]
        open_news = [notice for notice in left if not notice.settled]
        found = Findings()
        found.closed = [notice.key for notice in left]
        if open_news:
            found.log = [delivery(line.name, "dropped", open_news, now, detail="the channel is gone")]
        if left:
            self._keep(line, found)
            await self._save(line)
        await line.close()
        if not line.unsaved and not self.notices.concern(line.name):
            self._lines.pop(line.name, None)

    # ------------------------------------------------------------------------------------------------------- sending

    async def _send(self, line: Line, choice: Choice, found: Findings, now: Moment) -> None:
        notices = (found.ready + found.repeated)[: line.most]
        again = {notice.key for notice in found.repeated}
        items = tuple(self._words.item(notice, again=notice.key in again) for notice in notices)
        message = self._words.message(line.name, choice.zone, items, now)
        if not await self._attempt(line, notices):
            return
        try:
            answer = await line.hand_over(choice, message)
        except SendFailed as failure:
            self._failed(line, choice, notices, message, failure)
            await self._save(line)
            return
        now = self._now()
        self._went(line, now)
        self._stats.count("notifications_total", channel=line.name, outcome="sent")
        entry = delivery(line.name, "sent", notices, now, message=message, detail=answer)
        self.notices.tell(notices, now)
        done = [notice.key for notice in notices if (here := self.notices.get(notice.key)) and here.closed]
        self.notices.close(done)

        async def save() -> None:
            await self._tables.tell(notices, now.wall, entry, closed=done)

        line.unsaved.append(save)
        await self._save(line)

    async def _attempt(self, line: Line, notices: Sequence[Notice]) -> bool:
        """Write down what is about to be said: after a crash the end of it is owed, as it may have been heard."""
        new = [notice for notice in notices if notice.tried != notice.said or not notice.owed]
        if new:
            try:
                await self._tables.attempt(new)
            except StorageError:
                line.not_before = self._now().mono + SAVE_SECONDS
                return False
            self.notices.attempt(new)
        return True

    def _went(self, line: Line, now: Moment) -> None:
        self._revive(line, now)
        line.went(now)

    def _revive(self, line: Line, now: Moment) -> None:
        """Messages are taken again: what was given up after a day and is still a problem is to be told after all."""
        if line.failing is None or now.mono - line.failing.mono < GIVE_UP_SECONDS:
            return
        keys = [
            notice.key
            for notice in self.notices.of_channel(line.name)
            if notice.dead.startswith(NOT_TAKEN) and not notice.over
        ]
        for key in keys:
            self.notices.revive(key, now)
        line.unsaved.append(lambda: self._tables.save(revived=keys))

    def _failed(
        self, line: Line, choice: Choice, notices: Sequence[Notice], message: Message, failure: SendFailed
    ) -> None:
        now = self._now()
        line.last_error = str(failure)
        self._stats.count("notifications_total", channel=line.name, outcome="failed")
        found = Findings()
        if failure.refused and len(notices) > 1:  # which of them is it?
            line.most = max(1, len(notices) // 2)
            line.not_before = now.mono
            found.log.append(delivery(line.name, "failed", notices, now, message=message, detail=str(failure)))
        elif failure.refused and notices:
            line.refusals += 1
            if line.refusals >= MOST_REFUSALS:  # it is no single message
                line.failing = line.failing or now
            found.dead = {notice.key: str(failure) for notice in notices}
            found.log.append(delivery(line.name, "dead", notices, now, message=message, detail=str(failure)))
        else:
            wait = line.failed(failure, now, self._jitter())
            detail = f"{failure}; tried again in {wait:.0f} s"
            found.log.append(delivery(line.name, "failed", notices, now, message=message, detail=detail))
            log.warning("channel %s did not take a message: %s", line.name, failure)
        if line.failures >= FALLBACK_FAILURES or found.dead:
            self._fall_back(line, choice, notices)
        self._keep(line, found)

    def _fall_back(self, line: Line, choice: Choice, notices: Iterable[Notice]) -> None:
        other = choice.fallback or self._router.config.notifications.fallback
        if other and other != line.name and self._choices.get(other) is not None:
            for notice in notices:
                if not notice.over:
                    self.notices.ask(notice.problem, other, f"{INSTEAD}{line.name}")

    async def _refresh(self, line: Line, choice: Choice, notices: Sequence[Notice], now: Moment) -> None:
        """Say what is open to a service that forgets what it does not hear again; nobody is told anything new."""
        line.refreshed = now.mono
        items = tuple(self._words.item(notice) for notice in notices)
        for start in range(0, len(items), MOST_ITEMS):
            part = items[start : start + MOST_ITEMS]
            try:
                await line.hand_over(choice, self._words.message(line.name, choice.zone, part, now))
            except SendFailed as failure:
                line.last_error = str(failure)
                line.failing = line.failing or now
                return
        line.failing, line.last_error, line.failures = None, "", 0

    # ---------------------------------------------------------------------------------------------------- about itself

    def say(
        self,
        channel: str,
        title: str,
        text: str,
        level: Level,
        *,
        topic: str = "",
        taken: Callable[[Moment], None] = lambda now: None,
    ) -> None:
        """Send something about hbd itself; it is not kept over a restart.

        topic: when a note on the same topic still waits, this one goes in its place. taken: called when it was taken.
        """
        message = about_hbd(channel, title, text, level, self._now())
        line = self._line(channel)
        line.notes = [note for note in line.notes if not topic or note.topic != topic][:MOST_NOTES]
        line.notes.append(Note(message, topic, taken))
        self._wake.set()

    async def _send_note(self, line: Line, choice: Choice, now: Moment) -> None:
        note = line.notes[0]
        try:
            answer = await line.hand_over(choice, note.message)
        except SendFailed as failure:
            self._failed(line, choice, (), note.message, failure)
            done = failure.refused or now.wall - note.message.sent > GIVE_UP_SECONDS
        else:
            done, now = True, self._now()
            self._went(line, now)
            entry = delivery(line.name, "sent", (), now, message=note.message, detail=answer)
            line.unsaved.append(lambda: self._tables.save(entry))
            note.taken(now)
        if done and note in line.notes:
            line.notes.remove(note)
        await self._save(line)

    def failing(self) -> dict[str, tuple[Moment, str]]:
        """Channels that do not take messages: since when, and why."""
        return {line.name: (line.failing, line.last_error) for line in self._lines.values() if line.failing is not None}

    async def resend(self, key: Key) -> bool:
        """Try again what was given up; False: there is no such thing. Raises StorageError."""
        notice = self.notices.get(key)
        if notice is None or not notice.dead:
            return False
        await self._tables.save(revived=[key])
        line = self._line(notice.channel)  # it has a day again, and whoever asks does not want to wait
        line.failing, line.failures, line.not_before = None, 0, 0.0
        self.notices.revive(key, self._now())
        return True

    async def dismiss(self, key: Key) -> bool:
        """Forget what was given up; False: there is no such thing. Raises StorageError."""
        notice = self.notices.get(key)
        if notice is None or not notice.dead:
            return False
        if notice.over:
            await self._tables.save(closed=[key])
            self.notices.close([key])
        else:  # as long as it is open it would be made anew
            await self._tables.save(dead={key: DISMISSED})
            self.notices.give_up({key: DISMISSED})
        return True

    def state(self, name: str) -> ChannelState:
        line = self._lines.get(name)
        on_hold = line.held if line is not None else {}
        waiting = sum(1 for notice in self.notices.news(name) if not notice.closed and notice.key not in on_hold)
        dead = sum(1 for notice in self.notices.of_channel(name) if notice.dead not in ("", DISMISSED))
        if line is None:
            return ChannelState(waiting=waiting, dead=dead)
        return ChannelState(
            failing_since=line.failing.wall if line.failing is not None else None,
            last_sent=line.last_sent,
            last_error=line.last_error,
            waiting=waiting,
            dead=dead,
        )

    def remember(self, last_sent: Mapping[str, float]) -> None:
        """What an earlier run of the daemon sent last; Unix seconds by channel."""
        for name, at in last_sent.items():
            if self._choices.get(name) is not None:
                self._line(name).last_sent = at

    def why_held(self, notice: Notice) -> Held | None:
        """Why an open problem is not told now, for whoever asks."""
        choice = self._choices.get(notice.channel)
        if choice is None:
            return held("off", "the channel is gone")
        return self._sorter.why_held(notice, choice, self._now())
