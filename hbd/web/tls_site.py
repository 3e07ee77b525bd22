"""Listening with TLS."""

from __future__ import annotations

import asyncio

from aiohttp import web

HANDSHAKE_SECONDS = 10.0
GOODBYE_SECONDS = 2.0


class TlsSite(web.SockSite):
    """Serves a socket over TLS. A client that does not finish its handshake, or its goodbye, in time is cut."""

    __slots__ = ()

    async def start(self) -> None:
        await web.BaseSite.start(self)
        assert self._runner.server is not None
        self._server = await asyncio.get_running_loop().create_server(
            self._runner.server,
            sock=self._sock,
            ssl=self._ssl_context,
            backlog=self._backlog,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
            ssl_shutdown_timeout=GOODBYE_SECONDS,
        )
