"""Liveness, rule by rule. Time is a pair of numbers here: the wall clock is 1,000,000 s ahead of the monotonic one."""

import pytest

from hbd.model import Beat, Family, Heartbeat, Moment, State, Transition
from hbd.presence import KnownConnection, Presence

V4, V6 = Family.IPV4, Family.IPV6
UP, OVERDUE, DOWN, UNKNOWN = State.UP, State.OVERDUE, State.DOWN, State.UNKNOWN
WALL = 1_000_000.0


def at(mono: float) -> Moment:
    return Moment(WALL + mono, mono)


def heartbeat(seq: int, **more: object) -> Heartbeat:
    facts: dict[str, object] = {"family": V4, "address": "192.0.2.1", "run_id": "a" * 16, "interval": 10.0}
    return Heartbeat(host_id=1, seq=seq, **(facts | more))  # type: ignore[arg-type]


class Watch:
    """A Presence with host 1, and a tick every half second."""

    def __init__(self, *, grace: float = 3.0, interval: float = 10.0, heard: bool = True, **know: object) -> None:
        self.presence = Presence(grace, at(0.0))
        self.presence.know(1, interval=interval, now=at(0.0), **know)  # type: ignore[arg-type]
        self.mono = 0.0
        self.seq = 0
        if heard:
            self.beat()

    def wait(self, seconds: float) -> list[Transition]:
        """Transitions on the way, ticks at both ends of it included."""
        transitions = []
        until = self.mono + seconds
        while self.mono < until:
            self.mono = min(self.mono + 0.5, until)
            transitions += self.presence.tick(at(self.mono))
        return transitions

    def beat(self, seq: int | None = None, **more: object) -> list[Transition]:
        self.seq = self.seq + 1 if seq is None else seq
        return self.presence.beat(heartbeat(self.seq, **more), at(self.mono))

    def report(self, family: Family | None = V4, interval: float | None = None) -> list[Transition]:
        address = None if family is None else "192.0.2.1"
        return self.presence.report(1, family=family, address=address, interval=interval, now=at(self.mono))

    @property
    def host(self):
        view = self.presence.view(1)
        assert view is not None
        return view

    def link(self, family: Family = V4):
        return next(link for link in self.host.connections if link.family is family)


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


# ---------------------------------------- the words


def test_reason_names_the_silence():
    watch = Watch()
    reasons = [c.reason for c in watch.wait(31.0) if c.family is None]
    assert reasons == ["no heartbeat for 12 s", "no heartbeat for 30 s"]


@pytest.mark.parametrize(
    ("family", "beats", "reason"),
    [
        (V4, True, "no heartbeat or report for 30 s"),
        (V4, False, "no report for 30 s"),
        (None, False, "no report for 30 s"),
    ],
)
def test_reason_names_what_was_expected(family, beats, reason):
    watch = Watch(heard=beats)
    watch.report(family=family)
    watch.wait(31.0)
    assert watch.host.reason == reason


@pytest.mark.parametrize(
    ("silence", "words"),
    [(31.0, "31 s"), (300.0, "5 min"), (4 * 3600.0, "4 h"), (5 * 86_400.0, "5 d")],
)
def test_return_names_the_silence_before(silence, words):
    watch = Watch()
    watch.wait(31.0)
    watch.mono = silence
    assert {c.reason for c in watch.beat(seq=99)} == {f"heartbeat after {words} of silence"}


def test_reason_is_empty_while_up():
    watch = Watch()
    watch.wait(31.0)
    watch.beat(seq=9)
    assert watch.host.reason == ""


@pytest.mark.parametrize(
    ("kind", "reason"), [(Beat.STOPPED, "agent stopped on purpose"), (Beat.SHUTDOWN, "host was shut down")]
)
@pytest.mark.parametrize("by_heartbeat", [True, False])
def test_clean_stop_is_told_apart_from_silence(kind, reason, by_heartbeat):
    watch = Watch()
    if by_heartbeat:
        watch.beat(kind=kind)
    else:
        watch.presence.farewell(1, kind, at(0.0))
    assert watch.host.reason == reason
    assert {(c.after, c.at - WALL, c.reason) for c in watch.wait(31.0)} == {
        (OVERDUE, 12.5, reason),
        (DOWN, 30.0, reason),
    }
    assert watch.host.reason == reason


@pytest.mark.parametrize(("kind", "reason"), [(Beat.STARTED, "agent started"), (Beat.BOOTED, "host booted")])
def test_start_of_the_agent_is_the_reason_to_be_up(kind, reason):
    watch = Watch()
    watch.beat(kind=Beat.STOPPED)
    watch.wait(31.0)
    assert {c.reason for c in watch.beat(seq=1, run_id="b" * 16, kind=kind)} == {reason}
    assert watch.host.reason == ""


