"""The pages of notification channels, with what was sent over each, and of the routes that lead to them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from hbd.access import Action, may
from hbd.web import channels, notification_routes, notifications, schemas
from hbd.web.call import Call
from hbd.web.known import known_names
from hbd.web.layout import page

ENTRIES = 100  # of the log, at once
DEAD = 100
MAX_NAME = 64
MAX_DIGITS = 18  # a number that a database can hold
OUTCOMES = {
    "sent": ("UP", "●"),
    "held": ("", "○"),
    "failed": ("OVERDUE", "▲"),
    "dropped": ("UNKNOWN", "–"),
    "dead": ("DOWN", "■"),
}


async def index(call: Call) -> web.Response:
    """``?channel=&before=``: one channel with its log; without them all that the caller sees."""
    asked = call.request.query.get("channel", "")[:MAX_NAME]
    found = await channels.index(call)
    chosen = next((one for one in found if one.name == asked), None)
    if chosen is not None:
        return await _one(call, chosen, [one.name for one in found])
    return await page(
        call,
        "channels",
        status_code=404 if asked else 200,
        chosen=None,
        asked=asked,
        channels=found,
        names=[one.name for one in found],
        failing=sum(one.enabled and one.state.failing_since is not None for one in found),
        may_add=may(call.identity, Action.CHANNELS, changes=True).allowed,
        **_viewer(call),
    )


async def _one(call: Call, chosen: schemas.Channel, names: list[str]) -> web.Response:
    name = chosen.name
    before = _number(call.request.query.get("before", ""))
    query = notifications.NotificationsQuery(limit=ENTRIES, before=before, channel=name)
    entries, following = await notifications.found(call, query)
    older = f"/channels?{urlencode({'channel': name, 'before': following})}" if following is not None else None
    return await page(
        call,
        "channels",
        chosen=chosen,
        names=names,
        own=name in notifications.own_channels(call),
        dead=[one for one in notifications.listed_dead(call) if one.channel == name][:DEAD],
        entries=entries,
        before=before,
        older=older,
        outcomes=OUTCOMES,
        **_viewer(call),
    )


async def routes(call: Call) -> web.Response:
    return await page(
        call,
        "routes",
        routes=notification_routes.listed(call),
        channels=[spec.name for spec in call.parts.channels.visible(call.identity)],
        known=known_names(call),
    )


def _viewer(call: Call) -> dict[str, Any]:
    """mine: the channels that the caller is told over; guest: nobody has to sign in."""
    return {
        "guest": call.identity.open,
        "admin": may(call.identity, Action.ADMIN).allowed,
        "mine": call.user.channels if call.user is not None else (),
    }


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else None
