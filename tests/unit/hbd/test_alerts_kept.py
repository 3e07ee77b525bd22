"""What is kept of alerts and shown of them: problems, liveness, plans, rows, counts, limits."""

import pytest
from alerts_kit import CRITICAL, HOST, OK, PATH, PLUGIN, UNKNOWN, WALL, WARNING, World, rule

from hbd.alerts import MOST_PATHS, Counts
from hbd.model import Moment

# -------------------------------------------------------------------------------------------------- problems and words


def test_a_problem_has_one_id_until_it_is_over() -> None:
    world = World()
    for second, level in enumerate((WARNING, CRITICAL, WARNING, OK, WARNING)):
        world.sample(second, level)
    problems = [event.problem for event in world.events]
    assert len(set(problems[:4])) == 1 and problems[4] not in problems[:4]
    assert len({event.id for event in world.events}) == 5


def test_only_what_is_not_ok_has_a_problem() -> None:
    world = World()
    world.sample(0, WARNING)
    assert world.alert.problem == world.events[0].problem
    world.sample(1, OK)
    assert world.alert.problem == ""


def test_the_same_reports_make_the_same_ids() -> None:
    worlds = World(), World()
    for world in worlds:
        world.sample(0, WARNING)
        world.sample(1, OK)
    assert worlds[0].events == worlds[1].events


@pytest.mark.parametrize(
    ("settings", "reasons"),
    [
        ({}, ["97 > 95", "92.5, no longer > 95", "40, no longer > 90"]),
        ({"hold": 0.5}, ["97 > 95 for 0.5 s", "92.5, no longer > 95", "40, no longer > 90"]),
        ({"display": "CPU"}, ["CPU 97 > 95", "CPU 92.5, no longer > 95", "CPU 40, no longer > 90"]),
        ({"operator": "nagios"}, ["check answers 97", "check answers 92.5", "check answers 40"]),
        ({"operator": "nagios", "display": "RAID"}, ["RAID answers 97", "RAID answers 92.5", "RAID answers 40"]),
    ],
)
def test_reasons_name_value_and_limit(settings: dict[str, object], reasons: list[str]) -> None:
    world = World(rule(**settings))
    for second, level in enumerate((CRITICAL, WARNING, OK)):
        world.sample(second, level)
    assert [event.reason for event in world.events] == reasons


def test_a_duration_in_a_reason_reads_as_it_was_set() -> None:
    world = World(rule(hold=300.0))
    world.sample(0, WARNING)
    world.tick(300)
    assert world.events[0].reason == "92.5 > 90 for 5 min"
    assert world.events[0].value == 92.5


# ------------------------------------------------------------------------------------------------------------ liveness


def test_a_host_that_falls_silent_warns_and_then_is_critical() -> None:
    world = World()
    world.live(0, OK)
    world.live(10, WARNING, "no sign of life for 13 s")
    world.live(20, CRITICAL, "no sign of life for 30 s")
    world.live(30, OK, "heartbeat after 35 s of silence")
    assert world.told == [(OK, WARNING), (WARNING, CRITICAL), (CRITICAL, OK)]
    assert world.events[-1].reason == "heartbeat after 35 s of silence"


def test_liveness_said_again_changes_nothing() -> None:
    world = World()
    world.live(0, CRITICAL, "silent")
    world.live(10, CRITICAL, "silent")
    assert world.told == [(OK, CRITICAL)]


def test_a_reason_without_a_change_of_level_is_shown_and_not_told() -> None:
    world = World()
    world.live(0, OK)
    world.live(10, OK, "agent stopped on purpose")
    assert world.events == []
    assert world.alerts.of(HOST)[0].reason == "agent stopped on purpose"


def test_families_are_apart_from_the_host() -> None:
    world = World()
    world.live(0, OK)
    world.live(1, WARNING, "lost", path="presence.IPv6")
    assert [(alert.path, alert.level) for alert in world.alerts.of(HOST)] == [
        ("presence.IPv6", WARNING),
        ("presence.host", OK),
    ]


def test_a_host_that_is_watched_no_longer_ends_its_alarm() -> None:
    world = World()
    world.live(0, CRITICAL, "silent")
    world.alerts.reconfigure(lambda host_id, path: False)
    world.tick(1)
    assert world.events[-1].reason == "no longer watched"


def test_no_sample_passes_for_liveness() -> None:
    world = World()
    world.live(0, CRITICAL, "silent")
    plan = world.alerts.begin(world.now)
    plan.judge(HOST, "presence", [world.verdict(OK, "presence.host")], WALL + 1, world.now)
    world.commit(plan)
    assert world.alerts.level(HOST, "presence.host") is CRITICAL


# --------------------------------------------------------------------------------------------------------- plans, rows


def test_a_plan_that_is_thrown_away_leaves_no_trace() -> None:
    world = World(rule(hold=60.0))
    world.sample(0, WARNING)
    before = world.alerts.of(HOST)
    plan = world.alerts.begin(world.now)
    later = Moment(WALL + 60, 560.0)
    plan.judge(HOST, PLUGIN, [world.verdict(CRITICAL)], later.wall, later)
    plan.tick(later)
    plan.liveness(HOST, "presence.host", CRITICAL, "silent", later)
    assert plan.events
    assert world.alerts.of(HOST) == before
    world.tick(60)
    assert world.told == [(OK, WARNING)]


