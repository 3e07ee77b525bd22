"""Names of systemd units."""

from __future__ import annotations

import re

_UNIT = re.compile(r"[A-Za-z0-9:_@\\][A-Za-z0-9:_.@\\-]{0,254}")  # none begins like an option
_KINDS = ("service", "socket", "target", "timer", "mount", "automount", "path", "slice", "scope", "swap", "device")
_SUFFIXES = tuple(f".{kind}" for kind in _KINDS)


def unit_name(text: object) -> str:
    """The whole name of a unit: ``nginx`` is ``nginx.service``. Raises ValueError."""
    if not isinstance(text, str) or not _UNIT.fullmatch(text):
        raise ValueError(f"{str(text)[:100]!r} is no name of a systemd unit")
    return text if text.endswith(_SUFFIXES) else f"{text}.service"
