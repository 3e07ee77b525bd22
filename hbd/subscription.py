"""One subscriber of the live feed: what it wants to see, what waits for it, and how it is reached."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from hbd.access import ALL_SEEING, EVERYBODY, Action, Identity, may, sees_everything
from hbd.alerts import AlertEvent
from hbd.hosts import Host
from hbd.model import Message, Sample

MAX_PENDING_MESSAGES = 200

Type = Literal["host", "plugin", "alert", "message"]
Key = tuple[
    Type, int, str
]  # (type, host id, plugin or path); only of states, messages are never replaced by newer ones


class Frames(Protocol):
    """Puts changes into words. Packed bytes go on the wire as they are."""

    def host(self, host: Host) -> bytes: ...
    def plugin(self, host: Host, sample: Sample) -> bytes: ...
    def message(self, message: Message) -> bytes: ...
    def alert(self, host: Host, event: AlertEvent) -> bytes: ...
    def gone(self, host_id: int) -> bytes:
        """The host is not there any more, or not for whoever reads this."""

    def forget(self, host_id: int) -> None:
        """The host has changed: words kept for it are out of date."""

    def pack(self, words: Sequence[bytes], batch: bool) -> list[bytes]: ...


class Channel(Protocol):
    """One subscriber's connection. None of this waits."""

    def buffered(self) -> int:
        """Bytes that were written and have not left."""

    def write(self, data: bytes) -> None: ...
    def close(self, code: int, reason: str) -> None: ...


class View(Struct, frozen=True, cache_hash=True):
    """What a subscriber gets to see. hosts: lower-case names; None: all it may. batch: many words in one frame."""

    identity: Identity = EVERYBODY
    hosts: frozenset[str] | None = None
    types: frozenset[str] | None = None
    batch: bool = False

    def takes(self, type: Type) -> bool:
        return self.types is None or type in self.types

    @property
    def sees_all(self) -> bool:
        return self.hosts is None and sees_everything(self.identity)

    def sees(self, host: Host | None) -> bool:
        """Whether it shows a host; None: the daemon's own messages, for those who look at all and after the daemon."""
        if host is None:
            return self.hosts is None and may(self.identity, Action.INSPECT).allowed
        if self.hosts is not None and host.name.lower() not in self.hosts:
            return False
        return may(self.identity, Action.VIEW, host).allowed


def seer(identity: Identity) -> Identity:
    """An identity as far as the feed is concerned: all who see everything share one view, and its work."""
    return ALL_SEEING if sees_everything(identity) else identity


Who = Callable[[], Identity | None]
"""Whom a subscriber is now, None when it is nobody any more."""


class Subscription:
    """One subscriber. who: asked again and again. user: whose connection it is, "" where nobody has a name. backlog:
    packed, goes out before anything newer.

    gone: hosts that it was shown and may not see any more, as long as it may not have been told.

    pending, messages: what came since it fell behind, not yet packed: the newest words of each key.
    """

    __slots__ = (
        "backlog",
        "behind_since",
        "channel",
        "closed",
        "gone",
        "messages",
        "pending",
        "user",
        "view",
        "wanted",
        "who",
    )

    def __init__(self, channel: Channel, view: View, who: Who, user: str = "") -> None:
        self.channel = channel
        self.who = who
        self.user = user
        self.view = view
        self.gone: dict[int, None] = {}
        self.wanted: View | None = None
        self.backlog: deque[bytes] = deque()
        self.pending: dict[Key, bytes] = {}
        self.messages: deque[bytes] = deque(maxlen=MAX_PENDING_MESSAGES)
        self.behind_since: float | None = None
        self.closed = False
