"""The web application: every route of the table bound to its handler, with the same steps around all of them.

A request goes: rim (request id, errors, counting) → router → Host header → who → rate → may they → parameters →
handler.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from aiohttp import web
from multidict import MultiMapping
from yarl import URL

from hbd import addresses
from hbd.access import Action
from hbd.errors import Forbidden, InvalidInput, TooMany
from hbd.store.audit import Entry
from hbd.web import errors, layout, metrics, origins
from hbd.web.auth import ask_again, authorise, clear_cookie, identify
from hbd.web.call import TABLE, Body, Call, Caller, Kind, Route
from hbd.web.parts import Parts
from hbd.web.strangers import STRANGERS, Strangers

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
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
OVER_TLS_HEADERS = {
    "Strict-Transport-Security": "max-age=31536000",
    "Cross-Origin-Opener-Policy": "same-origin",  # browsers complain about it in pages that came in the clear
}
NOT_WRITTEN_DOWN = frozenset((Action.ENTER, Action.VIEW))
"""what somebody was not allowed to do is in the audit log, but for these: looking is no privilege"""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_REQUEST_ID_KEY = web.RequestKey("request_id", str)


def application(parts: Parts, routes: Sequence[Route]) -> web.Application:
    """An application that serves these routes and nothing else."""
    app = web.Application(middlewares=[_rim(parts)], client_max_size=MAX_BODY_BYTES)
    app[TABLE] = tuple(routes)
    app[STRANGERS] = Strangers()
    metrics.describe(parts)
    app.on_response_prepare.append(_dress_for(parts))
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
        guarded = parts.accounts.open and route.action is not Action.ENTER
        origins.check_host_header(request, parts.config, guarded=guarded)
        caller = await identify(request, route, parts)
        if route.limited:
            _require_patience(caller, parts)
        path = dict(request.match_info)
        try:
            if route.changes:
                counts = caller.ambient and route.action is not Action.ENTER
                origins.check_form_origin(request, parts.config, ambient=counts)
            call = Call(
                request=request,
                parts=parts,
                route=route,
                caller=caller,
                path=path,
                host_in_path=authorise(route, caller, parts.hosts, path),
            )
            if route.query is not None:
                call.query = _query(request.query, route.query)
            if decode is not None:
                call.body = await _body(request, decode)
                ask_again(call)  # a body may take minutes to come
            return _respond(await route.handler(call), route.status)
        except (Forbidden, errors.Unauthorised) as error:
            if _is_told(route, caller):
                parts.audit.note(_refusal(route, caller, path, str(error)))
            if route.kind is Kind.PAGE:
                return _turned_away(request, parts, caller, error)
            raise

    return serve


def _require_patience(caller: Caller, parts: Parts) -> None:
    """Everybody has a rate of their own: users by name, strangers by address."""
    name = caller.identity.name
    wait = parts.throttle.take(f"user {name}" if name else f"address {_site(caller.address)}", time.monotonic())
    if wait > 0:
        parts.stats.count("requests_limited_total")
        raise TooMany("Too many requests; slow down", wait)


_site = lru_cache(maxsize=4096)(addresses.key)


def _is_told(route: Route, caller: Caller) -> bool:
    """Whether the audit log has it that this caller was refused this."""
    if caller.kept_out:
        return route.kind is Kind.PAGE or route.changes  # a page that is open goes on asking the API
    return route.action not in NOT_WRITTEN_DOWN and (caller.credential is not None or route.changes)


def _refusal(route: Route, caller: Caller, path: dict[str, str], reason: str) -> Entry:
    # What strangers write into a path is left out: as many entries as they like would push all others out of the log.
    known = caller.identity.role is not None
    named = " ".join(errors.printable(value) for value in path.values()) if known else ""
    return Entry(
        time=time.time(),
        user=caller.identity.name,
        via=caller.via,
        address=caller.address,
        action=f"{route.method} {route.template}",
        object=named[:200],
        outcome="refused",
        detail=f"the proxy's user {caller.named}: {reason}" if caller.named else reason,
    )


def _turned_away(request: web.Request, parts: Parts, caller: Caller, error: Exception) -> web.StreamResponse:
    """A page for somebody who may not see it: strangers sign in first and come back, others are told why not."""
    if isinstance(error, Forbidden):
        if caller.identity.held_back:
            return web.Response(status=303, headers={"Location": "/profile"})
        return web.Response(status=403, body=layout.refused(str(error)), content_type="text/html", charset="utf-8")
    here = request.rel_url.raw_path_qs
    response = web.Response(status=302, headers={"Location": str(URL("/login").with_query(next=here))})
    if caller.refused:
        clear_cookie(response, request, parts)
    return response


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


def _respond(answer: Any, status: int) -> web.StreamResponse:
    match answer:
        case web.StreamResponse():
            return answer
        case Body():
            return web.Response(
                body=answer.data, status=answer.status, headers={"Content-Type": answer.media, **answer.headers}
            )
    return web.Response(status=status, body=msgspec.json.encode(answer), headers={"Content-Type": "application/json"})


def _rim(parts: Parts) -> Any:
    """The outermost step: whatever happens inside becomes a response, and is counted."""
    stats = parts.stats
    seconds = stats.histogram("http_request_seconds", "How long requests took, open connections left out.")

    @web.middleware
    async def rim(request: web.Request, handler: Serve) -> web.StreamResponse:
        started = time.perf_counter()
        given = request.headers.get("X-Request-ID", "")
        request[_REQUEST_ID_KEY] = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        try:
            response = origins.preflight(request, parts.config) or await handler(request)
        except web.RequestPayloadError:
            response = errors.response(400, "The body cannot be read")
        except Exception as error:
            if isinstance(error, ConnectionError) and (request.transport is None or request.transport.is_closing()):
                raise  # the client has gone: nobody is left to answer
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


def _dress_for(parts: Parts) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    async def dress(request: web.Request, response: web.StreamResponse) -> None:
        """The headers of every response. A handler's own Cache-Control stays."""
        headers = response.headers
        headers.pop("Server", None)
        headers.update(SECURITY_HEADERS)
        headers.setdefault("Cache-Control", "no-store")
        headers["X-Request-ID"] = request.get(_REQUEST_ID_KEY, "")
        if origins.is_secure(request, parts.config):
            headers.update(OVER_TLS_HEADERS)
        for name, value in origins.cors_headers(request, parts.config).items():
            headers[name] = f"{headers[name]}, {value}" if name == "Vary" and name in headers else value

    return dress
