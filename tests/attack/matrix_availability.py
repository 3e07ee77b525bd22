"""Who gets in where, for the routes about how much hosts were up, and how they are going to do."""

from __future__ import annotations

from questions import MONITORS, SIGNED_IN, Question, only

MATRIX: dict[str, list[Question]] = {
    "GET /api/0/hosts/{host}/availability": [Question(MONITORS)],
    "GET /api/0/hosts/{host}/forecast": [Question(MONITORS)],
    "GET /api/0/availability": only(SIGNED_IN),
    "GET /api/0/sparklines": only(SIGNED_IN, query="?hosts=alpha,beta,nobodys"),
}
