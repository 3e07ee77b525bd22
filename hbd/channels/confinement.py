"""What a library that blocks may do while it sends a message for us: call where the guard permits it, and not for long.

It runs in a thread of ours, in a context that an audit hook of the interpreter looks at before each connection. What
does not end in time is cut off from the network, and so ends: a thread that hangs is one that nobody else can send in.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from hbd.channels.guard import Guard

MAX_ANSWER = 1_000_000  # bytes of one answer over HTTP; nothing but its status is wanted

_current: ContextVar[Confinement | None] = ContextVar("confinement", default=None)
_ready = False


class Confinement:
    """Of one message. permitted: addresses that may be called whatever the guard says of them."""

    def __init__(self, guard: Guard, permitted: frozenset[str]) -> None:
        self._guard = guard
        self._permitted = permitted
        self._lock = threading.Lock()
        self._connections: list[socket.socket] = []
        self._over = False

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """What this thread does meanwhile is confined."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def connects(self, sock: socket.socket, place: object) -> None:
        """Raises OSError when it may not. Called before it does."""
        self.calls(place)
        with self._lock:
            if self._over:
                raise ConnectionAbortedError("its time is over")
            self._connections.append(sock.dup())  # the library may close its own, or hand it on to TLS

    def calls(self, place: object) -> None:
        """Raises OSError when nothing may be sent there."""
        if not isinstance(place, tuple):
            raise ConnectionRefusedError("not a network address")
        if place[0] not in self._permitted and (reason := self._guard.refusal(place[0], place[1])):
            raise ConnectionRefusedError(reason)

    def end(self) -> None:
        """Cut all connections; there are no new ones. From any thread."""
        with self._lock:
            self._over = True
            connections, self._connections = self._connections, []
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


def prepare() -> None:
    """Before such a library is used for the first time; nothing of the environment is for its HTTP client."""
    global _ready
    if not _ready:
        import requests

        os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"
        os.environ["NETRC"] = os.devnull
        setattr(requests.Response, "iter_content", _bounded(requests.Response.iter_content))  # noqa: B010
        sys.addaudithook(_watch)
        _ready = True


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        return
    confinement = _current.get()
    if confinement is None:
        return
    if event == "socket.connect":
        confinement.connects(arguments[0], arguments[1])
    else:
        confinement.calls(arguments[1])


def _bounded(read: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """How answers are read, but for such as are too long when a message of ours is being sent."""

    def iter_content(answer: Any, *arguments: Any, **named: Any) -> Iterator[Any]:
        from requests.exceptions import ContentDecodingError

        length = 0
        for part in read(answer, *arguments, **named):
            length += len(part)
            if length > MAX_ANSWER and _current.get() is not None:
                answer.close()
                raise ContentDecodingError("the answer is too long")
            yield part

    return iter_content
