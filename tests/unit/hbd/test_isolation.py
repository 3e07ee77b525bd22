"""Whether hbd itself seems cut off, by plain calls."""

from hbd.isolation import AT_ONCE, DOUBT_SECONDS, Isolation, Phase
from hbd.model import Moment


def at(seconds: float) -> Moment:
    return Moment(1_000_000.0 + seconds, 500.0 + seconds)


def test_most_hosts_silent_at_once_is_suspicious():
    isolation = Isolation()
    assert isolation.look([at(0).wall] * 6, 4, at(1))
    assert (isolation.phase, isolation.holds) == (Phase.SUSPECTED, True)


def test_less_than_most_is_not():
    isolation = Isolation()
    assert not isolation.look([at(0).wall] * 5, 5, at(1))


def test_of_two_hosts_nothing_can_be_learned():
    isolation = Isolation()
    assert not isolation.look([at(0).wall] * 2, 0, at(1))


def test_hosts_that_were_down_for_long_count_for_nothing():
    isolation = Isolation()
    assert not isolation.look([at(0).wall] * 50, 2, at(AT_ONCE + 1))


def test_hosts_that_are_heard_again_end_it():
    isolation = Isolation()
    isolation.look([at(0).wall] * 10, 0, at(1))
    assert isolation.look([at(0).wall] * 2, 8, at(60))
    assert isolation.phase is Phase.WELL


def test_a_channel_that_can_be_reached_lets_hosts_be_told_after_a_while():
    isolation = Isolation()
    isolation.look([at(0).wall] * 10, 0, at(1))
    isolation.taken(at(2))
    isolation.look([at(0).wall] * 10, 0, at(2 + DOUBT_SECONDS - 1))
    before = isolation.holds
    isolation.look([at(0).wall] * 10, 0, at(2 + DOUBT_SECONDS))
    assert (before, isolation.holds, isolation.phase) == (True, False, Phase.BELIEVED)


def test_without_a_channel_that_can_be_reached_no_host_is_told():
    isolation = Isolation()
    isolation.look([at(0).wall] * 10, 0, at(1))
    isolation.look([at(0).wall] * 10, 0, at(86_400))
    assert isolation.holds
