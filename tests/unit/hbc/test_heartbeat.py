from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from math import inf
from typing import cast

import pytest

from hbc.heartbeat import FAMILIES, MOST_REPEATS, Heart, Pulse
from hbc.wire import Beat, beat_key_id, key_hash, key_id, pack_echo, unpack_beat

RUN = "00112233445566aa"
KEY = key_hash("f" * 64)


def pulse() -> Pulse:
    return Pulse(4, RUN, "booted")


def beats(pulse: Pulse, count: int, now: float = 0.0) -> list[Beat]:
    return [pulse.next(now + n * 10, 1000.0 + n * 10, 10.0) for n in range(count)]


def test_beats_count_from_one() -> None:
    assert [beat.seq for beat in beats(pulse(), 3)] == [1, 2, 3]


def test_beat_carries_time_interval_run_and_family() -> None:
    assert pulse().next(5.0, 1234.5, 7.5) == Beat(RUN, 1, 1234.5, None, 7.5, "booted", 4)


def test_start_is_told_until_a_beat_is_answered() -> None:
    heart = pulse()
    assert [beat.kind for beat in beats(heart, 2)] == ["booted", "booted"]
    heart.answered(RUN, 2, 10.5)
    assert heart.next(20.0, 0.0, 10.0).kind == "alive"


def test_start_is_not_told_for_ever_where_nothing_answers() -> None:
    assert [beat.kind for beat in beats(pulse(), 32)] == ["booted"] * 30 + ["alive"] * 2


def test_round_trip_goes_into_the_next_beat() -> None:
    heart = pulse()
    heart.next(100.0, 0.0, 10.0)
    heart.answered(RUN, 1, 100.025)
    assert heart.next(110.0, 0.0, 10.0).rtt == pytest.approx(0.025)


def test_round_trip_of_a_beat_without_an_answer_is_unknown() -> None:
    heart = pulse()
    heart.next(100.0, 0.0, 10.0)
    heart.answered(RUN, 1, 100.025)
    heart.next(110.0, 0.0, 10.0)
    assert heart.next(120.0, 0.0, 10.0).rtt is None


def test_echo_of_another_run_or_beat_is_ignored() -> None:
    heart = pulse()
    heart.next(100.0, 0.0, 10.0)
    heart.answered("f" * 16, 1, 100.1)
    heart.answered(RUN, 2, 100.1)
    assert (heart.rtt, heart.unanswered) == (None, 1)


def test_repeated_echo_is_ignored() -> None:
    heart = pulse()
    heart.next(100.0, 0.0, 10.0)
    heart.answered(RUN, 1, 100.1)
    heart.answered(RUN, 1, 109.0)
    assert heart.rtt == pytest.approx(0.1)


def test_three_beats_without_an_answer_are_a_failure() -> None:
    heart = pulse()
    beats(heart, 2)
    assert not heart.failing
    beats(heart, 1)
    assert heart.failing


def test_beat_without_an_answer_is_followed_by_another_out_of_turn() -> None:
    heart = pulse()
    assert heart.repeat_at(8.0) == inf
    heart.next(100.0, 0.0, 8.0)
    assert heart.repeat_at(8.0) == 101.0
    heart.answered(RUN, 1, 100.1)
    assert heart.repeat_at(8.0) == inf


def test_answer_to_an_earlier_beat_ends_the_repeats() -> None:
    heart = pulse()
    heart.next(100.0, 0.0, 8.0)
    heart.next(101.0, 0.0, 8.0)
    heart.answered(RUN, 1, 101.5)
    assert heart.repeat_at(8.0) == inf


def test_slow_network_is_given_its_time_to_answer() -> None:
    heart = pulse()
    heart.next(100.0, 0.0, 1.0)
    heart.answered(RUN, 1, 100.3)
    heart.next(101.0, 0.0, 1.0)
    assert heart.repeat_at(1.0) == pytest.approx(101.6)


def test_path_that_answers_nothing_gets_no_more_than_its_share_of_repeats() -> None:
    heart = pulse()
    beats(heart, MOST_REPEATS)
    assert heart.repeat_at(10.0) < inf
    beats(heart, 1)
    assert heart.repeat_at(10.0) == inf


def test_farewell_names_its_kind() -> None:
    assert pulse().next(0.0, 0.0, 10.0, "shutdown").kind == "shutdown"


