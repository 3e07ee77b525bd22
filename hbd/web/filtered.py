"""Long lists of a page: filtered by words of the URL, and shown in parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import urlencode

from hbd.web.call import Call

ROWS = 200  # of a table; the filter and links lead to the rest
MAX_WORDS = 100  # characters of a filter
MAX_DIGITS = 18  # a number that a database can hold


class Filtered(NamedTuple):
    """A part of a long list. first: the index of its first row; before, after: where the other parts are."""

    q: str
    total: int
    matching: int
    first: int
    before: str | None
    after: str | None


def words(call: Call) -> list[str]:
    return call.request.query.get("q", "")[:MAX_WORDS].lower().split()


def fits(wanted: Iterable[str], texts: Iterable[str]) -> bool:
    """Whether every word is in one of the texts."""
    text = "\n".join(texts).lower()
    return all(word in text for word in wanted)


def filtered(call: Call, path: str, total: int, matching: int, kept: Mapping[str, str] | None = None) -> Filtered:
    """The part that the URL asks for. kept: what else of the URL the links to other parts repeat."""
    q = call.request.query.get("q", "")[:MAX_WORDS].strip()
    first = min(number(call, "from") or 0, max(0, matching - 1)) // ROWS * ROWS

    def link(start: int) -> str:
        return f"{path}?" + urlencode({**(kept or {}), **({"q": q} if q else {}), "from": start})

    return Filtered(
        q=q,
        total=total,
        matching=matching,
        first=first,
        before=link(first - ROWS) if first else None,
        after=link(first + ROWS) if first + ROWS < matching else None,
    )


def number(call: Call, name: str) -> int | None:
    """A whole number of the query that a database can hold; None for anything else."""
    text = call.request.query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else None
