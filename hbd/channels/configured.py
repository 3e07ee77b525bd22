"""The channels of the config file."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from hbd.channels.base import ChannelType, Flaw
from hbd.channels.registry import types_for
from hbd.channels.spec import ChannelSpec, flaw_of_name, read
from hbd.config import Config


def type_keys(config: Config) -> set[str]:
    return {str(settings.get("type", "")) for settings in config.notification_channels.values()}


def problems(config: Config) -> list[str]:
    """``file:line: key: reason`` of all that is wrong with the channels of the file, in its order.

    Takes a second where there are channels of a type that is not our own.
    """
    found = []
    types = types_for(type_keys(config))
    for name, settings in config.notification_channels.items():
        for key, reason in read_one(name, settings, types)[1]:
            whole = f"notification_channels.{name}"
            path = f"{whole}.{key}" if key else whole
            line = config.lines.get(path, config.lines.get(whole, 1))
            found.append((line, f"{config.source}:{line}: {path}: {reason}"))
    found += [
        (line, f"{config.source}:{line}: {path}: there is no channel {name} in this file")
        for path, name in _fallbacks(config)
        for line in [config.lines.get(path, 1)]
    ]
    return [text for _, text in sorted(found)]


def specs(config: Config, types: Mapping[str, ChannelType]) -> dict[str, ChannelSpec]:
    """All channels of the config; one that cannot be used says why in its ``flaw``."""
    found = {}
    for name, settings in config.notification_channels.items():
        spec, flaws = read_one(name, settings, types)
        flaw = f"{flaws[0][0]}: {flaws[0][1]}".removeprefix(": ") if flaws else ""
        found[name] = replace(spec, flaw=flaw)
    return found


def read_one(
    name: str, settings: Mapping[str, Any], types: Mapping[str, ChannelType]
) -> tuple[ChannelSpec, list[Flaw]]:
    key = str(settings.get("type", ""))
    owner = settings.get("owner")
    bare = ChannelSpec(
        name=name,
        type=key,
        settings={},
        owner=owner if isinstance(owner, str) and owner else None,
        private=settings.get("private") is True,
        source="config",
        trusted=True,
    )
    kind = types.get(key)
    if kind is None:
        close = difflib.get_close_matches(key, sorted(types), 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        return bare, [("type", f"there is no channel type {key[:64]}{hint}")]
    spec, flaws = read(bare, settings, kind)
    if reason := flaw_of_name(name):
        flaws.insert(0, ("", f"the name {reason}"))
    if owner is not None and not isinstance(owner, str):
        flaws.append(("owner", "must be the name of a user"))
    return spec, flaws


def _fallbacks(config: Config) -> Iterator[tuple[str, str]]:
    """(key, name) of fallbacks that are not in the file; what was made over the API may go any time."""
    for name, settings in config.notification_channels.items():
        fallback = settings.get("fallback")
        if isinstance(fallback, str) and fallback not in config.notification_channels:
            yield f"notification_channels.{name}.fallback", fallback
