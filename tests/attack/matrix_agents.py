"""Who gets in where, for the routes about agents."""

from __future__ import annotations

from questions import Question

MATRIX: dict[str, list[Question]] = {}
