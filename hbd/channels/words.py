"""Messages in words that read well on a lock screen. Pure. Nothing in them is ever a template."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo

from hbd.alert_state import RANK
from hbd.channels.base import Item, Kind
from hbd.model import Level

_PRESENCE = "presence"  # the paths below it are no metrics: whether a host is up, and whether it sends data
_FAMILIES = ("IPv4", "IPv6")
MAX_TITLE = 200
MAX_LINE = 300
MAX_LINES = 50

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def compose(
    items: Sequence[Item], kind: Kind = "alert", base_url: str | None = None, zone: tzinfo = UTC
) -> tuple[str, str]:
    """(title, text). base_url: of the pages, None where it is not known. zone: in which times are given."""
    if kind == "test" or not items:
        lines = ["This is a test: what this channel is told will arrive here."]
        return "Test message from hbd", "\n".join([*lines, *_links([base_url or ""])])
    if len(items) == 1:
        return headline(items[0]), "\n".join(_about(items[0], zone))
    return _count(items), "\n".join([*_list(items), *_links([f"{base_url.rstrip('/')}/alerts" if base_url else ""])])


def headline(item: Item) -> str:
    """``CRITICAL web1: CPU 95.5 > 90 for 5 min``."""
    text = f"{item.level} {plain(item.host)}: {_what(item)}"
    if item.ended and item.before not in (None, Level.OK):
        text += f" (was {item.before} for {span(item.at - item.since)})"
    if item.note:
        text += f" ({item.note})"
    return plain(text, MAX_TITLE)


def plain(text: str, limit: int = MAX_LINE) -> str:
    """text on one line without anything that does not print, cut to ``limit`` characters."""
    shown = _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def span(seconds: float) -> str:
    """How long something lasted, in its two largest units: ``12 min``, ``3 h 5 min``, ``2 d``."""
    left = max(0, round(seconds))
    parts: list[str] = []
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"


def moment(at: float, zone: tzinfo = UTC) -> str:
    """``2026-11-21 14:03:10 UTC``."""
    return datetime.fromtimestamp(at, zone).strftime("%Y-%m-%d %H:%M:%S %Z")


def _what(item: Item) -> str:
    """``CPU 95.5 > 90 for 5 min``, ``Disk space (/home) 96 > 95``: one disk, one sensor among many is named."""
    reason, name = item.reason or item.value, item.name or item.metric
    plugin, _, rest = item.metric.partition(".")
    if plugin == _PRESENCE:
        told = _liveness(rest, item.level, reason)
        return f"{told}: {reason}" if told and reason else reason or told or name
    key = rest.rpartition(".")[0] if name != item.metric else ""
    told = f"{name} ({key})" if key else name
    if not reason:
        return told
    if reason.startswith(name):
        return f"{told}{reason[len(name) :]}"
    return f"{told}{' ' if reason[0].isdigit() or reason[0] in '-<>' else ': '}{reason}"


def _liveness(what: str, level: Level, reason: str) -> str:
    """``down`` of a host, the family of one that lost one of them; of all else the reason says enough."""
    if what == "host":
        heard = reason.startswith(("heartbeat", "report", "first "))  # it may also have been removed, or told to stop
        return {Level.CRITICAL: "down", Level.WARNING: "overdue"}.get(level, "up" if heard else "")
    return what if what in _FAMILIES else ""


def _about(item: Item, zone: tzinfo) -> list[str]:
    lasted = span(item.at - item.since)
    lines = [
        _what(item),
        f"Host: {item.host}",
        f"Metric: {item.metric}",
        f"Lasted from {moment(item.since, zone)} to {moment(item.at, zone)}, {lasted}"
        if item.ended
        else f"Since {moment(item.since, zone)}",
    ]
    if not item.ended and item.before is not None and item.before is not item.level:
        lines.append(f"Was {item.before} until {moment(item.at, zone)}")
    if item.note:
        lines.append(f"Note: {item.note}")
    if item.owner:
        lines.append(f"Owner: {item.owner}")
    if item.tags:
        lines.append(f"Tags: {', '.join(item.tags)}")
    return [*map(plain, lines), *_links([item.url])]


def _count(items: Sequence[Item]) -> str:
    still = [item for item in items if not item.ended]
    over = len(items) - len(still)
    if not still:
        return plain(f"{over} problems on {_hosts(items)} recovered", MAX_TITLE)
    word = "problem" if len(still) == 1 else "problems"
    text = f"{len(still)} {word} on {_hosts(still)}"
    return plain(text + (f", {over} recovered" if over else ""), MAX_TITLE)


def _hosts(items: Sequence[Item]) -> str:
    names = {item.host.lower(): item.host for item in items}
    return plain(next(iter(names.values()))) if len(names) == 1 else f"{len(names)} hosts"


def _list(items: Sequence[Item]) -> list[str]:
    ordered = sorted(items, key=lambda item: (-RANK[item.level], item.host.lower(), item.metric))
    lines = [headline(item) for item in ordered[:MAX_LINES]]
    more = len(ordered) - len(lines)
    return [*lines, f"… and {more} more"] if more else lines


def _links(urls: Sequence[str]) -> list[str]:
    return [plain(url) for url in urls if url]
