"""Who gets in where, for the routes about watched processes."""

from __future__ import annotations

from questions import MANAGERS, MONITORS, SIGNED_IN, Question, only

NOBODYS = {"id": "4711"}


def _rows(prefix: str) -> dict[str, list[Question]]:
    """Whoever may is let in as far as to a process that is not there, or to a body that says nothing."""
    return {
        f"GET {prefix}/servers": only(SIGNED_IN),
        f"GET {prefix}/servers/{{server}}": [Question(MONITORS)],
        f"GET {prefix}/servers/{{server}}/processes": [Question(MONITORS)],
        f"POST {prefix}/servers/{{server}}/processes": [Question(MANAGERS, 400, body={"process_name": ""})],
        f"GET {prefix}/servers/{{server}}/processes/{{id}}": [Question(MONITORS, 404, path=NOBODYS)],
        f"PUT {prefix}/servers/{{server}}/processes/{{id}}": [
            Question(MANAGERS, 404, path=NOBODYS, body={"enabled": False})
        ],
        f"DELETE {prefix}/servers/{{server}}/processes/{{id}}": [Question(MANAGERS, 404, path=NOBODYS)],
    }


MATRIX: dict[str, list[Question]] = _rows("") | _rows("/api/0")
