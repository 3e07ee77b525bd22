"""What the plugins of a host measured: the newest samples, as far as they are in memory."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from hbd.errors import NotFound
from hbd.web import past, schemas
from hbd.web.call import Call


class HistoryQuery(Struct):
    limit: Annotated[int, Meta(ge=1, description="How many samples; more than are held in memory means all.")] = 10


async def index(call: Call) -> schemas.HostPlugins:
    at = await past.moment_of(call, call.query.at)
    if at is not None:
        return await past.plugins_at(call, call.host, at)
    rings, host = call.parts.rings, call.host
    plugins = {}
    for name in rings.plugins(host.id):
        newest = rings.latest(host.id, name)
        if newest is not None:
            plugins[name] = schemas.PluginState(newest.time, newest.data, rings.count(host.id, name))
    return schemas.HostPlugins(host.name, plugins)


async def history(call: Call) -> schemas.PluginHistory:
    rings, host, plugin = call.parts.rings, call.host, call.path["plugin"]
    held = rings.count(host.id, plugin)
    if not held:
        raise NotFound(f"Plugin '{plugin}' not found on host '{host.name}'")
    query: HistoryQuery = call.query
    newest = rings.newest(host.id, plugin, min(query.limit, held))
    samples = [schemas.PluginSample(sample.time, sample.data) for sample in newest]
    return schemas.PluginHistory(host.name, plugin, samples, len(samples))
