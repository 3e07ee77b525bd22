"""Paths whose level turns too often: told at the beginning and at the end, and what is told last is so."""

from __future__ import annotations

import pytest
from alerts_kit import CRITICAL, HOST, OK, PATH, WALL, WARNING, World, rule
from hypothesis import given, settings
from hypothesis import strategies as st

from hbd.alerts import AlertEvent, Flapping
from hbd.model import Level

OFTEN = Flapping(changes=4, within=100.0, calm=60.0)
LIVES = "presence.host"


def flapping(flapping: Flapping = OFTEN, **settings: object) -> World:
    world = World(rule(**settings), flapping)
    for number in range(flapping.changes):
        world.sample(number * 10, WARNING if number % 2 == 0 else OK)
    return world


def words(world: World) -> list[str]:
    return [event.flapping for event in world.events]


def sent(events: list[AlertEvent]) -> list[AlertEvent]:
    """Those that people get a message of."""
    return [event for event in events if event.flapping != "goes on"]


# ---------------------------------------------------------------------------------------------------------- beginning


def test_a_level_that_turns_often_enough_is_flapping() -> None:
    world = flapping()
    assert words(world) == ["", "", "", "begins"]
    assert world.alert.flapping


def test_turns_that_are_further_apart_are_none_of_it() -> None:
    world = World(rule(), OFTEN)
    for number in range(20):
        world.sample(number * 34, WARNING if number % 2 == 0 else OK)
    assert set(words(world)) == {""}


def test_the_turn_at_the_very_end_of_the_span_counts_after_a_restart_too() -> None:
    world = World(rule(), OFTEN)
    for second, level in ((0, WARNING), (40, OK), (70, WARNING)):
        world.sample(second, level)
    world.restart(80)
    world.sample(100, OK)
    assert words(world)[-1] == "begins"


def test_getting_worse_in_two_steps_is_one_turn() -> None:
    world = World(rule(), OFTEN)
    for second, level in enumerate((WARNING, CRITICAL, WARNING, OK, WARNING, CRITICAL)):
        world.sample(second, level)
    assert not world.alert.flapping
    world.sample(10, OK)
    assert world.alert.flapping


def test_a_level_that_swings_without_being_fine_is_flapping() -> None:
    world = World(rule(), OFTEN)
    for second in range(4):
        world.sample(second, CRITICAL if second % 2 else WARNING)
    assert not world.alert.flapping
    world.sample(4, WARNING)
    assert words(world)[-1] == "begins"


def test_what_is_switched_off_never_flaps() -> None:
    world = World(rule(), Flapping(changes=0))
    for second in range(50):
        world.sample(second, WARNING if second % 2 else OK)
    assert set(words(world)) == {""}


def test_a_level_that_never_settles_for_long_enough_to_be_told_does_not_flap() -> None:
    world = World(rule(hold=60.0), OFTEN)
    for second in range(0, 1000, 10):
        world.sample(second, WARNING if second % 20 else OK)
    assert world.events == []


def test_a_host_may_flap() -> None:
    world = World(flapping=OFTEN)
    for second in range(5):
        world.live(second, OK if second % 2 else CRITICAL, "as it is")
    assert words(world) == ["", "", "", "begins", "goes on"]


# ----------------------------------------------------------------------------------------------------------- going on


def test_a_flapping_problem_is_open_while_its_level_is_fine() -> None:
    world = flapping()
    assert world.alert.level is OK
    assert world.alert.problem == world.events[-1].problem == world.events[-2].problem
    assert [alert.path for alert in world.alerts.open()] == [PATH]
    assert list(world.alerts.not_ok()) == []


def test_it_keeps_its_id_whatever_the_level_does() -> None:
    world = flapping()
    for second in range(40, 200, 10):
        world.sample(second, WARNING if second % 20 == 0 else OK)
    assert {event.problem for event in world.events[2:]} == {world.alert.problem}
    assert set(words(world)[4:]) == {"goes on"}
    assert len({event.id for event in world.events}) == len(world.events)


def test_nothing_is_sent_while_it_goes_on() -> None:
    world = flapping()
    for second in range(40, 86_400, 50):
        world.sample(second, WARNING if second % 100 == 40 else OK)
    world.tick(86_500)
    assert len(sent(world.events)) == 5


# ---------------------------------------------------------------------------------------------------------------- end


def test_it_ends_when_the_level_has_not_changed_for_long_enough() -> None:
    world = flapping()
    world.tick(89)
    assert world.alert.flapping
    world.tick(90)
    assert (words(world)[-1], world.told[-1]) == ("ends", (OK, OK))
    assert not world.alert.flapping
    assert list(world.alerts.open()) == []


def test_an_end_is_dated_when_it_was_due() -> None:
    world = flapping()
    world.tick(1000)
    assert world.events[-1].at == pytest.approx(WALL + 90)


def test_a_problem_that_is_still_there_goes_on_under_its_id() -> None:
    world = flapping()
    world.sample(40, CRITICAL)
    world.tick(100)
    assert (words(world)[-1], world.told[-1]) == ("ends", (CRITICAL, CRITICAL))
    assert world.alert.problem == world.events[-1].problem
    world.sample(200, OK)
    assert (words(world)[-1], world.told[-1]) == ("", (CRITICAL, OK))
    assert world.events[-1].problem == world.events[-2].problem


def test_what_ended_is_counted_anew() -> None:
    world = flapping(Flapping(changes=4, within=1000.0, calm=60.0))
    world.tick(90)
    for second, level in ((91, WARNING), (92, OK), (93, WARNING)):
        world.sample(second, level)
    assert words(world)[4:] == ["ends", "", "", ""]


