"""NOBA-style agents over HTTP: where they report, and the WebSocket that they hold."""

from __future__ import annotations

from typing import Annotated, Any

from aiohttp import web
from msgspec import Meta, Struct

from hbd import addresses
from hbd.enrolment import LiveKey
from hbd.errors import Forbidden, HbdError, NotFound
from hbd.receivers import noba
from hbd.receivers.doors import SwitchedOff, source_of
from hbd.receivers.fields import parse
from hbd.receivers.noba_agents import SWITCHED_OFF
from hbd.report_log import unreadable
from hbd.web.call import Call
from hbd.web.errors import Unauthorised, response_for

KEY_HEADER = "X-Agent-Key"
WRONG_KEY = "this agent key is wrong or was revoked"
ABOUT_COMMANDS = ("_cmd_results", "_stream_data")
"""what only those may see who may see commands, and not all who see the report log"""


class Taken(Struct):
    """commands: what the agent is to do, each with id, type and params. rejected: path of a value that was left out
    to the reason; left out itself when there is none."""

    status: str
    commands: list[dict[str, Any]]
    rejected: dict[str, str] = {}


class SocketQuery(Struct):
    key: Annotated[str, Meta(description="The agent's key.")] = ""


async def report(call: Call) -> dict[str, Any]:
    """The key decides which host it is about; where the address names one, too, it has to be that."""
    parts, doors = call.parts, call.parts.doors
    host = (await _key(call, call.request.headers.get(KEY_HEADER, "").strip())).host
    if "agent" in call.path and parts.hosts.agent(call.path["agent"]) is not host:
        raise Forbidden("this agent key is not of this agent")
    raw = await call.request.read()
    now, sent = doors.clock(), unreadable(raw)
    try:
        sent = parse(raw)
        answer = await parts.noba.report(host, sent, source_of(call.caller.address), now)
    except NotFound:
        raise Forbidden(WRONG_KEY) from None  # it was deleted meanwhile, and its key with it
    except HbdError as error:
        told = response_for(error)
        logged = {"error": str(error)}
        doors.log.note(host, noba.NAME, now.wall, request=_logged(sent), status=told.status, answer=logged)
        raise
    logged = {name: value for name, value in answer.items() if name != "commands"}
    doors.log.note(host, noba.NAME, now.wall, request=_logged(sent), status=200, answer=logged)
    return answer


def _logged(sent: Any) -> Any:
    """What was sent, without what commands have written. A text is the beginning of what could not be read."""
    if isinstance(sent, dict):
        return {name: value for name, value in sent.items() if name not in ABOUT_COMMANDS}
    if isinstance(sent, str):
        return sent[: min((at for name in ABOUT_COMMANDS if (at := sent.find(name)) >= 0), default=len(sent))]
    return sent


async def socket(call: Call) -> web.StreamResponse:
    if "Origin" in call.request.headers:  # only browsers send one, and no page has any business here
        raise Forbidden("This is for agents")
    query: SocketQuery = call.query
    key = await _key(call, query.key or call.request.headers.get(KEY_HEADER, "").strip())
    if not key.host.enabled:
        raise SwitchedOff(SWITCHED_OFF)
    return await call.parts.noba_sockets.serve(call.request, key, addresses.key(call.caller.address))


async def _key(call: Call, key: str) -> LiveKey:
    """Raises Unauthorised without a key, Forbidden for one that nobody has."""
    if not key:
        raise Unauthorised("An agent key is needed here")
    found = await call.parts.doors.key(key, call.parts.doors.clock())
    if found is None:
        raise Forbidden(WRONG_KEY)
    return found
