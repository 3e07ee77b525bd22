"""Fixtures of more than one file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from notifier_world import a_world

from hbd.stats import Stats
from hbd.store import Store

__all__ = ["a_world"]


@pytest.fixture(name="store")
async def a_store(tmp_path: Path) -> AsyncIterator[Store]:
    """A database of its own, open."""
    opened = Store(tmp_path / "hbd.db", Stats())
    await opened.open()
    yield opened
    await opened.close()
