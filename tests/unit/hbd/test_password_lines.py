"""Who waits for a password to be checked: nobody takes all places in the line."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from hbd import passwords
from hbd.errors import Busy
from hbd.passwords import Passwords

HASHED = b"$2b$04$" + b"." * 53


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Checks wait in their threads until this is set."""
    event = threading.Event()
    monkeypatch.setattr(passwords, "_check", lambda *_: event.wait(20))
    yield event
    event.set()


@pytest.fixture
async def line(opened: threading.Event) -> AsyncIterator[Passwords]:
    """One worker, which somebody else's check keeps busy."""
    made = Passwords(workers=1, waiting=8, rounds=4, of_account=2, of_address=3)
    busy = asyncio.create_task(made.check("x", HASHED))
    await asyncio.sleep(0)
    yield made
    opened.set()
    await busy
    made.close()


async def ask(line: Passwords, *who: tuple[str, str]) -> list[asyncio.Task[bool]]:
    """Checks of (account, address) that have come as far as they come."""
    tasks = [asyncio.create_task(line.check("x", HASHED, name=name, address=address)) for name, address in who]
    await asyncio.sleep(0)
    return tasks


def refused(tasks: list[asyncio.Task[bool]]) -> list[bool]:
    return [task.done() and isinstance(task.exception(), Busy) for task in tasks]


async def test_so_many_checks_of_one_account_wait_and_no_more(line: Passwords, opened: threading.Event) -> None:
    tasks = await ask(line, ("bob", "192.0.2.1"), ("BOB", "192.0.2.2"), ("bob", "192.0.2.3"), ("eve", "192.0.2.4"))
    assert refused(tasks) == [False, False, True, False]
    opened.set()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_so_many_checks_from_one_address_wait_and_no_more(line: Passwords, opened: threading.Event) -> None:
    tasks = await ask(line, *((name, "192.0.2.1") for name in "abcd"), ("e", "192.0.2.2"))
    assert refused(tasks) == [False, False, False, True, False]
    opened.set()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_ipv6_addresses_of_one_network_share_its_places(line: Passwords, opened: threading.Event) -> None:
    tasks = await ask(line, *((name, f"2001:db8::{name}") for name in "abcd"))
    assert refused(tasks) == [False, False, False, True]
    opened.set()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_who_gives_up_or_is_done_makes_room(line: Passwords, opened: threading.Event) -> None:
    first, second = await ask(line, ("bob", "192.0.2.1"), ("bob", "192.0.2.1"))
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    (third,) = await ask(line, ("bob", "192.0.2.1"))
    assert refused([third]) == [False]
    opened.set()
    assert await asyncio.gather(second, third) == [True, True]
    assert await line.check("x", HASHED, name="bob", address="192.0.2.1")
    assert not line._waiting_for


async def test_places_that_one_account_may_not_take_are_there_for_new_hashes(
    line: Passwords, opened: threading.Event
) -> None:
    tasks = await ask(line, *[("bob", "192.0.2.1")] * 8)
    opened.set()
    assert (await line.hash("secret")).startswith(b"$2b$04$")
    await asyncio.gather(*tasks, return_exceptions=True)


def test_a_quarter_of_the_places_is_for_one_account_and_half_for_one_address() -> None:
    made = Passwords()
    assert (made._room, made._of_account, made._of_address) == (64, 16, 32)
    made.close()
