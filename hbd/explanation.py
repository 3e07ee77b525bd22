"""Why a metric of a host has the level that it has, for programs and in sentences. Pure.

``hbd.explain`` gathers what is known; here it is put together.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any

from msgspec import Struct, field

from hbd.alert_state import RANK, TIMED, Alert, AlertEvent, spell
from hbd.alerts import PRESENCE
from hbd.config import Config, Layer
from hbd.config.structs import Threshold
from hbd.model import Data, Level, Sample
from hbd.rules import SHIPPED, HostRules, Rule, RuleBook
from hbd.watch_rules import SOURCE as OF_PROCESS

_CHANGES_TOLD = 5
_WORDS = {">": "is above", ">=": "is at least", "<": "is below", "<=": "is at most", "==": "is", "!=": "is not"}


class Candidate(Struct, kw_only=True):
    """A threshold that fits the metric. pattern: its names with dots; applies: whether it is what is judged by.

    config: the name in ``threshold_configs``, or that of what hbd ships. hold and keep_firing_for are seconds.
    """

    config: str
    pattern: str
    warning: float | None
    critical: float | None
    operator: str
    hysteresis: float
    hold: float = field(name="for")
    keep_firing_for: float
    enabled: bool
    applies: bool
    why: str
    """why it counts, or does not"""


class ConfigLayer(Struct):
    """A threshold config that holds for the host. because: the key of the config file that says so, or empty."""

    config: str
    because: str


class Seen(Struct):
    """The newest sample of that time. value: null when it does not have the metric as a number."""

    time: float
    value: float | None


class Standing(Struct, kw_only=True):
    """What was told of the metric at that time. Times are Unix seconds.

    pending, clearing: the level that follows if all stays as it is, and when; known of now alone.
    """

    level: Level
    since: float
    reason: str
    value: float | None
    problem: str
    rule: str = ""
    pending: Level | None = None
    pending_since: float | None = None
    pending_until: float | None = None
    clearing_since: float | None = None
    clearing_until: float | None = None
    flapping: bool = False
    acknowledged_by: str | None = None
    note: str = ""
    """of who acknowledged it"""
    held: str = ""
    """why nothing is sent of it for now, in words"""


class Change(Struct):
    """One change of what was told."""

    time: float
    before: Level
    after: Level
    value: float | None
    reason: str
    problem: str


class NoticeState(Struct, kw_only=True):
    """One channel and the problem. told: null when it was told nothing; next: when more will be sent, Unix seconds."""

    channel: str
    why: str
    wanted: Level
    told: Level | None = None
    told_at: float | None = None
    count: int = 0
    held: str = ""
    dead: str = ""
    next: float | None = None


class DeliveryEntry(Struct):
    """A line of the delivery log about this metric."""

    time: float
    channel: str
    outcome: str
    title: str
    detail: str


class Explanation(Struct, kw_only=True):
    """Everything about one metric of a host at one time. rules: those that fit, the one that counts first.

    similar: metrics of the host with such a name, where nothing is known of this one. text: the same in sentences.
    """

    hostname: str
    metric_path: str
    at: float
    layers: list[ConfigLayer]
    rules: list[Candidate]
    sample: Seen | None
    alert: Standing | None
    events: list[Change]
    notices: list[NoticeState] | None
    """null when that is not known, as where no daemon is running"""
    deliveries: list[DeliveryEntry]
    similar: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)


# ------------------------------------------------------------------------------------------------------------- parts


def candidates(config: Config, layers: Sequence[Layer], path: str, own: HostRules | None = None) -> list[Candidate]:
    """All thresholds that fit a metric_path, also those of configs that do not hold for the host.

    own: all rules of the host, where it has more than its configs give.
    """
    if path.startswith(f"{PRESENCE}."):
        return []
    book, names = RuleBook(config.threshold_configs), tuple(layer.config for layer in layers)
    fitting = (own or book.of(names)).explain(path)
    found = [_candidate(rule, fitting[0]) for rule in fitting]
    for name in dict.fromkeys(["default", *config.threshold_configs]):
        if name not in names:
            found += [_candidate(rule, None) for rule in book.of((name,)).explain(path)]
    return found


def _candidate(rule: Rule, winner: Rule | None) -> Candidate:
    """winner: the rule that counts; None: this one is of a config that does not hold for the host."""
    threshold = rule.threshold
    if winner is None:
        why = "its config does not hold for this host"
    elif rule is winner:
        why = "it counts" if threshold.enabled else "it counts, and switches the threshold off"
    elif rule.pattern == winner.pattern:
        why = f"{winner.source} says otherwise, and is the stronger config"
    else:
        why = f"{'.'.join(winner.pattern)} of {winner.source} is more precise"
    return Candidate(
        config=rule.source,
        pattern=".".join(rule.pattern),
        warning=threshold.warning,
        critical=threshold.critical,
        operator=threshold.operator,
        hysteresis=threshold.hysteresis,
        hold=threshold.hold,
        keep_firing_for=threshold.keep_firing_for,
        enabled=threshold.enabled,
        applies=rule is winner and threshold.enabled,
        why=why,
    )


def value_in(sample: Sample, path: str) -> float | None:
    """The number that a sample has for a metric_path, None when it has none."""
    rest = path.removeprefix(f"{sample.plugin}.")
    found: Any = sample.data.get(rest)
    if found is None:
        found = next((inner for inner in _inner(sample.data, rest)), None)
    if isinstance(found, bool | int | float) and isfinite(found):
        return float(found)
    return None


def _inner(data: Data, rest: str) -> Iterable[Any]:
    for key, values in data.items():
        if isinstance(values, dict) and rest.startswith(f"{key}."):
            metric = rest.removeprefix(f"{key}.")
            if metric in values:
                yield values[metric]


def level_of(
    config: Config, layers: Sequence[Layer], sample: Sample, path: str, own: HostRules | None = None
) -> Level | None:
    """The level that the value has by itself, without what was before; None when it is not judged. own: see above."""
    rules = own or RuleBook(config.threshold_configs).of(tuple(layer.config for layer in layers))
    verdicts = rules.judge(sample.plugin, sample.data, lambda path: Level.OK)
    return next((verdict.level for verdict in verdicts if verdict.path == path), None)


def standing_now(alert: Alert) -> Standing:
    pending, pending_since = alert.pending or (None, None)
    ends = {
        level: timer.wall + timer.span
        for level, timer in zip(TIMED, alert.told.timers, strict=False)
        if timer is not None
    }
    return Standing(
        level=alert.level,
        since=alert.since,
        reason=alert.reason,
        value=alert.value,
        problem=alert.problem,
        rule=alert.source,
        pending=pending,
        pending_since=pending_since,
        pending_until=ends[pending] if pending is not None else None,
        clearing_since=alert.clearing,
        clearing_until=ends[alert.level] if alert.clearing is not None else None,
        flapping=alert.flapping,
    )


def standing_then(event: AlertEvent) -> Standing:
    """What was told after a change, and before the next one."""
    return Standing(
        level=event.after,
        since=event.at,
        reason=event.reason,
        value=event.value,
        problem=event.problem if event.is_open else "",
        flapping=event.flapping in ("begins", "goes on"),
    )


# ------------------------------------------------------------------------------------------------------------- words


def sentences(found: Explanation, level_by_value: Level | None, now: float) -> list[str]:
    """What a tired person wants to read first comes first. level_by_value: of the sample, without what was before."""
    past = found.at < now - 1.0
    return [
        *_told_of(found, past, now),
        *_measured(found, past),
        *_ruled(found, level_by_value, past),
        *_messages(found),
        *_changes(found),
    ]


def _told_of(found: Explanation, past: bool, now: float) -> Iterable[str]:
    name, alert = f"{found.metric_path} of {found.hostname}", found.alert
    if past:
        yield f"This is about {when(found.at)}; the thresholds are those of now."
    if alert is None:
        if found.metric_path.startswith(f"{PRESENCE}."):
            yield f"Nothing is known of {name}: it was not heard, or nobody watches it."
        elif any(rule.applies for rule in found.rules):
            yield f"{name} was not judged so far: there is a threshold, and no value came in."
        else:
            yield f"{name} is not judged: no threshold counts for it."
        if found.similar:
            yield f"What is judged of {found.hostname} and called alike: {', '.join(found.similar)}."
        return
    verb, ago = ("was", found.at) if past else ("is", now)
    reason = f": {alert.reason}" if alert.reason else ""
    yield f"{name} {verb} {alert.level} since {when(alert.since)}, for {lasted(ago - alert.since)}{reason}."
    if alert.pending is not None and alert.pending_since is not None and alert.pending_until is not None:
        yield (
            f"It has been bad enough for {alert.pending} since {when(alert.pending_since)}, "
            f"and becomes {alert.pending} at {when(alert.pending_until)} if it stays so."
        )
    if alert.clearing_since is not None and alert.clearing_until is not None:
        yield (
            f"The cause is gone since {when(alert.clearing_since)}; "
            f"the level drops at {when(alert.clearing_until)} if it stays so."
        )
    if alert.flapping:
        yield "It changes too often: until it has calmed down, one message stands for all."
    if alert.acknowledged_by is not None:
        note = f" ({alert.note})" if alert.note else ""
        yield f"{alert.acknowledged_by or 'Somebody'} has acknowledged it{note}, until it is over or gets worse."
    if alert.held:
        yield f"Nothing is sent of it for now: {alert.held}."


def _measured(found: Explanation, past: bool) -> Iterable[str]:
    if found.metric_path.startswith(f"{PRESENCE}."):
        yield "It has no value: what counts is how long the host, or one family of its addresses, was silent."
    elif found.sample is None:
        yield "No sample of it is kept" + (" from before that time." if past else ".")
    elif found.sample.value is None:
        yield f"The newest sample, of {when(found.sample.time)}, does not have it as a number."
    else:
        yield f"The newest sample, of {when(found.sample.time)}, has {number(found.sample.value)}."


def _ruled(found: Explanation, level: Level | None, past: bool) -> Iterable[str]:
    rule = next((rule for rule in found.rules if rule.why.startswith("it counts")), None)
    if rule is None:
        if found.rules:
            names = sorted({rule.config for rule in found.rules})
            yield f"Thresholds that would fit are in configs that do not hold for this host: {', '.join(names)}."
        return
    source = _source(rule.config, found.layers)
    if not rule.enabled:
        yield f"The threshold {rule.pattern} of {source} counts, and switches it off (enabled: false)."
        return
    yield f"The threshold {rule.pattern} of {source} counts: {limits(rule)}."
    if level is not None and found.sample is not None and found.sample.value is not None:
        yield f"By this value alone it {'was' if past else 'is'} {level}."
    alert = found.alert
    if alert is not None and level is not None and alert.level is not level:
        if RANK[level] < RANK[alert.level] and rule.hysteresis:
            yield f"It drops only when the value has fallen back by {rule.hysteresis:.0%} of the limit (hysteresis)."
        elif RANK[level] > RANK[alert.level] and alert.pending is None and not past:
            yield "That sample came late, or has not been judged yet."


def _source(config: str, layers: Sequence[ConfigLayer]) -> str:
    if config == SHIPPED:
        return "those that hbd ships"
    if config == OF_PROCESS:
        return "the watched process itself"
    because = next((layer.because for layer in layers if layer.config == config), "")
    return f"the config {config}" + (f" (from {because})" if because else "")


def limits(threshold: Candidate | Threshold) -> str:
    """``WARNING when it is above 85, CRITICAL when it is above 95, after 5 min``."""
    if threshold.operator == "nagios":
        text = "the value is the level itself"
    else:
        said = ((Level.WARNING, threshold.warning), (Level.CRITICAL, threshold.critical))
        word = _WORDS[threshold.operator]
        text = ", ".join(f"{level} when it {word} {number(limit)}" for level, limit in said if limit is not None)
    if threshold.hold:
        text += f", after {spell(threshold.hold)} without a break"
    if threshold.keep_firing_for:
        text += f", and for {spell(threshold.keep_firing_for)} longer"
    return text


def _messages(found: Explanation) -> Iterable[str]:
    if found.notices is None:
        return
    if not found.notices and found.alert is not None and found.alert.problem:
        yield "No channel is to be told of it: neither its people nor a route name one."
    for notice in found.notices:
        told = "was told nothing yet"
        if notice.told is not None and notice.told_at is not None:
            times = "once" if notice.count == 1 else f"{notice.count} times"
            told = f"was told {notice.told} at {when(notice.told_at)} ({times} in all)"
        rest = ""
        if notice.dead:
            rest = f"; nothing more is tried: {notice.dead}"
        elif notice.held:
            rest = f"; {notice.wanted} is not told for now: {notice.held}"
        elif notice.told is not notice.wanted:
            rest = f"; {notice.wanted} is to be told" + (f" at {when(notice.next)}" if notice.next else "")
        yield f"Channel {notice.channel} ({notice.why}) {told}{rest}."


def _changes(found: Explanation) -> Iterable[str]:
    for change in found.events[:_CHANGES_TOLD]:
        reason = f": {change.reason}" if change.reason else ""
        yield f"{when(change.time)}: {change.before} → {change.after}{reason}."
    if not found.events:
        yield "What is told of it never changed, as far as is kept."


def when(seconds: float) -> str:
    """In the time zone of this machine."""
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(seconds)).rstrip()


def lasted(seconds: float) -> str:
    seconds = max(0.0, seconds)
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def number(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:.15g}"
