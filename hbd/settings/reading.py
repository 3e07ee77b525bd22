"""A settings file as it was read, and everything that is wrong with it, each with its line. Pure, but for zone data."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

from hbd.agent_register import checked_label, checked_tags
from hbd.config import MAX_PROBLEMS
from hbd.config.reading import Problem, Reading, around
from hbd.config.yaml_source import YamlError, parse
from hbd.errors import InvalidInput
from hbd.job_schedule import Timing
from hbd.matching import Matcher, flaw_of_patterns
from hbd.model import Level
from hbd.schedule import Window as Times
from hbd.schedule import WindowTexts
from hbd.settings.document import FORMAT, Host, Job, Route, Settings, Silence, Window

Thing = TypeVar("Thing")

MOST_PROBLEMS = 1000
"""that are looked for"""
LONGEST_SCOPE = 100
LONGEST_AFTER = 30 * 86_400.0
LONGEST_SILENCE = 366 * 86_400.0


class TooManyProblems(Exception):
    """There are more than anybody would read; what was found is told."""


class _Reading(Reading):
    """cut: there were more problems."""

    cut = False

    def problem(self, line: int, key: str, reason: str) -> Any:
        if len(self.problems) == MOST_PROBLEMS:
            self.cut = True
            raise TooManyProblems
        return super().problem(line, key, reason)


class SettingsFile:
    """settings: what could be read; what has a problem is at its default, or missing. Nothing where there are too many
    problems."""

    def __init__(self, name: str, text: str) -> None:
        """name: what messages call the file. Never raises: what is wrong is among ``problems``."""
        self._name = name
        self._reading = _Reading(folder=Path("/"))
        self.settings = Settings()
        try:
            root = parse(text)
        except YamlError as error:
            self._reading.problems.append(Problem(error.line, "yaml", error.reason))
            return
        if root is None:
            self.problem("file", "it is empty")
            return
        try:
            self.settings = self._reading.read(Settings, root)
            self._check()
        except TooManyProblems:
            self.settings = Settings()

    def problem(self, key: str, reason: str) -> None:
        """Raises TooManyProblems."""
        self._reading.problem(self._line(key), key, reason)

    def is_bad(self, key: str) -> bool:
        """Whether something in it has a problem."""
        return self._reading.is_bad(key)

    @property
    def problems(self) -> list[str]:
        """``file:line: key: reason``, in the order of the file."""
        ordered = sorted(self._reading.problems, key=lambda problem: problem.line)
        told = [f"{self._name}:{line}: {key}: {reason}" for line, key, reason in ordered[:MAX_PROBLEMS]]
        count = f"{'more than ' if self._reading.cut else ''}{len(ordered)}"
        return told + ([f"{self._name}: {count} problems in all"] if ordered[MAX_PROBLEMS:] else [])

    def _line(self, key: str) -> int:
        """Where a key stands, else the first of those in it, else what it would stand in."""
        for place in around(key):
            if (line := self._reading.lines.get(place) or self._first_lines.get(place)) is not None:
                return line
        return 1

    @cached_property
    def _first_lines(self) -> dict[str, int]:
        """Where the first of those in a key stands."""
        first: dict[str, int] = {}
        for key, line in self._reading.lines.items():
            for place in around(key):
                if place in first and first[place] <= line:
                    break  # and so it is with all that this one stands in
                first[place] = line
        return first

    # -------------------------------------------------------------------------------------------------------- checks

    def _check(self) -> None:
        """What the shape does not say."""
        settings = self.settings
        if settings.version != FORMAT and not self.is_bad("version"):
            found = "it is needed" if settings.version is None else f"this is {settings.version}"
            self.problem("version", f"{found}; this hbd reads version {FORMAT}")
        for name, host in (settings.hosts or {}).items():
            self._check_host(f"hosts.{name}", host)
        self._check_each("notification_routes", settings.routes, self._check_route)
        self._check_each("maintenance", settings.maintenance, self._check_window)
        self._check_each("silences", settings.silences, self._check_silence)

    def _check_each(self, key: str, things: Sequence[Thing] | None, check: Callable[[str, Thing], None]) -> None:
        if not self.is_bad(key):  # else places in the list are not those in the file
            for index, thing in enumerate(things or ()):
                check(f"{key}[{index}]", thing)

    def _check_host(self, key: str, host: Host) -> None:
        self._try(key, lambda: checked_label(host.label))
        self._try(key, lambda: checked_tags(host.tags))
        for name, job in host.jobs.items():
            self._check_job(f"{key}.jobs.{name}", job)

    def _check_job(self, key: str, job: Job) -> None:
        if not self.is_bad(key):
            self._try(key, lambda: timing_of(job))
            self._try(key, lambda: ping_id_of(job))

    def _check_route(self, key: str, route: Route) -> None:
        self._require(key, route, "name", "channels")
        self._check_scope(key, route, may_be_all=True)
        if route.after > LONGEST_AFTER:
            self.problem(f"{key}.after", "at most 30 days")

    def _check_window(self, key: str, window: Window) -> None:
        self._check_scope(key, window)
        if self._require(key, window, "name", "start", "duration"):
            self._try(key, lambda: times_of(window))

    def _check_silence(self, key: str, silence: Silence) -> None:
        self._check_scope(key, silence)
        if self._require(key, silence, "reason", "starts", "ends"):
            assert silence.starts is not None and silence.ends is not None
            if silence.ends <= silence.starts:
                self.problem(f"{key}.ends", "it would be over before it begins")

    def _check_scope(self, key: str, scope: Scope, *, may_be_all: bool = False) -> None:
        for name, texts in (("hosts", scope.hosts), ("tags", scope.tags), ("metrics", scope.metrics)):
            if len(texts) > LONGEST_SCOPE:
                self.problem(f"{key}.{name}", f"at most {LONGEST_SCOPE} are taken")
            elif reason := flaw_of_patterns(texts):
                self.problem(f"{key}.{name}", reason)
        if not may_be_all and not (scope.hosts or scope.tags or scope.metrics):
            self.problem(f"{key}.hosts", "is needed, or tags, or metrics; all hosts are '*'")

    def _require(self, key: str, thing: object, *names: str) -> bool:
        missing = [name for name in names if getattr(thing, name) in (None, ())]
        for name in missing:
            self.problem(f"{key}.{name}", "is needed")
        return not missing

    def _try(self, key: str, read: Callable[[], object]) -> None:
        try:
            read()
        except InvalidInput as wrong:
            self.problem(f"{key}.{wrong.field}" if wrong.field else key, wrong.reason)


class Scope(Protocol):
    """What routes, windows and silences say alike of what they are about."""

    @property
    def hosts(self) -> tuple[str, ...]: ...
    @property
    def tags(self) -> tuple[str, ...]: ...
    @property
    def metrics(self) -> tuple[str, ...]: ...


def matcher_of(scope: Scope, levels: Sequence[str] = ()) -> Matcher:
    hosts, tags, metrics = (tuple(dict.fromkeys(texts)) for texts in (scope.hosts, scope.tags, scope.metrics))
    return Matcher(hosts=hosts, tags=tags, metrics=metrics, levels=tuple(map(Level, dict.fromkeys(levels))))


def times_of(window: Window) -> Times:
    """Raises InvalidInput."""
    assert window.start is not None and window.duration is not None
    texts = (window.start, window.duration, window.timezone, window.repeat, tuple(dict.fromkeys(window.days)))
    return Times.read(WindowTexts(*texts, window.until))


def timing_of(job: Job) -> Timing:
    """Raises InvalidInput."""
    cron = " ".join(job.cron.split())
    return Timing.read(period=job.period, grace=job.grace, cron=cron, timezone=job.timezone)


def ping_id_of(job: Job) -> str | None:
    """As calls have it. Raises InvalidInput."""
    if job.ping_id is None:
        return None
    try:
        return str(uuid.UUID(job.ping_id.reveal()))
    except ValueError:
        raise InvalidInput("expected 36 characters such as 1b4e28ba-2fa1-11d2-883f-0016d3cca427", "ping_id") from None
