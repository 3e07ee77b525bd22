"""One notification channel of a settings file, against the one that there is. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, NamedTuple

from msgspec.structs import replace

from hbd.channels.base import ChannelType, Flaw
from hbd.channels.script import Script
from hbd.channels.spec import HIDDEN, ChannelSpec, flaw_of_name, read
from hbd.settings.gathering import COMMON, channel_of, outline_of

_OURS = frozenset(("type", "owner", "trusted"))
"""what is said of a channel beside what the API takes"""


class Wanted(NamedTuple):
    """missing: keys of secrets that the file leaves out and nobody knows here. flaws: (key, reason)."""

    spec: ChannelSpec
    missing: tuple[str, ...]
    flaws: list[Flaw]


def wanted_channel(
    name: str, given: Mapping[str, Any], before: ChannelSpec | None, kinds: Mapping[str, ChannelType], now: float
) -> Wanted:
    """What the file says is all there is of it; ``•••`` stands for what is here already."""
    if before is not None and given in (
        _listed(channel_of(before)),
        _listed(outline_of(before, kinds.get(before.type))),
    ):
        return Wanted(before, (), [])  # whatever is wrong with it by now
    bare = ChannelSpec(name=name, type=str(given["type"]), settings={}, made_at=before.made_at if before else now)
    if bare.type == Script.key:
        return Wanted(bare, (), [("type", "channels that run programs are made in the config file alone")])
    kind = kinds.get(bare.type)
    if kind is None:
        close = difflib.get_close_matches(bare.type, sorted(kinds), 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        return Wanted(bare, (), [("type", f"there is no channel type {bare.type[:64]}{hint}")])
    known = {field.key for field in kind.fields} | COMMON | _OURS
    flaws = [(key, f"unknown key; {kind.label} has no such setting") for key in given if key not in known]
    if reason := flaw_of_name(name):
        flaws.append(("", f"the name {reason}"))
    owner, trusted = given.get("owner"), given.get("trusted", False)
    if owner is not None and not isinstance(owner, str):
        flaws.append(("owner", "must be the name of a user"))
    if not isinstance(trusted, bool):
        flaws.append(("trusted", "must be true or false"))
    values, missing, unclear = _unhidden(given, before, kind)
    flaws += [(key, f"holds {HIDDEN}; write it whole, or as hbd export has it") for key in unclear]
    spec, wrong = read(replace(bare, owner=owner, trusted=trusted is True), values, kind)
    flaws += [flaw for flaw in wrong if flaw[0] not in (*missing, *unclear)]
    if missing:
        spec = replace(spec, flaw=f"{', '.join(missing)}: left out of the file that was imported; give it anew")
    return Wanted(spec, tuple(missing), flaws)


def _unhidden(
    given: Mapping[str, Any], before: ChannelSpec | None, kind: ChannelType
) -> tuple[dict[str, Any], list[str], list[str]]:
    """(values to read, keys of what is not known, keys of what hides something else than is here)."""
    same = before if before is not None and before.type == kind.key else None
    outline = _listed(outline_of(same, kind)) if same is not None else {}
    values: dict[str, Any] = {}
    missing, unclear = [], []
    for key, value in given.items():
        if key in _OURS or (key not in COMMON and all(field.key != key for field in kind.fields)):
            continue
        if not _hides(value):
            values[key] = value
        elif same is None or key not in same.settings:
            missing.append(key)
        elif outline.get(key) == value:
            values[key] = same.settings[key]
        else:
            unclear.append(key)
    return values, missing, unclear


def _listed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """As a file has them."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}


def _hides(value: Any) -> bool:
    return any(HIDDEN in str(one) for one in (value if isinstance(value, list) else [value]))
