"""What differs between two configurations, and how much of it takes a restart."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from hbd.config.structs import ConfigFile

NEEDS_RESTART = frozenset(
    {
        "hbd_host",
        "hbd_port",
        "hb_port",
        "ws_port",
        "wss_port",
        "hbd_tls",
        "database",
    }
)


def changes(old: ConfigFile, new: ConfigFile) -> list[str]:
    """Names of the changed keys, in the order of the structs: ``interval``, ``limits.max_hosts``, ``hosts.web1``."""
    return [key for name in ConfigFile.__struct_fields__ for key in _differences(name, old, new)]


def _differences(name: str, old: msgspec.Struct, new: msgspec.Struct) -> Iterator[str]:
    before, after = getattr(old, name), getattr(new, name)
    if before == after:
        return
    if isinstance(before, msgspec.Struct):
        for inner in before.__struct_fields__:
            yield from (f"{name}.{key}" for key in _differences(inner, before, after))
    elif isinstance(before, dict):
        yield from (f"{name}.{key}" for key in {**before, **after} if before.get(key) != after.get(key))
    else:
        yield name


def restart_needed(old: ConfigFile, new: ConfigFile) -> list[str]:
    """Names of the changed keys that only a restart puts into force."""
    return [key for key in changes(old, new) if key in NEEDS_RESTART]
