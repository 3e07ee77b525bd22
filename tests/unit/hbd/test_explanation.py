"""Why a metric has its level: which thresholds count and which do not, and how that reads."""

from __future__ import annotations

from typing import Any

import pytest

from hbd.config import Config, Layer
from hbd.config.structs import Threshold, Thresholds
from hbd.explanation import (
    Change,
    ConfigLayer,
    Explanation,
    NoticeState,
    Seen,
    Standing,
    candidates,
    limits,
    sentences,
    value_in,
    when,
)
from hbd.model import Level, Sample
from hbd.rules import SHIPPED

NOW = 1_750_000_000.0
PATH = "disk_monitor./.percent"
DISKS = ("disk_monitor", "*", "percent")


def configs(**named: dict[tuple[str, ...], Threshold]) -> Config:
    return Config(threshold_configs={name: Thresholds(thresholds) for name, thresholds in named.items()})


def whys(config: Config, *names: str, path: str = PATH) -> dict[tuple[str, str], tuple[bool, str]]:
    found = candidates(config, [Layer(name) for name in names], path)
    return {(each.config, each.pattern): (each.applies, each.why) for each in found}


def test_the_shipped_threshold_counts_where_nothing_else_does() -> None:
    assert whys(Config(), "default") == {(SHIPPED, "disk_monitor.*.percent"): (True, "it counts")}


def test_the_stronger_config_counts_and_the_other_says_why_not() -> None:
    found = whys(configs(database={DISKS: Threshold(warning=70.0)}), "default", "database")
    assert found["database", "disk_monitor.*.percent"] == (True, "it counts")
    assert found[SHIPPED, "disk_monitor.*.percent"] == (False, "database says otherwise, and is the stronger config")


def test_the_more_precise_name_counts() -> None:
    config = configs(a={("disk_monitor", "/", "percent"): Threshold(warning=1.0)}, b={DISKS: Threshold(warning=2.0)})
    found = whys(config, "a", "b")
    assert found["a", PATH] == (True, "it counts")
    assert found["b", "disk_monitor.*.percent"] == (False, f"{PATH} of a is more precise")


def test_a_threshold_that_is_switched_off_counts_and_does_not_apply() -> None:
    found = whys(configs(default={DISKS: Threshold(enabled=False)}), "default")
    assert found["default", "disk_monitor.*.percent"] == (False, "it counts, and switches the threshold off")


def test_configs_that_do_not_hold_for_the_host_are_told_too() -> None:
    found = whys(configs(database={DISKS: Threshold(warning=70.0)}), "default")
    assert found["database", "disk_monitor.*.percent"] == (False, "its config does not hold for this host")


def test_a_host_without_the_default_is_told_that_it_has_it_not() -> None:
    found = whys(configs(own={DISKS: Threshold(warning=70.0)}), "own")
    assert found[SHIPPED, "disk_monitor.*.percent"] == (False, "its config does not hold for this host")


def test_liveness_has_no_thresholds() -> None:
    assert whys(configs(x={("*", "*"): Threshold(warning=1.0)}), "x", path="presence.host") == {}


@pytest.mark.parametrize(
    ("plugin", "data", "path", "value"),
    [
        ("cpu", {"load": 1}, "cpu.load", 1.0),
        ("cpu", {"ok": True}, "cpu.ok", 1.0),
        ("disk", {"/": {"percent": 5.5}}, "disk./.percent", 5.5),
        ("disk", {"/srv/a.b": {"percent": 5.5}}, "disk./srv/a.b.percent", 5.5),
        ("my.check", {"a.b": 2}, "my.check.a.b", 2.0),
        ("cpu", {"load": "high"}, "cpu.load", None),
        ("cpu", {"load": None}, "cpu.load", None),
        ("cpu", {"load": float("nan")}, "cpu.load", None),
        ("cpu", {}, "cpu.load", None),
    ],
)
def test_the_value_of_a_path_is_found(plugin: str, data: Any, path: str, value: float | None) -> None:
    assert value_in(Sample(plugin, NOW, data), path) == value


@pytest.mark.parametrize(
    ("threshold", "text"),
    [
        (Threshold(warning=85.0, critical=95.0), "WARNING when it is above 85, CRITICAL when it is above 95"),
        (Threshold(critical=4.0, operator="<"), "CRITICAL when it is below 4"),
        (Threshold(operator="nagios"), "the value is the level itself"),
        (Threshold(warning=1.0, hold=600.0), "WARNING when it is above 1, after 10 min without a break"),
        (Threshold(warning=1.0, keep_firing_for=90.0), "WARNING when it is above 1, and for 90 s longer"),
    ],
)
def test_limits_read_well(threshold: Threshold, text: str) -> None:
    assert limits(threshold) == text


