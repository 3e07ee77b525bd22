"""Commands over a link that breaks: the register of the daemon and the runner of the agent, with every message between
them at risk. F47 of the catalogue of failures."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from command_site import DEADLINE, Loss, Site


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    made = Site(tmp_path)
    await made.open()
    yield made
    await made.close()


ORDINARY = 5  # offers, command, started, output, result


@pytest.mark.parametrize("loss", ["before it arrives", "after it arrived"])
@pytest.mark.parametrize("number", range(ORDINARY))
async def test_f47_a_link_that_breaks_at_any_message_runs_nothing_twice(site: Site, number: int, loss: Loss) -> None:
    site.breaks[number] = loss
    id = await site.ask(1)
    assert (await site.ended([id]), site.runs[1]) == (["done"], 1)
    assert site.messages > number


@pytest.mark.parametrize("first", range(ORDINARY))
@pytest.mark.parametrize("second", range(1, ORDINARY))
async def test_f47_a_link_that_breaks_twice_runs_nothing_twice(site: Site, first: int, second: int) -> None:
    site.breaks = {first: "before it arrives", first + second: "after it arrived"}
    id = await site.ask(1)
    assert (await site.ended([id]), site.runs[1]) == (["done"], 1)


@pytest.mark.parametrize("who", ["daemon", "agent"])
@pytest.mark.parametrize("number", range(ORDINARY))
async def test_f47_a_restart_at_any_message_runs_nothing_twice(site: Site, number: int, who: str) -> None:
    site.breaks[number] = "after it arrived"
    id = await site.ask(1)
    site.link()
    async with asyncio.timeout(DEADLINE):
        while site.messages <= number:
            await asyncio.sleep(0.001)
    await (site.restart_daemon() if who == "daemon" else site.restart_agent())
    (status,) = await site.ended([id])
    # An agent that is stopped says of what it has just taken that it failed, or that it will not begin.
    runs = {"done": {1}, "failed": {0, 1}, "rejected": {0}} if who == "agent" else {"done": {1}}
    assert site.runs[1] in runs[status]


async def test_f47_hundreds_of_commands_over_a_bad_link_run_once_each_and_are_all_answered(site: Site) -> None:
    draw = random.Random(47)
    losses: tuple[Loss, Loss] = ("before it arrives", "after it arrived")
    site.breaks = {number: draw.choice(losses) for number in range(20_000) if draw.random() < 0.1}
    for batch in range(10):
        numbers = range(batch * 20, batch * 20 + 20)
        ids = [await site.ask(number) for number in numbers]
        assert await site.ended(ids) == ["done"] * 20
    assert site.runs == dict.fromkeys(range(200), 1)
    assert sum(1 for number in site.breaks if number < site.messages) > 50
