"""The HTTP server below the application: its limits, and what it says to those who do not speak HTTP."""

from __future__ import annotations

import logging
from typing import Any

from aiohttp import web

from hbd.web import errors
from hbd.web.app import SECURITY_HEADERS

log = logging.getLogger(__name__)

KEEPALIVE_SECONDS = 75.0
SHUTDOWN_SECONDS = 1.0
MAX_HEADER_BYTES = 8190


class _Connection(web.RequestHandler):
    """One client connection. What cannot be read as HTTP is answered in the one shape of errors, without an echo."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status < 500:
            log.debug("Not HTTP from %s: %s", request.remote, type(exc).__name__)
        else:
            log.error("Serving %s failed", request.remote, exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("Half a response is out already")
        text = "This is not a request that can be read" if status < 500 else "internal error"
        response = errors.response(status, text, SECURITY_HEADERS)
        response.headers["Server"] = "hbd"
        response.force_close()
        return response


class _Server(web.Server):
    def __init__(self, like: web.Server, **options: Any) -> None:
        super().__init__(like.request_handler, request_factory=like.request_factory, **options)
        self._options = options

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._options)


class Runner(web.AppRunner):
    """Runs an application on the sockets it is given (``web.SockSite``)."""

    __slots__ = ()

    def __init__(self, app: web.Application) -> None:
        super().__init__(
            app,
            access_log=None,
            keepalive_timeout=KEEPALIVE_SECONDS,
            shutdown_timeout=SHUTDOWN_SECONDS,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
        )

    async def _make_server(self) -> web.Server:
        return _Server(await super()._make_server(), **self._kwargs)
