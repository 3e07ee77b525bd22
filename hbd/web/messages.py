"""The message journal over HTTP."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from hbd.access import Action, may, sees_everything, visible
from hbd.model import Message
from hbd.web import schemas
from hbd.web.call import Call
from hbd.web.errors import require

MAX_LIMIT = 1000


class MessagesQuery(Struct):
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="How many messages.")] = 30
    host: Annotated[str | None, Meta(description="Only the messages of this host.")] = None


async def index(call: Call) -> list[schemas.JournalMessage]:
    query: MessagesQuery = call.query
    found = await recent(call, query.limit, query.host)
    return [schemas.JournalMessage(message.time, message.host, message.msg) for message in found]


async def recent(call: Call, limit: int, name: str | None = None, until: float | None = None) -> list[Message]:
    """The newest messages that the caller may read, of one host or of all. Raises NotFound, Forbidden.

    until: Unix seconds; later ones are left out.
    """
    hosts, journal = call.parts.hosts, call.parts.store.messages
    if name is not None:
        host = hosts.require(name)
        require(may(call.identity, Action.VIEW, host))
        return await journal.recent(limit, [host.id], until)
    if sees_everything(call.identity):
        return await journal.recent(limit, None, until)
    return await journal.recent(limit, [host.id for host in visible(call.identity, hosts)], until)
