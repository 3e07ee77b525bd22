"""The world and the client of ``tests/api``, and everybody who may call."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "api"))

from callers import Callers
from world import World, a_client, a_world

__all__ = ["a_client", "a_world", "callers"]


@pytest.fixture
async def callers(world: World) -> Callers:
    """All kinds of callers, and the hosts ``alpha`` and ``beta``."""
    made = Callers(world)
    await made.settle()
    return made
