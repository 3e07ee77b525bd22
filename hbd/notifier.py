"""Sends what is left to tell, channel by channel, and writes down what became of it.

Every channel has a line of its own with at most one message on it: a service that hangs holds up nobody else. A message
takes along everything that is ready for its channel. ::

    notice with news ──► due? ──► held? ──► ready ──► message ──► taken: told side on disk
                          no ▼     yes ▼                      └─► not taken: tried again later, and told
                             looked at again later                through the fallback channel meanwhile

What a notice is, and why there is no queue, is in ``hbd.notices``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import tzinfo
from functools import partial
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol

from hbd.alerts import Alert, Alerts
from hbd.channel_register import ChannelState
from hbd.channels.base import Channel, Item, Message, SendFailed, worst
from hbd.channels.words import compose
from hbd.errors import HbdError, StorageError
from hbd.hosts import Hosts
from hbd.hushes import Held
from hbd.model import Level, Moment
from hbd.notices import DISMISSED, Key, Notice, Notices
from hbd.routing import Router, at_least, held
from hbd.schedule import QuietHours
from hbd.stats import Stats
from hbd.store.notices import Delivery, NoticeTables, Outcome
from hbd.store.notices import Item as LogItem

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0  # how often held notices are looked at again
REPEATS_SECONDS = 5.0
GATHER = (0.0, 5.0, 10.0, 20.0)  # seconds between messages on a channel that has much to tell
CALM_SECONDS = 60.0  # without a message, after which the next one goes at once again
FIRST_RETRY = 5.0
LONGEST_RETRY = 600.0
LONGEST_WAIT = 3600.0  # that a service may ask for
FALLBACK_FAILURES = 2
MOST_REFUSALS = 3  # of single messages, before the channel counts as failing
INSTEAD = "instead of "  # how it is said that a channel stands in for another
NOT_TAKEN = "not taken for"  # how the reasons begin of what was given up after a while
GIVE_UP_SECONDS = 24 * 3600.0
SEND_SECONDS = 30.0  # a channel has limits of its own; this is for those that forget them
MOST_ITEMS = 500  # in one message; no channel may leave any of them out
MOST_NOTES = 100
SAVE_SECONDS = 2.0  # between tries to write down what was sent


class Choice(Protocol):
    """What the notifier needs to know of a channel; ``ChannelRegister`` has it."""

    @property
    def enabled(self) -> bool: ...
    @property
    def min_level(self) -> Level: ...
    @property
    def quiet(self) -> QuietHours | None: ...
    @property
    def quiet_level(self) -> Level: ...
    @property
    def fallback(self) -> str | None: ...
    @property
    def repeat(self) -> float | None: ...
    @property
    def zone(self) -> tzinfo:
        """In which times are given."""


class Choices(Protocol):
    def get(self, name: str) -> Choice | None: ...
    async def open(self, name: str) -> Channel:
        """Ready to send, with its present settings. Raises HbdError."""


class _Note(NamedTuple):
    """taken: called when the channel took it. topic: a later note on it takes the place of this one."""

    message: Message
    topic: str
    taken: Callable[[Moment], None]


class _Line:
    """One channel while the daemon runs. Times are monotonic seconds, but for those that people see."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.task: asyncio.Task[None] | None = None
        self.channel: Channel | None = None
        self.opened_as: Choice | None = None
        self.look_at = 0.0
        self.rested_at = 0.0
        """looking costs time where much is held: a tenth of it at most goes there"""
        self.pace = 0
        self.sent_at = -CALM_SECONDS
        self.repeats_at = 0.0
        self.refreshed = -math.inf
        self.not_before = 0.0
        self.failures = 0
        self.refusals = 0
        """messages in a row that were not wanted, one by one"""
        self.gone: float | None = None
        """since when there is no such channel"""
        self.failing: Moment | None = None
        self.last_sent: float | None = None
        self.last_error = ""
        self.most = MOST_ITEMS
        self.held: dict[Key, str] = {}
        self.unsaved: list[Callable[[], Coroutine[Any, Any, None]]] = []
        """what was done and is not on disk yet"""
        self.notes: list[_Note] = []
        """about hbd itself; they go first"""

    def next_message_at(self) -> float:
        return max(self.not_before, self.sent_at + GATHER[self.pace])


