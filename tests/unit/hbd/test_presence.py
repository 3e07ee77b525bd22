"""Liveness, rule by rule."""

import pytest
from presence_kit import DOWN, OVERDUE, UNKNOWN, UP, V4, V6, WALL, Watch, at, heartbeat

from hbd.model import Beat, Transition
from hbd.presence import KnownConnection, Presence

# ---------------------------------------- the rule of silence


def test_first_heartbeat_brings_connection_and_host_up():
    watch = Watch(heard=False)
    assert watch.beat() == [
        Transition(1, V4, UNKNOWN, UP, WALL, "first heartbeat"),
        Transition(1, None, UNKNOWN, UP, WALL, "first heartbeat"),
    ]


@pytest.mark.parametrize(
    ("interval", "grace", "overdue", "down"),
    [
        (10.0, 3.0, 12.5, 30.0),  # a quarter of the interval is still on time
        (1.0, 3.0, 1.5, 3.0),  # at least half a second is
        (0.5, 3.0, 1.0, 1.5),
        (10.0, 1.2, 11.0, 12.0),  # but never more than half of the way to DOWN
        (10.0, 1.0, None, 10.0),  # with a grace of 1 there is no way between
        (60.0, 2.0, 75.0, 120.0),
        (300.0, 3.0, 375.0, 900.0),
    ],
)
def test_silence_makes_overdue_then_down(interval, grace, overdue, down):
    watch = Watch(interval=interval, grace=grace, heard=False)
    watch.beat(interval=interval)
    changes = [(change.after, change.at - WALL) for change in watch.wait(down + 5) if change.family is None]
    assert changes == ([] if overdue is None else [(OVERDUE, overdue)]) + [(DOWN, down)]


def test_heartbeat_a_little_late_changes_nothing():
    watch = Watch()
    changes = []
    for _ in range(5):
        changes += watch.wait(10.05) + watch.beat()
    assert changes == []


def test_deadline_is_met_by_the_first_tick_that_reaches_it():
    watch = Watch()
    watch.wait(29.5)
    assert watch.presence.tick(at(29.999)) == []
    assert [change.after for change in watch.presence.tick(at(30.0))] == [DOWN, DOWN]


def test_late_tick_goes_straight_to_down():
    watch = Watch(interval=0.1, heard=False)
    watch.beat(interval=0.1)
    assert [(change.before, change.after) for change in watch.presence.tick(at(1.0))] == [(UP, DOWN), (UP, DOWN)]


@pytest.mark.parametrize("silence", [15.0, 45.0])
def test_sign_of_life_brings_it_back_up(silence):
    watch = Watch()
    watch.wait(silence)
    assert [change.after for change in watch.beat(seq=9)] == [UP, UP]
    assert watch.host.state is UP


def test_after_coming_back_silence_counts_anew():
    watch = Watch()
    watch.wait(45.0)
    watch.beat(seq=9)
    changes = watch.wait(40.0)
    assert [(c.after, c.at - WALL) for c in changes if c.family] == [(OVERDUE, 57.5), (DOWN, 75.0)]


def test_down_is_told_once():
    watch = Watch()
    watch.wait(31.0)
    assert watch.wait(300.0) == []


def test_unknown_host_changes_nothing():
    presence = Presence(3.0, at(0.0))
    assert presence.beat(heartbeat(1), at(0.0)) == []
    assert presence.report(1, family=V4, address=None, interval=None, now=at(0.0)) == []
    assert presence.farewell(1, Beat.STOPPED, at(0.0)) == []
    assert presence.view(1) is None


# ---------------------------------------- intervals


def test_configured_interval_outranks_the_announced_one():
    watch = Watch(configured=20.0)
    assert [c.at - WALL for c in watch.wait(70.0) if c.family] == [25.0, 60.0]


def test_interval_nobody_names_is_the_default():
    watch = Watch(interval=4.0, heard=False)
    watch.beat(interval=None)
    assert [c.at - WALL for c in watch.wait(15.0) if c.family] == [5.0, 12.0]


def test_report_without_interval_leaves_the_announced_one():
    watch = Watch(heard=False)
    watch.report(interval=20.0)
    watch.wait(5.0)
    watch.report(interval=None)
    assert watch.link().interval == 20.0


def test_report_interval_rules_where_only_reports_come():
    watch = Watch(heard=False)
    watch.report(interval=60.0)
    assert [(c.after, c.at - WALL) for c in watch.wait(190.0) if c.family] == [(OVERDUE, 75.0), (DOWN, 180.0)]


