"""Which threshold counts for which metric of a host, and what level a value has by it. Pure."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from math import inf, nan, nextafter
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from hbd.config.default_thresholds import DEFAULT
from hbd.config.structs import Threshold, Thresholds
from hbd.model import Data, Level

ANY = "*"  # as a name of a pattern: any one name
SHIPPED = "default (shipped)"  # where a rule comes from that no file gives

LONGEST_SAID = 200  # characters

_MOST_KEPT = 10_000  # plugins, and keys of one plugin, that are compiled at a time; hosts may invent names for ever
_ORDER: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_RISING = (">", ">=")
_NUMBERS = frozenset((float, int, bool))
_NAGIOS = {0.0: Level.OK, 1.0: Level.WARNING, 2.0: Level.CRITICAL}
_OK, _WARNING, _CRITICAL = Level.OK, Level.WARNING, Level.CRITICAL  # an attribute of an enum costs more than a name

LevelOf = Callable[[str], Level]
_Judge = Callable[[float, str, LevelOf], Level]


class Rule(Struct, frozen=True):
    """pattern: plugin, metric or plugin, key, metric; ``ANY`` is any name. source: the config that it stands in."""

    pattern: tuple[str, ...]
    threshold: Threshold
    source: str


class Verdict(Struct, frozen=True, gc=False):
    """What a rule says of one value. path: metric_path. said: what a check says of it in words, "" of all else."""

    path: str
    level: Level
    value: float
    rule: Rule
    said: str = ""


class _Check(NamedTuple):
    """A rule for one metric. least, most: between them the level is OK, whatever it was; most values lie there."""

    metric: str
    path: str
    least: float
    most: float
    judge: _Judge
    rule: Rule


class _Metrics(NamedTuple):
    """What is judged of one mapping of metrics. others: how those that are not in ``named`` are."""

    path: str
    checks: tuple[_Check, ...]
    named: frozenset[str]
    others: _Check | None

    def at(self, path: str) -> _Metrics:
        """The same for metrics below another path."""
        checks = (_Check(check.metric, f"{path}.{check.metric}", *check[2:]) for check in self.checks)
        return self._replace(path=path, checks=tuple(checks))


class _Plugin(NamedTuple):
    """nested: the rules for one more level of names; any_key: what they are for a key that none of them names."""

    flat: _Metrics
    nested: tuple[Rule, ...]
    any_key: _Metrics
    keys: dict[str, _Metrics]


class HostRules:
    """The rules of all hosts with the same ``threshold_config``. rules: in the order of their layers, weakest first.

    Of the rules for one metric the one with the fewest ``ANY`` counts, then the one whose names come first (the rule
    for all of "/" before the rule for all percentages), then that of the last layer.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        last_first = list(rules)[::-1]
        self._rules = sorted(last_first, key=_vagueness)
        self._plugins: dict[str, _Plugin] = {}

    def judge(self, plugin: str, data: Data, level_of: LevelOf) -> list[Verdict]:
        """One verdict for each number that has a rule; texts, null, NaN and what is not there have none.

        level_of: metric_path to its level up to now, for hysteresis; asked only when it matters.
        Metrics of the plugin come first, in the order of their rules, then those of each key in the order of data.
        """
        compiled = self._plugins.get(plugin)
        if compiled is None:
            compiled = self._compile(plugin)
        verdicts: list[Verdict] = []
        if compiled.flat.checks or compiled.flat.others:
            _judge(compiled.flat, data, level_of, verdicts)
        if compiled.nested:
            for key, value in data.items():
                if type(value) is dict:
                    _judge(compiled.keys.get(key) or _compile_key(compiled, key), value, level_of, verdicts)
        return verdicts

    def explain(self, path: str) -> list[Rule]:
        """The rules that fit a metric_path, the one that counts first; that one may be switched off.

        A path does not tell where its names end: dots are taken for part of a key where they can be, and ``ANY`` as a
        plugin or a metric is a name without one.
        """
        return [rule for rule in self._rules if _fits(rule.pattern, path)]

    def weakest_first(self) -> list[Rule]:
        """All of them, as they have to be given to have the same count."""
        return self._rules[::-1]

    def is_off(self, path: str) -> bool:
        """Whether the rule that counts for a metric_path is switched off."""
        rule = next(iter(self.explain(path)), None)
        return rule is not None and not rule.threshold.enabled

    def _compile(self, plugin: str) -> _Plugin:
        mine = [rule for rule in self._rules if rule.pattern[0] in (plugin, ANY)]
        flat = _metrics(plugin, [rule for rule in mine if len(rule.pattern) == 2])
        nested = tuple(rule for rule in mine if len(rule.pattern) == 3)
        any_key = _metrics(plugin, [rule for rule in nested if rule.pattern[1] == ANY])
        if len(self._plugins) >= _MOST_KEPT:
            self._plugins.clear()
        compiled = self._plugins[plugin] = _Plugin(flat, nested, any_key, {})
        return compiled


