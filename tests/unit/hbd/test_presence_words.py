"""What is told of liveness: reasons in words, counts and the strip."""

import pytest
from presence_kit import DOWN, OVERDUE, UNKNOWN, UP, V4, WALL, Watch, at

from hbd.model import Beat

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
