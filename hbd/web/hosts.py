"""Hosts over HTTP."""

from __future__ import annotations

from aiohttp import web

from hbd.access import Action, may, sees_everything
from hbd.web.call import Body, Call


async def index(call: Call) -> web.StreamResponse | Body:
    if not sees_everything(call.identity):
        visible = (host for host in call.parts.hosts if may(call.identity, Action.VIEW, host).allowed)
        return Body(call.parts.views.join(visible))
    listed = call.parts.views.all()
    headers = {"ETag": listed.etag, "Vary": "Accept-Encoding"}
    if call.matches(listed.etag):
        return web.Response(status=304, headers=headers)
    if call.takes_gzip:
        return Body(await listed.packed(), headers=headers | {"Content-Encoding": "gzip"})
    return Body(listed.data, headers=headers)


async def show(call: Call) -> Body:
    return Body(call.parts.views.fragment(call.host))