def test_shorter_interval_counts_while_both_kinds_come():
    watch = Watch()
    watch.report(interval=60.0)
    watch.wait(10.0)
    watch.beat()
    assert watch.link().interval == 10.0


def test_connection_is_not_down_while_a_report_is_still_on_time():
    watch = Watch()
    watch.report(interval=60.0)
    assert [(c.after, c.at - WALL) for c in watch.wait(100.0) if c.family] == [(OVERDUE, 12.5), (DOWN, 75.0)]


def test_reports_alone_rule_once_heartbeats_were_given_up():
    watch = Watch()
    watch.report(interval=60.0)
    watch.wait(60.0)
    assert [c.after for c in watch.report(interval=60.0)] == [UP, UP]
    assert watch.wait(70.0) == []


def test_returned_heartbeats_rule_at_once():
    watch = Watch()
    watch.report(interval=60.0)
    for _ in range(2):
        watch.wait(60.0)
        watch.report(interval=60.0)
    watch.beat()
    assert [c.at - WALL for c in watch.wait(20.0) if c.family] == [132.5]


def test_returned_reports_rule_at_once():
    watch = Watch(heard=False)
    watch.report(interval=10.0)
    for _ in range(2):
        watch.beat(interval=60.0)
        watch.wait(60.0)
    watch.beat(interval=60.0)
    watch.report(interval=10.0)
    assert [c.at - WALL for c in watch.wait(20.0) if c.family] == [132.5]


def test_shorter_announced_interval_moves_the_deadline_forward():
    watch = Watch(interval=600.0, heard=False)
    watch.beat(interval=600.0)
    watch.wait(100.0)
    watch.beat(interval=10.0)
    assert [c.at - WALL for c in watch.wait(40.0) if c.family] == [112.5, 130.0]


# ---------------------------------------- families and the host


def test_host_is_up_while_one_family_is():
    watch = Watch()
    watch.presence.beat(heartbeat(1, family=V6), at(0.0))
    changes = []
    for seq in range(2, 7):
        changes += watch.wait(10.0)
        changes += watch.presence.beat(heartbeat(seq, family=V6), at(watch.mono))
    assert [(c.family, c.after) for c in changes] == [(V4, OVERDUE), (V4, DOWN)]
    assert watch.host.state is UP


def test_host_is_overdue_while_its_best_family_is():
    watch = Watch()
    watch.wait(20.0)
    watch.presence.beat(heartbeat(1, family=V6), at(20.0))
    watch.wait(15.0)
    assert (watch.link(V4).state, watch.link(V6).state, watch.host.state) == (DOWN, OVERDUE, OVERDUE)


def test_families_falling_together_change_the_host_once():
    watch = Watch()
    watch.presence.beat(heartbeat(1, family=V6), at(0.0))
    changes = watch.wait(35.0)
    assert [(c.family, c.after) for c in changes] == [
        *((V4, OVERDUE), (V6, OVERDUE), (None, OVERDUE)),
        *((V4, DOWN), (V6, DOWN), (None, DOWN)),
    ]


def test_last_address_of_a_family_is_shown():
    watch = Watch()
    watch.wait(10.0)
    watch.beat(address="192.0.2.99")
    assert [link.address for link in watch.host.connections] == ["192.0.2.99"]


def test_connections_are_listed_ipv4_first():
    watch = Watch(heard=False)
    watch.beat(family=V6)
    watch.presence.beat(heartbeat(1), at(0.0))
    assert [link.family for link in watch.host.connections] == [V4, V6]


def test_report_over_no_network_keeps_the_host_up_without_a_connection():
    watch = Watch(heard=False)
    changes = watch.report(family=None, interval=100.0)
    assert [(c.family, c.after) for c in changes] == [(None, UP)]
    assert watch.host.connections == []


def test_foreign_host_is_down_after_its_own_grace():
    watch = Watch(heard=False)
    watch.report(family=None, interval=100.0)
    changes = watch.wait(310.0)
    assert [(c.family, c.after, c.at - WALL) for c in changes] == [(None, OVERDUE, 125.0), (None, DOWN, 300.0)]


# ---------------------------------------- start of the daemon


def test_enrolled_host_that_was_never_heard_stays_unknown():
    watch = Watch(heard=False)
    assert watch.wait(3600.0) == []
    assert (watch.host.state, watch.host.since, watch.host.reason) == (UNKNOWN, None, "never heard")


