"""Who gets in where, for the routes about remote control."""

from __future__ import annotations

from questions import Question

MATRIX: dict[str, list[Question]] = {}