def test_a_plan_sees_its_own_levels() -> None:
    world = World()
    plan = world.alerts.begin(world.now)
    plan.judge(HOST, PLUGIN, [world.verdict(WARNING)], WALL, world.now)
    assert plan.level(HOST, PATH) is WARNING
    assert world.alerts.level(HOST, PATH) is OK
    plan.judge(HOST, PLUGIN, [world.verdict(OK)], WALL + 1, Moment(WALL + 1, 501.0))
    assert [event.after for event in plan.events] == [WARNING, OK]


def test_a_value_that_changes_nothing_is_no_row() -> None:
    world = World()
    world.sample(0, WARNING)
    plan = world.alerts.begin(world.now)
    plan.judge(HOST, PLUGIN, [world.verdict(WARNING)], WALL + 1, Moment(WALL + 1, 501.0))
    assert plan.rows == [] and plan.gone == []


def test_a_sample_that_only_goes_on_pending_is_no_row() -> None:
    world = World(rule(hold=60.0))
    world.sample(0, WARNING)
    plan = world.alerts.begin(world.now)
    plan.judge(HOST, PLUGIN, [world.verdict(WARNING)], WALL + 1, Moment(WALL + 1, 501.0))
    assert plan.rows == []


def test_a_row_goes_when_what_was_pending_was_never_told() -> None:
    world = World(rule(hold=60.0))
    world.sample(0, WARNING)
    assert list(world.rows) == [(HOST, PATH)]
    world.sample(1, OK)
    assert world.rows == {}


def test_timers_outlive_the_daemon() -> None:
    world = World(rule(hold=60.0))
    world.sample(0, WARNING)
    world.restart(30)
    world.tick(59)
    assert world.told == []
    world.tick(60)
    assert world.told == [(OK, WARNING)]


def test_a_sample_at_the_very_end_of_a_timer_is_in_time_on_any_clock() -> None:
    for number in range(100):
        world = World(rule(hold=60.0))
        world.sample(number / 7, WARNING)
        world.restart(number / 7 + number / 3)
        world.sample(number / 7 + 60, OK)
        assert world.told == [(OK, WARNING), (WARNING, OK)]


def test_a_problem_outlives_the_daemon() -> None:
    world = World()
    world.sample(0, WARNING)
    world.restart(30)
    assert world.alert.reason == "92.5 > 90"
    world.sample(31, OK)
    assert world.events[0].problem == world.events[1].problem
    assert len({event.id for event in world.events}) == 2


# -------------------------------------------------------------------------------------------------- answers and limits


def test_counts_follow_the_levels() -> None:
    world = World()
    world.sample(0, CRITICAL, a=WARNING, b=UNKNOWN, c=OK)
    assert world.alerts.counts(HOST) == world.alerts.totals() == Counts(ok=1, warning=1, critical=1, unknown=1)
    world.sample(1, OK, a=WARNING)
    assert world.alerts.counts(HOST) == Counts(ok=1, warning=1, critical=0, unknown=0)
    assert world.alerts.counts(99) == Counts(0, 0, 0, 0)


def test_what_is_not_ok_is_listed_with_its_newest_value() -> None:
    world = World()
    world.sample(0, WARNING, a=OK)
    world.sample(10, WARNING, a=OK)
    assert [(alert.path, alert.checked) for alert in world.alerts.open()] == [(PATH, WALL + 10)]


def test_a_host_that_is_forgotten_is_gone_even_from_a_plan_on_its_way() -> None:
    world = World(rule(hold=60.0))
    world.sample(0, WARNING)
    plan = world.alerts.begin(world.now)
    plan.judge(HOST, PLUGIN, [world.verdict(CRITICAL)], WALL + 1, Moment(WALL + 1, 501.0))
    world.alerts.forget(HOST)
    world.alerts.adopt(plan)
    world.tick(100)
    assert world.alerts.of(HOST) == [] and world.told == []
    assert world.alerts.totals() == Counts(0, 0, 0, 0)


def test_a_host_has_no_more_paths_than_the_limit() -> None:
    world = World()
    plan = world.alerts.begin(world.now)
    verdicts = [world.verdict(WARNING, f"{PLUGIN}.{number}") for number in range(MOST_PATHS + 10)]
    plan.judge(HOST, PLUGIN, verdicts, WALL, world.now)
    world.commit(plan)
    assert world.alerts.totals().warning == MOST_PATHS
    assert len(world.events) == MOST_PATHS


def test_two_plugins_do_not_share_a_path() -> None:
    world = World()
    world.sample(0, CRITICAL)
    plan = world.alerts.begin(world.now)
    plan.judge(HOST, "cpu_monitor.x", [world.verdict(OK)], WALL + 1, Moment(WALL + 1, 501.0))
    world.commit(plan)
    assert world.alert.level is CRITICAL


def test_a_path_that_a_sample_has_twice_does_not_swing() -> None:
    world = World()
    for second in range(3):
        world.sample(second, WARNING, OK)
    assert world.told == [(OK, WARNING)]
