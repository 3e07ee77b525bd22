"""Settings as YAML text: in one order, in one way, so that two files differ where the settings do. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from msgspec import NODEFAULT, inspect

from hbd import __version__
from hbd.config.structs import ChannelSettings, Secret, Section
from hbd.settings.document import Settings

WIDTH = 100

HEADER = f"""\
# Settings of hbd {__version__}: what people changed in hbd and not in its config file.
# hbd import FILE brings them into a database, hbd import --dry-run FILE says what would be different then.
# Never in here: second factors, sessions, API tokens, keys of agents, history.
"""
WITHOUT_SECRETS = """\
# Left out too: passwords, addresses of jobs, and what stands as ••• in channels; --with-secrets would have them.
"""
WITH_SECRETS = """\
# This file holds secrets: hashes of passwords, addresses of jobs, secrets of channels.
"""

_PLAIN = re.compile(r"[^\W\d][\w./@+-]*(?: [\w./@+()-]+)*|[0-9]{1,12}[smhd]")
_WORDS = frozenset(("true", "false", "yes", "no", "on", "off", "null", "y", "n"))
_UNITS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "m"), (1.0, "s"))


def text_of(settings: Settings, *, secrets: bool) -> str:
    """The file. secrets: whether the settings have them, for the words at its top."""
    sections = [f"{key}:{_value(value, 0)}\n" for key, value in plain(settings).items()]
    return "\n".join([HEADER + (WITH_SECRETS if secrets else WITHOUT_SECRETS), *sections])


# ------------------------------------------------------------------------------------------------ structs to values


def plain(thing: Section) -> dict[str, Any]:
    """A thing of the file as dicts, lists and scalars, without what is at its default."""
    found: dict[str, Any] = _plain(thing, _type_of(type(thing)))
    return found


def whole(thing: Section) -> dict[str, Any]:
    """The same with what is at its default."""
    kind = _type_of(type(thing))
    return {field.encode_name: _plain(getattr(thing, field.name), field.type) for field in kind.fields}


@cache
def _type_of(kind: type[Section]) -> inspect.StructType:
    found = inspect.type_info(kind)
    assert isinstance(found, inspect.StructType)
    return found


def _plain(value: Any, kind: inspect.Type) -> Any:
    if isinstance(kind, inspect.UnionType):
        (kind,) = (member for member in kind.types if not isinstance(member, inspect.NoneType))
    if isinstance(kind, inspect.Metadata):
        reads_as, kind = (kind.extra or {})["as"], kind.type
        if value is not None and reads_as == "duration":
            return duration(value)
        if value is not None and reads_as == "moment":
            return moment(value)
    if isinstance(value, Section) and isinstance(kind, inspect.StructType):
        fields = ((field, getattr(value, field.name)) for field in kind.fields)
        return {field.encode_name: _plain(given, field.type) for field, given in fields if given != _default(field)}
    if isinstance(value, ChannelSettings):
        return {key: list(given) if isinstance(given, tuple) else given for key, given in value.items()}
    if isinstance(value, dict) and isinstance(kind, inspect.DictType):
        return {name: _plain(entry, kind.value_type) for name, entry in value.items()}
    if isinstance(value, tuple) and isinstance(kind, inspect.VarTupleType):
        return [_plain(entry, kind.item_type) for entry in value]
    return value.reveal() if isinstance(value, Secret) else value


def _default(field: inspect.Field) -> Any:
    return field.default if field.default is not NODEFAULT else field.default_factory()


def duration(seconds: float) -> str | float:
    """7200 as ``2h``; what is no whole number of seconds stays a number."""
    for length, unit in _UNITS:
        if seconds and seconds % length == 0:
            return f"{seconds / length:.0f}{unit}"
    return seconds or 0


def moment(seconds: float) -> str:
    """Unix seconds as ``2026-11-21T22:00:00Z``."""
    return datetime.fromtimestamp(round(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# --------------------------------------------------------------------------------------------------- values to text


def _value(value: Any, indent: int) -> str:
    """What stands behind ``key:``, with the space or line break before it."""
    if isinstance(value, Mapping) and value:
        return "\n" + "\n".join(_pairs(value, indent + 2))
    if isinstance(value, list) and value and not _is_short(value):
        return "\n" + "\n".join(_items(value, indent + 2))
    return f" {_scalar(value, indent)}"


def _pairs(pairs: Mapping[str, Any], indent: int) -> Iterator[str]:
    for key, value in pairs.items():
        yield f"{' ' * indent}{scalar(key)}:{_value(value, indent)}"


def _items(items: list[Any], indent: int) -> Iterator[str]:
    for item in items:
        if isinstance(item, Mapping) and item:
            first, *others = _pairs(item, indent + 2)
            yield "\n".join([f"{' ' * indent}- {first.lstrip()}", *others])
        else:
            yield f"{' ' * indent}- {_scalar(item, indent)}"


def _is_short(items: list[Any]) -> bool:
    return not any(isinstance(item, Mapping | list) for item in items) and len(_flow(items)) <= WIDTH


def _flow(items: list[Any]) -> str:
    return f"[{', '.join(map(scalar, items))}]"


def _scalar(value: Any, indent: int) -> str:
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, list):
        return _flow(value)
    if isinstance(value, str) and _may_be_block(value):
        lines = (f"{' ' * (indent + 2)}{line}" if line else "" for line in value.split("\n"))
        return "\n".join(["|-", *lines])
    return scalar(value)


def _may_be_block(text: str) -> bool:
    """Whether it can stand as lines of its own, and says the same there."""
    return "\n" in text and text == text.strip() and all(line.isprintable() for line in text.split("\n"))


def scalar(value: Any) -> str:
    """One value on one line, which every reader of YAML takes for the same."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return _number(value)
    text = str(value)
    if _PLAIN.fullmatch(text) and text.isprintable() and text.lower() not in _WORDS:
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


def _number(value: float) -> str:
    """Readers of YAML 1.1 want a point in what has an exponent."""
    digits, exponent, power = repr(value).partition("e")
    return f"{digits if '.' in digits else f'{digits}.0'}e{power}" if exponent else digits


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character in "\n\t":
        return {"\n": "\\n", "\t": "\\t"}[character]
    if character.isprintable():
        return character
    number = ord(character)
    return f"\\U{number:08x}" if number > 0xFFFF else f"\\u{number:04x}"
