from __future__ import annotations

from pathlib import Path

import pytest

from hbc.outbox import ACK_TIMEOUT, WINDOW, WINDOW_BYTES, Outbox
from hbc.spool import Spool

RUN = "00112233445566aa"


class Box(Outbox):
    """An outbox over a spool on disk, with the daemon's side in a few words."""

    def __init__(self, path: Path) -> None:
        self.spool = Spool(path, max_bytes=1 << 24, max_age=1e6)
        self.spool.open(now=0.0, wall=0.0)
        super().__init__(self.spool)
        self.seq = 0

    def old(self, count: int, size: int = 10) -> None:
        """Reports of before."""
        for _ in range(count):
            self.seq += 1
            self.spool.append(RUN, self.seq, 0.0, b"x" * size, 0.0)

    def measure(self) -> int:
        self.seq += 1
        self.put(self.spool.append(RUN, self.seq, 0.0, b"new", 0.0))
        return self.seq

    def send(self, now: float = 0.0, most: int = 10_000) -> list[int]:
        sent: list[int] = []
        while len(sent) < most and (found := self.next(now)) is not None:
            sent.append(found[0].seq)
        return sent

    def ack(self, *seqs: int) -> None:
        self.acknowledge(RUN, seqs)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def test_new_report_goes_before_the_backlog(box: Box) -> None:
    box.old(3)
    new = box.measure()
    assert box.send() == [new, 1, 2, 3]


def test_backlog_goes_in_the_order_it_was_measured(box: Box) -> None:
    box.old(200)
    order = []
    while sent := box.send():
        order += sent
        box.ack(*sent)
    assert order == list(range(1, 201))


def test_so_many_are_on_the_way_and_no_more(box: Box) -> None:
    box.old(WINDOW * 2)
    assert len(box.send()) == WINDOW
    box.ack(1, 2, 3)
    assert box.send() == [WINDOW + 1, WINDOW + 2, WINDOW + 3]


def test_so_many_bytes_are_on_the_way_and_little_more(box: Box) -> None:
    box.old(20, size=WINDOW_BYTES // 4)
    assert len(box.send()) == 4


def test_report_larger_than_the_window_goes_alone(box: Box) -> None:
    box.old(2, size=WINDOW_BYTES * 2)
    assert box.send() == [1]
    box.ack(1)
    assert box.send() == [2]


def test_new_report_does_not_wait_for_a_full_window(box: Box) -> None:
    box.old(WINDOW * 2)
    box.send()
    assert box.send() == []
    new = box.measure()
    assert box.send() == [new]


def test_acknowledged_report_leaves_the_spool(box: Box) -> None:
    new = box.measure()
    box.send()
    box.ack(new)
    assert box.spool.records == 0
    assert not box.stuck(1e9)


def test_unknown_acknowledgement_changes_nothing(box: Box) -> None:
    new = box.measure()
    box.ack(new, 99)
    box.acknowledge("ffffffffffffffff", [1])
    assert box.spool.records == 1


def test_unacknowledged_reports_go_again_after_the_link_was_lost(box: Box) -> None:
    box.old(3)
    assert box.send() == [1, 2, 3]
    box.ack(2)
    box.link_lost()
    assert box.send() == [1, 3]


def test_report_measured_while_there_was_no_link_goes_once(box: Box) -> None:
    box.old(2)
    new = box.measure()
    assert sorted(box.send()) == [1, 2, new]
    assert box.send() == []


def test_more_new_reports_than_kept_apart_are_found_in_the_spool(box: Box) -> None:
    for _ in range(30):
        box.measure()
    assert sorted(box.send()) == list(range(1, 31))


def test_busy_server_gets_nothing_until_the_time_it_asked_for(box: Box) -> None:
    box.old(2)
    box.send()
    box.hold(RUN, [1, 2], retry=5.0, now=100.0)
    box.measure()
    assert box.send(now=104.9) == []
    assert box.wait(100.0) == 5.0
    assert sorted(box.send(now=105.0)) == [1, 2, 3]


def test_busy_keeps_what_is_still_on_the_way(box: Box) -> None:
    box.old(3)
    box.send()
    box.hold(RUN, [2], retry=1.0, now=0.0)
    assert box.send(now=1.0) == [2]
    box.ack(1, 2, 3)
    assert box.spool.records == 0


def test_rejected_samples_are_counted_and_told_once(box: Box, caplog: pytest.LogCaptureFixture) -> None:
    new = box.measure()
    box.send()
    for _ in range(3):
        box.acknowledge(RUN, [new], [{"seq": new, "plugin": "cpu", "reason": "not a number"}])
    assert (box.rejected, len(caplog.records), box.spool.records) == (3, 1, 0)


def test_frame_the_server_cannot_take_is_given_up_and_the_others_arrive(box: Box) -> None:
    box.old(100)
    arrived: list[int] = []
    for _ in range(5):
        poisoned = False
        while not poisoned and (sent := box.send()):
            poisoned = 7 in sent
            if poisoned:
                box.link_lost(1009)
            else:
                arrived += sent
                box.ack(*sent)
    assert sorted(arrived) == [seq for seq in range(1, 101) if seq != 7]
    assert (box.rejected, box.spool.records) == (1, 0)


def test_ordinary_close_gives_up_nothing(box: Box) -> None:
    new = box.measure()
    for code in (None, 1000, 1001, 1008, 1011, 1012, 1013, 4401):
        box.send()
        box.link_lost(code)
    assert box.send() == [new]


def test_report_that_is_never_acknowledged_makes_the_link_stuck(box: Box) -> None:
    box.old(1)
    box.send(now=10.0)
    assert box.wait(10.0) == ACK_TIMEOUT
    assert not box.stuck(10.0 + ACK_TIMEOUT - 0.1)
    assert box.stuck(10.0 + ACK_TIMEOUT)


def test_idle_outbox_waits_for_ever(box: Box) -> None:
    assert box.wait(0.0) is None


def test_a_day_of_backlog_arrives_once_while_new_reports_go_at_once(box: Box) -> None:
    box.old(8640)
    arrived: list[int] = []
    on_the_way: list[int] = []
    for step in range(8640):
        on_the_way += box.send(now=float(step))
        if step % 10 == 0:
            new = box.measure()
            assert box.send(now=float(step)) == [new]
            on_the_way.append(new)
        landed, on_the_way = on_the_way[:20], on_the_way[20:]
        arrived += landed
        box.ack(*landed)
        if not box.spool.records:
            break
    assert sorted(arrived) == list(range(1, box.seq + 1))
    assert [seq for seq in arrived if seq <= 8640] == list(range(1, 8641))
