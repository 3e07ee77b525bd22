"""Plugins that stop reporting although their host is up."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbd.model import Data, Level, Moment, Sample, State
from hbd.no_data import REPORTS, NoData, Telling, is_of_data

HOST = 7
WALL, MONO = 1_700_000_000.0, 4_000.0
CPU, DISK = "cpu_monitor", "disk_monitor"
NO_CPU, NO_DISK = "presence.data.cpu_monitor", "presence.data.disk_monitor"


class World:
    """A host that is up, seen by a daemon that looks once a second."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.jump = 0.0
        self.off: set[str] = set()
        self.told: list[tuple[float, str, Level, str]] = []
        self.silent: set[str] = set()
        self.begin()
        self.lives(State.UP)

    def begin(self) -> None:
        self.no_data = NoData(lambda host_id, path: path not in self.off)

    @property
    def now(self) -> Moment:
        return Moment(WALL + self.seconds + self.jump, MONO + self.seconds)

    def hear(self, tellings: Iterable[Telling]) -> None:
        for telling in tellings:
            if (telling.level is Level.OK) is (telling.path in self.silent):
                self.told.append((self.seconds, telling.path, telling.level, telling.reason))
                self.silent ^= {telling.path}

    def lives(self, state: State) -> None:
        self.hear(self.no_data.lives(HOST, state, self.now))

    def report(self, *plugins: str, age: float = 0.0, interval: float | None = 10.0, **data: Data) -> None:
        at = self.now.wall - age
        samples = [Sample(plugin, at, data.get(plugin, {})) for plugin in plugins]
        self.hear(self.no_data.report(HOST, samples, interval, self.now))

    def wait(self, seconds: float, *plugins: str, every: int = 10, **how: object) -> None:
        """Let time pass; meanwhile these plugins report."""
        for _ in range(int(seconds)):
            self.seconds += 1
            if plugins and self.seconds % every == 0:
                self.report(*plugins, **how)  # type: ignore[arg-type]
            self.hear(self.no_data.tick(self.now))

    @property
    def paths(self) -> list[tuple[str, Level]]:
        return [(path, level) for _, path, level, _ in self.told]


@pytest.fixture
def world() -> World:
    made = World()
    made.wait(100, CPU, DISK)
    return made


# ------------------------------------------------------------------------------------------------------- one plugin


def test_plugins_that_report_are_nothing_to_tell(world: World) -> None:
    world.wait(3600, CPU, DISK)
    assert world.told == []


def test_a_plugin_that_stops_is_told_after_five_minutes(world: World) -> None:
    world.wait(299, DISK)
    assert world.told == []
    world.wait(2, DISK)
    assert [(path, level, reason) for _, path, level, reason in world.told] == [
        (NO_CPU, Level.UNKNOWN, "no cpu_monitor data for 5 min")
    ]


def test_it_ends_with_the_next_sample(world: World) -> None:
    world.wait(400, DISK)
    world.report(CPU)
    assert world.told[-1][1:] == (NO_CPU, Level.OK, "data arrive again")


def test_a_plugin_that_measures_seldom_has_five_of_its_intervals(world: World) -> None:
    world.wait(3 * 3600, CPU, DISK)
    for _ in range(3):
        world.report("backup_check")
        world.wait(3600, CPU, DISK)
    world.wait(4 * 3600 - 10, CPU, DISK)
    assert world.told == []
    world.wait(20, CPU, DISK)
    assert world.told[0][1:] == ("presence.data.backup_check", Level.UNKNOWN, "no backup_check data for 5 h")


def test_a_plugin_that_reported_once_is_not_expected(world: World) -> None:
    world.report("once")
    world.wait(86_400, CPU, DISK, every=100)
    assert world.told == []


def test_a_sample_that_is_sent_again_is_no_data(world: World) -> None:
    for age in range(1, 400):
        world.wait(1, DISK)
        world.report(CPU, age=age)
    assert (NO_CPU, Level.UNKNOWN) in world.paths


def test_a_backlog_that_comes_in_is_no_silence(world: World) -> None:
    world.lives(State.DOWN)
    world.wait(4000)
    world.lives(State.UP)
    for age in range(4000, 0, -5):
        world.wait(1)
        world.report(CPU, DISK, age=age)
    assert world.told == []


