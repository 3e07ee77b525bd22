"""Several writes of a store in one transaction."""

from __future__ import annotations

import pytest

from hbd.errors import Conflict
from hbd.store import Store
from hbd.store.together import write_together


async def names(store: Store) -> list[str]:
    return [row.name for row in await store.hosts.all()]


async def enrol(store: Store, *hosts: str) -> list[str]:
    """Returns what it sees of its own writes."""
    for name in hosts:
        await store.hosts.enrol(name, f"agent_{name}", [], None, 1.0)
    return await names(store)


async def test_what_was_written_is_kept_and_the_result_returned(store: Store) -> None:
    assert await write_together(store, lambda within: enrol(within, "a", "b")) == ["a", "b"]
    assert await names(store) == ["a", "b"]


async def test_nothing_is_kept_when_a_later_write_fails(store: Store) -> None:
    with pytest.raises(Conflict):
        await write_together(store, lambda within: enrol(within, "a", "b", "a"))
    assert await names(store) == []


async def test_what_others_write_beside_it_is_kept(store: Store) -> None:
    with pytest.raises(Conflict):
        await write_together(store, lambda within: enrol(within, "a", "a"))
    await enrol(store, "c")
    assert await names(store) == ["c"]
