"""The OpenAPI document as the API page shows it: operations with parameters, shapes and a line to call them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

DEEPEST = 6
INDENT = "  "


# Headings for tags that are no words for people.
TITLES = {"health": "The daemon", "openapi": "This API", "websocket": "Live feed", "routes": "Agents"}


class Parameter(NamedTuple):
    name: str
    place: str
    type: str
    text: str
    required: bool


class Answer(NamedTuple):
    status: str
    text: str
    shape: str


class Operation(NamedTuple):
    """client, line: a program, and how it calls this. tryable: whether the page may: it changes nothing and ends."""

    id: str
    method: str
    path: str
    summary: str
    parameters: list[Parameter]
    body: str
    answers: list[Answer]
    client: str
    line: str
    tryable: bool


class Group(NamedTuple):
    title: str
    operations: list[Operation]


def groups(document: Mapping[str, Any], origin: str) -> list[Group]:
    """Operations by their first tag, in the order of the document. origin: ``http://host:port``."""
    schemas = document.get("components", {}).get("schemas", {})
    found: dict[str, list[Operation]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            tag = next(iter(operation.get("tags", ())), "other")
            title = TITLES.get(tag, tag.replace("_", " ").capitalize())
            found.setdefault(title, []).append(_operation(path, method.upper(), operation, schemas, origin))
    return [Group(title, operations) for title, operations in found.items()]


def _operation(
    path: str, method: str, operation: Mapping[str, Any], schemas: Mapping[str, Any], origin: str
) -> Operation:
    parameters = [
        Parameter(
            given["name"],
            given["in"],
            outline(given.get("schema", {}), schemas),
            given.get("description", ""),
            bool(given.get("required")),
        )
        for given in operation.get("parameters", ())
    ]
    responses = operation.get("responses", {})
    answers = [
        Answer(status, response.get("description", ""), _shape(response, schemas) if status[0] in "12" else "")
        for status, response in responses.items()
    ]
    body = _shape(operation["requestBody"], schemas) if "requestBody" in operation else ""
    socket = "101" in responses
    return Operation(
        id=re.sub(r"\W+", "-", f"{method} {path}").strip("-").lower(),
        method=method,
        path=path,
        summary=operation.get("summary", ""),
        parameters=parameters,
        body=body,
        answers=answers,
        client="Python, with its websockets package" if socket else "curl",
        line=_socket(origin + path) if socket else _curl(method, origin + path, with_body=bool(body)),
        tryable=method == "GET" and not socket,
    )


def _socket(url: str) -> str:
    return f"python3 -m websockets '{url.replace('http', 'ws', 1)}'"


def _curl(method: str, url: str, with_body: bool) -> str:
    parts = ["curl -s"]
    if method != "GET":
        parts.append(f"-X {method}")
    if with_body:
        parts.append("-H 'Content-Type: application/json' -d '…'")
    return " ".join([*parts, f"'{url}'"])


def _shape(holder: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    for media, content in holder.get("content", {}).items():
        text = outline(content.get("schema", {}), schemas)
        return text if media == "application/json" else f"{media}: {text}"
    return ""


def outline(schema: Mapping[str, Any], schemas: Mapping[str, Any], depth: int = 0) -> str:
    """A JSON schema as a person would sketch it: ``{"name": text, "tags": [text, …]}`` over several lines."""
    if "$ref" in schema:
        schema = schemas.get(schema["$ref"].rpartition("/")[2], {})
    if "enum" in schema:
        return " | ".join(f'"{value}"' if isinstance(value, str) else str(value) for value in schema["enum"])
    if "const" in schema:
        return f'"{schema["const"]}"'
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return " | ".join(dict.fromkeys(outline(choice, schemas, depth) for choice in schema[union]))
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(outline({**schema, "type": one}, schemas, depth) for one in kind)
    if kind == "array":
        items = schema.get("items") or {}
        return f"[{outline(items, schemas, depth)}, …]" if isinstance(items, Mapping) else "[…]"
    if kind == "object":
        return _object(schema, schemas, depth)
    return {"string": "text", "number": "number", "integer": "integer", "boolean": "true | false", "null": "null"}.get(
        str(kind), "anything"
    )


def _object(schema: Mapping[str, Any], schemas: Mapping[str, Any], depth: int) -> str:
    if depth >= DEEPEST:
        return "{…}"
    fields = schema.get("properties", {})
    lines = [f'"{name}": {outline(inner, schemas, depth + 1)}' for name, inner in fields.items()]
    rest = schema.get("additionalProperties")
    if not fields and rest is not False:
        lines.append(f"name: {outline(rest, schemas, depth + 1) if isinstance(rest, Mapping) else 'anything'}")
    inside = INDENT * (depth + 1)
    return "{\n" + ",\n".join(inside + line for line in lines) + f"\n{INDENT * depth}}}"
