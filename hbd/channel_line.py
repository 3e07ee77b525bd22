"""One channel while the daemon runs: how fast it is sent messages, what it has not taken, what is not on disk yet."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine
from datetime import tzinfo
from typing import Any, NamedTuple, Protocol

from hbd.channels.base import Channel, Message, SendFailed
from hbd.errors import HbdError
from hbd.model import Level, Moment
from hbd.notices import Key
from hbd.schedule import QuietHours

log = logging.getLogger(__name__)

GATHER = (0.0, 5.0, 10.0, 20.0)  # seconds between messages on a channel that has much to tell
CALM_SECONDS = 60.0  # without a message, after which the next one goes at once again
FIRST_RETRY = 5.0
LONGEST_RETRY = 600.0
LONGEST_WAIT = 3600.0  # that a service may ask for
SEND_SECONDS = 30.0  # a channel has limits of its own; this is for those that forget them
MOST_ITEMS = 500  # in one message; no channel may leave any of them out


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


class Note(NamedTuple):
    """taken: called when the channel took it. topic: a later note on it takes the place of this one."""

    message: Message
    topic: str
    taken: Callable[[Moment], None]


class Line:
    """Times are monotonic seconds, but for those that people see."""

    def __init__(self, name: str, choices: Choices) -> None:
        self.name = name
        self._choices = choices
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
        self.notes: list[Note] = []
        """about hbd itself; they go first"""

    def next_message_at(self) -> float:
        return max(self.not_before, self.sent_at + GATHER[self.pace])

    async def hand_over(self, choice: Choice, message: Message) -> str:
        """What the channel answered. Raises SendFailed, whatever goes wrong."""
        try:
            await self.open(choice)
            assert self.channel is not None
            async with asyncio.timeout(SEND_SECONDS):
                return await self.channel.send(message)
        except SendFailed:
            raise
        except TimeoutError:
            raise SendFailed(f"no answer within {SEND_SECONDS:.0f} s") from None
        except HbdError as error:
            raise SendFailed(str(error)) from None
        except Exception:
            log.exception("channel %s failed in a way that is a fault of hbd", self.name)
            raise SendFailed("a fault in hbd; its log has more") from None

    async def open(self, choice: Choice) -> None:
        """Have it open with these settings. Raises HbdError."""
        if self.channel is None or self.opened_as is not choice:
            await self.close()
            self.opened_as = choice
            self.channel = await self._choices.open(self.name)

    async def close(self) -> None:
        channel, self.channel = self.channel, None
        if channel is not None:
            try:
                await channel.close()
            except Exception:
                log.exception("channel %s did not close", self.name)

    def went(self, now: Moment) -> None:
        """A message was taken."""
        calm = now.mono - self.sent_at >= CALM_SECONDS
        self.pace = 1 if calm else min(self.pace + 1, len(GATHER) - 1)
        self.sent_at = self.refreshed = now.mono
        self.last_sent = now.wall
        self.failures, self.refusals, self.failing, self.last_error = 0, 0, None, ""
        self.most = min(MOST_ITEMS, self.most * 2)

    def failed(self, failure: SendFailed, now: Moment, jitter: float) -> float:
        """No message is taken; returns after how many seconds one is tried again. jitter: 0 to 1, by chance."""
        self.failures += 1
        self.failing = self.failing or now
        wait: float = min(FIRST_RETRY * 2 ** (self.failures - 1), LONGEST_RETRY)
        wait *= 0.75 + 0.5 * jitter
        if failure.retry_after is not None:
            wait = max(wait, min(failure.retry_after, LONGEST_WAIT))
        self.not_before = now.mono + wait
        return wait
