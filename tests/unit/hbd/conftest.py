"""Fixtures of more than one file."""

from __future__ import annotations

from notifier_world import a_store, a_world

__all__ = ["a_store", "a_world"]
