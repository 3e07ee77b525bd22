"""A sample's names apart from its values. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from hbd.model import Data

# The names of a sample in their order; a nested one is a pair of its name and the shape below it.
Shape: TypeAlias = tuple["str | tuple[str, Shape]", ...]


def flatten(data: Data) -> tuple[Shape, list[Any]]:
    """A sample's names and its values, both in order. Raises RecursionError when it is nested too deeply."""
    values = list(data.values())
    if dict not in map(type, values):
        return tuple(data), values
    names: list[str | tuple[str, Shape]] = []
    values = []
    for name, value in data.items():
        if type(value) is dict:
            below, values_below = flatten(value)
            names.append((name, below))
            values += values_below
        else:
            names.append(name)
            values.append(value)
    return tuple(names), values


def unflatten(shape: Shape, values: Iterator[Any]) -> Data:
    """The sample that ``flatten`` took apart."""
    if tuple not in map(type, shape):
        return dict(zip(shape, values, strict=False))  # type: ignore[arg-type]  # only text; values may go on
    return {
        name if isinstance(name, str) else name[0]: next(values)
        if isinstance(name, str)
        else unflatten(name[1], values)
        for name in shape
    }


def paths_of(shape: Shape, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The names of every value of such a sample, in the order of its values."""
    for name in shape:
        if isinstance(name, str):
            yield (*above, name)
        else:
            yield from paths_of(name[1], (*above, name[0]))
