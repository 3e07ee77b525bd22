"""Audit entries that wait to be written, over a real database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import pytest

from hbd import audit as module
from hbd import gathered
from hbd.audit import Audit
from hbd.errors import StorageError
from hbd.stats import Stats
from hbd.store import Store
from hbd.store.audit import Entry

NOW = 1_000_000.0


def entry(user: str = "bob", time: float = NOW) -> Entry:
    return Entry(time=time, user=user, via="none", action="login", outcome="failed", detail="wrong password")


async def written(store: Store) -> list[tuple[str, str]]:
    return [(found.user, found.detail) for found in reversed(await store.audit.recent(100))]


async def refused(audit: Audit, store: Store, meanwhile: Callable[[], None] = lambda: None) -> None:
    """A write that the disk refuses, while something happens."""
    keep = store.audit.add

    async def refuse(_: Iterable[Entry]) -> None:
        meanwhile()
        raise StorageError("no space left")

    store.audit.add = refuse  # type: ignore[method-assign]
    try:
        assert not await audit.write()
    finally:
        store.audit.add = keep  # type: ignore[method-assign]


async def test_the_same_thing_many_times_is_one_entry(store: Store) -> None:
    audit = Audit(store, Stats())
    for second in range(3):
        audit.note(entry(time=NOW + second))
    audit.note(entry("eve"))
    await audit.write()
    assert await written(store) == [("bob", "wrong password (3 times)"), ("eve", "wrong password")]
    assert (await store.audit.recent(2))[1].time == NOW


async def test_what_the_disk_refused_is_counted_on(store: Store) -> None:
    audit = Audit(store, Stats())
    audit.note(entry())
    audit.note(entry())

    def more() -> None:
        audit.note(entry("eve"))
        audit.note(entry())

    await refused(audit, store, more)
    audit.note(entry())
    await audit.write()
    assert await written(store) == [("bob", "wrong password (4 times)"), ("eve", "wrong password")]


async def test_what_the_disk_refused_is_tried_again_though_nothing_more_comes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathered, "WRITE_SECONDS", 0.0)
    monkeypatch.setattr(gathered, "RETRY_SECONDS", 0.0)
    audit = Audit(store, Stats())
    audit.note(entry())
    await refused(audit, store)
    running = asyncio.create_task(audit.run())
    async with asyncio.timeout(30):
        while not await written(store):
            await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait({running})
    assert await written(store) == [("bob", "wrong password")]


async def test_what_waits_has_a_limit_also_when_the_disk_refuses(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    stats = Stats()
    audit = Audit(store, stats)
    for number in range(4):
        audit.note(entry(f"before-{number}"))

    def more() -> None:
        for number in range(2):
            audit.note(entry(f"meanwhile-{number}"))

    await refused(audit, store, more)
    await audit.write()
    assert [user for user, _ in await written(store)] == ["before-0", "before-1", "before-2"]
    assert stats.value("audit_dropped_total") == 3