class _Gathered:
    """What a look at the notices of one channel found."""

    def __init__(self) -> None:
        self.ready: list[Notice] = []
        self.repeated: list[Notice] = []
        self.refreshed: list[Notice] = []
        self.closed: list[Key] = []
        self.owed: list[Key] = []
        self.dead: dict[Key, str] = {}
        self.log: list[Delivery] = []
        self.next_due = float("inf")


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
        self._alerts = alerts
        self._hosts = hosts
        self._router = router
        self._choices = choices
        self._stats = stats
        self._held = why_held
        self._now = now
        self._jitter = jitter
        self._lines: dict[str, _Line] = {}
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
            await self._close(line)

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

    def _line(self, name: str) -> _Line:
        line = self._lines.get(name)
        if line is None:
            line = self._lines[name] = _Line(name)
        return line

    def _served(self, line: _Line, task: asyncio.Task[None]) -> None:
        line.task = None
        if not task.cancelled() and task.exception() is not None:
            log.error("notifications through %s stumbled", line.name, exc_info=task.exception())
            line.not_before = self._now().mono + FIRST_RETRY
        self._wake.set()

    async def _serve(self, line: _Line) -> None:
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
                await self._open(line, choice)
        found = self._gather(line, choice, now)
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

    def _keep(self, line: _Line, found: _Gathered) -> None:
        self.notices.owe(found.owed)
        self.notices.give_up(found.dead)
        self.notices.close(found.closed)
        for key in found.closed:
            line.held.pop(key, None)

        async def save() -> None:
            await self._tables.save(*found.log, owed=found.owed, dead=found.dead, closed=found.closed)

        line.unsaved.append(save)

    async def _save(self, line: _Line) -> bool:
        """Write down what was done; nothing else is sent before."""
        while line.unsaved:
            try:
                await line.unsaved[0]()
            except StorageError:
                line.not_before = self._now().mono + SAVE_SECONDS
                return False
            line.unsaved.pop(0)
        return True

    async def _drop(self, line: _Line, now: Moment) -> None:
        """The channel is gone. What it was told it is told to its end if it comes back within a day."""
        line.gone = now.mono if line.gone is None else line.gone
        line.look_at = now.mono + LOOK_SECONDS
        for_good = now.mono - line.gone >= GIVE_UP_SECONDS
        left = [notice for notice in self.notices.of_channel(line.name) if for_good or not notice.heard]
        open_news = [notice for notice in left if not notice.settled]
        found = _Gathered()
        found.closed = [notice.key for notice in left]
        if open_news:
            found.log = [self._entry(line, "dropped", open_news, now, detail="the channel is gone")]
        if left:
            self._keep(line, found)
            await self._save(line)
        await self._close(line)
        if not line.unsaved and not self.notices.concern(line.name):
            self._lines.pop(line.name, None)

    # --------------------------------------------------------------------------------------------------- what to send

    def _gather(self, line: _Line, choice: Choice, now: Moment) -> _Gathered:
        found = _Gathered()
        quiet_until = choice.quiet.holds(now.wall) if choice.quiet is not None else None
        newly_held: dict[tuple[str, str], list[Notice]] = {}
        for notice in self.notices.news(line.name):
            if notice.closed:
                if notice.told is None and notice.key in line.held:
                    reason = f"over before it was told: {line.held[notice.key]}"
                    found.log.append(self._entry(line, "dropped", [notice], now, detail=reason))
                found.closed.append(notice.key)
                continue
            if not notice.over and now.mono < max(notice.due, notice.after):
                found.next_due = min(found.next_due, max(notice.due, notice.after))
                continue
            why = self._why_held(notice, choice, quiet_until, now)
            if why is None:
                line.held.pop(notice.key, None)
                if notice.heard or self._is_named(notice):
                    found.ready.append(notice)
                else:
                    found.closed.append(notice.key)
                    detail = "nothing names this channel for it any more"
                    found.log.append(self._entry(line, "dropped", [notice], now, detail=detail))
                continue
            if why.kind == "quiet hours" and not notice.owed:
                found.owed.append(notice.key)
            if line.held.get(notice.key) != why.kind:
                line.held[notice.key] = why.kind
                newly_held.setdefault((why.kind, _in_words(why)), []).append(notice)
        for (_, reason), notices in newly_held.items():
            found.log.append(self._entry(line, "held", notices, now, detail=reason))
        self._stop_trying(line, found, now)
        if now.mono >= line.repeats_at or found.ready:
            line.repeats_at = now.mono + REPEATS_SECONDS
            self._gather_told(line, choice, quiet_until, found, now)
        return found

    def _is_named(self, notice: Notice) -> bool:
        """Whether the channel is still one of those that are to be told, by whoever has become so meanwhile."""
        if notice.why.startswith(INSTEAD):
            return True
        targets = self._router.targets(notice.host_id, notice.path, notice.worst)
        return any(target.channel == notice.channel for target in targets)

    def _why_held(self, notice: Notice, choice: Choice, quiet_until: float | None, now: Moment) -> Held | None:
        if not choice.enabled:
            return held("off", "the channel is switched off")
        loud = notice.worst if notice.told is None else max((notice.told, notice.level), key=_loudness)
        if quiet_until is not None and not at_least(loud, choice.quiet_level):
            return held("quiet hours", "quiet hours of the channel", quiet_until)
        if notice.over:
            return None  # good news, and whoever was told waits for it
        if not notice.heard and not at_least(notice.level, choice.min_level):
            return held("level", f"below {choice.min_level}, the least that the channel is told")
        return self._held(notice)

    def _stop_trying(self, line: _Line, found: _Gathered, now: Moment) -> None:
        if line.failing is None or now.mono - line.failing.mono < GIVE_UP_SECONDS:
            return
        late = [notice for notice in found.ready if now.wall - notice.at >= GIVE_UP_SECONDS]
        if late:
            reason = f"{NOT_TAKEN} {GIVE_UP_SECONDS / 3600:.0f} h: {line.last_error}"
            found.dead |= {notice.key: reason for notice in late}
            found.ready = [notice for notice in found.ready if notice.key not in found.dead]
            found.log.append(self._entry(line, "dead", late, now, detail=reason))

    def _gather_told(
        self, line: _Line, choice: Choice, quiet_until: float | None, found: _Gathered, now: Moment
    ) -> None:
        """What was told and is still so: to be said again after a while, or to be kept alive."""
        every = choice.repeat
        refresh = line.channel.refresh if line.channel is not None else None
        fresh = refresh is not None and now.mono - line.refreshed >= refresh
        if not every and not fresh:
            return
        for notice in self.notices.of_channel(line.name):
            if notice.told is None or notice.over or not notice.settled or notice.dead:
                continue
            if every and now.mono - notice.told_mono >= every:
                if self._why_held(notice, choice, quiet_until, now) is None:
                    found.repeated.append(notice)
            elif fresh:
                found.refreshed.append(notice)

    # ------------------------------------------------------------------------------------------------------- sending

    async def _send(self, line: _Line, choice: Choice, found: _Gathered, now: Moment) -> None:
        notices = (found.ready + found.repeated)[: line.most]
        again = {notice.key for notice in found.repeated}
        items = tuple(self._item(notice, again=notice.key in again) for notice in notices)
        message = self._message(line.name, choice, items, now)
        if not await self._attempt(line, notices):
            return
        try:
            answer = await self._hand_over(line, choice, message)
        except SendFailed as failure:
            self._failed(line, choice, notices, message, failure)
            await self._save(line)
            return
        now = self._now()
        self._went(line, now)
        self._stats.count("notifications_total", channel=line.name, outcome="sent")
        entry = self._entry(line, "sent", notices, now, message=message, detail=answer)
        self.notices.tell(notices, now)
        done = [notice.key for notice in notices if (here := self.notices.get(notice.key)) and here.closed]
        self.notices.close(done)

        async def save() -> None:
            await self._tables.tell(notices, now.wall, entry, closed=done)

        line.unsaved.append(save)
        await self._save(line)

    async def _attempt(self, line: _Line, notices: Sequence[Notice]) -> bool:
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

    def _went(self, line: _Line, now: Moment) -> None:
        calm = now.mono - line.sent_at >= CALM_SECONDS
        line.pace = 1 if calm else min(line.pace + 1, len(GATHER) - 1)
        line.sent_at = line.refreshed = now.mono
        line.last_sent = now.wall
        self._revive(line, now)
        line.failures, line.refusals, line.failing, line.last_error = 0, 0, None, ""
        line.most = min(MOST_ITEMS, line.most * 2)

    def _revive(self, line: _Line, now: Moment) -> None:
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

    async def _hand_over(self, line: _Line, choice: Choice, message: Message) -> str:
        """Raises SendFailed, whatever goes wrong."""
        try:
            await self._open(line, choice)
            assert line.channel is not None
            async with asyncio.timeout(SEND_SECONDS):
                return await line.channel.send(message)
        except SendFailed:
            raise
        except TimeoutError:
            raise SendFailed(f"no answer within {SEND_SECONDS:.0f} s") from None
        except HbdError as error:
            raise SendFailed(str(error)) from None
        except Exception:
            log.exception("channel %s failed in a way that is a fault of hbd", line.name)
            raise SendFailed("a fault in hbd; its log has more") from None

    async def _open(self, line: _Line, choice: Choice) -> None:
        if line.channel is None or line.opened_as is not choice:
            await self._close(line)
            line.opened_as = choice
            line.channel = await self._choices.open(line.name)

    async def _close(self, line: _Line) -> None:
        channel, line.channel = line.channel, None
        if channel is not None:
            try:
                await channel.close()
            except Exception:
                log.exception("channel %s did not close", line.name)

    def _failed(
        self, line: _Line, choice: Choice, notices: Sequence[Notice], message: Message, failure: SendFailed
    ) -> None:
        now = self._now()
        line.last_error = str(failure)
        self._stats.count("notifications_total", channel=line.name, outcome="failed")
        found = _Gathered()
        if failure.refused and len(notices) > 1:  # which of them is it?
            line.most = max(1, len(notices) // 2)
            line.not_before = now.mono
            found.log.append(self._entry(line, "failed", notices, now, message=message, detail=str(failure)))
        elif failure.refused and notices:
            line.refusals += 1
            if line.refusals >= MOST_REFUSALS:  # it is no single message
                line.failing = line.failing or now
            found.dead = {notice.key: str(failure) for notice in notices}
            found.log.append(self._entry(line, "dead", notices, now, message=message, detail=str(failure)))
        else:
            line.failures += 1
            line.failing = line.failing or now
            wait = min(FIRST_RETRY * 2 ** (line.failures - 1), LONGEST_RETRY)
            wait *= 0.75 + 0.5 * self._jitter()
            if failure.retry_after is not None:
                wait = max(wait, min(failure.retry_after, LONGEST_WAIT))
            line.not_before = now.mono + wait
            detail = f"{failure}; tried again in {wait:.0f} s"
            found.log.append(self._entry(line, "failed", notices, now, message=message, detail=detail))
            log.warning("channel %s did not take a message: %s", line.name, failure)
        if line.failures >= FALLBACK_FAILURES or found.dead:
            self._fall_back(line, choice, notices)
        self._keep(line, found)

    def _fall_back(self, line: _Line, choice: Choice, notices: Iterable[Notice]) -> None:
        other = choice.fallback or self._router.config.notifications.fallback
        if other and other != line.name and self._choices.get(other) is not None:
            for notice in notices:
                if not notice.over:
                    self.notices.ask(notice.problem, other, f"{INSTEAD}{line.name}")

    async def _refresh(self, line: _Line, choice: Choice, notices: Sequence[Notice], now: Moment) -> None:
        """Say what is open to a service that forgets what it does not hear again; nobody is told anything new."""
        line.refreshed = now.mono
        items = tuple(self._item(notice) for notice in notices)
        for start in range(0, len(items), MOST_ITEMS):
            try:
                await self._hand_over(
                    line, choice, self._message(line.name, choice, items[start : start + MOST_ITEMS], now)
                )
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
        now = self._now()
        name = blake2b(f"{channel}\n{title}\n{now.wall}".encode(), digest_size=10).hexdigest()
        message = Message(id=name, kind="notice", title=title, text=text, level=level, sent=now.wall)
        line = self._line(channel)
        line.notes = [note for note in line.notes if not topic or note.topic != topic][:MOST_NOTES]
        line.notes.append(_Note(message, topic, taken))
        self._wake.set()

    async def _send_note(self, line: _Line, choice: Choice, now: Moment) -> None:
        note = line.notes[0]
        try:
            answer = await self._hand_over(line, choice, note.message)
        except SendFailed as failure:
            self._failed(line, choice, (), note.message, failure)
            done = failure.refused or now.wall - note.message.sent > GIVE_UP_SECONDS
        else:
            done, now = True, self._now()
            self._went(line, now)
            entry = self._entry(line, "sent", (), now, message=note.message, detail=answer)
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
        now, choice = self._now(), self._choices.get(notice.channel)
        if choice is None:
            return held("off", "the channel is gone")
        if not notice.over and now.mono < max(notice.due, notice.after):
            left = max(notice.due, notice.after) - now.mono
            if notice.after > notice.due:
                return held("escalation", notice.why, now.wall + left)
            return held("settling", "it may pass soon", now.wall + left)
        quiet_until = choice.quiet.holds(now.wall) if choice.quiet is not None else None
        return self._why_held(notice, choice, quiet_until, now)

    # ---------------------------------------------------------------------------------------------------------- words

    def _message(self, channel: str, choice: Choice, items: tuple[Item, ...], now: Moment) -> Message:
        title, text = compose(items, "alert", self._router.config.base_url, choice.zone)
        said = "\n".join([channel, *(f"{item.id} {item.number} {item.level}" for item in items)])
        name = blake2b(said.encode(errors="surrogatepass"), digest_size=10).hexdigest()
        return Message(id=name, items=items, title=title, text=text, level=worst(items), sent=now.wall)

    def _item(self, notice: Notice, *, again: bool = False) -> Item:
        alert = self._alerts.get(notice.host_id, notice.path)
        host = self._hosts.by_id(notice.host_id)
        base = self._router.config.base_url
        return Item(
            id=notice.problem,
            host=notice.host,
            metric=notice.path,
            name=_display(notice.path, alert),
            number=notice.number,
            level=notice.level,
            before=notice.told,
            value="" if notice.value is None else f"{notice.value:.10g}",
            reason=notice.reason,
            since=notice.opened,
            at=notice.at,
            url=f"{base.rstrip('/')}/alerts?host={notice.host}" if base else "",
            note=_note(notice, again=again),
            tags=tuple(host.tags) if host is not None else (),
            owner=host.owner if host is not None else None,
        )

    def _entry(
        self,
        line: _Line,
        outcome: Outcome,
        notices: Iterable[Notice],
        now: Moment,
        *,
        message: Message | None = None,
        detail: str = "",
    ) -> Delivery:
        return Delivery(
            time=now.wall,
            channel=line.name,
            outcome=outcome,
            message=message.id if message is not None else "",
            title=message.title if message is not None else "",
            detail=detail,
            items=tuple(
                LogItem(notice.host_id, notice.path, notice.problem, notice.level, notice.number) for notice in notices
            ),
        )


def _in_words(why: Held) -> str:
    by = f" by {why.by}" if why.by else ""
    return f"{why.kind}{by}: {why.reason}" if why.id is not None or why.by else why.reason


def _loudness(level: Level) -> int:
    return 2 if level is Level.CRITICAL else 1 if level is not Level.OK else 0


def _display(path: str, alert: Alert | None) -> str:
    if alert is not None and alert.rule is not None and alert.rule.threshold.display:
        return alert.rule.threshold.display
    return path


def _note(notice: Notice, *, again: bool) -> str:
    notes = []
    if notice.flapping:
        notes.append("flapping: it changes often; its end is told when it is calm")
    elif notice.told_flapping:
        notes.append("no longer flapping")
    if notice.over and notice.told is None:
        notes.append(f"was {notice.worst}, and could not be told then")
    if again:
        notes.append(f"still so, message {notice.number}")
    if notice.told is None and notice.why.startswith(INSTEAD):
        notes.append(notice.why)
    return "; ".join(notes)
