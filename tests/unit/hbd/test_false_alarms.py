"""Fleets over a bad network, with all that may happen to a daemon. ``bench_false_alarms.py`` is the same for longer."""

import pytest
from virtual_fleet import DAY, GRACE, TICK, Fleet, Weather, kinds

from hbd.model import Level
from hbd.routing import LIVES


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(kinds(0.25), seed=13)


def nobody_was_blamed(fleet: Fleet) -> bool:
    return not fleet.false_downs and not fleet.false_messages and not fleet.told[Level.CRITICAL]


async def test_every_fifth_datagram_lost_makes_no_host_down(fleet: Fleet) -> None:
    await fleet.pass_time(300.0)
    assert fleet.sent > 5_000 and fleet.lost > 0.19 * fleet.sent
    assert nobody_was_blamed(fleet)


async def test_wall_clock_of_the_daemon_set_by_a_day_makes_no_host_down(fleet: Fleet) -> None:
    for jump in (DAY, -DAY, -DAY, DAY):
        await fleet.pass_time(40.0)
        fleet.set_clock(jump)
    await fleet.pass_time(200.0)
    assert nobody_was_blamed(fleet)


async def test_daemon_that_was_stopped_for_an_hour_blames_nobody(fleet: Fleet) -> None:
    await fleet.pass_time(70.0)
    fleet.stop(3600.0)
    await fleet.pass_time(200.0)
    assert nobody_was_blamed(fleet)


async def test_machine_of_the_daemon_that_slept_for_an_hour_blames_nobody(fleet: Fleet) -> None:
    await fleet.pass_time(70.0)
    fleet.suspend(3600.0)
    await fleet.pass_time(200.0)
    assert nobody_was_blamed(fleet)


@pytest.mark.parametrize("reboot", [False, True])
async def test_daemon_that_was_away_blames_nobody(fleet: Fleet, reboot: bool) -> None:
    await fleet.pass_time(70.0)
    await fleet.restart(120.0, reboot=reboot)
    await fleet.pass_time(200.0)
    assert nobody_was_blamed(fleet)


async def test_reload_with_other_intervals_blames_nobody(fleet: Fleet) -> None:
    for _ in range(4):
        await fleet.pass_time(70.0)
        fleet.reload()
    await fleet.pass_time(200.0)
    assert nobody_was_blamed(fleet)


async def test_dead_hosts_are_told_to_be_down_within_three_intervals(fleet: Fleet) -> None:
    await fleet.pass_time(70.0)
    dead = fleet.agents[::10]
    for agent in dead:
        fleet.die(agent)
    await fleet.pass_time(GRACE * 60.0 + TICK)
    assert [agent.host.id for agent in dead if fleet.alerts.level(agent.host.id, LIVES) is not Level.CRITICAL] == []
    assert max(after - GRACE * interval for after, interval in fleet.down_after) <= TICK
    assert fleet.told[Level.CRITICAL] == len(dead)
    assert not fleet.false_downs


async def test_host_that_was_down_before_a_restart_is_told_once(fleet: Fleet) -> None:
    await fleet.pass_time(70.0)
    fleet.die(fleet.agents[0])
    await fleet.pass_time(30.0)
    await fleet.restart(10.0)
    await fleet.pass_time(200.0)
    assert fleet.told[Level.CRITICAL] == 1


async def test_agents_that_do_not_repeat_what_was_not_answered_would_be_blamed() -> None:
    fleet = Fleet(kinds(0.25, repeats=False), seed=13, weather=Weather(loss=0.2))
    await fleet.pass_time(300.0)
    assert fleet.false_downs
