from __future__ import annotations

import asyncio

import pytest

from hbd.stats import Stats
from hbd.web.patience import Crowd, Shortage, Vigil, origin_of


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("192.0.2.7", 1), ("192.0.2.7", 2), True),
        (("192.0.2.7", 1), ("192.0.2.8", 1), False),
        (("2001:db8:1:2::7", 1, 0, 0), ("2001:db8:1:2:ffff::8", 1, 0, 0), True),
        (("2001:db8:1:2::7", 1, 0, 0), ("2001:db8:1:3::7", 1, 0, 0), False),
        (("fe80::1%eth0", 1, 0, 2), ("fe80::2%eth1", 1, 0, 3), True),
        ("", None, True),
    ],
)
def test_who_is_one_origin(one: object, other: object, same: bool) -> None:
    assert (origin_of(one) == origin_of(other)) is same


def test_an_origin_is_forgotten_with_its_last_connection() -> None:
    crowd = Crowd()
    first, second = crowd.enter(("192.0.2.7", 1)), crowd.enter(("192.0.2.7", 2))
    assert first is second
    crowd.leave(first)
    assert first.waiting == 1
    crowd.leave(first)
    assert crowd.enter(("192.0.2.7", 3)) is not first


def test_a_shortage_is_told_once_a_minute_and_counted_every_time(caplog: pytest.LogCaptureFixture) -> None:
    stats = Stats()
    shortage = Shortage(stats)
    for now in (0.0, 1.0, 59.0, 60.0, 61.0):
        shortage.tell(now)
    assert len(caplog.records) == 2
    assert stats.value("connections_refused_total") == 5


async def test_a_vigil_is_over_for_the_longest_waiting_first() -> None:
    over: list[str] = []
    done = asyncio.Event()

    def end(name: str) -> None:
        over.append(name)
        if name == "b":
            done.set()

    vigil: Vigil[str] = Vigil(0.05, end)
    for name in ("a", "gone", "b"):
        vigil.add(name)
    vigil.discard("gone")
    await asyncio.wait_for(done.wait(), 5)
    assert over == ["a", "b"]


async def test_a_vigil_begins_anew_for_whoever_is_added_again() -> None:
    over: list[str] = []
    done = asyncio.Event()

    def end(name: str) -> None:
        over.append(name)
        if len(over) == 2:
            done.set()

    vigil: Vigil[str] = Vigil(0.05, end)
    for name in ("a", "b", "a"):
        vigil.add(name)
    await asyncio.wait_for(done.wait(), 5)
    assert over == ["b", "a"]


async def test_one_whose_time_is_over_may_begin_again() -> None:
    times = 0
    done = asyncio.Event()

    def again(name: str) -> None:
        nonlocal times
        times += 1
        if times < 3:
            vigil.add(name)
        else:
            done.set()

    vigil: Vigil[str] = Vigil(0.01, again)
    vigil.add("a")
    await asyncio.wait_for(done.wait(), 5)
    assert times == 3
