"""Watched processes in memory: which there are, and what samples make of them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from msgspec.structs import replace

from hbd.model import Data, Sample
from hbd.processes import PLUGIN, Known, ProcessSample, Watched, Watches

WALL = 1_750_000_000.0
HOST = 7


def watched(number: int = 1, name: str = "nginx", host_id: int = HOST, **settings: Any) -> Watched:
    return Watched(id=number, host_id=host_id, user_id=None, name=name, created=WALL, **settings)


def watches(*those: Watched) -> Watches:
    made = Watches()
    made.load(Known(one) for one in those)
    return made


def running(start: float = 1000.0, after_boot: float | None = None, count: int = 1) -> Data:
    """What an agent says of one process. start: seconds after WALL."""
    return {
        "count": count,
        "cpu_percent": 1.5,
        "memory_percent": 2.5,
        "oldest_start_time": WALL + start,
        "oldest_after_boot_seconds": start if after_boot is None else after_boot,
    }


GONE: Data = {"count": 0, "cpu_percent": 0.0, "memory_percent": 0.0}


def see(those: Watches, *seen: Data, times: list[float] | None = None) -> list[int]:
    """The restarts that each of these samples of nginx shows, ten seconds after each other."""
    restarts = []
    for at, values in zip(times or range(0, 10 * len(seen), 10), seen, strict=True):
        sightings = those.begin()
        sample = sightings.complete(HOST, Sample(PLUGIN, WALL + at, {"nginx": values}))
        those.adopt(sightings)
        restarts.append(sample.data["nginx"]["restarts"])
        assert restarts[-1] == sightings.rows[0].restarts
    return restarts


# ------------------------------------------------------------------------------------------------------------ restarts


def test_a_process_that_goes_on_was_not_restarted() -> None:
    assert see(watches(watched()), running(), running(), running()) == [0, 0, 0]


def test_a_later_start_than_before_is_a_restart() -> None:
    assert see(watches(watched()), running(1000), running(1005), running(1005)) == [0, 1, 0]


def test_each_restart_counts() -> None:
    assert see(watches(watched()), running(1000), running(1007), running(1014)) == [0, 1, 1]


def test_the_first_start_that_is_seen_is_none() -> None:
    assert see(watches(watched()), GONE, running()) == [0, 0]


def test_one_that_was_gone_for_a_while_was_restarted() -> None:
    assert see(watches(watched()), running(1000), GONE, GONE, running(1030)) == [0, 0, 0, 1]


def test_an_older_one_that_turns_up_is_no_restart() -> None:
    assert see(watches(watched()), running(1000), running(900)) == [0, 0]


def test_a_clock_that_was_set_is_no_restart() -> None:
    assert see(watches(watched()), running(-9000, 50.0), running(-5400, 50.0)) == [0, 0]


def test_a_reboot_is_a_restart_of_what_takes_as_long_at_every_boot() -> None:
    booted_again = [running(-9000, 0.02), running(5, 0.02), running(5, 0.02)]
    assert see(watches(watched()), *booted_again) == [0, 1, 0]


def test_a_host_that_booted_started_its_processes_anew() -> None:
    assert see(watches(watched()), running(1000, 500.0), running(9000, 20.0)) == [0, 1]


def test_an_agent_that_knows_no_time_since_boot_is_taken_at_its_word() -> None:
    values = [running(start) | {"oldest_after_boot_seconds": None} for start in (1000, 1000, 2000)]
    assert see(watches(watched()), *values) == [0, 0, 1]


def test_a_sample_that_comes_late_counts_no_restart_that_was_counted() -> None:
    those = watches(watched())
    times = [0.0, 60.0, 30.0, 70.0]
    assert see(those, running(1000), running(1040), running(1020), running(1040), times=times) == [0, 1, 0, 0]


def test_samples_of_one_turn_follow_each_other() -> None:
    sightings = watches(watched()).begin()
    for at, start in ((0, 1000), (10, 1005), (20, 1005)):
        sightings.complete(HOST, Sample(PLUGIN, WALL + at, {"nginx": running(start)}))
    assert [row.restarts for row in sightings.rows] == [0, 1, 0]


def test_a_turn_that_was_not_written_comes_to_the_same_again() -> None:
    those = watches(watched())
    see(those, running(1000))
    for _ in range(2):
        sightings = those.begin()
        sightings.complete(HOST, Sample(PLUGIN, WALL + 10, {"nginx": running(1005)}))
        assert [row.restarts for row in sightings.rows] == [1]


def test_what_an_agent_says_of_restarts_itself_counts_nothing() -> None:
    assert see(watches(watched()), running() | {"restarts": 9}) == [0]


# ------------------------------------------------------------------------------------------------------------- samples


def test_a_sample_becomes_a_row_for_each_process() -> None:
    sightings = watches(watched(1), watched(2, "cron")).begin()
    sightings.complete(HOST, Sample(PLUGIN, WALL, {"nginx": running(10, count=4), "cron": GONE}))
    assert sightings.rows == [
        ProcessSample(1, "nginx", WALL, 4, 1.5, 2.5, WALL + 10, 10),
        ProcessSample(2, "cron", WALL, 0, 0.0, 0.0, None, None),
    ]


def test_the_newest_sample_is_known_once_it_is_on_disk() -> None:
    those = watches(watched())
    sightings = those.begin()
    sightings.complete(HOST, Sample(PLUGIN, WALL, {"nginx": running()}))
    assert those.of(HOST)[0].newest is None
    those.adopt(sightings)
    assert those.of(HOST)[0].newest == sightings.rows[0]


def test_a_late_sample_is_not_the_newest() -> None:
    those = watches(watched())
    see(those, running(), GONE, times=[60.0, 30.0])
    newest = those.of(HOST)[0].newest
    assert newest is not None
    assert newest.count == 1


@pytest.mark.parametrize("others", [(), (watched(enabled=False),), (watched(host_id=8),), (watched(name="cron"),)])
def test_what_is_not_watched_is_left_out(others: tuple[Watched, ...]) -> None:
    sightings = watches(*others).begin()
    assert sightings.complete(HOST, Sample(PLUGIN, WALL, {"nginx": running()})).data == {}
    assert sightings.rows == []


@pytest.mark.parametrize("values", [None, 4, [], {}, {"count": None}, {"count": -1}, {"count": True}, {"count": "4"}])
def test_what_says_no_count_is_left_out(values: Any) -> None:
    sightings = watches(watched(), watched(2, "cron")).begin()
    sample = sightings.complete(HOST, Sample(PLUGIN, WALL, {"nginx": values, "cron": GONE}))
    assert list(sample.data) == ["cron"]
    assert [row.name for row in sightings.rows] == ["cron"]


@pytest.mark.parametrize("odd", [math.nan, math.inf, -1, 1e300, "x", None, True, [1], 10**400])
def test_odd_values_are_none(odd: Any) -> None:
    sightings = watches(watched()).begin()
    values = {"count": 1} | dict.fromkeys(
        ("cpu_percent", "memory_percent", "oldest_start_time", "oldest_after_boot_seconds"), odd
    )
    sightings.complete(HOST, Sample(PLUGIN, WALL, {"nginx": values}))
    assert sightings.rows == [ProcessSample(1, "nginx", WALL, 1, None, None, None, None)]


def test_the_sample_that_was_handed_in_stays_as_it_is() -> None:
    data = {"nginx": running(), "other": GONE}
    watches(watched()).begin().complete(HOST, Sample(PLUGIN, WALL, data))
    assert data == {"nginx": running(), "other": GONE}


# ------------------------------------------------------------------------------------------------------------- changes


def test_an_agent_is_told_the_names_of_those_that_are_not_paused() -> None:
    those = watches(watched(2, "nginx"), watched(1, "cron"), watched(3, "sshd", enabled=False), watched(4, host_id=8))
    assert those.names(HOST) == ["cron", "nginx"]


def test_one_that_is_changed_keeps_what_was_seen() -> None:
    those = watches(watched())
    see(those, running(1000))
    those.put(watched(cpu_limit=90.0))
    assert (those.of(HOST)[0].watched.cpu_limit, see(those, running(1005), times=[20.0])) == (90.0, [1])


def test_one_that_is_changed_while_a_sample_is_written_knows_that_sample() -> None:
    those = watches(watched())
    sightings = those.begin()
    sightings.complete(HOST, Sample(PLUGIN, WALL, {"nginx": running()}))
    those.put(watched(cpu_limit=90.0))
    those.adopt(sightings)
    assert those.of(HOST)[0].newest == sightings.rows[0]


def test_one_with_another_name_was_never_seen() -> None:
    those = watches(watched())
    sightings = those.begin()
    sightings.complete(HOST, Sample(PLUGIN, WALL, {"nginx": running()}))
    those.put(watched(name="caddy"))
    those.adopt(sightings)
    assert [(known.watched.name, known.newest) for known in those.of(HOST)] == [("caddy", None)]


def test_a_sample_of_one_that_was_deleted_meanwhile_does_no_harm() -> None:
    those = watches(watched(), watched(2, "cron"))
    sightings = those.begin()
    sightings.complete(HOST, Sample(PLUGIN, WALL, {"nginx": running()}))
    those.remove(HOST, 1)
    those.adopt(sightings)
    assert [known.watched.name for known in those.of(HOST)] == ["cron"]


def test_those_that_count_are_one_object_until_something_changes() -> None:
    those = watches(watched())
    before = those.enabled(HOST)
    assert those.enabled(HOST) is before
    those.put(replace(before[0], enabled=False))
    assert those.enabled(HOST) == ()


def test_a_host_that_is_deleted_is_forgotten() -> None:
    those = watches(watched(), watched(2, host_id=8))
    those.forget(HOST)
    assert (those.of(HOST), those.names(HOST), those.names(8)) == ([], [], ["nginx"])
