"""What a host fetches to get an agent: the script that installs it, and the agent itself. Its key opens both."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from hbd.errors import Forbidden
from hbd.hosts import Host
from hbd.remote import install_script
from hbd.web.call import Body, Call
from hbd.web.errors import Unauthorised
from hbd.web.origins import is_secure

KEY_HEADER = "X-Agent-Key"
SCRIPT, PACKAGE = "text/x-shellscript", "application/zip"


class ScriptQuery(Struct):
    """key: of the host; it may come in the header X-Agent-Key instead."""

    key: Annotated[str, Meta(max_length=200)] = ""


async def script(call: Call) -> Body:
    query = call.query
    assert isinstance(query, ScriptQuery)
    key = query.key or call.request.headers.get(KEY_HEADER, "")
    host = await _whose(call, key)
    scheme = "https" if is_secure(call.request, call.parts.config) else "http"
    server = call.parts.whereabouts.as_asked(scheme, call.request.host)
    text = install_script.script(server, await call.parts.packages.get(), host.name, key)
    call.parts.audit.note(call.entry("agent.script", f"host {host.name}"))
    return Body(text.encode(), f"{SCRIPT}; charset=utf-8")


async def package(call: Call) -> Body:
    """The agent. Only by the header: what is in a URL stays in more places than one thinks."""
    await _whose(call, call.request.headers.get(KEY_HEADER, ""))
    found = await call.parts.packages.get()
    return Body(found.data, PACKAGE, headers={"X-Agent-Version": found.version, "X-Agent-Digest": found.digest})


async def _whose(call: Call, key: str) -> Host:
    """The host whose key that is. Raises Unauthorised without any, Forbidden for one that nobody has."""
    if not key:
        raise Unauthorised(f"The key of an agent is needed, in the header {KEY_HEADER}")
    doors = call.parts.doors
    host = await doors.whose(key, doors.clock())
    if host is None:
        raise Forbidden("Nobody has this key: it is wrong or was revoked")
    return host
