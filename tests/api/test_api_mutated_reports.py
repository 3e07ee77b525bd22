"""A small part of what ``tests/bench/bench_receivers.py`` does with two million reports."""

from mutated_reports import Receivers
from world import World


async def test_of_mutated_reports_what_is_refused_is_not_stored_and_all_else_is(world: World) -> None:
    receivers = Receivers(world, seed=20260101)
    await receivers.enrol(5)
    await receivers.send(2_000)
    assert {status for _, status in receivers.outcomes} >= {200, 204, 400, 422}
