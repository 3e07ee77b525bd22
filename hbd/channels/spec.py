"""One channel as config file and API describe it: read, checked, and shown without its secrets. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

import msgspec
from msgspec import Struct

from hbd.channels.base import ChannelType, Field, Flaw
from hbd.errors import InvalidInput
from hbd.model import Level
from hbd.schedule import DAYS, zone

HIDDEN = "•••"
MAX_NAME = 64
MAX_TEXT = 8_000
MAX_LIST = 100
MAX_BYTES = 32_768
LEAST_REPEAT = 60.0
LEVELS = ("UNKNOWN", "WARNING", "CRITICAL")

_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?([smhd])?")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}
_AFTER_HOST = re.compile(r"[/?#]")
_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_SHOWN_ONLY = frozenset(("name", "type_label", "fields", "source", "editable", "state"))
"""keys of an entry of the API's list, which may come back with a change and say nothing"""


class ChannelSpec(Struct, frozen=True, kw_only=True):
    """One channel. settings: by key of its type's fields; lists are tuples.

    trusted: it may call private addresses. made_at: Unix seconds, 0 where it is not known. quiet_from, quiet_to: times
    of the day, "22:00", both or neither. repeat: seconds, None as ``threshold_renotify_interval`` says. flaw: why it
    cannot be used, "" as a rule.
    """

    name: str
    type: str
    settings: dict[str, Any]
    owner: str | None = None
    private: bool = False
    min_level: Level = Level.WARNING
    fallback: str | None = None
    quiet_from: str | None = None
    quiet_to: str | None = None
    quiet_days: tuple[str, ...] = ()
    timezone: str | None = None
    quiet_level: Level = Level.CRITICAL
    repeat: float | None = None
    enabled: bool = True
    source: Literal["config", "api"] = "api"
    trusted: bool = False
    made_at: float = 0.0
    flaw: str = ""

    def __repr__(self) -> str:
        return f"ChannelSpec({self.name!r}, {self.type!r}, {HIDDEN})"


def flaw_of_name(name: str) -> str:
    if 1 <= len(name) <= MAX_NAME and name.isprintable() and name == name.strip() and "/" not in name:
        return "" if name not in (".", "..") else "means a folder"
    return f"must be 1 to {MAX_NAME} printable characters, without / and without spaces around it"


def read(before: ChannelSpec, given: Mapping[str, Any], kind: ChannelType) -> tuple[ChannelSpec, list[Flaw]]:
    """A channel with what is given, and what is wrong with that. What is left out stays, null takes it away.

    before: the channel as it is, or with nothing but name, owner and the like when it is new. kind: the type it is to
    have; when that is another than before, no setting stays. A secret that comes back as ``•••`` stays too.
    """
    flaws: list[Flaw] = []
    kept = before.settings if before.type == kind.key else {}
    common: dict[str, Any] = {}
    fields = {field.key: field for field in kind.fields}
    settings = dict(kept)
    for key, value in given.items():
        try:
            if key in _COMMON:
                common[key] = _COMMON[key](value) if value is not None else _EMPTY[key]
            elif key in fields:
                settings[key] = _value(fields[key], value, kept.get(key))
            elif key not in _SHOWN_ONLY and key not in ("type", "owner"):
                flaws.append((key[:100], f"{kind.label} has no such setting"))
        except ValueError as error:
            flaws.append((key, str(error)))
    settings = {key: value for key, value in settings.items() if value not in (None, "", ())}
    bad = {key for key, _ in flaws}
    flaws += [
        (key, "is needed") for key, field in fields.items() if field.required and key not in settings and key not in bad
    ]
    made = msgspec.structs.replace(before, type=kind.key, settings=settings, **common, flaw="")
    if (made.quiet_from is None) != (made.quiet_to is None):
        flaws.append(("quiet_to" if made.quiet_to is None else "quiet_from", "is needed: quiet hours have two ends"))
    if made.fallback is not None and made.fallback == made.name:
        flaws.append(("fallback", "must be another channel"))
    if len(msgspec.json.encode(settings)) > MAX_BYTES:
        flaws.append(("", f"the settings are larger than {MAX_BYTES // 1024} KiB"))
    if not flaws:
        flaws = kind.check(settings)
    return made, flaws


def shown_fields(spec: ChannelSpec, kind: ChannelType | None, *, whole: bool) -> list[dict[str, Any]]:
    """The settings for people. whole: for whoever may change them; others see of URLs where they lead, of headers the
    names. Nobody sees a secret."""
    fields = kind.fields if kind is not None else ()
    found = []
    for field in fields:
        value = spec.settings.get(field.key)
        if value is None:
            continue
        secret = field.type == "secret"
        shown = HIDDEN if secret else value if whole else _outline(field, value)
        found.append({"key": field.key, "label": field.label, "value": shown, "sensitive": secret})
    return found


