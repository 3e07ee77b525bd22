import math
from typing import Any

import pytest

from hbd.config.default_thresholds import DEFAULT
from hbd.config.structs import Threshold, Thresholds
from hbd.model import Data, Level
from hbd.rules import SHIPPED, HostRules, Rule, RuleBook

OK, WARNING, CRITICAL, UNKNOWN = Level
BOTH = {"warning": 80.0, "critical": 90.0}


def rules_of(*layers: dict[tuple[str, ...], Threshold]) -> HostRules:
    return HostRules(
        Rule(pattern, threshold, f"layer {number}")
        for number, layer in enumerate(layers)
        for pattern, threshold in layer.items()
    )


def at(limit: float) -> Threshold:
    return Threshold(warning=limit)


def judged(rules: HostRules, plugin: str, data: Data, now: Level = OK) -> dict[str, Level]:
    return {verdict.path: verdict.level for verdict in rules.judge(plugin, data, lambda path: now)}


def level(value: Any, now: Level = OK, **threshold: Any) -> Level | None:
    """The level of one value by one threshold; None when there is no verdict."""
    return judged(rules_of({("p", "m"): Threshold(**threshold)}), "p", {"m": value}, now).get("p.m")


# ---------------------------------------------------------------------------------------------------------- operators


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        (">", 80, OK),
        (">", 80.1, WARNING),
        (">", 90, WARNING),
        (">", 90.1, CRITICAL),
        (">=", 79.9, OK),
        (">=", 80, WARNING),
        (">=", 90, CRITICAL),
        ("==", 80, WARNING),
        ("==", 90, CRITICAL),
        ("==", 85, OK),
    ],
)
def test_value_is_compared_with_critical_first(operator: str, value: float, expected: Level) -> None:
    assert level(value, operator=operator, **BOTH) == expected


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [("<", 20, OK), ("<", 19, WARNING), ("<", 9, CRITICAL), ("<=", 21, OK), ("<=", 20, WARNING), ("<=", 10, CRITICAL)],
)
def test_small_values_can_be_the_bad_ones(operator: str, value: float, expected: Level) -> None:
    assert level(value, operator=operator, warning=20, critical=10) == expected


@pytest.mark.parametrize(("value", "expected"), [(443, OK), (80, CRITICAL)])
def test_anything_but_the_one_value_can_be_bad(value: float, expected: Level) -> None:
    assert level(value, operator="!=", critical=443) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, OK), (1, WARNING), (2, CRITICAL), (3, UNKNOWN), (4, UNKNOWN), (-1, UNKNOWN), (1.5, UNKNOWN)],
)
def test_nagios_value_is_the_level(value: float, expected: Level) -> None:
    assert level(value, operator="nagios") == expected


@pytest.mark.parametrize("operator", [">", ">=", "<", "<=", "==", "!="])
def test_warning_alone_is_never_critical(operator: str) -> None:
    assert {level(value, operator=operator, warning=5.0) for value in (-math.inf, 4, 5, 6, math.inf)} <= {OK, WARNING}


def test_equal_thresholds_are_critical() -> None:
    assert level(81, warning=80, critical=80) == CRITICAL


# ------------------------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize("operator", [">", "<", "==", "!=", "nagios"])
@pytest.mark.parametrize("value", [None, "95", math.nan, [95.0], {}, 10**400], ids=repr)
def test_what_is_no_number_has_no_verdict(value: Any, operator: str) -> None:
    assert level(value, operator=operator, **BOTH) is None


@pytest.mark.parametrize(("value", "expected"), [(True, CRITICAL), (False, OK)])
def test_yes_and_no_count_as_1_and_0(value: bool, expected: Level) -> None:
    assert level(value, operator="==", critical=1) == expected


def test_verdict_tells_the_value_as_a_number() -> None:
    (verdict,) = rules_of({("p", "m"): at(5)}).judge("p", {"m": True}, lambda path: OK)
    assert type(verdict.value) is float


def test_verdict_names_its_rule() -> None:
    (verdict,) = rules_of({("p", "m"): at(5)}).judge("p", {"m": 9}, lambda path: OK)
    assert verdict.rule == Rule(("p", "m"), at(5), "layer 0")


# --------------------------------------------------------------------------------------------------------- hysteresis


@pytest.mark.parametrize(
    ("now", "value", "expected"),
    [
        (CRITICAL, 86, CRITICAL),
        (CRITICAL, 81, WARNING),  # 90 less a tenth
        (CRITICAL, 73, WARNING),
        (CRITICAL, 72, OK),  # 80 less a tenth
        (WARNING, 73, WARNING),
        (WARNING, 72, OK),
        (WARNING, 86, WARNING),
        (WARNING, 91, CRITICAL),
        (OK, 79, OK),
        (UNKNOWN, 79, OK),
    ],
)
def test_level_drops_when_the_value_fell_back_far_enough(now: Level, value: float, expected: Level) -> None:
    assert level(value, now, hysteresis=0.1, **BOTH) == expected


