"""A program that makes history of a database as the daemon does, in small steps, and says which one it is at.

``history_maker.py DATABASE FOLDER NOW``: FOLDER is for backups, NOW are Unix seconds. Of each step it prints the
name when it begins, and ``-`` when it has ended.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from hbd.backups import Backups
from hbd.rollups import MINUTE
from hbd.stats import Stats
from hbd.store import Store
from hbd.store.history import RAW

WORKS = ("fold", "rollup", "retention", "vacuum", "backup")
TURNS = 8  # after so many each kind of work was done now and then; then the rest follows
STEPS = 3  # of a kind in a turn
KEPT_SECONDS = 3 * 86_400.0


async def make(database: Path, folder: Path, now: float) -> None:
    store = Store(database, Stats())
    await store.open()
    works: dict[str, Callable[[], Awaitable[Any]]] = {
        "fold": lambda: store.samples.fold(now, 0, 0),
        "rollup": lambda: store.history.pack(now),
        "retention": lambda: _forget(store, now - KEPT_SECONDS),
        "vacuum": lambda: _shrink(store),
        "backup": lambda: _back_up(store, folder),
    }
    for turn in range(TURNS):
        for name in WORKS:
            for _ in range(STEPS if name != "backup" else turn % 2):
                await _step(name, works[name])
    for name in WORKS[:4]:
        while await _step(name, works[name]):
            pass
    await _step("backup", works["backup"])
    await store.close()


async def _step(name: str, work: Callable[[], Awaitable[Any]]) -> Any:
    os.write(1, f"{name}\n".encode())
    done = await work()
    os.write(1, b"-\n")
    return done


async def _forget(store: Store, before: float) -> int:
    return sum([await store.history.prune(tier, before) for tier in (RAW, MINUTE)])


async def _shrink(store: Store) -> bool:
    await store.database.shrink()
    return (await store.database.usage()).free > 0


async def _back_up(store: Store, folder: Path) -> None:
    number = len([*folder.glob("*.db")])
    await Backups(store).make(str(folder / f"{number}.db"))


if __name__ == "__main__":
    asyncio.run(make(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])))
