"""One path at a time, by hand: what is told of it, and when. Histories at random are in test_alerts_histories.py."""

import pytest
from alerts_kit import CRITICAL, HOST, OK, PATH, PLUGIN, UNKNOWN, WALL, WARNING, World, rule

from hbd.model import Moment

# ------------------------------------------------------------------------------------------------------------- levels


def test_without_durations_the_first_sample_acts() -> None:
    world = World()
    world.sample(0, CRITICAL)
    assert world.told == [(OK, CRITICAL)]
    assert (world.alert.level, world.alert.since, world.alert.value) == (CRITICAL, WALL, 97.0)


def test_a_first_sample_that_is_fine_is_an_alert_without_an_event() -> None:
    world = World()
    world.sample(0, OK)
    assert world.alert.level is OK
    assert world.events == [] and world.rows == {}


def test_a_level_is_told_when_it_has_held() -> None:
    world = World(rule(hold=60.0))
    world.sample(0, WARNING)
    world.sample(59, WARNING)
    assert world.told == []
    assert world.alert.pending == (WARNING, WALL)
    world.sample(60, WARNING)
    assert world.told == [(OK, WARNING)]
    assert world.alert.pending is None


def test_for_elapses_without_a_further_sample() -> None:
    world = World(rule(hold=60.0))
    world.sample(0, WARNING)
    world.tick(59)
    assert world.told == []
    world.tick(61)
    assert world.told == [(OK, WARNING)]
    assert world.alert.since == pytest.approx(WALL + 60)


def test_a_break_inside_for_starts_it_anew() -> None:
    world = World(rule(hold=60.0))
    world.sample(0, WARNING)
    world.sample(50, OK)
    world.sample(55, WARNING)
    world.sample(114, WARNING)
    assert world.told == []
    world.sample(115, WARNING)
    assert world.told == [(OK, WARNING)]


def test_a_level_that_held_until_the_sample_that_ends_it_is_told_first() -> None:
    world = World(rule(hold=60.0))
    world.sample(0, WARNING)
    world.sample(61, OK)
    assert world.told == [(OK, WARNING), (WARNING, OK)]


def test_critical_has_its_own_for() -> None:
    world = World(rule(hold=60.0))
    world.sample(0, WARNING)
    world.sample(30, CRITICAL)
    world.tick(60)
    assert world.told == [(OK, WARNING)]
    assert world.alert.pending == (CRITICAL, WALL + 30)
    world.tick(90)
    assert world.told == [(OK, WARNING), (WARNING, CRITICAL)]


def test_swinging_between_warning_and_critical_is_told_as_warning() -> None:
    world = World(rule(hold=60.0))
    for second in range(0, 101, 10):
        world.sample(second, CRITICAL if second % 20 else WARNING)
    assert world.told == [(OK, WARNING)]


def test_an_end_is_told_after_keep_firing_for() -> None:
    world = World(rule(keep_firing_for=60.0))
    world.sample(0, WARNING)
    world.sample(10, OK)
    assert world.alert.level is WARNING
    assert world.alert.clearing == WALL + 10
    world.tick(70)
    assert world.told == [(OK, WARNING), (WARNING, OK)]


def test_a_cause_that_returns_keeps_it_firing() -> None:
    world = World(rule(keep_firing_for=60.0))
    world.sample(0, WARNING)
    world.sample(10, OK)
    world.sample(69, WARNING)
    assert world.alert.clearing is None
    world.sample(70, OK)
    world.tick(129)
    assert world.told == [(OK, WARNING)]
    world.tick(130)
    assert world.told == [(OK, WARNING), (WARNING, OK)]


def test_critical_falls_to_warning_before_warning_ends() -> None:
    world = World(rule(keep_firing_for=60.0))
    world.sample(0, CRITICAL)
    world.sample(10, WARNING)
    world.sample(30, OK)
    world.tick(70)
    assert world.told[1:] == [(CRITICAL, WARNING)]
    world.tick(90)
    assert world.told[2:] == [(WARNING, OK)]


def test_unknown_lies_between_ok_and_warning() -> None:
    world = World(rule(operator="nagios"))
    for second, level in enumerate((UNKNOWN, WARNING, UNKNOWN, OK)):
        world.sample(second, level)
    assert world.told == [(OK, UNKNOWN), (UNKNOWN, WARNING), (WARNING, UNKNOWN), (UNKNOWN, OK)]


def test_a_for_that_a_reload_shortens_counts_from_the_first_sample() -> None:
    world = World(rule(hold=600.0))
    world.sample(0, WARNING)
    world.rule = rule(hold=60.0)
    world.sample(61, WARNING)
    assert world.told == [(OK, WARNING)]


# --------------------------------------------------------------------------------------------------- late, old, clocks


def test_a_late_sample_changes_nothing() -> None:
    world = World()
    world.sample(10, OK)
    world.sample(11, CRITICAL, age=5)
    assert world.told == []
    assert world.alert.value == 40.0


def test_a_late_sample_ends_nothing() -> None:
    world = World()
    world.sample(10, CRITICAL)
    world.sample(11, OK, age=5)
    world.sample(11, age=5)
    assert world.alert.level is CRITICAL


def test_a_sample_is_still_late_after_a_restart() -> None:
    world = World(rule(hold=600.0))
    world.sample(10, WARNING)
    world.restart(12)
    world.sample(13, OK, age=5)
    assert world.alert.pending == (WARNING, WALL + 10)