class RuleBook:
    """The file's ``threshold_configs`` and the shipped thresholds, which lie below its ``default``."""

    def __init__(self, configs: Mapping[str, Thresholds]) -> None:
        self._layers = {name: [(name, thresholds)] for name, thresholds in configs.items()}
        self._layers["default"] = [(SHIPPED, DEFAULT), *self._layers.get("default", [])]
        self._hosts: dict[tuple[str, ...], HostRules] = {}

    def of(self, names: tuple[str, ...] = ()) -> HostRules:
        """The rules of a host with these configs, the last one the strongest; without a name those of ``default``.

        Names that there are no configs for count nothing.
        """
        names = names or ("default",)
        if names not in self._hosts:
            self._hosts[names] = HostRules(
                Rule(pattern, _named(pattern, threshold), source)
                for name in names
                for source, thresholds in self._layers.get(name, [])
                for pattern, threshold in thresholds.items()
            )
        return self._hosts[names]


# --------------------------------------------------------------------------------------------- which rule is for what


def _named(pattern: tuple[str, ...], threshold: Threshold) -> Threshold:
    """With the name that the metric has by default, where the config gives it none."""
    if threshold.display is not None:
        return threshold
    names = (
        shipped.display
        for other, shipped in DEFAULT.items()
        if len(other) == len(pattern) and all(two in (one, ANY) for one, two in zip(pattern, other, strict=True))
    )
    return replace(threshold, display=next(names, None))


def _vagueness(rule: Rule) -> tuple[int, list[bool]]:
    anys = [name == ANY for name in rule.pattern]
    return sum(anys), anys


def _compile_key(plugin: _Plugin, key: str) -> _Metrics:
    path = f"{plugin.flat.path}.{key}"
    if any(rule.pattern[1] == key for rule in plugin.nested):
        compiled = _metrics(path, [rule for rule in plugin.nested if rule.pattern[1] in (key, ANY)])
    else:
        compiled = plugin.any_key.at(path)
    if len(plugin.keys) >= _MOST_KEPT:
        plugin.keys.clear()
    plugin.keys[key] = compiled
    return compiled


def _metrics(path: str, rules: list[Rule]) -> _Metrics:
    """rules: those for metrics right below ``path``, the one that counts first."""
    counting: dict[str, Rule] = {}
    for metric in (rule.pattern[-1] for rule in rules):
        counting[metric] = next(rule for rule in rules if rule.pattern[-1] in (metric, ANY))
    others = counting.pop(ANY, None)
    return _Metrics(
        path,
        tuple(_check(metric, path, rule) for metric, rule in counting.items() if rule.threshold.enabled),
        frozenset(counting),
        _check(ANY, path, others) if others is not None and others.threshold.enabled else None,
    )


def _check(metric: str, path: str, rule: Rule) -> _Check:
    return _Check(metric, f"{path}.{metric}", *_calm(rule.threshold), _judge_by(rule.threshold), rule)


