"""The message journal over HTTP."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from hbd.access import Action, may
from hbd.web import schemas
from hbd.web.call import Call
from hbd.web.errors import require

MAX_LIMIT = 1000


class MessagesQuery(Struct):
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="How many messages.")] = 30
    host: Annotated[str | None, Meta(description="Only the messages of this host.")] = None


async def index(call: Call) -> list[schemas.JournalMessage]:
    query: MessagesQuery = call.query
    hosts, recent = call.parts.hosts, call.parts.store.messages.recent
    if query.host is not None:
        host = hosts.require(query.host)
        require(may(call.identity, Action.VIEW, host))
        found = await recent(query.limit, host.id)
    elif call.identity.open:
        found = await recent(query.limit)
    else:
        visible = {host.name for host in hosts if may(call.identity, Action.VIEW, host).allowed}
        found = [message for message in await recent(MAX_LIMIT) if message.host in visible][: query.limit]
    return [schemas.JournalMessage(message.time, message.host, message.msg) for message in found]
