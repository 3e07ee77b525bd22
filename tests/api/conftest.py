"""A world of real parts, and a client of the web application over it."""

from __future__ import annotations

from world import a_client, a_world

__all__ = ["a_client", "a_world"]
