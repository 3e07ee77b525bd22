"""A few at a time, a few of each caller."""

from __future__ import annotations

import asyncio

import pytest

from hbd.errors import Busy
from hbd.web.turns import Turns


async def test_only_so_many_work_at_once() -> None:
    turns, order, go_on = Turns(1, 5, 5, "full"), [], asyncio.Event()

    async def work(name: str) -> None:
        async with turns.turn(name):
            order.append(name)
            await go_on.wait()

    tasks = [asyncio.create_task(work(name)) for name in "ab"]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert order == ["a"]
    go_on.set()
    await asyncio.gather(*tasks)
    assert order == ["a", "b"]


async def test_one_caller_has_only_so_many() -> None:
    turns = Turns(5, 1, 5, "full")
    async with turns.turn("a"):
        with pytest.raises(Busy, match="full"):
            async with turns.turn("a"):
                pass
        async with turns.turn("b"):
            pass


async def test_all_callers_have_only_so_many() -> None:
    turns = Turns(5, 5, 1, "full")
    async with turns.turn("a"):
        with pytest.raises(Busy, match="full"):
            async with turns.turn("b"):
                pass


async def test_who_ended_makes_room() -> None:
    turns = Turns(1, 1, 1, "full")
    for _ in range(3):
        with pytest.raises(KeyError):
            async with turns.turn("a"):
                raise KeyError
    assert turns.waiting == 0


async def test_who_gives_up_while_waiting_makes_room() -> None:
    turns = Turns(1, 2, 2, "full")

    async def work() -> None:
        async with turns.turn("a"):
            await asyncio.Event().wait()

    tasks = [asyncio.create_task(work()) for _ in range(2)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert turns.waiting == 0
