"""What Grafana writes for what somebody chose there: variables, times, intervals, filters. Pure."""

from __future__ import annotations

import itertools
import math
import re
import statistics
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct, field

from hbd.errors import InvalidInput
from hbd.web import history

MOST_VALUES = 5_000  # that one field may stand for
MOST_LISTED = 2_000  # texts in one list
MOST_GROUPS = 100  # of choices in one text
MOST_LETTERS = 2_000_000  # of all that the texts of one request stand for
LETTERS_OF_PART = 16  # what one more part takes, or one more name behind a comma, as if it were so many letters
MILLISECONDS_FROM = 1e11  # a number of seconds this large would be in the year 5138

TOO_MANY = f"stands for more than {MOST_VALUES:,} values, or for too long ones"
TOO_MUCH = "stands for too much, with what else is asked for"

_GROUP = re.compile(r"(?<!\\)(?:\(((?:[^()\\]++|\\.)*+)\)|\{((?:[^{}\\]++|\\.)*+)\})", re.DOTALL)
_CHOICES = {"|": re.compile(r"(?:[^|\\]++|\\.)++", re.DOTALL), ",": re.compile(r"(?:[^,\\]++|\\.)++", re.DOTALL)}
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_MILLISECONDS = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)(?:ms)?")


class Filter(Struct):
    """An ad hoc filter, as it is sent. values: of the operators that compare with several."""

    key: str
    operator: str = "="
    value: str = ""
    values: Annotated[list[str], Meta(max_length=MOST_LISTED)] = field(default_factory=list)


class Condition(NamedTuple):
    """What a host has to be: named, or tagged, by one of these, or by none. values: in lower case."""

    key: str
    values: frozenset[str]
    none: bool

    def fits(self, name: str, tags: Sequence[str]) -> bool:
        of_host = [name.lower()] if self.key == "host" else [tag.lower() for tag in tags]
        return self.values.isdisjoint(of_host) is self.none


class Budget:
    """What the texts of one request may still stand for, all of them together, so that reading them takes no time."""

    def __init__(self, letters: int = MOST_LETTERS) -> None:
        self._left = letters

    def spend(self, letters: int) -> None:
        """Raises InvalidInput when there are no more so many."""
        if letters > self._left:
            raise InvalidInput(TOO_MUCH)
        self._left -= letters


def chosen(text: str, budget: Budget) -> list[str]:
    """The texts that one stands for: ``web1``; ``(web1|web2)`` and ``{web1,web2}``, as Grafana writes a variable
    with several values, also as a part: ``disk_monitor.(\\/|\\/home).percent``; with a backslash before signs.

    Raises InvalidInput, before any of them is made."""
    parts: list[list[str]] = []
    end = 0
    for number, group in enumerate(_GROUP.finditer(text)):
        if number == MOST_GROUPS:
            raise InvalidInput(f"at most {MOST_GROUPS} groups of choices in one text")
        parts.append([text[end : group.start()]])
        by, inner = ("|", group[1]) if group[1] is not None else (",", group[2])
        parts.append(list(dict.fromkeys(_CHOICES[by].findall(inner))) or [""])
        end = group.end()
    parts.append([text[end:]])
    parts = [part for part in parts if part != [""]]
    count = math.prod(map(len, parts))
    if count > MOST_VALUES:
        raise InvalidInput(TOO_MANY)
    budget.spend(count * sum(max(map(_weight, part)) for part in parts))
    return [_ESCAPED.sub(itemgetter(1), "".join(choice)) for choice in itertools.product(*parts)]


def names(texts: str | Sequence[str], name: str, budget: Budget) -> list[str]:
    """Names and patterns of hosts, or tags, each once. name: of the field, for the error. Raises InvalidInput."""
    found: dict[str, None] = {}
    for text in [texts] if isinstance(texts, str) else texts:
        values = _chosen(text, name, budget)
        found |= dict.fromkeys(each.strip() for value in values for each in value.split(",") if each.strip())
        if len(found) > MOST_VALUES:
            raise InvalidInput(TOO_MANY, name)
    return list(found)


def metrics(text: str, name: str, budget: Budget, *, several: bool) -> list[str]:
    """Patterns of metrics: what a text says as it stands, as a mount may well have signs in its name, and all that it
    stands for. several: it may be some of them with commas. Raises InvalidInput."""
    literal = text.split(",") if several else [text]
    values = [value for value in _chosen(text, name, budget) if not (several and "," in value)]
    found = list(dict.fromkeys(each for each in (*literal, *values) if "." in each))
    if not found:
        raise InvalidInput("expected a metric_path such as cpu_monitor.cpu_percent", name)
    if len(found) > history.MAX_METRICS:
        raise InvalidInput(f"at most {history.MAX_METRICS} at once", name)
    return found


def moment(said: str | float, now: float, name: str) -> float:
    """Unix seconds of milliseconds since 1970, ISO 8601, ``now`` or ``now-6h``; seconds are taken too."""
    text = str(said)
    try:
        number = float(text)
    except ValueError:
        return history.moment(text, now, name)
    return history.moment(str(number / 1000 if number >= MILLISECONDS_FROM else number), now, name)


def interval(text: str, name: str) -> float:
    """Seconds of ``30s``, ``5m``, ``500ms``, or of a number of milliseconds."""
    if (match := _MILLISECONDS.fullmatch(text)) is not None:
        return float(match[1]) / 1000
    return history.duration(text, name)


def with_gaps(points: Sequence[tuple[float, float]], step: float) -> Iterator[tuple[float, float | None]]:
    """Points (Unix seconds, value), oldest first, with None where nothing is known.

    step: seconds of a point; 0: each is a sample. What comes every five minutes has no gap after each.
    """
    apart = [after - before for (before, _), (after, _) in itertools.pairwise(points)]
    reach = max(step, 3 * statistics.median(apart)) if apart else 0.0
    before: float | None = None
    for time, value in points:
        if before is not None and time - before > reach:
            yield before + (step or reach / 3), None
        yield time, value
        before = time


def conditions(filters: Iterable[Filter]) -> list[Condition]:
    """What ad hoc filters say. Raises InvalidInput."""
    found = []
    for number, each in enumerate(filters):
        if each.key not in ("host", "tag"):
            raise InvalidInput("host and tag are known", f"adhocFilters[{number}].key")
        if each.operator not in ("=", "!=", "=|", "!=|"):
            raise InvalidInput("=, !=, =| and !=| are known", f"adhocFilters[{number}].operator")
        values = frozenset(value.lower() for value in each.values or [each.value])
        found.append(Condition(each.key, values, each.operator.startswith("!")))
    return list(dict.fromkeys(found))


def _weight(text: str) -> int:
    return len(text) + LETTERS_OF_PART * (1 + text.count(","))


def _chosen(text: str, name: str, budget: Budget) -> list[str]:
    try:
        return chosen(text, budget)
    except InvalidInput as error:
        raise InvalidInput(error.reason, name) from None
