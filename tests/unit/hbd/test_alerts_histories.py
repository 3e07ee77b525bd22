"""Alerts over histories at random: with crashes and failed commits, and against a model."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from hbd.alert_state import ORDER
from hbd.alerts import AlertEvent, AlertRow, Alerts, Counts, Flapping, Plan
from hbd.config.structs import Threshold
from hbd.model import Level, Moment
from hbd.rules import Rule, Verdict

PLUGINS = ("cpu_monitor", "disk_monitor")
METRICS = ("a", "b")
HOSTS = (1, 2)
WALL, MONO = 1_700_000_000.25, 4_711.125
DURATIONS = st.sampled_from([0.0, 3.0, 10.0])
FLAPPING = st.sampled_from([Flapping(changes=0), Flapping(changes=3, within=60.0, calm=20.0), Flapping()])


class Sample(NamedTuple):
    host_id: int
    plugin: str
    levels: dict[str, Level]  # by metric
    late: int  # seconds before its turn


class Turn(NamedTuple):
    """seconds: since the one before. failures: how often it cannot be written. crash: after it was."""

    seconds: int
    samples: list[Sample]
    failures: int
    crash: bool


SAMPLES = st.builds(
    Sample,
    st.sampled_from(HOSTS),
    st.sampled_from(PLUGINS),
    st.dictionaries(st.sampled_from(METRICS), st.sampled_from(ORDER), max_size=2),
    st.sampled_from([0, 0, 0, 0, 2, 8]),
)
TURNS = st.lists(
    st.builds(Turn, st.integers(1, 12), st.lists(SAMPLES, max_size=3), st.sampled_from([0, 0, 1, 2]), st.booleans()),
    max_size=25,
)


class Daemon:
    """Alerts and a disk. The same reports come again when a turn could not be written."""

    def __init__(self, hold: float, keep: float, flapping: Flapping) -> None:
        self.rule = Rule(("*", "*"), Threshold(warning=1.0, critical=2.0, hold=hold, keep_firing_for=keep), "default")
        self.flapping = flapping
        self.alerts = Alerts(flapping)
        self.rows: dict[tuple[int, str], AlertRow] = {}
        self.newest: dict[tuple[int, str], float] = {}
        self.events: list[AlertEvent] = []

    def plan(self, samples: list[tuple[float, Sample]], now: Moment) -> Plan:
        plan = self.alerts.begin(now)
        for at, sample in samples:
            verdicts = [
                Verdict(f"{sample.plugin}.{metric}", level, float(ORDER.index(level)), self.rule)
                for metric, level in sample.levels.items()
            ]
            plan.judge(sample.host_id, sample.plugin, verdicts, at, now)
        plan.tick(now)
        return plan

    def commit(self, plan: Plan, samples: list[tuple[float, Sample]]) -> None:
        for row in plan.rows:
            self.rows[row.host_id, row.path] = row
        for key in plan.gone:
            del self.rows[key]
        for at, sample in samples:
            key = (sample.host_id, sample.plugin)
            self.newest[key] = max(at, self.newest.get(key, at))
        self.events += plan.events
        self.alerts.adopt(plan)

    def crash(self, now: Moment) -> None:
        self.alerts = Alerts(self.flapping)
        newest = ((host_id, plugin, at) for (host_id, plugin), at in self.newest.items())
        self.alerts.load(self.rows.values(), now, newest)

    def told(self) -> dict[tuple[int, str], list[tuple[str, str, Level, Level, str]]]:
        told = defaultdict(list)
        for event in self.events:
            told[event.host_id, event.path].append((event.id, event.problem, event.before, event.after, event.flapping))
        return dict(told)

    def problems(self) -> dict[tuple[int, str], Level]:
        return {(alert.host_id, alert.path): alert.level for alert in self.alerts.open()}


def moment(seconds: float, restarts: int = 0) -> Moment:
    """The monotonic clock begins anew with the machine."""
    return Moment(WALL + seconds, MONO / (1 + restarts) + seconds)


@given(DURATIONS, DURATIONS, FLAPPING, TURNS)
@settings(max_examples=150, deadline=None)
def test_crashes_and_failed_commits_change_nothing_that_is_told(
    hold: float, keep: float, flapping: Flapping, turns: list[Turn]
) -> None:
    smooth, rough = Daemon(hold, keep, flapping), Daemon(hold, keep, flapping)
    seconds, restarts = 0.0, 0
    for turn in turns:
        seconds += turn.seconds
        samples = [(WALL + seconds - sample.late, sample) for sample in turn.samples]
        smooth.commit(smooth.plan(samples, moment(seconds)), samples)
        for failure in range(turn.failures):
            rough.plan(samples, moment(seconds + failure * 0.125, restarts))
            if turn.crash:
                restarts += 1
                rough.crash(moment(seconds + failure * 0.125, restarts))
        rough.commit(rough.plan(samples, moment(seconds + turn.failures * 0.125, restarts)), samples)
        assert rough.problems() == smooth.problems()
        if turn.crash:
            restarts += 1
            rough.crash(moment(seconds + 0.5, restarts))
            assert rough.problems() == smooth.problems()
    assert rough.told() == smooth.told()


@given(DURATIONS, DURATIONS, FLAPPING, TURNS)
@settings(max_examples=100, deadline=None)
def test_everything_derived_agrees_with_the_alerts(
    hold: float, keep: float, flapping: Flapping, turns: list[Turn]
) -> None:
    daemon = Daemon(hold, keep, flapping)
    seconds = 0.0
    for turn in turns:
        seconds += turn.seconds
        samples = [(WALL + seconds - sample.late, sample) for sample in turn.samples]
        daemon.commit(daemon.plan(samples, moment(seconds)), samples)
        everything = [alert for host_id in HOSTS for alert in daemon.alerts.of(host_id)]
        levels = [alert.level for alert in everything]
        assert daemon.alerts.totals() == Counts(
            *(levels.count(level) for level in (Level.OK, Level.WARNING, Level.CRITICAL, Level.UNKNOWN))
        )
        assert daemon.problems() == {(a.host_id, a.path): a.level for a in everything if a.problem}
        assert {key for key, row in daemon.rows.items() if row.problem} == set(daemon.problems())
        reloaded = Alerts()
        reloaded.load(daemon.rows.values(), moment(seconds))
        for alert in everything:
            known = reloaded.get(alert.host_id, alert.path)
            assert known is None or (known.level, known.flapping) == (alert.level, alert.flapping)
            assert known is not None or not alert.told.memorable
        assert all(alert.problem for alert in everything if alert.flapping or alert.level is not Level.OK)
        open_problems = [alert.problem for alert in everything if alert.problem]
        assert len(open_problems) == len(set(open_problems)) == len(daemon.problems())
    ids = [event.id for event in daemon.events]
    assert len(ids) == len(set(ids))


@given(DURATIONS, DURATIONS, FLAPPING, TURNS)
@settings(max_examples=100, deadline=None)
def test_each_problem_has_one_beginning_and_one_end(
    hold: float, keep: float, flapping: Flapping, turns: list[Turn]
) -> None:
    daemon = Daemon(hold, keep, flapping)
    seconds = 0.0
    for turn in turns:
        seconds += turn.seconds
        samples = [(WALL + seconds - sample.late, sample) for sample in turn.samples]
        daemon.commit(daemon.plan(samples, moment(seconds)), samples)
    events: dict[str, list[AlertEvent]] = defaultdict(list)
    for event in daemon.events:
        events[event.problem].append(event)
    still_open = {alert.problem for alert in daemon.alerts.open()}
    for problem, of_problem in events.items():
        assert of_problem[0].before is Level.OK
        for before, after in pairwise(of_problem):
            assert before.after is after.before and before.is_open and before.at <= after.at
        assert of_problem[-1].is_open is (problem in still_open)


HISTORY = st.lists(st.tuples(st.integers(1, 8), st.sampled_from(ORDER)), min_size=1, max_size=40)


def told_by_the_second(history: list[tuple[int, Level]], hold: int, keep: int) -> list[tuple[int, Level]]:
    """(second, level) of every change: each level is a switch that turns when it was seen otherwise for long enough."""
    samples, second = {}, 0
    for step, level in history:
        second += step
        samples[second] = level
    switches = [False, False, False]
    otherwise = [0, 0, 0]  # seconds that a switch has been seen otherwise than it stands
    seen, told, changes = Level.OK, Level.OK, []
    for now in range(second + 20):
        for at in range(3):
            otherwise[at] += 1
            if (ORDER.index(seen) > at) is not switches[at] and otherwise[at] >= (keep if switches[at] else hold):
                switches[at] = not switches[at]
        levels = [ORDER[sum(switches)]]
        if now in samples:
            before, seen = seen, samples[now]
            for at in range(3):
                if (ORDER.index(before) > at) is switches[at]:
                    otherwise[at] = 0
                if (ORDER.index(seen) > at) is not switches[at] and (keep if switches[at] else hold) == 0:
                    switches[at] = not switches[at]
            levels.append(ORDER[sum(switches)])
        for level in levels:
            if level is not told:
                told = level
                changes.append((now, level))
    return changes


@given(st.sampled_from([0, 3, 10]), st.sampled_from([0, 3, 10]), HISTORY)
@settings(max_examples=200, deadline=None)
def test_a_model_that_looks_at_every_second_tells_the_same(
    hold: int, keep: int, history: list[tuple[int, Level]]
) -> None:
    daemon = Daemon(float(hold), float(keep), Flapping(changes=0))
    seconds = 0
    for step, level in history:
        seconds += step
        samples = [(WALL + seconds, Sample(1, "cpu_monitor", {"a": level}, 0))]
        daemon.commit(daemon.plan(samples, moment(seconds)), samples)
    daemon.commit(daemon.plan([], moment(seconds + 19)), [])
    assert [(round(event.at - WALL), event.after) for event in daemon.events] == told_by_the_second(history, hold, keep)
