"""The web side: HTTP API, pages and live feed.

``routes`` is the table of what there is, ``app`` binds its rows, ``server`` runs the result; ``hosts``, ``plugins``,
``messages`` and ``health`` hold the handlers, ``websocket`` the feed's connections, ``pages`` the HTML.
"""

from __future__ import annotations

from aiohttp import web

from hbd.web.app import application
from hbd.web.parts import Parts
from hbd.web.routes import FEED_ROUTES, ROUTES


def make_app(parts: Parts) -> web.Application:
    """Everything, for the HTTP port."""
    return application(parts, ROUTES)


def make_feed_app(parts: Parts) -> web.Application:
    """The live feed alone, for ``ws_port``."""
    return application(parts, FEED_ROUTES)
