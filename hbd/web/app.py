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
from ipaddress import ip_address
from typing import Any

import msgspec
from aiohttp import web
from multidict import MultiMapping
from yarl import URL

from hbd import addresses
from hbd.access import Action
from hbd.errors import Forbidden, InvalidInput, NotFound, TooMany
from hbd.reach import is_this_machine
from hbd.store.audit import Entry
from hbd.web import errors, layout, metrics, origins, sse, upload_form
from hbd.web.auth import ask_again, authorise, clear_cookie, identify, shown_token
from hbd.web.call import EVENTS, TABLE, Body, Call, Caller, Kind, Route
from hbd.web.invalid import invalid
from hbd.web.parts import Parts
from hbd.web.strangers import STRANGERS, Strangers

Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def _nobody_is_here(call: Call) -> web.StreamResponse:
    raise web.HTTPNotFound


NOWHERE = Route("GET", "/{path}", _nobody_is_here, Action.VIEW, summary="", kind=Kind.PAGE)
"""who calls what is at no address is known as on any page"""

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
    "Cross-Origin-Opener-Policy": "same-origin",  # browsers complain about it in pages that came in the clear
}
STRICT_TRANSPORT = {"Strict-Transport-Security": "max-age=31536000"}
NOT_KNOWN = "This token is not known, or has expired or been revoked"
SIGNED_OUT = "Your session has ended; sign in again"
NOT_WRITTEN_DOWN = frozenset((Action.ENTER, Action.VIEW))
"""what somebody was not allowed to do is in the audit log, but for these: looking is no privilege"""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_REQUEST_ID_KEY = web.RequestKey("request_id", str)


def application(parts: Parts, routes: Sequence[Route]) -> web.Application:
    """An application that serves these routes and nothing else."""
    app = web.Application(middlewares=[_rim(parts)], client_max_size=MAX_BODY_BYTES)
    app[TABLE] = tuple(routes)
    app[STRANGERS] = Strangers()
    sse.install(app)
    upload_form.install(app)
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
    decoder = None if route.body is None else msgspec.json.Decoder(route.body)

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
            if decoder is not None:
                call.body = await _body(request, decoder)
                ask_again(call)  # a body may take minutes to come
            return _respond(await route.handler(call), route.status)
        except (Forbidden, errors.Unauthorised) as error:
            if _is_told(route, caller):
                parts.audit.note(_refusal(route, caller, path, str(error)))
            if route.kind is Kind.PAGE:
                turned_away = Call(request=request, parts=parts, route=route, caller=caller, path=path)
                return await _turned_away(turned_away, error)
            if isinstance(error, errors.Unauthorised) and caller.refused:
                raise errors.Unauthorised(NOT_KNOWN if shown_token(request, route) else SIGNED_OUT) from None
            raise
        except NotFound:
            if route.kind is Kind.PAGE:
                raise web.HTTPNotFound from None
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
    if route.action in NOT_WRITTEN_DOWN and not (route.action is Action.VIEW and route.changes):
        return False
    return caller.credential is not None or route.changes


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


async def _turned_away(call: Call, error: Exception) -> web.StreamResponse:
    """A page for somebody who may not see it: strangers sign in first and come back, others are told why not."""
    if isinstance(error, Forbidden):
        foreign = isinstance(error, origins.ForeignPage)
        if call.identity.held_back and not foreign:
            return web.Response(status=303, headers={"Location": "/profile"})
        return await layout.refused_page(call, str(error), foreign=foreign)
    here = call.request.rel_url.raw_path_qs
    response = web.Response(status=302, headers={"Location": str(URL("/login").with_query(next=here))})
    if call.caller.refused:
        clear_cookie(response, call.request, call.parts)
    return response


async def _no_such_page(request: web.Request, parts: Parts) -> web.StreamResponse:
    """404: a page for browsers, our usual JSON for everybody else."""
    if "text/html" in request.headers.get("Accept", "") and not request.path.startswith("/api/"):
        origins.check_host_header(request, parts.config, guarded=parts.accounts.open)
        caller = await identify(request, NOWHERE, parts)
        _require_patience(caller, parts)
        call = Call(request=request, parts=parts, route=NOWHERE, caller=caller, path={})
        response: web.Response = await layout.missing_page(call)
    else:
        response = errors.response(404, "Not Found")
    response.headers["Vary"] = "Accept, Accept-Encoding"
    return response


def _query(given: MultiMapping[str], kind: type[msgspec.Struct]) -> msgspec.Struct:
    """The query parameters as their struct; those that it does not know are left alone."""
    for name in kind.__struct_encode_fields__:
        if len(given.getall(name, ())) > 1:
            raise InvalidInput("given more than once", name)
    try:
        return msgspec.convert(dict(given), kind, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(error, kind) from None


async def _body(request: web.Request, decoder: msgspec.json.Decoder[Any]) -> Any:
    if request.content_type != "application/json":
        raise errors.Unsupported("The body must be application/json")
    try:
        return decoder.decode(await request.read())
    except msgspec.ValidationError as error:
        raise invalid(error, decoder.type) from None
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


async def _routed(request: web.Request, handler: Serve, parts: Parts) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return await _no_such_page(request, parts)


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
            response = origins.preflight(request, parts.config) or await _routed(request, handler, parts)
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
        if not isinstance(response, web.WebSocketResponse) and response.content_type != EVENTS:
            seconds.observe(time.perf_counter() - started)
        return response

    return rim


def _has_name_of_its_own(request: web.Request) -> bool:
    """Whether hbd is asked by the name of a machine. What browsers keep of ``localhost`` would hold for whatever else
    is developed there, on all ports; of addresses they keep nothing."""
    match = origins.HOST_HEADER.fullmatch(request.host)
    if match is None or is_this_machine(match["name"].lower()):
        return False
    try:
        ip_address(match["name"].strip("[]"))
    except ValueError:
        return True
    return False


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
            if _has_name_of_its_own(request):
                headers.update(STRICT_TRANSPORT)
        for name, value in origins.cors_headers(request, parts.config).items():
            headers[name] = f"{headers[name]}, {value}" if name == "Vary" and name in headers else value

    return dress