@pytest.mark.parametrize(
    ("now", "value", "expected"),
    [(CRITICAL, 10.9, CRITICAL), (CRITICAL, 11, WARNING), (WARNING, 21.9, WARNING), (WARNING, 22, OK), (OK, 21, OK)],
)
def test_falling_values_have_their_hysteresis_above(now: Level, value: float, expected: Level) -> None:
    assert level(value, now, hysteresis=0.1, operator="<", warning=20, critical=10) == expected


@pytest.mark.parametrize(("value", "expected"), [(-21, WARNING), (-22, OK)])
def test_negative_threshold_is_fallen_back_from_too(value: float, expected: Level) -> None:
    assert level(value, WARNING, hysteresis=0.1, warning=-20) == expected


@pytest.mark.parametrize(("value", "expected"), [(72, WARNING), (71.9, OK)])
def test_at_least_keeps_its_level_at_the_very_edge(value: float, expected: Level) -> None:
    assert level(value, WARNING, hysteresis=0.1, operator=">=", warning=80) == expected


def test_level_up_to_now_is_asked_only_when_it_matters() -> None:
    asked: list[str] = []

    def level_of(path: str) -> Level:
        asked.append(path)
        return WARNING

    rules = rules_of({("p", name): Threshold(hysteresis=0.1, **BOTH) for name in ("low", "between", "high")})
    rules.judge("p", {"low": 50.0, "between": 75.0, "high": 95.0}, level_of)
    assert asked == ["p.between"]


# --------------------------------------------------------------------------------------------------- paths, wildcards


def test_keys_keep_their_own_characters() -> None:
    rules = rules_of({("disk_monitor", "*", "percent"): at(50)})
    data = {"/": {"percent": 60.0}, "/mnt/a.b": {"percent": 40.0}}
    assert judged(rules, "disk_monitor", data) == {
        "disk_monitor./.percent": WARNING,
        "disk_monitor./mnt/a.b.percent": OK,
    }


def test_metric_and_nested_metric_of_one_name_are_two() -> None:
    rules = rules_of({("agent_monitor", "threads"): at(5)})
    assert judged(rules, "agent_monitor", {"x": {"threads": 9}, "threads": 9}) == {"agent_monitor.threads": WARNING}


def test_any_metric_can_be_meant() -> None:
    rules = rules_of({("p", "*"): at(5), ("p", "b"): at(50)})
    assert judged(rules, "p", {"a": 9, "b": 9, "c": "text"}) == {"p.b": OK, "p.a": WARNING}


def test_any_plugin_can_be_meant() -> None:
    assert judged(rules_of({("*", "percent"): at(5)}), "memory_monitor", {"percent": 9}) == {
        "memory_monitor.percent": WARNING
    }


def test_rule_without_a_wildcard_counts_before_one_with_it() -> None:
    rules = rules_of({("d", "/", "percent"): at(50)}, {("d", "*", "percent"): at(5)})
    data = {"/": {"percent": 9}, "/srv": {"percent": 9}}
    assert judged(rules, "d", data) == {"d./.percent": OK, "d./srv.percent": WARNING}


def test_of_two_wildcards_the_later_one_in_the_path_counts() -> None:
    rules = rules_of({("d", "*", "percent"): at(5), ("d", "/", "*"): at(50)})
    assert judged(rules, "d", {"/": {"percent": 9}}) == {"d./.percent": OK}


def test_rule_that_is_switched_off_hides_the_wildcard_below() -> None:
    rules = rules_of({("d", "*", "percent"): at(5), ("d", "/", "percent"): Threshold(enabled=False)})
    assert judged(rules, "d", {"/": {"percent": 9}, "/srv": {"percent": 9}}) == {"d./srv.percent": WARNING}


def test_key_can_be_switched_off_as_a_whole() -> None:
    rules = rules_of({("d", "*", "percent"): at(5), ("d", "/", "*"): Threshold(enabled=False)})
    assert judged(rules, "d", {"/": {"percent": 9}}) == {}


def test_plugin_without_rules_has_no_verdicts() -> None:
    assert judged(rules_of({("p", "m"): at(5)}), "q", {"m": 9, "k": {"m": 9}}) == {}


def test_names_that_keep_changing_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hbd.rules._MOST_KEPT", 3)
    rules = rules_of({("*", "*", "m"): at(5)})
    paths = [path for number in range(10) for path in judged(rules, f"p{number}", {"a": {"m": 9}, "b": {"m": 9}})]
    assert len(paths) == 20
    assert len(rules._plugins) <= 3


# ------------------------------------------------------------------------------------------------------------ layers