def _outline(field: Field, value: Any) -> Any:
    if field.type == "url":
        start, _, rest = str(value).partition("://")
        host = _AFTER_HOST.split(rest, maxsplit=1)[0]
        more = rest[len(host) :]
        return f"{start}://{host}{more if more in ('', '/') else f'/{HIDDEN}'}"
    if field.key == "headers":
        return [f"{line.partition(':')[0]}: {HIDDEN}" for line in value]
    return HIDDEN if field.key == "body" else value


# ------------------------------------------------------------------------------------------------------ single values


def _value(field: Field, value: Any, kept: Any) -> Any:
    """The value as its field has it; None for none. Raises ValueError."""
    if value is None:
        return None
    if field.type == "secret" and value == HIDDEN:
        if kept is None:
            raise ValueError("the secret itself is needed")
        return kept
    match field.type:
        case "list":
            return _list(field, value)
        case "boolean":
            return _boolean(value)
        case "number":
            return _number(value)
    text = _text(value)
    if field.type == "choice" and text and text not in field.choices:
        raise ValueError(f"must be one of {', '.join(field.choices)}")
    return text


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("must be text")
    text = str(value).strip()
    if len(text) > MAX_TEXT:
        raise ValueError(f"must be {MAX_TEXT} characters at most")
    if any(not (char.isprintable() or char in "\n\t") for char in text):
        raise ValueError("must not have control characters")
    return text


def _list(field: Field, value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = re.split(r"\r?\n" if field.key in ("headers", "labels") else r"[\r\n,]+", value)
    if not isinstance(value, list | tuple):
        raise ValueError("must be a list")
    if len(value) > MAX_LIST:
        raise ValueError(f"must have {MAX_LIST} entries at most")
    texts = tuple(_text(one) for one in value)
    if any("\n" in text for text in texts):
        raise ValueError("must have entries of one line")
    return tuple(text for text in texts if text)


def _boolean(value: Any) -> bool:
    if isinstance(value, str | int) and (found := _WORDS.get(str(value).lower())) is not None:
        return found
    raise ValueError("must be true or false")


def _number(value: Any) -> float | int | None:
    if value == "":
        return None
    try:
        number = float(value) if not isinstance(value, bool) and isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError("must be a number")
    return int(number) if number.is_integer() else number


def _level(value: Any) -> Level:
    if isinstance(value, str) and value.upper() in LEVELS:
        return Level(value.upper())
    raise ValueError(f"must be one of {', '.join(LEVELS)}")


def _clock(value: Any) -> str | None:
    if value == "":
        return None
    if not isinstance(value, str) or not _CLOCK.fullmatch(value):
        raise ValueError("must be a time of the day, such as 22:00")
    return value


def _days(value: Any) -> tuple[str, ...]:
    days = value.split(",") if isinstance(value, str) else value
    if not isinstance(days, list | tuple):
        raise ValueError("must be a list of days")
    names = {str(day).strip().lower()[:3] for day in days} - {""}
    if names - set(DAYS):
        raise ValueError(f"must be of {', '.join(DAYS)}")
    return tuple(day for day in DAYS if day in names)


def _zone(value: Any) -> str | None:
    if value == "":
        return None
    try:
        return zone(_text(value)).key
    except InvalidInput as error:
        raise ValueError(error.reason) from None


def _repeat(value: Any) -> float | None:
    if value == "":
        return None
    match = _DURATION.fullmatch(str(value)) if not isinstance(value, bool) else None
    if match is None:
        raise ValueError("must be a duration, such as 30m")
    seconds = float(match[1]) * _SECONDS[match[2]]
    if seconds and seconds < LEAST_REPEAT:
        raise ValueError(f"must be {LEAST_REPEAT:.0f} s at least, or 0 for never")
    return seconds


def _fallback(value: Any) -> str | None:
    name = _text(value)
    if name and flaw_of_name(name):
        raise ValueError("must be the name of a channel")
    return name or None


_COMMON: Mapping[str, Callable[[Any], Any]] = {
    "private": _boolean,
    "min_level": _level,
    "fallback": _fallback,
    "quiet_from": _clock,
    "quiet_to": _clock,
    "quiet_days": _days,
    "timezone": _zone,
    "quiet_level": _level,
    "repeat": _repeat,
    "enabled": _boolean,
}
_EMPTY: Mapping[str, Any] = {
    key: cast(Any, getattr(ChannelSpec(name="", type="", settings={}), key)) for key in _COMMON
}