def test_every_change_begins_the_calm_anew() -> None:
    world = flapping()
    world.sample(60, WARNING)
    world.sample(70, CRITICAL)
    world.tick(129)
    assert world.alert.flapping
    world.tick(130)
    assert not world.alert.flapping


def test_a_change_at_the_end_of_the_calm_comes_after_it() -> None:
    world = flapping()
    world.sample(90, WARNING)
    assert words(world)[-2:] == ["ends", ""]


def test_an_end_gives_the_reason_of_the_level() -> None:
    world = flapping()
    world.tick(90)
    assert world.events[-1].reason == "40, no longer > 90"


def test_the_calm_outlives_the_daemon() -> None:
    world = flapping()
    world.restart(60)
    assert world.alert.flapping
    world.tick(89)
    assert words(world)[-1] == "begins"
    world.tick(90)
    assert words(world)[-1] == "ends"


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0])
def test_a_wall_clock_that_jumps_moves_no_calm(jump: float) -> None:
    world = flapping()
    world.jump = jump
    world.tick(89)
    assert world.alert.flapping
    world.tick(90)
    assert not world.alert.flapping


def test_what_is_not_reported_any_more_flaps_no_more() -> None:
    world = flapping()
    world.sample(40)
    assert (words(world)[-1], world.told[-1]) == ("ends", (OK, OK))
    assert world.rows == {}


def test_what_has_no_rule_any_more_flaps_no_more() -> None:
    world = flapping()
    world.alerts.reconfigure(lambda host_id, path: False)
    world.tick(41)
    assert words(world)[-1] == "ends"
    assert list(world.alerts.open()) == []


def test_switching_it_off_ends_it_with_the_next_change() -> None:
    world = flapping()
    world.alerts.flapping = Flapping(changes=0)
    world.sample(40, WARNING)
    world.sample(50, OK)
    assert words(world)[-2:] == ["ends", ""]
    assert world.alert.problem == ""


def test_a_host_is_down_as_long_as_that_is_told() -> None:
    world = World()
    assert not world.alerts.is_down(HOST)
    world.live(0, WARNING, "late")
    assert not world.alerts.is_down(HOST)
    world.live(10, CRITICAL, "silent")
    assert world.alerts.is_down(HOST)


# ------------------------------------------------------------------------------------------------------ any history

SERIES = st.lists(
    st.tuples(st.sampled_from([1, 5, 20, 59, 60, 61, 100, 101, 300]), st.sampled_from([OK, OK, WARNING, CRITICAL])),
    max_size=60,
)


def change(world: World, series: list[tuple[int, Level]]) -> Level:
    """Have the host be told so, one after the other; the state that it is in at last."""
    second, level = 0, OK
    for step, level in series:
        second += step
        world.tick(second)
        world.live(second, level)
    world.seconds = float(second)
    return level


@given(SERIES)
@settings(max_examples=300, deadline=None)
def test_what_is_sent_last_is_how_it_is(series: list[tuple[int, Level]]) -> None:
    world = World(flapping=OFTEN)
    last = change(world, series)
    world.tick(world.seconds + OFTEN.calm)
    assert world.alerts.level(HOST, LIVES) is last
    messages = sent(world.events)
    assert (messages[-1].after if messages else OK) is last
    assert not messages or messages[-1].flapping != "begins"
    assert [alert.level for alert in world.alerts.open()] == ([] if last is OK else [last])
    known = len(world.events)
    for second in range(20):
        world.tick(world.seconds + second * 100)
    assert len(world.events) == known


@given(SERIES)
@settings(max_examples=300, deadline=None)
def test_it_flaps_as_the_definition_says(series: list[tuple[int, Level]]) -> None:
    world = World(flapping=OFTEN)
    change(world, series)
    world.tick(world.seconds + OFTEN.calm)
    expected: list[tuple[int, str]] = []
    turns: list[int] = []
    second, before, worse, calm_at = 0, OK, False, 0
    order = (OK, WARNING, CRITICAL)
    for step, level in [*series, (int(OFTEN.calm), None)]:
        second += step
        if calm_at and second >= calm_at:
            expected.append((calm_at, "ends"))
            turns, calm_at = [], 0
        if level is None or level is before:
            continue
        if (order.index(level) > order.index(before)) is not worse:
            worse = not worse
            turns.append(second)
        if calm_at:
            expected.append((second, "goes on"))
            calm_at = second + int(OFTEN.calm)
        elif len([turn for turn in turns if turn >= second - OFTEN.within]) >= OFTEN.changes:
            expected.append((second, "begins"))
            calm_at = second + int(OFTEN.calm)
        else:
            expected.append((second, ""))
        before = level
    assert [(round(event.at - WALL), event.flapping) for event in world.events] == expected


@given(SERIES, st.sets(st.integers(0, 60), max_size=20))
@settings(max_examples=200, deadline=None)
def test_restarts_change_nothing_that_is_told(series: list[tuple[int, Level]], restarts: set[int]) -> None:
    smooth, rough = World(flapping=OFTEN), World(flapping=OFTEN)
    second = 0
    for number, (step, level) in enumerate(series):
        second += step
        for world in (smooth, rough):
            world.live(second, level)
        if number in restarts:
            rough.restart(second + 0.5)
    for world in (smooth, rough):
        world.tick(second + OFTEN.calm)
    assert [(event.id, event.before, event.after, event.flapping) for event in rough.events] == [
        (event.id, event.before, event.after, event.flapping) for event in smooth.events
    ]
    assert rough.rows.keys() == smooth.rows.keys()
