"""What a plugin gave, made fit for the wire: plain JSON of bounded size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hbc.plugins.base import Data

KEY_CHARACTERS = 128
TEXT_CHARACTERS = 1024
MOST_VALUES = 2000
MOST_CHARACTERS = 64 * 1024  # of all keys and texts of one sample
_DROP = object()


def clean(data: Mapping[Any, Any]) -> Data:
    """The same data as plain JSON: NaN and infinities are left out, long texts and keys are cut.

    Raises ValueError naming the metric that is no number, text, boolean, null, list or one level of names, and when
    there is too much of it: more than 2000 values, or 64 kB of text.
    """
    if not isinstance(data, Mapping):
        raise ValueError(f"gave {type(data).__name__} where a mapping of metrics is needed")
    return _Cleaner().mapping(data, "", depth=0)


class _Cleaner:
    """Counts while it goes through one sample."""

    def __init__(self) -> None:
        self.values = 0
        self.characters = 0

    def mapping(self, data: Mapping[Any, Any], path: str, depth: int) -> Data:
        out: Data = {}
        for key, value in data.items():
            name = key if type(key) is str else str(key)
            if len(name) > KEY_CHARACTERS:
                name = name[:KEY_CHARACTERS]
            name = _writable(name)
            self.characters += len(name)
            kept = self.value(value, path, name, depth)
            if kept is not _DROP:
                out[name] = kept
        return out

    def value(self, value: Any, path: str, name: str, depth: int) -> Any:
        self.values += 1
        if self.values > MOST_VALUES:
            raise ValueError(f"more than {MOST_VALUES} values in one sample")
        kind = type(value)
        if kind is float:  # most values are
            return value if math.isfinite(value) else _DROP
        if kind is dict and depth == 0:
            return self.mapping(value, f"{path}{name}.", depth=1)
        if (kind is list or kind is tuple) and depth < 2:
            return self.items(value, f"{path}{name}")
        return self.scalar(value, f"{path}{name}")

    def items(self, values: list[Any] | tuple[Any, ...], path: str) -> list[Any]:
        out = []
        for index, value in enumerate(values):
            where = f"{path}[{index}]"
            kept = self.mapping(value, f"{where}.", depth=2) if type(value) is dict else self.value(value, where, "", 2)
            if kept is not _DROP:
                out.append(kept)
        return out

    def scalar(self, value: Any, path: str) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return int(value) if -(1 << 63) <= value < 1 << 63 else float(value)
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else _DROP
        if isinstance(value, str):
            text = value if len(value) <= TEXT_CHARACTERS else value[: TEXT_CHARACTERS - 1] + "…"
            self.characters += len(text)
            if self.characters > MOST_CHARACTERS:
                raise ValueError(f"more than {MOST_CHARACTERS // 1024} kB of text in one sample")
            return _writable(text)
        raise ValueError(f"{path}: {type(value).__name__} cannot be sent here; numbers, texts, booleans and lists can")


def _writable(text: str) -> str:
    """Lone surrogates, as Python makes them of undecodable file names, cannot be written as UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
