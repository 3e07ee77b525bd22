"""The doors for passive results: our own, and NRDP's."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from aiohttp import web
from msgspec import Struct

from hbd.errors import HbdError, InvalidInput
from hbd.hosts import Host
from hbd.receivers import nagios
from hbd.receivers.doors import source_of
from hbd.web import errors
from hbd.web.call import Call
from hbd.web.errors import Unauthorised, printable

KEY_HEADER = "X-Agent-Key"
MOST_FIELDS = 20  # of a form


class Results(Struct):
    """taken: how many results."""

    taken: int


async def results(call: Call) -> Results:
    """``POST /nagios/results``: one result or a list of them, as JSON."""
    host = await _whose(call, call.request.headers.get(KEY_HEADER, "").strip())
    call.parts.doors.admit(host, call.parts.doors.clock())
    body = await call.request.read()
    return Results(await _take(call, host, nagios.read(body)))


async def nrdp(call: Call) -> web.Response:
    """``POST /nrdp/``, answered as NRDP does: in JSON to who sends JSON, else in XML."""
    text = (await call.request.read()).decode("utf-8", "replace")
    as_json = False
    try:
        form = _form(text)
        as_json = "JSONDATA" in form or "json" in form
        host = await _whose(call, form.get("token", ""))
        call.parts.doors.admit(host, call.parts.doors.clock())
        if form.get("cmd", "submitcheck") != "submitcheck":
            raise InvalidInput("only submitcheck is known here", "cmd")
        taken = await _take(call, host, _results(form))
    except HbdError as error:
        status = errors.response_for(error).status
        return _answer(status, -1, printable(str(error)), as_json)
    return _answer(200, 0, "OK", as_json, f"{taken} checks processed.")


def _form(text: str) -> dict[str, str]:
    try:
        return {name: values[-1] for name, values in parse_qs(text, max_num_fields=MOST_FIELDS).items()}
    except ValueError:
        raise InvalidInput("The form has too many fields") from None


def _results(form: dict[str, str]) -> list[Any]:
    if data := form.get("JSONDATA") or form.get("json"):
        return nagios.read_nrdp_json(data)
    if data := form.get("XMLDATA") or form.get("xml"):
        return nagios.read_nrdp_xml(data)
    raise InvalidInput("JSONDATA or XMLDATA is needed")


def _answer(status: int, code: int, message: str, as_json: bool, output: str = "") -> web.Response:
    if as_json:
        meta = {"meta": {"output": output}} if output else {}
        return web.json_response({"result": {"status": code, "message": message, **meta}}, status=status)
    told = f"<status>{code}</status><message>{escape(message)}</message>"
    told += f"<meta><output>{escape(output)}</output></meta>" if output else ""
    return web.Response(text=f"<result>{told}</result>", status=status, content_type="text/xml")


async def _take(call: Call, host: Host, found: list[Any]) -> int:
    """How many were taken. Raises InvalidInput when there are others too."""
    doors = call.parts.doors
    now = doors.clock()
    taken = call.parts.passive.take(host, found, now)
    try:
        if taken.samples:
            # Results come when something happens: only who says how often is expected to.
            alive = host.interval is not None
            source = source_of(call.caller.address)
            await doors.take(host, taken.samples, now, source=source, alive=alive, limited=True)
        if taken.refused:
            raise InvalidInput(f"{'; '.join(taken.problems)} (taken: {taken.results}, refused: {taken.refused})")
    except HbdError as error:
        answer = {"error": printable(str(error))}
        doors.log.note(
            host, nagios.NAME, now.wall, request=found, status=errors.response_for(error).status, answer=answer
        )
        raise
    doors.log.note(host, nagios.NAME, now.wall, request=found, status=200, answer={"taken": taken.results})
    return taken.results


async def _whose(call: Call, key: str) -> Host:
    """The host whose key is shown. Raises Unauthorised."""
    host = await call.parts.doors.whose(key, call.parts.doors.clock()) if key else None
    if host is None:
        raise Unauthorised("Nobody has this agent key" if key else "An agent key is needed")
    return host
