import pytest

from hbd.wheel import Timer, Wheel


class Named(Timer):
    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


def names(wheel: Wheel[Named], now: float) -> list[str]:
    return [timer.name for timer in wheel.due(now)]


def test_timer_is_given_by_its_deadline():
    wheel = Wheel[Named](0.0)
    wheel.arm(Named("a"), 5.1)
    assert names(wheel, 4.9) == []
    assert names(wheel, 5.1) == ["a"]


def test_timer_is_given_once():
    wheel = Wheel[Named](0.0)
    wheel.arm(Named("a"), 5.0)
    assert names(wheel, 5.0) == ["a"]
    assert names(wheel, 50.0) == []


@pytest.mark.parametrize("now", [2.0, 1_000_000.0])
def test_timers_come_in_the_order_of_their_slots(now):
    wheel = Wheel[Named](0.0)
    for name, deadline in (("c", 1.9), ("a", 0.3), ("b", 1.0)):
        wheel.arm(Named(name), deadline)
    assert names(wheel, now) == ["a", "b", "c"]


def test_later_deadline_leaves_the_timer_where_it_is():
    wheel = Wheel[Named](0.0)
    timer = Named("a")
    wheel.arm(timer, 5.0)
    wheel.arm(timer, 9.0)
    assert names(wheel, 5.0) == ["a"]


def test_earlier_deadline_moves_the_timer_and_leaves_nothing_behind():
    wheel = Wheel[Named](0.0)
    timer = Named("a")
    wheel.arm(timer, 9.0)
    wheel.arm(timer, 5.0)
    assert names(wheel, 5.0) == ["a"]
    assert names(wheel, 9.0) == []


def test_disarmed_timer_is_not_given():
    wheel = Wheel[Named](0.0)
    timer = Named("a")
    wheel.arm(timer, 5.0)
    wheel.disarm(timer)
    assert names(wheel, 9.0) == []


def test_deadline_that_has_passed_is_given_at_the_next_call():
    wheel = Wheel[Named](100.0)
    wheel.arm(Named("a"), 5.0)
    assert names(wheel, 100.0) == ["a"]


def test_timer_armed_again_while_it_is_given_waits_for_the_next_call():
    wheel = Wheel[Named](0.0)
    timer = Named("a")
    wheel.arm(timer, 5.0)
    for given in wheel.due(5.0):
        wheel.arm(given, 5.2)
    assert names(wheel, 5.1) == ["a"]