# -------------------------------------------------------------------------------------------------------------- sockets


class Daemon:
    """What the daemon heard on all its sockets."""

    def __init__(self) -> None:
        self.beats: list[Beat] = []
        self.echo = True

    def seqs(self, family: int) -> list[int]:
        return [beat.seq for beat in self.beats if beat.family == family]


class Ear(asyncio.DatagramProtocol):
    """One socket of the daemon's."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        assert beat_key_id(data) == key_id(KEY)
        beat = unpack_beat(KEY, data)
        assert beat is not None
        self.daemon.beats.append(beat)
        if self.daemon.echo:
            self.transport.sendto(pack_echo(KEY, beat), addr)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


def free_port() -> int:
    """Free on both families."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.bind(("::", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
async def daemon() -> AsyncIterator[tuple[Daemon, int]]:
    loop = asyncio.get_running_loop()
    port = free_port()
    daemon = Daemon()
    transports = []
    for address in ("127.0.0.1", "::1"):
        transport, _ = await loop.create_datagram_endpoint(lambda: Ear(daemon), local_addr=(address, port))
        transports.append(transport)
    yield daemon, port
    for transport in transports:
        transport.close()
    await asyncio.sleep(0)


@pytest.fixture
async def hearts() -> AsyncIterator[Callable[..., Heart]]:
    tasks: list[asyncio.Task[None]] = []
    made: list[Heart] = []

    def start(interval: float = 0.05, key: Callable[[], bytes | None] = lambda: KEY) -> Heart:
        heart = Heart(RUN, "started", key, interval)
        tasks.append(asyncio.get_running_loop().create_task(heart.run()))
        made.append(heart)
        return heart

    yield start
    for task in tasks:
        task.cancel()
    for heart in made:
        for path in heart.paths:
            path.close()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
async def test_loopback_hears_both_families(
    daemon: tuple[Daemon, int], hearts: Callable[..., Heart], host: str
) -> None:
    heard, port = daemon
    hearts().aim(host, port)
    await until(lambda: {beat.family for beat in heard.beats} == set(FAMILIES))


@pytest.mark.parametrize(("before", "after"), [(3600.0, 0.05), (0.05, 7.0)])
async def test_new_pace_is_told_by_a_beat_at_once(
    daemon: tuple[Daemon, int], hearts: Callable[..., Heart], before: float, after: float
) -> None:
    heard, port = daemon
    heart = hearts(before)
    heart.aim("127.0.0.1", port)
    await until(lambda: bool(heard.beats))
    heart.pace(after)
    await until(lambda: any(beat.interval == pytest.approx(after, abs=0.06) for beat in heard.beats))


async def test_each_family_counts_its_own_beats(daemon: tuple[Daemon, int], hearts: Callable[..., Heart]) -> None:
    heard, port = daemon
    hearts().aim("localhost", port)
    await until(lambda: len(heard.seqs(4)) >= 4 and len(heard.seqs(6)) >= 4)
    for family in FAMILIES:
        assert heard.seqs(family)[:4] == [1, 2, 3, 4]


async def test_round_trips_are_measured_for_each_family(
    daemon: tuple[Daemon, int], hearts: Callable[..., Heart]
) -> None:
    heard, port = daemon
    heart = hearts()
    heart.aim("localhost", port)
    await until(lambda: sum(beat.rtt is not None for beat in heard.beats) >= 2)
    assert set(heart.rtt()) == {"ipv4", "ipv6"}
    assert all(0 < rtt < 5 for rtt in heart.rtt().values())


async def test_first_latency_is_told_at_once_by_one_more_beat(
    daemon: tuple[Daemon, int], hearts: Callable[..., Heart]
) -> None:
    heard, port = daemon
    hearts(interval=1000.0).aim("127.0.0.1", port)
    for family in (4, 6):
        await until(lambda family=family: [b.rtt is None for b in heard.beats if b.family == family] == [True, False])


async def test_first_beat_goes_at_once(daemon: tuple[Daemon, int], hearts: Callable[..., Heart]) -> None:
    heard, port = daemon
    hearts(interval=3600.0).aim("localhost", port)
    await until(lambda: {beat.family for beat in heard.beats} == {4, 6})