def test_known_host_is_unknown_for_a_full_grace_then_down():
    watch = Watch(heard=False, known=[KnownConnection(V4, "192.0.2.1", 5.0), KnownConnection(V6, "2001:db8::1", 6.0)])
    changes = watch.wait(40.0)
    assert [(c.family, c.before, c.after, c.at - WALL) for c in changes] == [
        (family, UNKNOWN, DOWN, 30.0) for family in (V4, V6, None)
    ]


def test_known_host_shows_its_connections_and_when_they_were_seen():
    watch = Watch(heard=False, known=[KnownConnection(V4, "192.0.2.1", 5.0), KnownConnection(V6, "2001:db8::1", 6.0)])
    assert [(link.address, link.state, link.last_seen) for link in watch.host.connections] == [
        ("192.0.2.1", UNKNOWN, 5.0),
        ("2001:db8::1", UNKNOWN, 6.0),
    ]
    assert (watch.host.last_seen, watch.host.reason) == (6.0, "not heard since the daemon started")


def test_remembered_interval_times_the_grace_after_a_start():
    watch = Watch(heard=False, known=[KnownConnection(V4, "192.0.2.1", 5.0, interval=60.0)])
    assert [c.at - WALL for c in watch.wait(200.0) if c.family] == [180.0]


def test_known_host_heard_on_one_family_is_up_and_loses_the_other():
    watch = Watch(heard=False, known=[KnownConnection(V4, "192.0.2.1", 5.0), KnownConnection(V6, "2001:db8::1", 6.0)])
    watch.wait(5.0)
    watch.beat()
    watch.wait(10.0)
    watch.beat()
    watch.wait(10.0)
    watch.beat()
    assert [(c.family, c.after) for c in watch.wait(6.0)] == [(V6, DOWN)]
    assert watch.host.state is UP


def test_host_heard_and_lost_is_down_although_a_known_family_is_open():
    watch = Watch(heard=False, known=[KnownConnection(V6, "2001:db8::1", 6.0, interval=600.0)])
    watch.beat()
    watch.wait(31.0)
    assert (watch.link(V6).state, watch.host.state) == (UNKNOWN, DOWN)


def test_known_host_without_connections_is_down_after_a_grace():
    watch = Watch(heard=False, last_seen=7.0)
    assert (watch.host.state, watch.host.last_seen, watch.host.connections) == (UNKNOWN, 7.0, [])
    assert [(c.family, c.after, c.at - WALL) for c in watch.wait(40.0)] == [(None, DOWN, 30.0)]


def test_knowing_a_host_again_only_takes_its_intervals():
    watch = Watch()
    watch.presence.know(1, interval=10.0, configured=20.0, now=at(0.0))
    assert (watch.host.state, watch.host.interval) == (UP, 20.0)


# ---------------------------------------- heartbeats by number


@pytest.mark.parametrize(
    ("seqs", "lost"),
    [
        ([1, 2, 3], 0),
        ([7, 8], 0),  # what was sent before the daemon looked is not held against it
        ([1, 4], 2),
        ([1, 4, 5, 9], 5),
        ([1, 4, 3], 1),  # overtaken, not lost
        ([1, 4, 3, 2, 5], 0),
        ([1, 4, 4], 2),  # a repeat corrects nothing
        ([5, 4], 0),
    ],
)
def test_lost_counts_the_gaps_of_a_run(seqs, lost):
    watch = Watch(heard=False)
    for seq in seqs:
        watch.wait(5.0)
        watch.beat(seq)
    assert watch.link().lost == lost


def test_new_run_counts_from_its_own_first_heartbeat():
    watch = Watch()
    watch.wait(5.0)
    watch.beat(9)
    watch.wait(5.0)
    watch.beat(3, run_id="b" * 16)
    assert watch.link().lost == 2


def test_families_count_apart():
    watch = Watch()
    watch.wait(5.0)
    watch.beat(5)
    watch.beat(5, family=V6)
    assert (watch.link(V4).lost, watch.link(V6).lost) == (3, 0)


@pytest.mark.parametrize("seq", [4, 5])
def test_repeated_or_overtaken_heartbeat_is_no_sign_of_life(seq):
    watch = Watch(heard=False)
    watch.beat(5)
    watch.wait(31.0)
    assert watch.beat(seq, address="203.0.113.1") == []
    assert (watch.host.state, watch.link().address) == (DOWN, "192.0.2.1")


def test_last_known_round_trip_is_kept():
    watch = Watch()
    watch.beat(rtt=0.02)
    watch.beat(rtt=None)
    assert watch.link().rtt == 0.02
