"""What is wrong with what somebody sent, in our words. Pure."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import inspect

from hbd.errors import InvalidInput

_NO_CHOICE = re.compile(r"Invalid (?:enum )?value (.*)", re.DOTALL)
_STEP = re.compile(r"\.(\w+)|\[[^][]*\]")
LONGEST = 60


def invalid(error: msgspec.ValidationError, kind: Any) -> InvalidInput:
    """msgspec's complaint about a document of that kind, the field first: ``limit: expected int >= 1``."""
    reason, found, path = str(error).rpartition(" - at `$")
    if not found:
        reason, path = str(error), ""
    path = path.removesuffix("`")
    if (wrong := _NO_CHOICE.fullmatch(reason)) and (choices := _choices(kind, path)):
        given = wrong[1] if len(wrong[1]) <= LONGEST else wrong[1][:LONGEST] + "…"
        reason = f"expected one of {', '.join(choices)}, not {given}"
    reason = reason.replace("`", "")
    return InvalidInput(reason[:1].lower() + reason[1:], path.lstrip("."))


def _choices(kind: Any, path: str) -> list[str]:
    """What is taken at a path of a kind of document, such as ``.rules[0].level``; [] where that is anything."""
    kinds = _alternatives(_inspected(kind))
    for step in _STEP.finditer(path):
        kinds = [below for each in kinds for below in _below(each, step[1])]
    found: list[str] = []
    for each in kinds:
        match each:
            case inspect.LiteralType(values=values):
                found += map(str, values)
            case inspect.EnumType(cls=cls):
                found += (str(member.value) for member in cls)
    return found


_inspected = lru_cache(maxsize=256)(inspect.type_info)


def _below(kind: inspect.Type, field: str | None) -> list[inspect.Type]:
    """The kinds of a member of that name, or of an item where there is no name."""
    match kind:
        case inspect.StructType(tag_field=name, tag=tag) if field is not None and field == name:
            return [inspect.LiteralType((tag,))]
        case inspect.StructType(fields=fields) if field is not None:
            return [some for each in fields if each.encode_name == field for some in _alternatives(each.type)]
        case inspect.DictType(value_type=item):
            return _alternatives(item)
        case inspect.ListType(item_type=item) if field is None:
            return _alternatives(item)
    return []


def _alternatives(kind: inspect.Type) -> list[inspect.Type]:
    match kind:
        case inspect.UnionType(types=kinds):
            return [some for each in kinds for some in _alternatives(each)]
        case inspect.Metadata(type=inner):
            return _alternatives(inner)
    return [kind]
