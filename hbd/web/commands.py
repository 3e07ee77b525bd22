"""Commands for agents over HTTP: asking, watching, taking back, and what a host lets itself be asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from hbd.access import Action, may
from hbd.errors import InvalidInput
from hbd.remote.commands import PARAMS
from hbd.remote.deadlines import MOST_TIMEOUT
from hbd.remote.following import THE_END, Change
from hbd.remote.frames import Policy
from hbd.store.commands import Command, Risk, Status
from hbd.web import sse
from hbd.web.call import Call
from hbd.web.errors import require

MOST_PARAMS_BYTES = 64 * 1024
LONGEST_EXPIRY = 86_400.0
NEEDED = {"shell": "command", "service_status": "service", "service_restart": "service"}
"""the text among its parameters without which a command makes no sense"""

Type = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")]


class NewCommand(Struct, forbid_unknown_fields=True):
    """expires: seconds within which it has to begin; left out: ``agents.command_expiry`` of the config."""

    type: Type
    params: dict[str, Any] = {}
    expires: Annotated[float, Meta(ge=1, le=LONGEST_EXPIRY)] | None = None


class Queued(Struct):
    command_id: str
    status: Status


class CommandView(Struct, kw_only=True):
    """A command and what became of it. Times are whole Unix seconds, null as long as there is none.

    truncated: an output was longer than is kept, or than is listed. reason: in words, when it did not end by itself.
    """

    command_id: str
    type: str
    params: dict[str, Any]
    risk: Risk
    status: Status
    exit_code: int | None
    stdout: str
    stderr: str
    truncated: bool
    reason: str
    queued_by: str
    cancelled_by: str
    queued_at: int
    expires_at: int
    delivered_at: int | None
    started_at: int | None
    finished_at: int | None


class Offered(Struct, kw_only=True):
    """What the agent of a host offers. policy: of the host's own config; null while nobody has heard it. capabilities:
    names of commands, also of agents that tell no policy. at: when it was heard."""

    linked: bool
    policy: Policy | None
    capabilities: list[str]
    at: int | None


async def create(call: Call) -> Queued:
    body, host, commands = call.body, call.host, call.parts.commands
    assert isinstance(body, NewCommand)
    _check(body)
    if commands.risk(host, body.type) == "high":
        require(may(call.identity, Action.REMOTE_ADMIN, host, changes=True))
    params = body.params
    if body.type == "update_agent":  # to what we have: which that is, nobody else can say
        params = params | await call.parts.packages.named()
    entry = call.entry("command.queue", f"host {host.name}")
    command = await commands.queue(host, body.type, params, entry, expires=body.expires)
    return Queued(command.id, command.status)


async def index(call: Call) -> list[CommandView]:
    return [view(command) for command in await call.parts.commands.history(call.host)]


async def show(call: Call) -> CommandView:
    return view(await call.parts.commands.get(call.host, call.path["id"]))


async def cancel(call: Call) -> CommandView:
    entry = call.entry("command.cancel", f"host {call.host.name}")
    return view(await call.parts.commands.cancel(call.host, call.path["id"], entry))


async def stream(call: Call) -> web.StreamResponse:
    commands = call.parts.commands
    command = await commands.get(call.host, call.path["id"])
    seen = sse.last_event_id(call)
    if seen == THE_END:
        return web.Response(status=204)  # a browser does not come again after this
    with call.parts.streams.place(call.identity.name):
        return await sse.serve(call, _events(commands.follow(command, seen)))


async def policy(call: Call) -> Offered:
    heard = call.parts.commands.heard(call.host)
    return Offered(
        linked=call.host.link,
        policy=None if heard is None else heard.policy,
        capabilities=[] if heard is None else list(heard.names),
        at=None if heard is None else int(heard.at),
    )


async def _events(changes: AsyncIterator[Change]) -> AsyncIterator[sse.Event]:
    async for change in changes:
        data: Any = {"status": change.status}
        if change.kind == "output":
            data = {"stream": change.stream, "text": change.text}
        elif change.command is not None:
            data = view(change.command)
        yield sse.Event(msgspec.json.encode(data).decode(), change.kind, change.id)


def view(command: Command) -> CommandView:
    """A command as the API shows it."""
    return CommandView(
        command_id=command.id,
        type=command.type,
        params=command.params,
        risk=command.risk,
        status=command.status,
        exit_code=command.exit_code,
        stdout=command.stdout,
        stderr=command.stderr,
        truncated=command.truncated,
        reason=command.reason,
        queued_by=command.queued_by,
        cancelled_by=command.cancelled_by,
        queued_at=int(command.queued_at),
        expires_at=int(command.expires_at),
        delivered_at=_whole(command.delivered_at),
        started_at=_whole(command.started_at),
        finished_at=_whole(command.finished_at),
    )


def _whole(at: float | None) -> int | None:
    return None if at is None else int(at)


def _check(body: NewCommand) -> None:
    """Raises InvalidInput for what no agent could make anything of; whether it may is the agent's to say."""
    if len(msgspec.json.encode(body.params)) > MOST_PARAMS_BYTES:
        raise InvalidInput(f"more than {MOST_PARAMS_BYTES // 1024} KiB", "params")
    if (known := PARAMS.get(body.type)) is not None and (unknown := body.params.keys() - known):
        raise InvalidInput(f"{body.type} takes {' and '.join(known)}", f"params.{min(unknown)[:64]}")
    if (name := NEEDED.get(body.type)) is not None:
        value = body.params.get(name)
        if not isinstance(value, str) or not value.strip():
            raise InvalidInput("a text is needed", f"params.{name}")
    timeout = body.params.get("timeout")
    if timeout is None:
        return
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= MOST_TIMEOUT:
        raise InvalidInput(f"expected a number of seconds above 0, at most {MOST_TIMEOUT:.0f}", "params.timeout")
