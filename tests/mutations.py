"""Reports as nobody means to send them: good ones with something wrong put in, the same for the same seed."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

import msgspec

ODD: tuple[Any, ...] = (
    None, True, False, 0, -0.0, -1, 1, 0.5, 99.99, 100, 100.0000001, 101, 1e-320, 1e308, -1e308, 1 << 31, 1 << 63,
    (1 << 64) - 1, 1 << 64, 10**40, 10**400, float("nan"), float("inf"), float("-inf"),
    "", " ", "0", "50G", "-", "NaN", "1e5", "\0", "\x1b[2J", "\ud800", "é" * 40, "🧨", "x" * 300, "x" * 5000, "../..",
    [], [[]], [None], {}, {"": 1}, {"a": {"b": {"c": {"d": 1}}}}, [1, 2, 3], ["a", "b", 1, 2], [0] * 200,
)  # fmt: skip

Place = tuple[Any, Any]
"""a mapping or list, and a key or index in it"""


def mutated(report: dict[str, Any], chance: random.Random) -> bytes:
    """A report with up to four things wrong in it; one in twenty has none, and some are no JSON afterwards."""
    body = msgspec.json.encode(report)
    if chance.random() < 0.05:
        return body
    changed = msgspec.json.decode(body)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        if changed:
            chance.choice(CHANGES)(changed, _place(changed, chance), chance)
    body = json.dumps(changed).encode()
    return _bytes_changed(body, chance) if chance.random() < 0.1 else body


def _place(report: dict[str, Any], chance: random.Random) -> Place:
    """Some place in a report, however deep."""
    inside: Any = report
    while True:
        key = chance.choice(list(inside)) if isinstance(inside, dict) else chance.randrange(len(inside))
        below = inside[key]
        if not (isinstance(below, dict | list) and below and chance.random() < 0.8):
            return inside, key
        inside = below


def _replace(report: Any, place: Place, chance: random.Random) -> None:
    place[0][place[1]] = copy.deepcopy(chance.choice(ODD))


def _nudge(report: Any, place: Place, chance: random.Random) -> None:
    """A value near to the good one, which may still be good."""
    inside, key = place
    if isinstance(inside[key], int | float) and abs(inside[key]) < 1e300:
        inside[key] = inside[key] * chance.choice((-1, 0.999, 1.001, 2, 100)) + chance.choice((-1, 0, 1, 0.5))
    elif isinstance(inside[key], str):
        inside[key] += chance.choice(("", " ", "x", "\n", "%", "é"))


def _remove(report: Any, place: Place, chance: random.Random) -> None:
    del place[0][place[1]]


def _repeat(report: Any, place: Place, chance: random.Random) -> None:
    inside, key = place
    if isinstance(inside[key], list):
        inside[key] = inside[key] * chance.choice((2, 10, 150))


def _swap(report: Any, place: Place, chance: random.Random) -> None:
    inside, key = place
    inside[key], report["cpu"] = copy.deepcopy(report.get("cpu")), inside[key]


def _add(report: Any, place: Place, chance: random.Random) -> None:
    if isinstance(place[0], dict):
        name = chance.choice(("", "x", "agent_key2", "__proto__", "é", "k" * 400))
        place[0][name] = copy.deepcopy(chance.choice(ODD))


def _wrap(report: Any, place: Place, chance: random.Random) -> None:
    inside, key = place
    for _ in range(chance.choice((1, 20))):
        inside[key] = [inside[key]]


CHANGES: tuple[Callable[[Any, Place, random.Random], None], ...] = (
    _replace, _replace, _replace, _nudge, _nudge, _remove, _repeat, _swap, _add, _wrap,
)  # fmt: skip


def _bytes_changed(body: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(body))
    match chance.randrange(5):
        case 0:
            return body[:at]
        case 1:
            return body[:at] + bytes([chance.randrange(256)]) + body[at + 1 :]
        case 2:
            return body[:at] + body[at : at + 40] + body[at:]
        case 3:
            return b"[" * 3000 + body
    return b"\xef\xbb\xbf" + body


def mutated_line(line: bytes, chance: random.Random) -> bytes:
    """One line of text with some bytes of it changed; it stays one line."""
    for _ in range(chance.choice((1, 1, 3))):
        at = chance.randrange(len(line) + 1)
        odd = chance.choice(
            (b"", b" ", b",", b"=", b'"', b"\\", b"-", b"9" * 30, b"\xff", b"i", b"NaN", b"x" * 300, b"\0")
        )
        line = line[:at] + odd + line[at + chance.choice((0, 1, 5)) :]
    return line.replace(b"\n", b" ")
