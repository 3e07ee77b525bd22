"""The OpenAPI 3.1 document, made from the route table. The page that shows the API is made from the same."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Any

import msgspec

import hbd
from hbd.access import Action
from hbd.web import schemas
from hbd.web.auth import FINDERS
from hbd.web.call import EVENTS, Body, Call, Kind, Route

REF = "#/components/schemas/{name}"
WORDS = {
    "host": "Name of the host, in any case.",
    "server": "Number of the host, or its name in any case.",
    "plugin": "Name of the plugin, such as `cpu_monitor`.",
    "user": "Name of the user, in any case.",
    "id": "Its `id` in the list.",
    "machine": "Name or address of the machine, as it was deployed to.",
}
STATUS_WORDS = {
    400: "A parameter is wrong; the text begins with its name.",
    401: "Sign in, or send a token that holds.",
    403: "You may not do this.",
    404: "There is no such thing.",
    409: "It cannot be done in the present state.",
    429: "Too often; `Retry-After` says when to come again.",
    503: "Not now; try again.",
}


SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A token of a session, or an API token."},
    "header": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"},
}


async def show(call: Call) -> Body:
    return Body(encoded(call.routes))


@lru_cache(maxsize=4)
def encoded(routes: tuple[Route, ...]) -> bytes:
    return msgspec.json.encode(document(routes))


@lru_cache(maxsize=4)
def document(routes: tuple[Route, ...]) -> dict[str, Any]:
    """The document as plain values, to be read and not changed. Pages and their files are no part of it."""
    shown = [route for route in routes if route.kind is not Kind.PAGE]
    types = [kind for route in shown for kind in (route.answer, route.body, route.reads) if kind is not None]
    (_, components) = msgspec.json.schema_components([*types, schemas.Error], ref_template=REF)
    paths: dict[str, dict[str, Any]] = {}
    names: set[str] = set()
    for route in shown:
        described = operation(route)
        while described["operationId"] in names:  # its handler has another address too
            described["operationId"] += "_too"
        names.add(described["operationId"])
        paths.setdefault(route.template, {})[route.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "hbd",
            "version": hbd.__version__,
            "description": 'Hosts, their samples and messages. Times are Unix seconds; errors are `{"error": text}`.',
        },
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": SECURITY},
        "security": [{name: []} for name in SECURITY],
    }


def operation(route: Route) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": f"{route.handler.__module__.rpartition('.')[2]}.{route.handler.__name__}",
        "summary": route.summary,
        "tags": [route.handler.__module__.rpartition(".")[2]],
        "parameters": [*_path_parameters(route), *_query_parameters(route)],
        "responses": _responses(route),
    }
    if route.action is Action.ENTER:
        described["security"] = []
    if (body := route.body or route.reads) is not None:
        schema = _schema(body)
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return described


def expected_errors(route: Route) -> Sequence[int]:
    """The statuses that an error of this route can have, beside 500."""
    found = set(route.statuses)
    if route.action is not Action.ENTER and not route.late:
        found |= {401, 403}
    if not FINDERS.keys().isdisjoint(route.placeholders):
        found.add(404)
    if route.query is not None or route.body is not None:
        found.add(400)
    if route.limited:
        found.add(429)
    return sorted(found)


def _responses(route: Route) -> dict[str, Any]:
    if route.kind is Kind.STREAM and route.media == EVENTS:
        responses: dict[str, Any] = {
            "200": {"description": "Events.", "content": {EVENTS: {"schema": {"type": "string"}}}}
        }
    elif route.kind is Kind.STREAM:
        responses = {"101": {"description": "The connection becomes a WebSocket."}}
    else:
        schema = {"type": "string"} if route.answer is None else _schema(route.answer)
        words = HTTPStatus(route.status).phrase
        responses = {str(route.status): {"description": words, "content": {route.media: {"schema": schema}}}}
    error = {"application/json": {"schema": {"$ref": REF.format(name="Error")}}}
    for status in expected_errors(route):
        words = STATUS_WORDS.get(status, HTTPStatus(status).phrase)
        responses[str(status)] = {"description": words, "content": error}
    return responses


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": WORDS.get(name, ""),
            "schema": {"type": "string", "minLength": 1},
        }
        for name in route.placeholders
    ]


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    (_, components) = msgspec.json.schema_components([route.query], ref_template=REF)
    fields: dict[str, Any] = components[route.query.__name__]["properties"]
    required = components[route.query.__name__].get("required", ())
    parameters = []
    for name, schema in fields.items():
        about = {key: value for key, value in schema.items() if key != "description"}
        parameter = {"name": name, "in": "query", "required": name in required, "schema": about}
        parameters.append(parameter | {"description": schema.get("description", "")})
    return parameters


def _schema(kind: Any) -> dict[str, Any]:
    ((schema,), _) = msgspec.json.schema_components([kind], ref_template=REF)
    return schema
