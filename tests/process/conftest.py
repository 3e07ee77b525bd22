"""Real programs for the tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from programs import Daemon


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    """A running daemon with everything at its default but ports and database."""
    async with Daemon(tmp_path / "daemon") as running:
        yield running
