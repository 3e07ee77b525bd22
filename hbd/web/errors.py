"""How errors look over HTTP: one shape, ``{"error": text}``, made here and nowhere else."""

from __future__ import annotations

import logging
import math
import re
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from hbd.access import Verdict
from hbd.channels.base import SendFailed
from hbd.errors import (
    AgentFailed,
    Busy,
    Conflict,
    Forbidden,
    HbdError,
    InvalidInput,
    NotFound,
    StorageError,
    TooLarge,
    TooMany,
)
from hbd.signin import SecondFactorWanted, SignInRefused
from hbd.web import schemas

log = logging.getLogger(__name__)

MAX_TEXT = 400  # an error may name what was asked for, but it is no echo
RETRY_SECONDS = "5"

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


class Unauthorised(HbdError):
    """We do not know who is asking, and only those we know may."""


class Unsupported(HbdError):
    """The body is not of a media type that is taken here."""


class Misdirected(HbdError):
    """The request is for a site that we are not."""


class Worded(HbdError):
    """An error whose status and whole body the contract of another system gives."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(str(body["error"]))
        self.status = status
        self.body = body


STATUS: dict[type[Exception], int] = {
    InvalidInput: 400,
    Unauthorised: 401,
    SignInRefused: 401,
    SecondFactorWanted: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    Unsupported: 415,
    TooLarge: 413,
    Misdirected: 421,
    TooMany: 429,
    AgentFailed: 502,
    SendFailed: 502,
    Busy: 503,
    StorageError: 503,
    HbdError: 500,
}

HEADERS: dict[int, dict[str, str]] = {
    401: {"WWW-Authenticate": "Bearer"},
    503: {"Retry-After": RETRY_SECONDS},
}


def printable(text: str, most: int = MAX_TEXT) -> str:
    """Text from outside, short and in one visible line. most: characters."""
    short = text if len(text) <= most else text[:most] + "…"
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", short)


def response(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status,
        body=msgspec.json.encode(schemas.Error(printable(text))),
        content_type="application/json",
        headers={**HEADERS.get(status, {}), **(headers or {})},
    )


def response_for(error: Exception) -> web.Response:
    """What somebody is told who ran into an error. The unexpected is logged whole and told as an internal error."""
    if isinstance(error, web.HTTPException):
        allow = {name: error.headers[name] for name in ("Allow", "Location") if name in error.headers}
        if error.status < 400:
            return web.Response(status=error.status, headers=allow)
        return response(error.status, HTTPStatus(error.status).phrase, allow)
    if isinstance(error, Worded):
        return web.json_response(error.body, status=error.status)
    for kind in type(error).__mro__:
        if (status := STATUS.get(kind)) is not None and status != 500:
            headers = {"Retry-After": str(math.ceil(error.wait))} if isinstance(error, TooMany) else None
            return response(status, str(error), headers)
    log.error("A request failed", exc_info=error)
    return response(500, "internal error")


def require(verdict: Verdict) -> None:
    """Raises Unauthorised or Forbidden, unless it was allowed."""
    if verdict.stranger:
        raise Unauthorised(verdict.reason)
    if not verdict.allowed:
        raise Forbidden(verdict.reason)
