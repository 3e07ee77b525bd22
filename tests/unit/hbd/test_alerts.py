"""One path at a time, by hand; histories at random are in test_alerts_histories.py."""

import pytest

from hbd.alerts import MOST_PATHS, Alert, AlertEvent, AlertRow, Alerts, Counts, Flapping, Plan
from hbd.config.structs import Threshold
from hbd.model import Level, Moment
from hbd.rules import Rule, Verdict

OK, WARNING, CRITICAL, UNKNOWN = Level.OK, Level.WARNING, Level.CRITICAL, Level.UNKNOWN
HOST, PLUGIN, PATH = 7, "cpu_monitor", "cpu_monitor.cpu_percent"
WALL = 1_700_000_000.0
VALUES = {OK: 40.0, WARNING: 92.5, CRITICAL: 97.0, UNKNOWN: 3.0}


def rule(**settings: object) -> Rule:
    return Rule(("cpu_monitor", "cpu_percent"), Threshold(warning=90.0, critical=95.0, **settings), "default")  # type: ignore[arg-type]


class World:
    """A daemon whose clock stands at ``seconds`` and whose disk holds ``rows``."""

    def __init__(self, rule: Rule = rule(), flapping: Flapping = Flapping()) -> None:  # noqa: B008 - they are frozen
        self.rule = rule
        self.flapping = flapping
        self.alerts = Alerts(flapping)
        self.rows: dict[tuple[int, str], AlertRow] = {}
        self.events: list[AlertEvent] = []
        self.seconds = 0.0
        self.jump = 0.0

    @property
    def now(self) -> Moment:
        return Moment(WALL + self.seconds + self.jump, 500.0 + self.seconds)

    def verdict(self, level: Level, path: str = PATH) -> Verdict:
        return Verdict(path, level, VALUES[level], self.rule)

    def commit(self, plan: Plan) -> None:
        for row in plan.rows:
            self.rows[row.host_id, row.path] = row
        for key in plan.gone:
            del self.rows[key]
        self.events += plan.events
        self.alerts.adopt(plan)

    def sample(self, at: float, *levels: Level, age: float = 0.0, **paths: Level) -> None:
        """A turn with one sample that comes in at a second, ``age`` seconds after it was measured, and with a tick."""
        self.seconds = at
        plan = self.alerts.begin(self.now)
        verdicts = [self.verdict(level) for level in levels]
        verdicts += [self.verdict(level, f"{PLUGIN}.{name}") for name, level in paths.items()]
        plan.judge(HOST, PLUGIN, verdicts, self.now.wall - age, self.now)
        plan.tick(self.now)
        self.commit(plan)

    def tick(self, at: float) -> None:
        self.seconds = at
        plan = self.alerts.begin(self.now)
        plan.tick(self.now)
        self.commit(plan)

    def live(self, at: float, level: Level, reason: str = "", path: str = "presence.host") -> None:
        self.seconds = at
        plan = self.alerts.begin(self.now)
        plan.liveness(HOST, path, level, reason, self.now)
        self.commit(plan)

    def restart(self, at: float) -> None:
        self.seconds = at
        self.alerts = Alerts(self.flapping)
        self.alerts.load(self.rows.values(), self.now, [(HOST, PLUGIN, self.now.wall - 1)] if self.rows else [])

    @property
    def told(self) -> list[tuple[Level, Level]]:
        return [(event.before, event.after) for event in self.events]

    @property
    def alert(self) -> Alert:
        alert = self.alerts.get(HOST, PATH)
        assert alert is not None
        return alert


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
