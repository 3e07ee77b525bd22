"""A world of real parts, and a client of the web application over it; a house for a whole daemon."""

from __future__ import annotations

from house import a_house
from world import a_client, a_world

__all__ = ["a_client", "a_house", "a_world"]
