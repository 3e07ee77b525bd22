"""What is computed from numbers that strangers send, made fit to be stored. Pure."""

from __future__ import annotations

from math import isfinite
from typing import Any

from hbd.model import Data

LARGEST_WHOLE = 1 << 53  # what every JSON reader can tell from its neighbours


def sound(data: Data) -> Data:
    """The same without numbers that JSON has no word for; whole numbers that are too large become ones with a point."""
    kept = ((name, sound(value) if isinstance(value, dict) else _number(value)) for name, value in data.items())
    return {name: value for name, value in kept if value is not None}


def _number(value: Any) -> Any:
    if isinstance(value, float) and not isfinite(value):
        return None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > LARGEST_WHOLE:
        return float(value)
    return value
