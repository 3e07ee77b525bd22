"""Hosts over HTTP."""

from __future__ import annotations

from aiohttp import web

from hbd.access import sees_everything, visible
from hbd.web import past, schemas
from hbd.web.call import Body, Call


async def index(call: Call) -> web.StreamResponse | Body | list[schemas.Host]:
    at = await past.moment_of(call, call.query.at)
    if at is not None:
        return await past.hosts_at(call, at)
    if not sees_everything(call.identity):
        return Body(call.parts.views.join(visible(call.identity, call.parts.hosts)))
    listed = call.parts.views.all()
    headers = {"ETag": listed.etag, "Vary": "Accept-Encoding"}
    if call.matches(listed.etag):
        return web.Response(status=304, headers=headers)
    if call.takes_gzip:
        return Body(await listed.packed(), headers=headers | {"Content-Encoding": "gzip"})
    return Body(listed.data, headers=headers)


async def show(call: Call) -> Body | schemas.Host:
    at = await past.moment_of(call, call.query.at)
    if at is not None:
        return past.host_of(await past.one_at(call, call.host, at))
    return Body(call.parts.views.fragment(call.host))
