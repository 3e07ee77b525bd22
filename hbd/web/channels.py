"""Notification channels over HTTP."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from hbd.channel_register import may_change
from hbd.channels.base import ChannelType, Field, Message, SendFailed
from hbd.channels.spec import ChannelSpec, shown_fields
from hbd.channels.words import compose
from hbd.errors import StorageError, TooMany
from hbd.store.notices import Delivery
from hbd.web import schemas
from hbd.web.call import Call

NewChannel = dict[str, Any]
"""name, type, and the settings of that type beside those that all channels have"""


async def types(call: Call) -> dict[str, schemas.ChannelType]:
    return {key: shown_type(kind) for key, kind in (await call.parts.channels.types()).items()}


def shown_type(kind: ChannelType) -> schemas.ChannelType:
    return schemas.ChannelType(kind.label, [_shown_field(field) for field in kind.fields])


def _shown_field(field: Field) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "key": field.key,
        "label": field.label,
        "type": field.type,
        "required": field.required,
    }
    more = {"choices": list(field.choices), "default": field.default, "help": field.help}
    return shown | {name: value for name, value in more.items() if value not in (None, "", [])}


async def index(call: Call) -> list[schemas.Channel]:
    return await shown(call, call.parts.channels.visible(call.identity))


async def show(call: Call) -> schemas.Channel:
    return (await shown(call, [call.parts.channels.require(call.path["name"], call.identity)]))[0]


async def shown(call: Call, specs: Iterable[ChannelSpec]) -> list[schemas.Channel]:
    """Channels as this caller may see them."""
    register, seen = call.parts.channels, names(call)
    found = []
    for spec in specs:
        kind, own = await register.type_of(spec), may_change(call.identity, spec)
        state = register.state(spec.name)
        found.append(
            schemas.Channel(
                name=spec.name,
                type=spec.type,
                type_label=kind.label if kind is not None else spec.type,
                owner=spec.owner,
                private=spec.private,
                min_level=spec.min_level,
                fields=shown_fields(spec, kind, whole=own),
                fallback=spec.fallback if own or spec.fallback in seen else None,
                quiet_from=spec.quiet_from,
                quiet_to=spec.quiet_to,
                quiet_days=list(spec.quiet_days),
                timezone=spec.timezone,
                quiet_level=spec.quiet_level,
                repeat=spec.repeat,
                enabled=spec.enabled,
                source=spec.source,
                editable=own and spec.source == "api",
                state=schemas.ChannelState(
                    state.failing_since, state.last_sent, state.last_error, state.waiting, state.dead
                ),
            )
        )
    return found


async def create(call: Call) -> schemas.CreatedChannel:
    body = call.body
    entry = call.entry("channel.create", f"channel {str(body.get('name'))[:64]}", detail=str(body.get("type"))[:64])
    spec = await call.parts.channels.create(body, call.identity, entry)
    return schemas.CreatedChannel(name=spec.name)


async def update(call: Call) -> schemas.Done:
    name, body = call.path["name"], call.body
    entry = call.entry("channel.change", f"channel {name[:64]}", detail=", ".join(sorted(body))[:200])
    await call.parts.channels.update(name, body, call.identity, entry)
    return schemas.Done()


async def delete(call: Call) -> schemas.Done:
    name = call.path["name"]
    await call.parts.channels.delete(name, call.identity, call.entry("channel.delete", f"channel {name[:64]}"))
    return schemas.Done()


async def test(call: Call) -> schemas.TestedChannel:
    """Send a test message now. SendFailed becomes a 502 that says no more than what went wrong."""
    register, spec = call.parts.channels, call.parts.channels.require(call.path["name"], call.identity)
    title, text = compose([], "test", call.parts.config.base_url)
    message = Message(id=f"test-{secrets.token_hex(8)}", kind="test", title=title, text=text, sent=time.time())
    if not may_change(call.identity, spec) and (wait := call.parts.tests.take(spec.name, time.monotonic())):
        raise TooMany("This channel is another's, and was tried often enough", wait)
    call.parts.audit.note(call.entry("channel.test", f"channel {spec.name}"))
    tried = Delivery(time=message.sent, channel=spec.name, outcome="sent", message=message.id, title=title)
    try:
        answer = await register.test(spec.name, message)
    except SendFailed as failure:
        await _log(call, replace(tried, outcome="failed", detail=str(failure)))
        raise
    await _log(call, replace(tried, detail=answer))
    return schemas.TestedChannel(answer=answer)


async def _log(call: Call, delivery: Delivery) -> None:
    """For those who look at the channel's log; a disk that takes nothing is no fault of the channel."""
    with contextlib.suppress(StorageError):
        await call.parts.store.notices.save(delivery)


def names(call: Call) -> set[str]:
    """Of the channels that the caller may choose."""
    return {spec.name for spec in call.parts.channels.visible(call.identity)}
