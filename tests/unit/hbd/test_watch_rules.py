"""What watched processes are judged by."""

from __future__ import annotations

from typing import Any

import pytest

from hbd.config.structs import Threshold, Thresholds
from hbd.model import Data, Level
from hbd.processes import PLUGIN, Known, Watched, Watches
from hbd.rules import RuleBook
from hbd.watch_rules import RESTART_SECONDS, SOURCE, WatchRules, ended, path_of

HOST = 7
WELL: Data = {"count": 1, "cpu_percent": 0.0, "memory_percent": 0.0, "restarts": 0}
SICK: Data = {"count": 0, "cpu_percent": 99.0, "memory_percent": 99.0, "restarts": 1}


def watched(name: str = "nginx", **settings: Any) -> Watched:
    return Watched(id=1, host_id=HOST, user_id=None, name=name, created=0.0, **settings)


ALL: dict[str, Any] = {f"alert_on_{what}": True for what in ("down", "restart", "cpu", "memory")}
NONE: dict[str, Any] = dict.fromkeys(ALL, False)


def rules(*those: Watched) -> WatchRules:
    watches = Watches()
    watches.load(Known(one) for one in those)
    return WatchRules(watches)


def levels(data: Data, *those: Watched, config: dict[tuple[str, ...], Threshold] | None = None) -> dict[str, Level]:
    book = RuleBook({"default": Thresholds(config or {})})
    verdicts = rules(*those).of(HOST, book.of()).judge(PLUGIN, data, lambda path: Level.OK)
    return {verdict.path: verdict.level for verdict in verdicts}


@pytest.mark.parametrize(
    ("alert", "metric", "level"),
    [
        ("down", "count", Level.CRITICAL),
        ("restart", "restarts", Level.WARNING),
        ("cpu", "cpu_percent", Level.WARNING),
        ("memory", "memory_percent", Level.WARNING),
    ],
)
def test_each_alert_is_of_one_metric_and_switched_by_itself(alert: str, metric: str, level: Level) -> None:
    one = watched(**NONE | {f"alert_on_{alert}": True})
    assert levels({"nginx": SICK}, one) == {f"watched_processes.nginx.{metric}": level}
    assert levels({"nginx": WELL}, one) == {f"watched_processes.nginx.{metric}": Level.OK}


def test_limits_are_those_of_the_process() -> None:
    one = watched(alert_on_cpu=True, cpu_limit=80.0, alert_on_down=False)
    path = path_of("nginx", "cpu_percent")
    assert levels({"nginx": WELL | {"cpu_percent": 80.0}}, one) == {path: Level.OK}
    assert levels({"nginx": WELL | {"cpu_percent": 80.1}}, one) == {path: Level.WARNING}


@pytest.mark.parametrize("name", ["a.b", "count", "a.count", "[x]", "a*", "日本"])
def test_any_name_is_judged_as_itself(name: str) -> None:
    assert levels({name: SICK, "other": SICK}, watched(name)) == {path_of(name, "count"): Level.CRITICAL}


def test_a_restart_is_told_for_a_while() -> None:
    book = RuleBook({})
    (rule,) = rules(watched(alert_on_restart=True)).of(HOST, book.of()).explain(path_of("nginx", "restarts"))
    assert (rule.threshold.keep_firing_for, rule.source) == (RESTART_SECONDS, SOURCE)


def test_a_threshold_config_counts_before_the_process() -> None:
    config: dict[tuple[str, ...], Threshold] = {
        (PLUGIN, "*", "count"): Threshold(operator="<", warning=3.0),
        (PLUGIN, "nginx", "cpu_percent"): Threshold(enabled=False),
    }
    found = levels({"nginx": WELL | {"cpu_percent": 99.0}}, watched(**ALL), config=config)
    assert found == {
        path_of("nginx", "count"): Level.WARNING,
        path_of("nginx", "restarts"): Level.OK,
        path_of("nginx", "memory_percent"): Level.OK,
    }


def test_rules_are_made_anew_when_a_process_or_the_config_changes() -> None:
    watches, book = Watches(), RuleBook({})
    watches.load([Known(watched())])
    made = WatchRules(watches)
    first = made.of(HOST, book.of())
    assert made.of(HOST, book.of()) is first
    watches.put(watched(alert_on_cpu=True))
    second = made.of(HOST, book.of())
    assert second is not first
    assert made.of(HOST, RuleBook({}).of()) is not second


def test_what_is_paused_is_not_judged() -> None:
    assert levels({"nginx": SICK}, watched(enabled=False)) == {}


def test_all_ends_with_a_process_that_is_watched_no_more() -> None:
    paths = [path_of("nginx", metric) for metric in ("count", "restarts", "cpu_percent", "memory_percent")]
    for after in (None, watched(enabled=False), watched("caddy")):
        assert ended(watched(), after, lambda path: True) == paths


def test_what_nothing_judges_any_more_ends_and_all_else_goes_on() -> None:
    judged = path_of("nginx", "cpu_percent")
    off = ("count", "restarts", "memory_percent")
    assert ended(watched(), watched(cpu_limit=60.0), lambda path: path == judged) == [
        path_of("nginx", metric) for metric in off
    ]