async def test_nothing_is_sent_before_there_is_a_key(daemon: tuple[Daemon, int], hearts: Callable[..., Heart]) -> None:
    heard, port = daemon
    key: list[bytes] = []
    heart = hearts(interval=0.01, key=lambda: key[0] if key else None)
    heart.aim("localhost", port)
    await until(lambda: all(path.address is not None for path in heart.paths))
    assert heard.beats == []
    key.append(KEY)
    await until(lambda: len(heard.beats) >= 2)


async def test_port_zero_sends_nothing(hearts: Callable[..., Heart]) -> None:
    heart = hearts(interval=0.01)
    heart.aim("localhost", 0)
    await until(lambda: all(path._lookup is not None and path._lookup.done() for path in heart.paths))
    assert [path.pulse.next(0.0, 0.0, 1.0).seq for path in heart.paths] == [1, 1]


async def test_farewell_is_said_three_times_on_each_family(
    daemon: tuple[Daemon, int], hearts: Callable[..., Heart]
) -> None:
    heard, port = daemon
    heart = hearts(interval=3600.0)
    heart.aim("localhost", port)
    await until(lambda: bool(heard.seqs(4) and heard.seqs(6)))  # one of them may be said again before the other is
    await heart.farewell("stopped")
    await until(lambda: [beat.kind for beat in heard.beats].count("stopped") == 6)


async def test_silent_daemon_is_heard_again_when_it_is_back(hearts: Callable[..., Heart]) -> None:
    port = free_port()
    heart = hearts(interval=0.02)
    heart.aim("127.0.0.1", port)
    await until(lambda: all(path._broken for path in heart.paths))
    loop = asyncio.get_running_loop()
    heard = Daemon()
    transport, _ = await loop.create_datagram_endpoint(lambda: Ear(heard), local_addr=("127.0.0.1", port))
    await until(lambda: 4 in heart.paths[0].pulse._sent or "ipv4" in heart.rtt())
    await until(lambda: "ipv4" in heart.rtt())
    transport.close()
    await asyncio.sleep(0)


async def test_name_that_cannot_be_found_is_no_failure_of_the_agent(hearts: Callable[..., Heart]) -> None:
    heart = hearts(interval=0.01)
    heart.aim("no-such-host.invalid", 1)
    await until(lambda: all(path._lookup is not None and path._lookup.done() for path in heart.paths))
    assert [path.address for path in heart.paths] == [None, None]


async def test_hanging_look_up_is_asked_once_and_the_other_family_beats_on(
    daemon: tuple[Daemon, int], hearts: Callable[..., Heart], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard, port = daemon
    loop = asyncio.get_running_loop()
    real = loop.getaddrinfo
    asked = []

    async def slow(host: str, port: int, **options: int) -> object:
        if options["family"] == socket.AF_INET6:
            asked.append(host)
            await asyncio.Event().wait()
        return await real(host, port, **options)

    monkeypatch.setattr(loop, "getaddrinfo", slow)
    heart = hearts(interval=0.01)
    heart.aim("localhost", port)
    await until(lambda: len(heard.seqs(4)) >= 5)
    assert len(asked) == 1


async def test_new_aim_moves_the_beats(daemon: tuple[Daemon, int], hearts: Callable[..., Heart]) -> None:
    heard, port = daemon
    heart = hearts(interval=3600.0)
    heart.aim("localhost", free_port())
    await until(lambda: all(path.address is not None for path in heart.paths))
    heart.aim("localhost", port)
    await until(lambda: {beat.family for beat in heard.beats} == {4, 6})


async def test_forged_echo_changes_nothing(daemon: tuple[Daemon, int], hearts: Callable[..., Heart]) -> None:
    heard, port = daemon
    heard.echo = False
    heart = hearts(interval=3600.0)
    heart.aim("127.0.0.1", port)
    await until(lambda: len(heard.beats) == 2)
    path = heart.paths[0]
    beat = next(beat for beat in heard.beats if beat.family == 4)
    path.datagram_received(pack_echo(key_hash("0" * 64), beat), ("127.0.0.1", port))
    path.datagram_received(b"x" * 60, ("127.0.0.1", port))
    assert (path.pulse.unanswered, path.pulse.rtt) == (1, None)
    path.datagram_received(pack_echo(KEY, beat), ("127.0.0.1", port))
    assert path.pulse.rtt is not None
