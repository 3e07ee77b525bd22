"""The web application: every route of the table bound to its handler, with the same steps around all of them.

A request goes: rim (request id, errors, counting) → router → Host header → who, and may they → parameters → handler.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from aiohttp import web
from multidict import MultiMapping

from hbd.errors import InvalidInput
from hbd.stats import Stats
from hbd.web import errors
from hbd.web.auth import authorise, check_host_header, identify
from hbd.web.call import TABLE, Body, Call, Kind, Route
from hbd.web.parts import Parts

Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]

MAX_BODY_BYTES = 1024 * 1024
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_REQUEST_ID_KEY = web.RequestKey("request_id", str)


def application(parts: Parts, routes: Sequence[Route]) -> web.Application:
    """An application that serves these routes and nothing else."""
    app = web.Application(middlewares=[_rim(parts.stats)], client_max_size=MAX_BODY_BYTES)
    app[TABLE] = tuple(routes)
    app.on_response_prepare.append(_dress)
    for route in routes:
        serve = _bind(route, parts)
        resource = app.router.add_resource(route.path)
        resource.add_route(route.method, serve)
        if route.method == "GET" and route.kind is not Kind.STREAM:
            resource.add_route("HEAD", serve)
    return app


def _bind(route: Route, parts: Parts) -> Serve:
    decode = None if route.body is None else msgspec.json.Decoder(route.body).decode

    async def serve(request: web.Request) -> web.StreamResponse:
        check_host_header(request, parts.config)
        identity = identify(parts.config)
        path = dict(request.match_info)
        call = Call(
            request=request,
            parts=parts,
            route=route,
            identity=identity,
            path=path,
            host_in_path=authorise(route, identity, parts.hosts, path),
        )
        if route.query is not None:
            call.query = _query(request.query, route.query)
        if decode is not None:
            call.body = await _body(request, decode)
        return _respond(await route.handler(call))

    return serve


def _query(given: MultiMapping[str], kind: type[msgspec.Struct]) -> msgspec.Struct:
    """The query parameters as their struct; those that it does not know are left alone."""
    for name in kind.__struct_encode_fields__:
        if len(given.getall(name, ())) > 1:
            raise InvalidInput("given more than once", name)
    try:
        return msgspec.convert(dict(given), kind, strict=False)
    except msgspec.ValidationError as error:
        raise errors.invalid(error) from None


async def _body(request: web.Request, decode: Callable[[bytes], Any]) -> Any:
    if request.content_type != "application/json":
        raise errors.Unsupported("The body must be application/json")
    try:
        return decode(await request.read())
    except msgspec.ValidationError as error:
        raise errors.invalid(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidInput("The body is not JSON") from None


def _respond(answer: Any) -> web.StreamResponse:
    match answer:
        case web.StreamResponse():
            return answer
        case Body():
            return web.Response(
                body=answer.data, status=answer.status, headers={"Content-Type": answer.media, **answer.headers}
            )
    return web.Response(body=msgspec.json.encode(answer), headers={"Content-Type": "application/json"})


def _rim(stats: Stats) -> Any:
    """The outermost step: whatever happens inside becomes a response, and is counted."""
    stats.describe("http_requests_total", "Requests, by route, method and status.")
    seconds = stats.histogram("http_request_seconds", "How long requests took, open connections left out.")

    @web.middleware
    async def rim(request: web.Request, handler: Serve) -> web.StreamResponse:
        started = time.perf_counter()
        given = request.headers.get("X-Request-ID", "")
        request[_REQUEST_ID_KEY] = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        try:
            response = await handler(request)
        except Exception as error:
            response = errors.response_for(error)
        resource = request.match_info.route.resource
        stats.count(
            "http_requests_total",
            route=resource.canonical if resource is not None else "none",
            method=request.method if request.method in METHODS else "other",
            status=str(response.status),
        )
        if not isinstance(response, web.WebSocketResponse):
            seconds.observe(time.perf_counter() - started)
        return response

    return rim


async def _dress(request: web.Request, response: web.StreamResponse) -> None:
    """The headers of every response. A handler's own Cache-Control stays."""
    headers = response.headers
    headers.pop("Server", None)
    headers.update(SECURITY_HEADERS)
    headers.setdefault("Cache-Control", "no-store")
    headers["X-Request-ID"] = request.get(_REQUEST_ID_KEY, "")
