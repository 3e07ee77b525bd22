"""One row of the route table, and one call of it as its handler sees it."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass, field
from enum import Enum
from typing import Any

import msgspec
from aiohttp import web

from hbd.access import Action, Identity
from hbd.accounts import Credential, User
from hbd.hosts import Host
from hbd.store.audit import Entry, Outcome, Via
from hbd.web.parts import Parts

Handler = Callable[["Call"], Awaitable[Any]]
"""Answers with anything msgspec can encode, with a ``Body``, or with a response of aiohttp's."""

_GZIP = re.compile(r"(?:^|,)\s*gzip\s*(?:$|,|;(?!\s*q=0(?:\.0*)?\s*(?:$|,)))", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\{(\w+)(?::[^{}]*)?\}")


class Kind(Enum):
    """How a route answers: JSON and errors as JSON, HTML for people, or a connection that stays open."""

    API = "api"
    PAGE = "page"
    STREAM = "stream"


EVENTS = "text/event-stream"
"""media of a stream that is no WebSocket"""


@dataclass(frozen=True)
class Route:
    """One row of the table. Everything else about a route is made from it.

    action: what the caller must be allowed to do, with the host in the path where it has ``{host}``; None: nobody may.
    query: the struct of its query parameters. body: the type of the JSON it takes. answer: the type it answers with.
    reads: the type of JSON that the handler reads and checks itself, as another system's contract has its own errors.
    media: what an answer that is not JSON is. status: of an answer that went well; statuses: what else to expect.
    limited: whether it counts against the caller's rate. late: it asks by itself who is calling, after the connection
    has been made. form: it takes what a page's form sends, and reads that itself. asks: it changes nothing, though it
    is a POST, as another system's contract has it.
    """

    method: str
    path: str
    handler: Handler
    action: Action | None
    _: KW_ONLY
    summary: str
    kind: Kind = Kind.API
    query: type[msgspec.Struct] | None = None
    body: Any = None
    reads: Any = None
    answer: Any = None
    media: str = "application/json"
    status: int = 200
    statuses: tuple[int, ...] = ()
    limited: bool = True
    late: bool = False
    form: bool = False
    asks: bool = False

    @property
    def changes(self) -> bool:
        """Whether something may be different after a call."""
        return self.method not in ("GET", "HEAD") and not self.asks

    @property
    def template(self) -> str:
        """The path without the patterns of its placeholders: ``/static/{path}``."""
        return _PLACEHOLDER.sub(r"{\1}", self.path)

    @property
    def placeholders(self) -> list[str]:
        return _PLACEHOLDER.findall(self.path)


@dataclass(frozen=True)
class Body:
    """Bytes that are ready to go out."""

    data: bytes
    media: str = "application/json"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who is calling, how we know, and from where. refused: something was shown that stands for nobody (any more).

    kept_out: why somebody whom a proxy named may not enter, "" as a rule; named: whom it named, for the audit log.
    """

    identity: Identity
    address: str
    via: Via = "none"
    credential: Credential | None = None
    ambient: bool = False
    """whether a browser shows it by itself, also when the page of another site makes it ask"""
    refused: bool = False
    kept_out: str = ""
    named: str = ""


@dataclass(kw_only=True)
class Call:
    """One call of a route, already authorised, its parameters already checked.

    path: placeholder to text, percent-decoded once. query, body: of the types in the route.
    """

    request: web.Request
    parts: Parts
    route: Route
    caller: Caller
    path: dict[str, str]
    query: Any = None
    body: Any = None
    host_in_path: Host | None = None

    @property
    def identity(self) -> Identity:
        return self.caller.identity

    @property
    def user(self) -> User | None:
        """Whoever has signed in; None where nobody needs to."""
        return self.caller.credential.user if self.caller.credential is not None else None

    def entry(self, action: str, object: str = "", *, outcome: Outcome = "done", detail: str = "") -> Entry:
        """What is being done here, for the audit log."""
        return Entry(
            time=time.time(),
            user=self.identity.name,
            via=self.caller.via,
            address=self.caller.address,
            action=action,
            object=object,
            outcome=outcome,
            detail=detail,
        )

    @property
    def routes(self) -> tuple[Route, ...]:
        """The whole table that this route is in."""
        return self.request.app[TABLE]

    def matches(self, etag: str) -> bool:
        """Whether the caller has what this ETag names."""
        wanted = self.request.headers.get("If-None-Match", "")
        return wanted == "*" or etag in (part.strip().removeprefix("W/") for part in wanted.split(","))

    @property
    def takes_gzip(self) -> bool:
        return _GZIP.search(self.request.headers.get("Accept-Encoding", "")) is not None

    @property
    def host(self) -> Host:
        """The host in the path."""
        assert self.host_in_path is not None, f"{self.route.path} names no host"
        return self.host_in_path


TABLE: web.AppKey[tuple[Route, ...]] = web.AppKey("routes")
