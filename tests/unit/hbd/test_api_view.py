from __future__ import annotations

from typing import Any

from hbd.web.api_view import groups, outline

HOST = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}}},
}


def document(**operation: Any) -> dict[str, Any]:
    return {"paths": {"/api/0/hosts/{host}": {"get": operation}}, "components": {"schemas": {"Host": HOST}}}


def test_operation_has_a_line_for_curl() -> None:
    ((_, (operation,)),) = groups(document(tags=["hosts"], responses={}), "http://h:1")
    assert operation.line == "curl -s 'http://h:1/api/0/hosts/{host}'"
    assert operation.tryable


def test_connection_that_stays_open_cannot_be_tried() -> None:
    ((_, (operation,)),) = groups(document(responses={"101": {"description": "WebSocket"}}), "http://h:1")
    assert not operation.tryable
    assert operation.line == "python3 -m websockets 'ws://h:1/api/0/hosts/{host}'"


def test_answer_is_sketched_through_its_reference() -> None:
    answer = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Host"}}}}
    ((_, (operation,)),) = groups(document(responses={"200": answer}), "http://h:1")
    assert operation.answers[0].shape == '{\n  "name": text,\n  "tags": [text, …]\n}'


def test_union_and_map_are_sketched() -> None:
    schema = {"type": "object", "additionalProperties": {"anyOf": [{"type": "number"}, {"type": "null"}]}}
    assert outline(schema, {}) == "{\n  name: number | null\n}"


def test_schema_that_contains_itself_ends() -> None:
    schemas = {"A": {"type": "object", "properties": {"a": {"$ref": "#/components/schemas/A"}}}}
    assert "{…}" in outline({"$ref": "#/components/schemas/A"}, schemas)
