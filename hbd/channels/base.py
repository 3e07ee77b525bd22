"""What every channel type and whoever sends through one agree on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from msgspec import Struct

from hbd.alert_state import RANK
from hbd.errors import HbdError
from hbd.model import Level

if TYPE_CHECKING:
    from hbd.channels.guard import Guard

SEND_SECONDS = 10.0  # a service that has not taken a message by then is failing

FieldType = Literal["text", "secret", "url", "number", "boolean", "choice", "list"]
Kind = Literal["alert", "test", "notice"]
Settings = Mapping[str, Any]
"""key of a field → str, int, float, bool, or for a list: a tuple of str"""
Flaw = tuple[str, str]
"""(key of the field, what is wrong with it)"""


class Field(Struct, frozen=True, omit_defaults=False):
    """One setting of a channel type, for forms and checks. default None: none."""

    key: str
    label: str
    type: FieldType = "text"
    required: bool = False
    choices: tuple[str, ...] = ()
    default: str | float | bool | None = None
    help: str = ""


class Item(Struct, frozen=True, kw_only=True):
    """One problem as a message tells it.

    id: of the problem, the same from the first word to the last. metric: its path; name: as people call it ("CPU").
    before: what this channel was told last, None for nothing yet. value: as text, "" for none.
    number: of the message among those that told this channel of the problem; after a crash one may come twice.
    reason: ``CPU 95.5 > 90 for 5 min``. since: Unix seconds, when the problem began; at: when it came to this level.
    url: the page about it, "" where none is known. note: what else there is to say, such as ``3rd message``.
    """

    id: str
    host: str
    metric: str
    name: str
    number: int = 1
    level: Level
    before: Level | None = None
    value: str = ""
    reason: str = ""
    since: float
    at: float
    url: str = ""
    note: str = ""
    tags: tuple[str, ...] = ()
    owner: str | None = None

    @property
    def ended(self) -> bool:
        return self.level is Level.OK


class Message(Struct, frozen=True, kw_only=True):
    """What is sent at once. id: stays through every new try. title, text: ready for people (``words.compose``).

    level: the worst of the items that are still open, else OK. sent: Unix seconds. sender: name of this daemon.
    """

    id: str
    kind: Kind = "alert"
    items: tuple[Item, ...] = ()
    title: str
    text: str
    level: Level = Level.OK
    sent: float
    sender: str = "hbd"


class SendFailed(HbdError):
    """The message was not taken. permanent: it would not be the next time either, with these settings.
    refused: it is the message that was not wanted; others may be. retry_after: seconds, if asked for.

    The text goes to people who may not know the settings: it holds no secret, no address and nothing a server answered
    but its status.
    """

    def __init__(
        self, text: str, *, permanent: bool = False, refused: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(text)
        self.permanent = permanent
        self.refused = refused
        self.retry_after = retry_after


class Channel(Protocol):
    """One channel, opened with its settings. At most one message at a time is sent through it.

    refresh: seconds after which what is open has to be sent again though nothing changed; None as a rule.
    """

    @property
    def refresh(self) -> float | None: ...

    async def send(self, message: Message) -> str:
        """Send it; returns a short answer for the record, such as "200". Takes SEND_SECONDS at most.

        Raises SendFailed.
        """

    async def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What a channel gets to work with.

    guard: opens connections where this channel may call. threads: for libraries that block.
    scripts: folder of the programs that may be run, None where none may. clock: Unix seconds.
    """

    guard: Guard
    threads: Executor
    scripts: Path | None
    clock: Callable[[], float]


class ChannelType(Protocol):
    """A kind of channel. key: what the config and the API call it."""

    @property
    def key(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def fields(self) -> tuple[Field, ...]: ...

    def check(self, settings: Settings) -> list[Flaw]:
        """What is wrong with settings whose values have the types of their fields and whose required ones are there."""

    def targets(self, settings: Settings) -> Sequence[tuple[str, int]]:
        """(host, port) of what it would call, as far as the settings name it."""

    def open(self, name: str, settings: Settings, tools: Tools) -> Channel: ...


def worst(items: Sequence[Item]) -> Level:
    """The worst level of the items; OK when all have ended."""
    return max((item.level for item in items), key=RANK.__getitem__, default=Level.OK)


@asynccontextmanager
async def within_limit() -> AsyncIterator[None]:
    """Ends what takes longer than a message may. Raises SendFailed then."""
    try:
        async with asyncio.timeout(SEND_SECONDS):
            yield
    except TimeoutError as error:
        raise SendFailed(f"no answer within {SEND_SECONDS:.0f} s") from error
