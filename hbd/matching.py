"""Which metrics of which hosts something is about; silences, maintenance windows and routes say it this way. Pure."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Protocol

from msgspec import Struct

from hbd.model import Level

WILD = frozenset("*?[")
MOST_WILD = 10  # in one pattern
MOST_LETTERS = 2_000  # of all patterns of a list


class Tagged(Protocol):
    """What matching needs to know of a host."""

    name: str

    @property
    def tags(self) -> Sequence[str]: ...


class Matcher(Struct, frozen=True, kw_only=True, dict=True):
    """Fits what fits each of its lists; of a list one entry is enough, and an empty one says nothing.

    hosts: patterns of names. tags: a host has one of them. metrics: patterns of metric_path. levels: what is told.
    In patterns ``*`` is any text, ``?`` any letter, ``[ab]`` one of these. Upper and lower case are the same.
    """

    hosts: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    levels: tuple[Level, ...] = ()

    def matches(self, host: Tagged, path: str, level: Level) -> bool:
        """Whether it is about a metric of a host that stands at that level."""
        return self.about_metric(path, level) and self.about_host(host)

    def about_host(self, host: Tagged) -> bool:
        """Whether it is about anything of a host."""
        if not _fits(host.name, self._host_names, self._hosts):
            return False
        return not self._tags or any(tag.lower() in self._tags for tag in host.tags)

    def about_metric(self, path: str, level: Level) -> bool:
        """Whether it is about a metric at that level, wherever that is."""
        if self.levels and level not in self.levels:
            return False
        return _fits(path, self._metric_names, self._metrics)

    @cached_property
    def exact_hosts(self) -> frozenset[str] | None:
        """Lower-case names of all hosts that it may be about; None: only asking tells."""
        if not self.hosts or any(is_pattern(name) for name in self.hosts):
            return None
        return frozenset(name.lower() for name in self.hosts)

    @cached_property
    def _host_names(self) -> frozenset[str]:
        return _names(self.hosts)

    @cached_property
    def _hosts(self) -> re.Pattern[str] | None:
        return _one_of(self.hosts)

    @cached_property
    def _metric_names(self) -> frozenset[str]:
        return _names(self.metrics)

    @cached_property
    def _metrics(self) -> re.Pattern[str] | None:
        return _one_of(self.metrics)

    @cached_property
    def _tags(self) -> frozenset[str]:
        return frozenset(tag.lower() for tag in self.tags)


def is_pattern(text: str) -> bool:
    """Whether it may stand for more than the one name that it is."""
    return not WILD.isdisjoint(text)


def flaw_of_patterns(texts: Sequence[str]) -> str:
    """Why a list is not taken, "" when it is: it takes the daemon too long to get it ready."""
    patterns = [text for text in texts if is_pattern(text)]
    if any(sum(map(pattern.count, WILD)) > MOST_WILD for pattern in patterns):
        return f"at most {MOST_WILD} of * ? [ are taken in one pattern"
    if sum(map(len, patterns)) > MOST_LETTERS:
        return f"these patterns are too long; at most {MOST_LETTERS} characters are taken together"
    return ""


def _fits(text: str, names: frozenset[str], patterns: re.Pattern[str] | None) -> bool:
    if patterns is not None and patterns.fullmatch(text) is not None:
        return True
    return text.lower() in names if names else patterns is None


def _names(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(text.lower() for text in texts if not is_pattern(text))


def _one_of(texts: Iterable[str]) -> re.Pattern[str] | None:
    patterns = [fnmatch.translate(text) for text in texts if is_pattern(text)]
    return re.compile("|".join(patterns), re.IGNORECASE) if patterns else None