def test_a_backlog_in_order_opens_no_alarm_for_what_is_past() -> None:
    world = World()
    world.sample(0, OK)
    for measured in range(10, 3000, 10):
        world.sample(3600, CRITICAL if measured == 500 else OK, age=3600 - measured)
    assert world.told == []


def test_a_slow_plugin_is_of_now_until_its_next_sample_is_due() -> None:
    world = World()
    world.sample(0, OK)
    world.sample(4200, CRITICAL, age=600)
    assert world.told == [(OK, CRITICAL)]


def test_a_sample_from_the_future_counts_as_one_of_now() -> None:
    world = World(rule(hold=60.0))
    world.sample(0, WARNING, age=-1e9)
    world.sample(61, WARNING)
    assert world.told == [(OK, WARNING)]
    assert world.alert.checked == WALL + 61


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0])
def test_a_wall_clock_that_jumps_moves_no_timer(jump: float) -> None:
    world = World(rule(hold=60.0, keep_firing_for=60.0))
    world.sample(0, WARNING)
    world.jump = jump
    world.sample(59, WARNING)
    assert world.told == []
    world.sample(60, WARNING)
    assert world.told == [(OK, WARNING)]
    world.sample(70, OK)
    world.jump = 0
    world.tick(129)
    assert world.told == [(OK, WARNING)]
    world.tick(130)
    assert world.told == [(OK, WARNING), (WARNING, OK)]


# ----------------------------------------------------------------------------------------------------------------- ends


def test_what_is_not_reported_any_more_ends() -> None:
    world = World()
    world.sample(0, CRITICAL, other=WARNING)
    world.sample(10, other=WARNING)
    assert world.alerts.get(HOST, PATH) is None
    assert (world.events[-1].after, world.events[-1].reason) == (OK, "no longer reported")
    assert [path for _, path in world.rows] == [f"{PLUGIN}.other"]


def test_what_had_held_before_it_was_gone_is_told_first() -> None:
    world = World(rule(hold=60.0))
    world.sample(0, WARNING)
    world.sample(61)
    assert world.told == [(OK, WARNING), (WARNING, OK)]


def test_a_path_may_come_and_go_within_one_turn() -> None:
    world = World()
    plan = world.alerts.begin(world.now)
    plan.judge(HOST, PLUGIN, [world.verdict(WARNING)], WALL, world.now)
    plan.judge(HOST, PLUGIN, [], WALL + 1, Moment(WALL + 1, 501.0))
    assert plan.rows == [] and plan.gone == []
    world.commit(plan)
    assert world.told == [(OK, WARNING), (WARNING, OK)]
    assert world.alerts.of(HOST) == []


def test_two_samples_of_one_second_are_of_one_moment() -> None:
    world = World()
    world.sample(0, CRITICAL)
    world.sample(0)
    assert world.alert.level is CRITICAL


def test_what_was_fine_goes_without_a_word() -> None:
    world = World()
    world.sample(0, OK, other=OK)
    world.sample(10, other=OK)
    assert world.events == []
    assert [alert.path for alert in world.alerts.of(HOST)] == [f"{PLUGIN}.other"]


def test_another_plugin_ends_nothing() -> None:
    world = World()
    world.sample(0, CRITICAL)
    plan = world.alerts.begin(world.now)
    plan.judge(HOST, "disk_monitor", [], WALL, world.now)
    world.commit(plan)
    assert world.alert.level is CRITICAL


def test_paths_that_are_ended_are_over_with_the_next_tick() -> None:
    world = World()
    world.sample(0, CRITICAL, other=OK)
    world.alerts.end_paths([(HOST, PATH), (HOST, f"{PLUGIN}.other"), (HOST, "never.seen")])
    assert world.alerts.has_due(world.now)
    world.tick(1)
    assert (world.alerts.of(HOST), world.rows, world.alerts.has_due(world.now)) == ([], {}, False)
    assert (world.events[-1].after, world.events[-1].reason) == (OK, "no rule any more")


def test_a_path_that_is_ended_while_a_turn_is_written_is_over_with_the_one_after() -> None:
    world = World()
    plan = world.alerts.begin(world.now)
    plan.judge(HOST, PLUGIN, [world.verdict(CRITICAL)], world.now.wall, world.now)
    plan.tick(world.now)
    world.alerts.end_paths([(HOST, PATH)])
    world.commit(plan)
    world.tick(1)
    assert world.alerts.of(HOST) == []


def test_what_has_no_rule_any_more_ends_with_the_next_tick() -> None:
    world = World()
    world.sample(0, CRITICAL)
    world.alerts.reconfigure(lambda host_id, path: False)
    world.tick(1)
    world.tick(2)
    assert [event.reason for event in world.events] == ["97 > 95", "no rule any more"]
    assert world.alerts.of(HOST) == [] and world.rows == {}


def test_an_end_without_a_rule_that_could_not_be_written_is_told_later() -> None:
    world = World()
    world.sample(0, CRITICAL)
    world.alerts.reconfigure(lambda host_id, path: False)
    world.alerts.begin(world.now).tick(world.now)
    world.tick(1)
    assert world.told == [(OK, CRITICAL), (CRITICAL, OK)]


def test_a_sample_may_end_what_has_no_rule_any_more() -> None:
    world = World()
    world.sample(0, CRITICAL)
    world.alerts.reconfigure(lambda host_id, path: False)
    world.sample(10)
    assert [event.reason for event in world.events] == ["97 > 95", "no rule any more"]


def test_a_path_that_returns_opens_another_problem() -> None:
    world = World()
    world.sample(0, CRITICAL)
    world.sample(10)
    world.sample(20, CRITICAL)
    first, _, second = world.events
    assert first.problem != second.problem
