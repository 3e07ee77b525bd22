"""Notification routes over HTTP: who else is told of what."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from msgspec import Meta, field

from hbd.accounts.shown import check_texts
from hbd.errors import InvalidInput, NotFound
from hbd.matching import Matcher, flaw_of_patterns
from hbd.model import Level
from hbd.routing import Route
from hbd.web import schemas
from hbd.web.call import Call
from hbd.web.scope import Scope, seconds

LONGEST = 30 * 86_400.0


class NewRoute(Scope, kw_only=True):
    """What no list names is told of everything. after: seconds, or a text such as ``15m``, for which a problem has to
    last before, without being acknowledged.
    """

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    channels: Annotated[list[Annotated[str, Meta(min_length=1, max_length=64)]], Meta(min_length=1, max_length=100)]
    min_level: Literal["UNKNOWN", "WARNING", "CRITICAL"] = "WARNING"
    after: float | Annotated[str, Meta(max_length=20)] = field(default=0.0)


async def index(call: Call) -> list[schemas.NotificationRoute]:
    return listed(call)


def listed(call: Call) -> list[schemas.NotificationRoute]:
    """All, those of the config first."""
    return [shown(route) for route in call.parts.notifications.routes.all()]


async def create(call: Call) -> schemas.ChangedRoute:
    made = await call.parts.notifications.routes.add(_route(call), call.entry("route.create"))
    return schemas.ChangedRoute(**_words(made))


async def update(call: Call) -> schemas.ChangedRoute:
    changed = await call.parts.notifications.routes.change(_id(call), _route(call), call.entry("route.update"))
    return schemas.ChangedRoute(**_words(changed))


async def delete(call: Call) -> schemas.Done:
    route = call.parts.notifications.routes.get(_id(call))
    await call.parts.notifications.routes.delete(route.id, call.entry("route.delete", f"route {route.id} {route.name}"))
    return schemas.Done()


def _id(call: Call) -> int:
    text = call.path["id"]
    if text.isascii() and text.isdigit() and 0 < len(text) < 19:
        return int(text)
    raise NotFound(f"Route '{text}' not found")


def _route(call: Call) -> Route:
    body = call.body
    assert isinstance(body, NewRoute)
    check_texts(name=body.name)
    for key, texts in (("hosts", body.hosts), ("tags", body.tags), ("metrics", body.metrics)):
        for at, text in enumerate(texts):
            check_texts(**{f"{key}[{at}]": text})
        if reason := flaw_of_patterns(texts):
            raise InvalidInput(reason, key)
    for at, channel in enumerate(body.channels):
        if call.parts.channels.get(channel) is None:
            raise InvalidInput(f"there is no channel {channel}", f"channels[{at}]")
    after = seconds(body.after) if body.after else 0.0
    if not 0 <= after <= LONGEST:
        raise InvalidInput("at most 30 days", "after")
    return Route(
        name=body.name.strip(),
        matcher=Matcher(hosts=tuple(body.hosts), tags=tuple(body.tags), metrics=tuple(body.metrics)),
        channels=tuple(dict.fromkeys(body.channels)),
        min_level=Level(body.min_level),
        after=after,
        author=call.identity.name,
        created=time.time(),
    )


def shown(route: Route) -> schemas.NotificationRoute:
    return schemas.NotificationRoute(**_words(route))


def _words(route: Route) -> dict[str, Any]:
    return {
        "id": route.id or None,
        "name": route.name,
        "hosts": list(route.matcher.hosts),
        "tags": list(route.matcher.tags),
        "metrics": list(route.matcher.metrics),
        "min_level": route.min_level,
        "channels": list(route.channels),
        "after": route.after,
        "author": route.author,
        "source": "api" if route.id else "config",
    }
