"""Where agents connect with a log or a file that they were asked for."""

from __future__ import annotations

from aiohttp import web

from hbd.errors import Forbidden
from hbd.web.call import Call


async def serve(call: Call) -> web.StreamResponse:
    if "Origin" in call.request.headers:  # only browsers send one, and no page has any business here
        raise Forbidden("This is for agents")
    return await call.parts.streams.serve(call.request)
