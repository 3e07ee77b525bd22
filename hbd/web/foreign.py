"""What agents of other systems post: each is answered in the words of its own system, errors too."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from hbd import addresses
from hbd.errors import HbdError, InvalidInput, NotFound, StorageError, TooMany
from hbd.hosts import Host
from hbd.model import Moment
from hbd.receivers import hitflow, monitron
from hbd.receivers.doors import SwitchedOff, samples_of, source_of
from hbd.receivers.fields import InvalidFields, Problems, parse
from hbd.receivers.hitflow import SERVER_HEADER, TOKEN_HEADER, Code
from hbd.report_log import unreadable
from hbd.web.call import Call
from hbd.web.errors import printable

MAX_BODY_BYTES = 256 << 10  # the largest report within all limits has about half of it
RETRY_SECONDS = 5.0


class TooLarge(InvalidInput):
    """The body is longer than any report."""


class NoHeaders(HbdError):
    """Nothing says whose report it is."""


class Answer(NamedTuple):
    """wait: seconds until it is worth trying again."""

    status: int
    body: dict[str, Any]
    wait: float | None = None

    @property
    def response(self) -> web.Response:
        headers = {} if self.wait is None else {"Retry-After": str(math.ceil(self.wait))}
        encoded = msgspec.json.encode(self.body)
        return web.Response(status=self.status, body=encoded, content_type="application/json", headers=headers)


async def monitron_report(call: Call) -> web.Response:
    """``POST /agent/report``. The key is in the body: that is looked at before anybody is known."""
    doors, problems = call.parts.doors, Problems()
    now = doors.clock()
    try:
        _require_patience(call, now)
        sent = parse(await _body(call))
        reading = monitron.read(sent, problems)
        host = await doors.whose(reading.key, now) if reading.key else None
        if host is None:
            problems.check()
            raise NotFound("nobody has this agent key")
    except HbdError as error:
        return _in_words_of_monitron(error).response
    try:
        doors.admit(host, now)
        problems.check()
        samples = monitron.samples(reading, host, doors.rates, now)
        interval = monitron.interval(call.parts.config.grace)
        await doors.take(host, samples, now, source=source_of(call.caller.address), interval=interval)
        answer = Answer(200, {"status": "ok"})
    except HbdError as error:
        answer = _in_words_of_monitron(error)
    doors.log.note(host, monitron.NAME, now.wall, request=sent, status=answer.status, answer=answer.body)
    return answer.response


def _in_words_of_monitron(error: HbdError) -> Answer:
    match error:
        case InvalidInput():
            problems = _by_path(error)
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            return Answer(
                413 if isinstance(error, TooLarge) else 422,
                {
                    "message": f"{printable(str(error))}{more}",
                    "errors": {path: [reason] for path, reason in problems.items()},
                },
            )
        case NotFound():
            return Answer(404, {"message": str(error)})
        case SwitchedOff():
            return Answer(403, {"message": str(error)})
        case TooMany():
            return Answer(429, {"message": str(error)}, error.wait)
        case StorageError():
            return Answer(503, {"message": str(error)}, RETRY_SECONDS)
    raise error


async def hitflow_report(call: Call) -> web.Response:
    """``POST /agent/v1/report``. Whose it is stands in the headers."""
    doors = call.parts.doors
    now = doors.clock()
    try:
        _require_patience(call, now)
        host = await _hitflow_host(call, now)
        raw = await _body(call)
    except HbdError as error:
        return _in_words_of_hitflow(error).response
    sent = unreadable(raw)
    try:
        try:
            sent = parse(raw)
        finally:
            doors.admit(host, now)  # whether it may report now is told before what is wrong with the report
        samples = samples_of(hitflow.read(sent), now.wall)
        interval = hitflow.interval(host, call.parts.config.grace)
        await doors.take(host, samples, now, source=source_of(call.caller.address), interval=interval)
        answer = _coded(200, Code.TAKEN, "the report was taken")
    except SwitchedOff as error:
        return _in_words_of_hitflow(error).response  # and nothing of it is kept
    except HbdError as error:
        answer = _in_words_of_hitflow(error)
    doors.log.note(host, hitflow.NAME, now.wall, request=sent, status=answer.status, answer=answer.body)
    return answer.response


async def _hitflow_host(call: Call, now: Moment) -> Host:
    """The host whose number or name and whose key are in the headers. Raises NoHeaders, NotFound."""
    headers = call.request.headers
    server, token = headers.get(SERVER_HEADER, "").strip(), headers.get(TOKEN_HEADER, "").strip()
    if not server or not token:
        raise NoHeaders(f"the headers {SERVER_HEADER} and {TOKEN_HEADER} are needed")
    host = await call.parts.doors.whose(token, now)
    if host is None or call.parts.hosts.server(server) is not host:
        raise NotFound("there is no server with this identifier and this token")
    return host


def _in_words_of_hitflow(error: HbdError) -> Answer:
    match error:
        case InvalidInput():
            answer = _coded(413 if isinstance(error, TooLarge) else 400, Code.INVALID, "values are invalid, see input")
            answer.body["input"] = _by_path(error)
            return answer
        case NoHeaders():
            return _coded(401, Code.NO_HEADERS, str(error))
        case NotFound():
            return _coded(401, Code.WRONG_HEADERS, str(error))
        case SwitchedOff():
            return _coded(403, Code.SWITCHED_OFF, str(error))
        case TooMany():
            return _coded(429, Code.TOO_EARLY, str(error), error.wait)
        case StorageError():
            return _coded(503, Code.NOT_NOW, str(error), RETRY_SECONDS)
    raise error


def _coded(status: int, code: Code, text: str, wait: float | None = None) -> Answer:
    return Answer(status, {"error": int(code), "msg": text}, wait)


def _by_path(error: InvalidInput) -> Mapping[str, str]:
    return error.by_path if isinstance(error, InvalidFields) else {error.field or "body": error.reason}


async def _body(call: Call) -> bytes:
    """The body, whatever media type it says it is of. Raises InvalidInput."""
    too_large = TooLarge(f"has more than {MAX_BODY_BYTES} bytes", "body")
    if (call.request.content_length or 0) > MAX_BODY_BYTES:
        raise too_large
    try:
        body = await call.request.read()
    except web.HTTPRequestEntityTooLarge:
        raise too_large from None
    except web.RequestPayloadError:
        raise InvalidInput("cannot be read", "body") from None
    if len(body) > MAX_BODY_BYTES:
        raise too_large
    return body


def _require_patience(call: Call, now: Moment) -> None:
    """Every address has its rate. Raises TooMany."""
    wait = call.parts.throttle.take(f"address {addresses.key(call.caller.address)}", now.mono)
    if wait > 0:
        call.parts.stats.count("requests_limited_total")
        raise TooMany("too many requests; slow down", wait)