def told(level: Level | None = Level.WARNING, **given: Any) -> str:
    """The sentences about the root disk of web1, which is 91.2 % full."""
    alert: dict[str, Any] = {
        "level": Level.WARNING,
        "since": NOW - 600.0,
        "reason": "Disk space 91.2 > 85",
        "value": 91.2,
        "problem": "p1",
    }
    config = configs()
    found = Explanation(
        hostname="web1",
        metric_path=PATH,
        at=given.pop("at", NOW),
        layers=[ConfigLayer("default", "")],
        rules=given.pop("rules", candidates(config, [Layer("default")], PATH)),
        sample=given.pop("sample", Seen(NOW - 3.0, 91.2)),
        alert=given.pop("alert", None) or Standing(**alert | given.pop("standing", {})),
        events=given.pop("events", []),
        notices=given.pop("notices", None),
        deliveries=[],
    )
    assert not given
    return "\n".join(sentences(found, level, NOW))


def test_what_it_is_comes_first() -> None:
    first = told().split("\n")[0]
    assert first == f"{PATH} of web1 is WARNING since {when(NOW - 600.0)}, for 10 min: Disk space 91.2 > 85."


def test_what_counts_is_told_with_its_limits_and_source() -> None:
    assert "The threshold disk_monitor.*.percent of those that hbd ships counts: WARNING when it is above 85" in told()


def test_what_the_rule_saw_is_told() -> None:
    assert f"The newest sample, of {when(NOW - 3.0)}, has 91.2." in told()
    assert "By this value alone it is WARNING." in told()


def test_a_level_that_waits_says_until_when() -> None:
    standing = {"pending": Level.CRITICAL, "pending_since": NOW - 60.0, "pending_until": NOW + 240.0}
    assert f"becomes CRITICAL at {when(NOW + 240.0)} if it stays so." in told(standing=standing)


def test_a_level_whose_cause_is_gone_says_when_it_drops() -> None:
    standing = {"clearing_since": NOW - 60.0, "clearing_until": NOW + 60.0}
    assert f"the level drops at {when(NOW + 60.0)} if it stays so." in told(standing=standing)


def test_hysteresis_is_told_where_it_matters() -> None:
    assert "fallen back by 2% of the limit (hysteresis)" in told(Level.OK, sample=Seen(NOW, 84.9))


def test_who_acknowledged_it_and_what_holds_it_is_told() -> None:
    text = told(standing={"acknowledged_by": "alice", "note": "on it", "held": "silence by bob: moving disks"})
    assert "alice has acknowledged it (on it), until it is over or gets worse." in text
    assert "Nothing is sent of it for now: silence by bob: moving disks." in text


def test_without_notices_nothing_is_said_of_channels() -> None:
    assert "hannel" not in told()


def test_a_problem_that_nobody_is_told_says_so() -> None:
    assert "No channel is to be told of it" in told(notices=[])


@pytest.mark.parametrize(
    ("notice", "text"),
    [
        ({"told": Level.WARNING, "told_at": NOW, "count": 1}, f"was told WARNING at {when(NOW)} (once in all)."),
        ({}, "ops (owner) was told nothing yet; WARNING is to be told."),
        ({"held": "quiet hours"}, "was told nothing yet; WARNING is not told for now: quiet hours."),
        ({"dead": "404"}, "was told nothing yet; nothing more is tried: 404."),
    ],
)
def test_what_a_channel_was_told_is_said(notice: dict[str, Any], text: str) -> None:
    assert text in told(notices=[NoticeState(channel="ops", why="owner", wanted=Level.WARNING, **notice)])


def test_the_past_is_told_as_such() -> None:
    text = told(at=NOW - 300.0)
    assert f"This is about {when(NOW - 300.0)}; the thresholds are those of now." in text
    assert f"was WARNING since {when(NOW - 600.0)}, for 5 min" in text


def test_changes_are_told_the_newest_first_and_not_all() -> None:
    events = [Change(NOW - 10.0 * age, Level.OK, Level.WARNING, 91.0, f"reason {age}", "p") for age in range(20)]
    text = told(events=events)
    assert text.index("reason 0") < text.index("reason 1")
    assert "reason 9" not in text