def test_an_interval_that_the_agent_says_is_waited_for(world: World) -> None:
    world.hear(world.no_data.hello(HOST, 1200.0, False, world.now))
    world.wait(5999)
    assert world.told == []


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0])
def test_a_wall_clock_that_jumps_makes_nothing_silent(world: World, jump: float) -> None:
    world.jump = jump
    world.wait(1000, CPU, DISK)
    world.jump = 0
    world.wait(1000, CPU, DISK)
    assert world.told == []


# ---------------------------------------------------------------------------------------------------------- the host


def test_when_all_stop_that_is_told_once_of_the_host(world: World) -> None:
    world.wait(3600)
    assert [(path, level, reason) for _, path, level, reason in world.told] == [
        (REPORTS, Level.UNKNOWN, "no reports for 5 min")
    ]


def test_plugins_that_stop_one_after_the_other_within_a_minute_are_one_silence(world: World) -> None:
    world.wait(50, DISK)
    world.wait(3600)
    assert world.paths == [(REPORTS, Level.UNKNOWN)]


def test_the_next_report_ends_it_and_gives_each_plugin_its_time(world: World) -> None:
    world.wait(400)
    world.wait(299, DISK)
    assert world.paths == [(REPORTS, Level.UNKNOWN), (REPORTS, Level.OK)]
    world.wait(20, DISK)
    assert world.paths[2:] == [(NO_CPU, Level.UNKNOWN)]


def test_a_host_that_never_reported_is_not_expected_to() -> None:
    world = World()
    world.hear(world.no_data.hello(HOST, 10.0, True, world.now))
    world.wait(3600)
    assert world.told == []


def test_a_host_without_a_known_interval_is_not_expected_after_one_report() -> None:
    world = World()
    world.report(CPU, interval=None)
    world.wait(3600)
    assert world.told == []


def test_a_foreign_agent_may_keep_its_own_pace() -> None:
    world = World()
    world.wait(86_400, CPU, every=3600, interval=None)
    assert world.told == []


# -------------------------------------------------------------------------------------- when silence does not count


def test_a_host_that_goes_down_takes_its_silence_along(world: World) -> None:
    world.wait(400, DISK)
    world.lives(State.OVERDUE)
    assert world.paths == [(NO_CPU, Level.UNKNOWN)]
    world.lives(State.DOWN)
    assert world.told[-1][1:] == (NO_CPU, Level.OK, "the host is down")
    world.wait(3600)
    assert len(world.told) == 2


def test_no_reports_is_no_news_of_a_host_that_is_down(world: World) -> None:
    world.wait(400)
    world.lives(State.DOWN)
    assert world.told[-1][1:] == (REPORTS, Level.OK, "the host is down")


def test_a_host_that_comes_back_has_the_whole_time_again(world: World) -> None:
    world.wait(250, DISK)
    world.lives(State.DOWN)
    world.wait(1000)
    world.lives(State.UP)
    world.wait(299, DISK)
    assert world.told == []
    world.wait(10, DISK)
    assert world.paths == [(NO_CPU, Level.UNKNOWN)]


def test_a_host_that_is_late_now_and_then_has_not(world: World) -> None:
    for _ in range(20):
        world.wait(15, DISK)
        world.lives(State.OVERDUE)
        world.wait(5)
        world.lives(State.UP)
    world.wait(301, DISK)
    assert world.paths == [(NO_CPU, Level.UNKNOWN)]


def test_nobody_is_silent_while_the_daemon_cannot_hear(world: World) -> None:
    world.seconds += 3600
    world.no_data.blind(world.now)
    world.wait(299)
    assert world.told == []
    world.wait(2)
    assert world.paths == [(REPORTS, Level.UNKNOWN)]


def test_after_a_restart_the_whole_time_runs_again(world: World) -> None:
    samples = [Sample(plugin, WALL + second, {}) for second in range(0, 101, 10) for plugin in (CPU, DISK)]
    world.begin()
    world.no_data.recall(HOST, samples, world.now)
    world.lives(State.UP)
    world.wait(299, DISK)
    assert world.told == []
    world.wait(10, DISK)
    assert world.paths == [(NO_CPU, Level.UNKNOWN)]


def test_what_had_stopped_long_before_a_restart_is_not_expected(world: World) -> None:
    samples = [Sample(CPU, WALL - 86_400 + second, {}) for second in range(0, 101, 10)]
    samples += [Sample(DISK, WALL + second, {}) for second in range(0, 101, 10)]
    world.begin()
    world.no_data.recall(HOST, samples, world.now)
    world.lives(State.UP)
    world.wait(3600, DISK)
    assert world.told == []