def test_new_run_is_a_start_of_the_agent_although_its_first_heartbeat_was_lost():
    watch = Watch()
    watch.wait(31.0)
    assert {c.reason for c in watch.beat(seq=2, run_id="b" * 16)} == {"agent started"}


def test_farewell_outlives_signs_of_life_that_overlap_with_it():
    watch = Watch()
    watch.beat(kind=Beat.STOPPED)
    watch.wait(0.5)
    watch.report()
    watch.wait(31.0)
    assert watch.host.reason == "agent stopped on purpose"


@pytest.mark.parametrize("sign", ["beat", "report"])
def test_later_sign_of_life_takes_a_farewell_back(sign):
    watch = Watch()
    watch.presence.farewell(1, Beat.STOPPED, at(0.0))
    watch.wait(10.0)
    getattr(watch, sign)()
    assert watch.host.reason == ""


def test_farewell_is_taken_back_by_the_first_heartbeat_that_does_not_overlap():
    watch = Watch()
    watch.presence.farewell(1, Beat.STOPPED, at(0.0))
    watch.beat()
    watch.wait(10.0)
    watch.beat()
    assert watch.host.reason == ""


def test_farewell_in_the_new_run_counts_again():
    watch = Watch()
    watch.beat(kind=Beat.STOPPED)
    watch.beat(seq=1, run_id="b" * 16, kind=Beat.STARTED)
    watch.beat(seq=2, run_id="b" * 16, kind=Beat.SHUTDOWN)
    assert watch.host.reason == "host was shut down"


def test_blocked_reports_are_named_while_heartbeats_arrive():
    watch = Watch()
    watch.report()
    for _ in range(4):
        assert watch.host.reason == ""
        watch.wait(10.0)
        watch.beat()
    assert (watch.host.state, watch.host.reason) == (UP, "heartbeats arrive, reports do not")


def test_blocked_heartbeats_are_named_while_reports_arrive():
    watch = Watch()
    for _ in range(4):
        watch.wait(10.0)
        watch.report()
    assert (watch.host.state, watch.host.reason) == (UP, "reports arrive, heartbeats do not")


def test_heartbeats_that_never_came_are_named_too():
    watch = Watch(heard=False)
    watch.report()
    for _ in range(4):
        watch.wait(10.0)
        watch.report()
    assert watch.host.reason == "reports arrive, heartbeats do not"


def test_slow_reports_are_not_called_missing():
    watch = Watch()
    watch.report(interval=60.0)
    for _ in range(6):
        watch.wait(10.0)
        watch.beat()
    assert watch.host.reason == ""


def test_foreign_host_is_not_blamed_for_sending_no_heartbeats():
    watch = Watch(heard=False)
    for _ in range(5):
        watch.report(family=None)
        watch.wait(10.0)
    assert watch.host.reason == ""


def test_times_of_heartbeats_and_reports_are_kept_apart():
    watch = Watch()
    watch.wait(5.0)
    watch.report()
    link = watch.link()
    assert (link.heartbeat_at, link.report_at, link.last_seen) == (WALL, WALL + 5, WALL + 5)


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


# ---------------------------------------- counts and strip


def test_counts_follow_the_hosts():
    watch = Watch(heard=False)
    watch.presence.know(2, interval=10.0, now=at(0.0))
    assert watch.presence.counts() == {UP: 0, OVERDUE: 0, DOWN: 0, UNKNOWN: 2}
    watch.beat()
    assert watch.presence.counts() == {UP: 1, OVERDUE: 0, DOWN: 0, UNKNOWN: 1}
    watch.wait(31.0)
    assert watch.presence.counts() == {UP: 0, OVERDUE: 0, DOWN: 1, UNKNOWN: 1}


def test_strip_of_a_new_host_is_not_known():
    assert Watch(heard=False).host.strip == "-" * 30


def test_strip_keeps_the_worst_state_of_each_minute():
    watch = Watch()
    for second in range(10, 300, 10):
        watch.wait(10.0)
        if second != 70 and not 180 <= second < 230:
            watch.beat(second)
    assert watch.host.strip[-5:] == "uoudu"


def test_strip_covers_the_last_thirty_minutes():
    watch = Watch()
    watch.wait(60.0)
    for second in range(70, 60 + 31 * 60, 10):
        watch.wait(10.0)
        watch.beat(second)
    assert watch.host.strip == "u" * 30


def test_strip_grows_while_nobody_looks():
    watch = Watch()
    watch.wait(600.0)
    assert watch.host.strip == "-" * 19 + "d" * 11


def test_strip_does_not_know_minutes_of_blindness():
    watch = Watch()
    watch.wait(59.0)
    watch.beat(9)
    watch.mono = 200.0
    watch.beat(10)
    assert watch.host.strip[-4:] == "d--u"
