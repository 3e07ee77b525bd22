"""Agents over HTTP: the hosts as the agents API shows them, what people say of them, and their keys."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from msgspec import Meta, Struct

from hbd.access import visible
from hbd.agent_register import MAX_LABEL, MAX_TAG
from hbd.enrolment import MAX_TAGS
from hbd.errors import Conflict, InvalidInput
from hbd.model import HOST_NAME_RULE, is_host_name
from hbd.web import agent_view, schemas
from hbd.web.call import Call

AT_ONCE = 200  # hosts shown before others get their turn on the loop

Label = Annotated[str, Meta(max_length=MAX_LABEL)]
Tags = Annotated[list[Annotated[str, Meta(min_length=1, max_length=MAX_TAG)]], Meta(max_length=MAX_TAGS)]


class NewAgent(Struct, forbid_unknown_fields=True):
    """hostname: under which the host is known from now on. label, tags: what people call it and what it belongs to."""

    hostname: str
    label: Label | None = None
    tags: Tags | None = None


class EnrolledAgent(Struct):
    """id: the host's number. key: shown only now."""

    agent_id: str
    id: int
    key: str


class AgentChange(Struct, forbid_unknown_fields=True):
    """What is left out stays. tags: those that people give it; the agent's own and the config's are beside them."""

    label: Label | None = None
    tags: Tags | None = None


class NewKey(Struct):
    """key: shown only now. fingerprint: what it is called in the list of keys."""

    key: str
    fingerprint: str


class Deleted(Struct):
    status: Literal["deleted"] = "deleted"


class RevokedKeys(Struct):
    status: Literal["revoked"] = "revoked"


async def index(call: Call) -> list[agent_view.Agent]:
    lines = []
    for host in visible(call.identity, call.parts.hosts):
        lines.append(agent_view.line(call.parts, host))
        if len(lines) % AT_ONCE == 0:
            await asyncio.sleep(0)
    return lines


async def show(call: Call) -> agent_view.AgentDetail:
    return agent_view.detail(call.parts, call.host)


async def create(call: Call) -> EnrolledAgent:
    parts, body = call.parts, call.body
    assert isinstance(body, NewAgent)
    if not is_host_name(body.hostname):
        raise InvalidInput(HOST_NAME_RULE, "hostname")
    if parts.config.is_dropped(body.hostname):
        raise Conflict(f"host '{body.hostname}' is in drophosts of the config")
    host, key = await parts.agents.enrol(
        body.hostname,
        call.entry("agent.add", f"host {body.hostname}"),
        label=body.label,
        tags=body.tags,
        max_hosts=parts.config.limits.max_hosts,
    )
    return EnrolledAgent(host.agent_id, host.id, key)


async def update(call: Call) -> agent_view.Agent:
    host, body = call.host, call.body
    assert isinstance(body, AgentChange)
    label, tags = body.label, body.tags
    said = ([] if label is None else [f"label: {label}"]) + ([] if tags is None else [f"tags: {', '.join(tags)}"])
    if said:
        entry = call.entry("agent.change", f"host {host.name}", detail="; ".join(said)[:1000])
        await call.parts.agents.describe(host, entry, label=label, tags=tags)
    return agent_view.line(call.parts, host)


async def delete(call: Call) -> Deleted:
    await call.parts.agents.remove(call.host, call.entry("agent.remove", f"host {call.host.name}"))
    return Deleted()


async def drop(call: Call) -> schemas.Done:
    """The same for its owner, under the host's own address."""
    await delete(call)
    return schemas.Done()


async def rotate_key(call: Call) -> NewKey:
    host = call.host
    key = await call.parts.agents.rotate(host, call.entry("agent.rotate", f"host {host.name}"))
    return NewKey(key, call.parts.agents.fingerprint(key))


async def revoke_keys(call: Call) -> RevokedKeys:
    await call.parts.agents.revoke(call.host, call.entry("agent.revoke", f"host {call.host.name}"))
    return RevokedKeys()