def test_what_was_told_before_a_restart_ends_after_it(world: World) -> None:
    world.wait(400, DISK)
    world.begin()
    world.no_data.load([(HOST, path) for path in (*world.silent, "presence.host", "cpu_monitor.load")], world.now)
    world.lives(State.UP)
    world.wait(100, DISK)
    assert world.paths[1:] == []
    world.report(CPU)
    assert world.paths[1:] == [(NO_CPU, Level.OK)]


# --------------------------------------------------------------------------------------------------------- switched off


def test_an_agent_that_starts_anew_may_run_other_plugins(world: World) -> None:
    world.wait(400, DISK)
    world.hear(world.no_data.hello(HOST, 10.0, True, world.now))
    assert world.told[-1][1:] == (NO_CPU, Level.OK, "the agent was started anew")
    world.wait(3600, DISK)
    assert len(world.told) == 2


def test_an_agent_that_only_connects_anew_runs_what_it_ran(world: World) -> None:
    world.hear(world.no_data.hello(HOST, 10.0, False, world.now))
    world.wait(400, DISK)
    assert world.paths == [(NO_CPU, Level.UNKNOWN)]


def test_a_plugin_that_has_nothing_to_measure_is_not_silent(world: World) -> None:
    nothing: Data = {CPU: {"ok": True, "seconds": 0.1, "reason": "no processor"}}
    world.wait(3600, DISK, "agent_monitor", agent_monitor=nothing)
    assert world.told == []


def test_it_ends_when_the_agent_says_that_there_is_nothing_to_measure(world: World) -> None:
    world.wait(400, DISK)
    world.report("agent_monitor", agent_monitor={CPU: {"ok": False, "reason": "broken"}})
    assert len(world.told) == 1
    world.wait(1)
    world.report("agent_monitor", agent_monitor={CPU: {"ok": True, "reason": "no processor"}})
    assert world.told[-1][1:] == (NO_CPU, Level.OK, "there is nothing to measure any more")


def test_what_is_switched_off_is_not_told(world: World) -> None:
    world.off = {NO_CPU}
    world.wait(3600, DISK)
    assert world.told == []


def test_what_is_switched_on_again_is_told_then(world: World) -> None:
    world.off = {NO_CPU}
    world.wait(3600, DISK)
    world.off = set()
    world.wait(301, DISK)
    assert world.paths == [(NO_CPU, Level.UNKNOWN)]


def test_a_host_that_is_forgotten_is_not_told_of(world: World) -> None:
    world.no_data.forget(HOST)
    world.wait(3600)
    assert world.told == []


def test_a_host_with_ever_new_plugins_does_not_grow_for_ever(world: World) -> None:
    for number in range(2000):
        world.wait(1)
        world.report(f"plugin_{number}")
    assert len(world.no_data._hosts[HOST].plugins) == 256


@pytest.mark.parametrize(
    ("path", "is_ours"),
    [(REPORTS, True), (NO_CPU, True), ("presence.host", False), ("presence.IPv4", False), ("data.reports", False)],
)
def test_what_is_told_here_is_known_by_its_path(path: str, is_ours: bool) -> None:
    assert is_of_data(path) is is_ours


# ---------------------------------------------------------------------------------------------------------- any history

STEPS = st.lists(
    st.tuples(
        st.sampled_from([1, 30, 100, 299, 300, 301, 700]),
        st.sets(st.sampled_from([CPU, DISK])),
        st.sampled_from([*State, None, None, None, "blind"]),
    ),
    max_size=12,
)


@given(STEPS, st.sets(st.sampled_from([CPU, DISK])))
@settings(max_examples=100, deadline=None)
def test_what_is_told_last_is_how_it_is(steps: list[tuple[int, set[str], object]], last: set[str]) -> None:
    world = World()
    world.wait(60, CPU, DISK)
    state: object = State.UP
    for seconds, plugins, happens in steps:
        if happens == "blind":
            world.seconds += seconds
            world.no_data.blind(world.now)
        elif isinstance(happens, State) and happens is not State.UNKNOWN:
            state = happens
            world.lives(happens)
        world.wait(seconds, *(plugins if state is State.UP else ()))
    world.lives(State.UP)
    world.wait(60, CPU, DISK)
    assert world.silent == set()
    world.wait(400, *last)
    silent = {f"presence.data.{plugin}" for plugin in {CPU, DISK} - last}
    assert world.silent == (silent if last else {REPORTS})
    known = len(world.told)
    world.wait(2000, *last)
    assert len(world.told) == known
    world.report(CPU, DISK)
    assert world.silent == set()