def test_later_config_wins_metric_by_metric() -> None:
    book = RuleBook(
        {
            "web": Thresholds({("p", "a"): at(5), ("p", "b"): at(5)}),
            "busy": Thresholds({("p", "b"): at(50)}),
        }
    )
    assert judged(book.of(("web", "busy")), "p", {"a": 9, "b": 9}) == {"p.a": WARNING, "p.b": OK}
    assert judged(book.of(("busy", "web")), "p", {"a": 9, "b": 9}) == {"p.a": WARNING, "p.b": WARNING}


def test_threshold_is_replaced_as_a_whole() -> None:
    book = RuleBook({"web": Thresholds({("memory_monitor", "percent"): at(50)})})
    assert book.of(("default", "web")).explain("memory_monitor.percent")[0].threshold == Threshold(
        warning=50, display="Memory"
    )


def test_host_without_a_config_has_the_shipped_thresholds() -> None:
    assert judged(RuleBook({}).of(), "memory_monitor", {"percent": 99.0}) == {"memory_monitor.percent": CRITICAL}


def test_default_of_the_file_lies_over_the_shipped_one() -> None:
    rules = RuleBook({"default": Thresholds({("memory_monitor", "percent"): at(50)})}).of()
    data = {"percent": 60.0, "swap_percent": 99.0}
    assert judged(rules, "memory_monitor", data) == {
        "memory_monitor.percent": WARNING,
        "memory_monitor.swap_percent": WARNING,
    }


def test_shipped_threshold_can_be_switched_off() -> None:
    rules = RuleBook({"default": Thresholds({("memory_monitor", "percent"): Threshold(enabled=False)})}).of()
    assert judged(rules, "memory_monitor", {"percent": 99.0}) == {}


def test_host_with_another_config_alone_has_none_of_default() -> None:
    rules = RuleBook({"web": Thresholds({("p", "a"): at(5)})}).of(("web",))
    assert judged(rules, "memory_monitor", {"percent": 99.0}) == {}


def test_unknown_config_counts_nothing() -> None:
    assert RuleBook({}).of(("gone", "default")).explain("memory_monitor.percent")[0].source == SHIPPED


def test_hosts_with_the_same_configs_share_their_rules() -> None:
    book = RuleBook({})
    assert book.of() is book.of(("default",))


# ----------------------------------------------------------------------------------------------------------- explain


def test_explanation_begins_with_the_rule_that_counts() -> None:
    wildcard, exact = ("disk_monitor", "*", "percent"), ("disk_monitor", "/", "percent")
    book = RuleBook({"default": Thresholds({wildcard: at(50)}), "web": Thresholds({exact: at(60)})})
    found = book.of(("default", "web")).explain("disk_monitor./.percent")
    assert [(rule.pattern, rule.source) for rule in found] == [
        (exact, "web"),
        (wildcard, "default"),
        (wildcard, SHIPPED),
    ]


def test_explanation_of_a_key_with_dots() -> None:
    rules = rules_of({("disk_monitor", "*", "percent"): at(5), ("disk_monitor", "*"): at(5)})
    assert [rule.pattern for rule in rules.explain("disk_monitor./mnt/a.b.percent")] == [
        ("disk_monitor", "*", "percent")
    ]


def test_explanation_of_a_metric_with_dots() -> None:
    rules = rules_of({("my_check", "queue.length"): at(5)})
    assert [rule.pattern for rule in rules.explain("my_check.queue.length")] == [("my_check", "queue.length")]


@pytest.mark.parametrize("path", ["", ".", "nothing", "no.thing", "." * 10_000, "disk_monitor"], ids=len)
def test_nothing_is_to_explain_about_a_path_without_rules(path: str) -> None:
    assert rules_of({("disk_monitor", "*", "percent"): at(5)}).explain(path) == []


@pytest.mark.parametrize(
    ("plugin", "data"),
    [("cpu_monitor", {"cpu_percent": 1.0}), ("disk_monitor", {"/": {"percent": 1.0}, "/mnt/a.b": {"percent": 1.0}})],
)
def test_explanation_and_verdict_name_the_same_rule(plugin: str, data: Data) -> None:
    rules = RuleBook({"default": DEFAULT}).of()
    for verdict in rules.judge(plugin, data, lambda path: OK):
        assert rules.explain(verdict.path)[0] is verdict.rule


def test_a_threshold_of_the_file_has_the_name_that_its_metric_has_by_default() -> None:
    limits = {
        ("disk_monitor", "/", "percent"): Threshold(warning=50.0),
        ("cpu_monitor", "cpu_percent"): Threshold(warning=50.0, display="Busy"),
        ("queue", "depth"): Threshold(warning=50.0),
    }
    rules = RuleBook({"default": Thresholds(limits)}).of()
    shown = [rules.explain(".".join(pattern))[0].threshold.display for pattern in limits]
    assert shown == ["Disk space", "Busy", None]
