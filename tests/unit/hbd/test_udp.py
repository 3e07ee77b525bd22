"""Heartbeats: what a datagram must be to count."""

import pytest

from hbc import wire
from hbd.enrolment import LiveKey
from hbd.hosts import Host
from hbd.model import Beat, Family, Moment
from hbd.receivers.udp import Heartbeats, Window
from hbd.stats import Stats
from hbd.store.hosts import BeatRow

NOW = Moment(1_000.0, 50.0)
RUN, OTHER_RUN = "00000000000000aa", "00000000000000bb"
HASH = wire.key_hash("a" * 64)


class Keys:
    """Stands for the enrolment of one host."""

    def __init__(self):
        self.host = Host(7, "web-1", "agent_7")

    def by_key_id(self, identifier, now):
        return LiveKey(self.host, HASH, 0.0, None, True) if identifier == wire.key_id(HASH) else None


class Taken(list):
    """Stands for the pipeline."""

    def beat(self, heartbeat, path, now):
        self.append((heartbeat, path))


@pytest.fixture
def taken():
    return Taken()


@pytest.fixture
def heartbeats(taken):
    return Heartbeats(Keys(), taken, Stats())


def datagram(seq=1, run=RUN, time=500.0, kind="alive", family=4, hashed=HASH, rtt=0.002):
    return wire.pack_beat(hashed, wire.Beat(run, seq, time, rtt, 10.0, kind, family))


def receive(heartbeats, data, family=Family.IPV4):
    return heartbeats.received(data, family, "192.0.2.1", NOW)


def test_a_true_heartbeat_is_taken_with_all_it_says(heartbeats, taken):
    receive(heartbeats, datagram(seq=3, kind="booted"))
    beat, path = taken[0]
    assert (beat.host_id, beat.seq, beat.kind, beat.rtt, beat.interval, path) == (7, 3, Beat.BOOTED, 0.002, 10.0, 4)


def test_a_true_heartbeat_is_echoed_in_fewer_bytes(heartbeats):
    data = datagram(seq=3)
    echo = receive(heartbeats, data)
    assert wire.unpack_echo(HASH, echo) == (RUN, 3, 500.0)
    assert len(echo) <= len(data)


@pytest.mark.parametrize("position", range(wire.BEAT_BYTES))
def test_one_changed_bit_anywhere_makes_it_worthless(heartbeats, taken, position):
    data = bytearray(datagram())
    data[position] ^= 1
    assert receive(heartbeats, bytes(data)) is None
    assert taken == []


@pytest.mark.parametrize("data", [b"", b"x", b"hbh1", b"\0" * wire.BEAT_BYTES, datagram() + b"\0", datagram()[:-1]])
def test_what_is_no_heartbeat_gets_no_answer(heartbeats, taken, data):
    assert receive(heartbeats, data) is None
    assert taken == []


def test_another_key_gets_no_answer(heartbeats, taken):
    assert receive(heartbeats, datagram(hashed=wire.key_hash("b" * 64))) is None
    assert taken == []


def test_a_host_that_is_switched_off_gets_no_answer(heartbeats, taken):
    heartbeats._enrolment.host.enabled = False
    assert receive(heartbeats, datagram()) is None
    assert taken == []


def test_a_repeat_is_worthless(heartbeats, taken):
    receive(heartbeats, datagram(seq=5))
    assert receive(heartbeats, datagram(seq=5)) is None
    assert len(taken) == 1


def test_a_repeat_over_the_other_family_is_worthless(heartbeats, taken):
    receive(heartbeats, datagram(seq=5), Family.IPV4)
    assert receive(heartbeats, datagram(seq=5), Family.IPV6) is None
    assert len(taken) == 1


def test_each_family_counts_for_itself(heartbeats, taken):
    receive(heartbeats, datagram(seq=5, family=4), Family.IPV4)
    receive(heartbeats, datagram(seq=5, family=6), Family.IPV6)
    assert [path for _, path in taken] == [4, 6]


def test_heartbeats_that_overtook_each_other_are_all_taken(heartbeats, taken):
    for seq in (5, 3, 4, 1, 2):
        receive(heartbeats, datagram(seq=seq))
    assert len(taken) == 5


def test_one_that_is_too_late_is_worthless(heartbeats, taken):
    receive(heartbeats, datagram(seq=100))
    assert receive(heartbeats, datagram(seq=100 - 64)) is None
    assert receive(heartbeats, datagram(seq=100 - 63)) is not None


def test_a_new_run_is_taken_when_its_clock_went_on(heartbeats):
    receive(heartbeats, datagram(seq=100, time=500.0))
    assert receive(heartbeats, datagram(seq=1, run=OTHER_RUN, time=501.0)) is not None


def test_a_recording_of_an_earlier_run_is_worthless(heartbeats):
    receive(heartbeats, datagram(seq=100, time=500.0))
    assert receive(heartbeats, datagram(seq=200, run=OTHER_RUN, time=400.0)) is None


def test_a_run_that_the_link_vouches_for_is_taken_with_any_clock(heartbeats):
    receive(heartbeats, datagram(seq=100, time=500.0))
    heartbeats.announce(7, OTHER_RUN, 9.0)
    assert receive(heartbeats, datagram(seq=1, run=OTHER_RUN, time=10.0)) is not None


def test_vouching_for_a_run_does_not_open_the_door_to_recordings_of_others(heartbeats, taken):
    receive(heartbeats, datagram(seq=100, time=500.0))
    heartbeats.announce(7, OTHER_RUN, 600.0)
    assert receive(heartbeats, datagram(seq=101, time=510.0)) is None
    assert len(taken) == 1


def test_vouching_for_the_present_run_does_not_open_it_to_repeats(heartbeats):
    receive(heartbeats, datagram(seq=100))
    heartbeats.announce(7, RUN, 500.0)
    assert receive(heartbeats, datagram(seq=100)) is None


def test_a_recording_from_before_a_restart_is_worthless(heartbeats):
    heartbeats.load([BeatRow(7, 4, RUN, 100, 500.0)])
    assert receive(heartbeats, datagram(seq=99)) is None
    assert receive(heartbeats, datagram(seq=101)) is not None


def test_a_window_takes_each_number_once_in_any_order():
    window = Window(RUN, 0, 1, 0.0)
    beats = [wire.Beat(RUN, seq, 1.0, None, 10.0, "alive", 4) for seq in (64, 1, 63, 2, 65, 66, 30)]
    assert all(window.takes(beat) for beat in beats)
    assert not any(window.takes(beat) for beat in beats)