def _fits(pattern: tuple[str, ...], path: str) -> bool:
    plugin, *key, metric = (None if name == ANY else re.escape(name) for name in pattern)
    names = (plugin or "[^.]+", *(name or ".+" for name in key), metric or "[^.]+")
    return re.fullmatch(r"\.".join(names), path, re.DOTALL) is not None


# ------------------------------------------------------------------------------------------- what level a value has


def _judge(metrics: _Metrics, data: Data, level_of: LevelOf, verdicts: list[Verdict]) -> None:
    get = data.get
    for metric, path, least, most, judge, rule in metrics.checks:
        value = get(metric)
        if type(value) is not float:
            value = _number(value)
        if least <= value <= most:
            verdicts.append(Verdict(path, _OK, value, rule))
        elif value == value:  # not NaN
            verdicts.append(Verdict(path, judge(value, path, level_of), value, rule, _said(rule, data)))
    if metrics.others is not None:
        others = metrics.others
        for metric, value in data.items():
            if metric not in metrics.named and (value := _number(value)) == value:
                path = f"{metrics.path}.{metric}"
                verdicts.append(Verdict(path, others.judge(value, path, level_of), value, others.rule))


def _said(rule: Rule, data: Data) -> str:
    """What a check prints beside its state."""
    output = data.get("output") if rule.threshold.operator == "nagios" else None
    return output[:LONGEST_SAID] if isinstance(output, str) else ""


def _number(value: object) -> float:
    """NaN for what is none."""
    if type(value) not in _NUMBERS:
        return nan
    try:
        return float(value)  # type: ignore[arg-type]
    except OverflowError:
        return nan


def _judge_by(threshold: Threshold) -> _Judge:
    if threshold.operator in _ORDER:
        return _judge_by_order(threshold)
    if threshold.operator == "!=":
        return _judge_by_difference(threshold)
    limits = ((threshold.warning, _WARNING), (threshold.critical, _CRITICAL))
    levels = {limit: level for limit, level in limits if limit is not None}
    other = _OK
    if threshold.operator == "nagios":
        levels, other = _NAGIOS, Level.UNKNOWN
    return lambda value, path, level_of: levels.get(value, other)


def _judge_by_difference(threshold: Threshold) -> _Judge:
    warning, critical = threshold.warning, threshold.critical

    def judge(value: float, path: str, level_of: LevelOf) -> Level:
        if critical is not None and value != critical:
            return _CRITICAL
        return _WARNING if warning is not None and value != warning else _OK

    return judge


def _judge_by_order(threshold: Threshold) -> _Judge:
    warning, critical, hysteresis = threshold.warning, threshold.critical, threshold.hysteresis
    warning_kept, critical_kept = _kept(threshold, warning), _kept(threshold, critical)
    beyond = _ORDER[threshold.operator]

    def judge(value: float, path: str, level_of: LevelOf) -> Level:
        if critical is not None and beyond(value, critical):
            return _CRITICAL
        before = level_of(path) if hysteresis else _OK
        if before == _CRITICAL and critical is not None and beyond(value, critical_kept):
            return _CRITICAL
        if warning is None:
            return _OK
        fired = before in (_WARNING, _CRITICAL)
        return _WARNING if beyond(value, warning_kept if fired else warning) else _OK

    return judge


def _calm(threshold: Threshold) -> tuple[float, float]:
    """(least, most) value between which the level is OK in every case; least is above most where there is no such."""
    if threshold.operator not in _ORDER:
        return inf, -inf
    kept = _kept(threshold, threshold.warning), _kept(threshold, threshold.critical)
    if threshold.operator in _RISING:
        return -inf, min(kept) if threshold.operator == ">" else nextafter(min(kept), -inf)
    return max(kept) if threshold.operator == "<" else nextafter(max(kept), inf), inf


def _kept(threshold: Threshold, limit: float | None) -> float:
    """The limit for a level that is there already."""
    rising = threshold.operator in _RISING
    if limit is None:
        return inf if rising else -inf
    slack = abs(limit) * threshold.hysteresis
    return limit - slack if rising else limit + slack
