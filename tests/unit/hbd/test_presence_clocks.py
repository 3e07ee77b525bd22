"""Liveness while clocks jump, the daemon cannot see, or a reload changes what is expected."""

import pytest
from presence_kit import DOWN, OVERDUE, UNKNOWN, V4, WALL, Watch, at, heartbeat

from hbd.model import Moment
from hbd.presence import KnownConnection

# ---------------------------------------- clocks and blindness


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0])
def test_jump_of_the_wall_clock_flips_nothing(jump):
    watch = Watch()
    changes = []
    for seq in range(2, 30):
        for half in range(1, 21):
            changes += watch.presence.tick(Moment(WALL + jump * (seq % 2), watch.mono + half / 2))
        watch.mono += 10.0
        changes += watch.presence.beat(heartbeat(seq), Moment(WALL - jump, watch.mono))
    assert changes == []


@pytest.mark.parametrize("asleep", [5.0, 600.0, 1_000_000.0])
def test_nobody_is_down_for_time_the_daemon_could_not_see(asleep):
    watch = Watch()
    watch.wait(5.0)
    woken = watch.mono = 5.0 + asleep
    assert watch.presence.tick(at(woken)) == []
    assert watch.host.reason == "not heard since the daemon could see again"
    assert [(c.after, c.at - WALL - woken) for c in watch.wait(31.0) if c.family] == [(OVERDUE, 12.5), (DOWN, 30.0)]


def test_overdue_host_gets_a_full_grace_after_blindness():
    watch = Watch()
    watch.wait(20.0)
    watch.mono = 600.0
    watch.presence.tick(at(600.0))
    assert [(c.after, c.at - WALL) for c in watch.wait(31.0) if c.family] == [(DOWN, 630.0)]
    assert watch.host.reason == "not heard for 30 s since the daemon could see again"


def test_unknown_host_gets_a_full_grace_after_blindness():
    watch = Watch(heard=False, last_seen=7.0)
    watch.wait(20.0)
    watch.mono = 600.0
    watch.presence.tick(at(600.0))
    assert [c.at - WALL for c in watch.wait(31.0)] == [630.0]


@pytest.mark.parametrize("sign", ["beat", "report"])
def test_blindness_is_noticed_by_a_sign_of_life_that_comes_before_the_tick(sign):
    watch = Watch()
    watch.presence.know(2, interval=10.0, now=at(0.0))
    watch.presence.report(2, family=V4, address=None, interval=10.0, now=at(0.0))
    watch.mono = 600.0
    getattr(watch, sign)()
    assert watch.presence.tick(at(600.1)) == []


def test_blindness_can_be_told():
    watch = Watch()
    watch.wait(5.0)
    assert watch.presence.blindness is None
    watch.presence.tick(at(605.0))
    blindness = watch.presence.blindness
    assert blindness is not None
    assert (blindness.since, blindness.until) == (at(5.0), at(605.0))


def test_signs_of_life_without_ticks_are_no_blindness():
    watch = Watch()
    watch.presence.know(2, interval=10.0, now=at(0.0))
    for second in range(1, 40):
        watch.presence.report(2, family=V4, address=None, interval=10.0, now=at(second))
    assert {c.host_id for c in watch.presence.tick(at(39.5)) if c.after is DOWN} == {1}


def test_heartbeats_missed_in_blindness_are_not_lost():
    watch = Watch()
    watch.mono = 600.0
    watch.beat(2)  # this one waited in the socket; what came after it found no room there
    watch.wait(5.0)
    watch.beat(61)
    assert watch.link().lost == 0
    watch.wait(20.0)
    watch.beat(63)
    assert watch.link().lost == 1


# ---------------------------------------- reload


def test_longer_grace_holds_for_running_deadlines():
    watch = Watch()
    watch.wait(25.0)
    watch.presence.configure(grace=6.0, intervals={}, now=at(25.0))
    assert [c.at - WALL for c in watch.wait(40.0) if c.family] == [60.0]


def test_configured_interval_holds_for_running_deadlines():
    watch = Watch()
    watch.wait(5.0)
    watch.presence.configure(grace=3.0, intervals={1: 20.0}, now=at(5.0))
    assert [c.at - WALL for c in watch.wait(60.0) if c.family] == [25.0, 60.0]


def test_shorter_configured_interval_is_held_against_nobody_who_was_not_told():
    watch = Watch(interval=60.0, heard=False)
    watch.beat(interval=60.0)
    watch.wait(50.0)
    watch.presence.configure(grace=3.0, intervals={1: 10.0}, now=at(50.0))
    assert [c.at - WALL for c in watch.wait(200.0) if c.family] == [75.0, 180.0]


def test_shorter_configured_interval_counts_once_the_agent_obeys():
    watch = Watch(interval=60.0, heard=False)
    watch.beat(interval=60.0)
    watch.presence.configure(grace=3.0, intervals={1: 10.0}, now=at(0.0))
    watch.beat(interval=10.0)
    assert [c.at - WALL for c in watch.wait(60.0) if c.family] == [12.5, 30.0]


def test_shorter_grace_is_held_against_nobody_before_it_held():
    watch = Watch()
    watch.wait(20.0)
    watch.presence.configure(grace=1.5, intervals={}, now=at(20.0))
    assert [c.at - WALL for c in watch.wait(60.0) if c.family] == [35.0]


def test_reload_that_changes_nothing_moves_no_deadline():
    watch = Watch(configured=10.0)
    for _ in range(5):
        watch.wait(5.0)
        watch.presence.configure(grace=3.0, intervals={1: 10.0}, now=at(watch.mono))
    assert [c.at - WALL for c in watch.wait(10.0) if c.family] == [30.0]


def test_interval_taken_out_of_the_config_is_the_announced_one_again():
    watch = Watch(configured=60.0)
    watch.presence.configure(grace=3.0, intervals={1: None}, now=at(0.0))
    assert watch.host.interval == 10.0


def test_reload_leaves_a_down_host_down():
    watch = Watch(heard=False, known=[KnownConnection(V4, "192.0.2.1", 5.0)])
    watch.wait(31.0)
    watch.presence.configure(grace=9.0, intervals={1: 50.0}, now=at(31.0))
    assert watch.wait(600.0) == []
    assert (watch.host.state, watch.link().interval) == (DOWN, 50.0)


def test_forgotten_host_is_gone_and_stays_silent():
    watch = Watch()
    watch.presence.forget(1)
    assert watch.wait(60.0) == []
    assert (watch.presence.view(1), sum(watch.presence.counts().values())) == (None, 0)


def test_host_that_comes_back_after_being_forgotten_starts_anew():
    watch = Watch()
    watch.presence.forget(1)
    watch.presence.know(1, interval=10.0, now=at(1.0))
    assert (watch.host.state, watch.host.connections) == (UNKNOWN, [])
