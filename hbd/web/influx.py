"""The doors of an InfluxDB, of version 1 and 2, for those who write to one."""

from __future__ import annotations

import asyncio
import binascii
from base64 import b64decode

from aiohttp import web
from msgspec import Struct

from hbd.errors import HbdError, InvalidInput
from hbd.hosts import Host
from hbd.model import Sample
from hbd.receivers import influx
from hbd.receivers.doors import source_of
from hbd.receivers.line_protocol import PRECISIONS, parse
from hbd.web import errors
from hbd.web.call import Call
from hbd.web.errors import Unauthorised, printable

BIG_BODY_BYTES = 32 << 10  # one that is larger is read in a thread
VERSION = "1.8.10"  # what clients are to expect of us
NO_KEY = "An agent key is needed: as the token, or as the password"


class WriteQuery(Struct):
    """precision: of times. p: the key, as version 1 has passwords. Buckets and databases are all one."""

    precision: str = "ns"
    p: str = ""


class SqlQuery(Struct):
    q: str = ""
    db: str = ""
    p: str = ""


async def write(call: Call) -> web.Response:
    """``POST /write`` and ``/api/v2/write``. What can be read is taken, also when the rest of the body is refused."""
    doors = call.parts.doors
    now = doors.clock()
    host = await _whose(call, call.query.p)
    doors.admit(host, now)
    body = await call.request.read()
    text = body.decode("utf-8", "replace")
    answer: dict[str, object]
    try:
        answer = {"points": await _take(call, host, text, len(body))}
        response = web.Response(status=204)
    except HbdError as error:
        answer = {"error": printable(str(error))}
        response = errors.response_for(error)
    doors.log.note(host, influx.NAME, now.wall, request=text, status=response.status, answer=answer)
    return response


async def _take(call: Call, host: Host, text: str, size: int) -> int:
    """How many points were taken. Raises InvalidInput when there are others too."""
    doors, now = call.parts.doors, call.parts.doors.clock()
    unit = PRECISIONS.get(call.query.precision)
    if unit is None:
        raise InvalidInput(f"expected one of {', '.join(PRECISIONS)}", "precision")
    limit = call.parts.config.limits.max_metrics_per_report

    def read() -> influx.Written:
        return influx.arrange(parse(text), unit, now, limit)

    written = read() if size <= BIG_BODY_BYTES else await asyncio.to_thread(read)
    samples: list[Sample] = []
    for part in call.parts.influx.samples(host, written.moments):
        samples += part
        await asyncio.sleep(0)
    if samples:
        source = source_of(call.caller.address)
        await doors.take(host, samples, now, source=source, interval=influx.INTERVAL_SECONDS, limited=True)
    if written.refused:
        raise InvalidInput(f"partial write: {'; '.join(written.problems)} dropped={written.refused}")
    return written.points


async def query(call: Call) -> web.Response:
    """``/query``: what clients ask before they write. There is one database, and it has the name that one asks for."""
    await _whose(call, call.query.p)
    result: dict[str, object] = {"statement_id": 0}
    if call.query.q.strip().upper().startswith("SHOW DATABASES"):
        result["series"] = [{"name": "databases", "columns": ["name"], "values": [[call.query.db or "hbd"]]}]
    return web.json_response({"results": [result]}, headers={"X-Influxdb-Version": VERSION})


async def ping(call: Call) -> web.Response:
    """``/ping``: whether a database is there."""
    return web.Response(status=204, headers={"X-Influxdb-Version": VERSION})


async def _whose(call: Call, in_query: str) -> Host:
    """The host whose key is shown. Raises Unauthorised."""
    doors = call.parts.doors
    key = _shown_key(call.request.headers.get("Authorization", "")) or in_query
    host = await doors.whose(key, doors.clock()) if key else None
    if host is None:
        raise Unauthorised("Nobody has this agent key" if key else NO_KEY)
    return host


def _shown_key(header: str) -> str:
    """``Token KEY``, ``Token USER:KEY``, ``Bearer KEY`` or the password of basic authentication."""
    scheme, _, rest = header.partition(" ")
    match scheme.lower():
        case "token" | "bearer":
            return rest.strip().rpartition(":")[2]
        case "basic":
            try:
                return b64decode(rest.strip(), validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                return ""
    return ""
