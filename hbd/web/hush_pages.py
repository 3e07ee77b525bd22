"""The page of silences and maintenance windows."""

from __future__ import annotations

from aiohttp import web

from hbd.web import silences, windows
from hbd.web.call import Call
from hbd.web.known import known_names
from hbd.web.layout import page

ENDED = 50  # silences that are over, the last ones


async def index(call: Call) -> web.Response:
    found = await silences.listed(call, ENDED)
    return await page(
        call,
        "silences",
        silences=[one for one in found if one.state != "ended"],
        ended=[one for one in found if one.state == "ended"],
        windows=windows.listed(call),
        known=known_names(call),
    )
