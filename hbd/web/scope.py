"""What silences and maintenance windows are about, over HTTP: who may say it, and what of it whom shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct, field

from hbd.access import Action, Verdict, may, sees_everything, visible
from hbd.accounts.shown import check_texts
from hbd.config.leaves import Wrong, read_duration
from hbd.config.yaml_source import Scalar
from hbd.errors import InvalidInput
from hbd.matching import Matcher, flaw_of_patterns, is_pattern
from hbd.model import Level
from hbd.web.call import Call

Pattern = Annotated[str, Meta(min_length=1, max_length=253)]
Patterns = Annotated[list[Pattern], Meta(max_length=100)]
PathPatterns = Annotated[list[Annotated[str, Meta(min_length=1, max_length=1000)]], Meta(max_length=100)]

ONLY_YOURS = "Without being operator, only hosts that you manage, each by its name"
ALLOWED = Verdict(True)


class Scope(Struct, forbid_unknown_fields=True, kw_only=True):
    """hosts, metrics: patterns with ``*``, ``?`` and ``[ab]``. Of each list that is given one entry has to fit."""

    hosts: Patterns = field(default_factory=list)
    tags: Patterns = field(default_factory=list)
    metrics: PathPatterns = field(default_factory=list)


def matcher(scope: Scope, levels: Sequence[Level] = ()) -> Matcher:
    """Raises InvalidInput."""
    for name, texts in (("hosts", scope.hosts), ("tags", scope.tags), ("metrics", scope.metrics)):
        for index, text in enumerate(texts):
            check_texts(**{f"{name}[{index}]": text})
        if reason := flaw_of_patterns(texts):
            raise InvalidInput(reason, name)
    if not (scope.hosts or scope.tags or scope.metrics):
        raise InvalidInput("is needed, or tags, or metrics; all hosts are *", "hosts")
    hosts, tags, metrics = (tuple(dict.fromkeys(texts)) for texts in (scope.hosts, scope.tags, scope.metrics))
    return Matcher(hosts=hosts, tags=tags, metrics=metrics, levels=tuple(dict.fromkeys(levels)))


def seconds(duration: float | str) -> float:
    """7200, ``"7200"`` or ``"2h"``. Raises InvalidInput."""
    if not isinstance(duration, str):
        return duration
    try:
        return read_duration(Scalar(1, duration))
    except Wrong:
        raise InvalidInput('expected seconds, or a duration such as "90m", "2h", "1d"', "duration") from None


def may_hold_back(call: Call, about: Matcher) -> Verdict:
    """Whether the caller may keep from being told what a matcher is about.

    Operators may for all hosts, and for such as are not there yet; others for hosts that they manage. They are told the
    same of hosts that are not theirs and of those that are not there.
    """
    verdict = may(call.identity, Action.VIEW, changes=True)
    if not verdict.allowed or sees_everything(call.identity):
        return verdict
    found = [call.parts.hosts.get(name) for name in about.exact_hosts or ()]
    mine = found and all(host and may(call.identity, Action.MANAGE, host, changes=True).allowed for host in found)
    return ALLOWED if mine else Verdict(False, ONLY_YOURS)


class Sight:
    """What the caller sees of silences and windows: those about hosts that they see, and of these no other names."""

    def __init__(self, call: Call) -> None:
        self._everything = sees_everything(call.identity)
        self._hosts = {host.name.lower(): host for host in visible(call.identity, call.parts.hosts)}

    def shows(self, about: Matcher) -> bool:
        if self._everything:
            return True
        named = self._hosts if about.exact_hosts is None else about.exact_hosts & self._hosts.keys()
        return any(about.about_host(self._hosts[name]) for name in named)

    def hosts(self, about: Matcher) -> list[str]:
        """Names and patterns, as far as there is a host behind them that the caller sees."""
        return [one for one in about.hosts if self._everything or self._sees(one)]

    def _sees(self, pattern: str) -> bool:
        if not is_pattern(pattern):
            return pattern.lower() in self._hosts
        alone = Matcher(hosts=(pattern,))
        return any(map(alone.about_host, self._hosts.values()))


def refresh(call: Call, *about: Matcher) -> None:
    """Have open pages look again at the alerts that these fit."""
    for event in call.parts.hushing.look_again(*about, hosts=call.parts.hosts):
        call.parts.feed.alert(event)
