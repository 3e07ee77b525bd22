"""The audit log over HTTP. It can be read, and nothing else."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from hbd.store.audit import Entry
from hbd.web import schemas
from hbd.web.call import Call


class AuditQuery(Struct):
    limit: Annotated[int, Meta(ge=1, le=1000, description="How many entries.")] = 100
    before: Annotated[
        Annotated[int, Meta(ge=1, le=2**63 - 1)] | None,
        Meta(description="Only entries with a smaller id: the next page."),
    ] = None
    user: Annotated[str, Meta(max_length=64, description="Only what this user did.")] = ""
    action: Annotated[str, Meta(max_length=100, description="Only actions that begin so, such as `user.`.")] = ""
    outcome: Annotated[
        Literal["", "done", "refused", "failed"], Meta(description="Only what was done, refused or failed.")
    ] = ""


async def index(call: Call) -> schemas.AuditPage:
    entries, following = await found(call, call.query)
    return schemas.AuditPage([_shown(entry) for entry in entries], following)


async def found(call: Call, query: AuditQuery) -> tuple[list[Entry], int | None]:
    """The entries, newest first, and ``before`` of the next page, None when there is none."""
    await call.parts.audit.write()
    entries = await call.parts.store.audit.recent(
        query.limit + 1, before=query.before, user=query.user, action=query.action, outcome=query.outcome
    )
    shown = entries[: query.limit]
    return shown, shown[-1].id if len(entries) > len(shown) else None


def _shown(entry: Entry) -> schemas.AuditEntry:
    return schemas.AuditEntry(
        id=entry.id,
        time=entry.time,
        user=entry.user,
        via=entry.via,
        address=entry.address,
        action=entry.action,
        object=entry.object,
        outcome=entry.outcome,
        detail=entry.detail,
    )
