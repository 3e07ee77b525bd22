"""Who gets in where, for the routes about remote control."""

from __future__ import annotations

from questions import FOREIGN, MANAGERS, MONITORS, OWN, UNKNOWN, Question, anybody

READING = {
    **MANAGERS,
    OWN: MANAGERS[OWN] | {"read token"},
    FOREIGN: MANAGERS[FOREIGN] | {"read token"},
}
"""who may look into a host; its agent is not connected, so they get no further than 409"""

ADMINS_OF_HOSTS = {
    OWN: frozenset(("admin", "write token", "token of own host")),
    FOREIGN: frozenset(("admin", "write token", "token of other host")),
    UNKNOWN: MANAGERS[UNKNOWN],
}
COMMAND = {"id": "cmd_0123456789abcdef01234567"}

MATRIX: dict[str, list[Question]] = {
    "GET /api/agents/{agent}/policy": [Question(READING)],
    "GET /api/agents/{agent}/commands": [Question(READING)],
    "POST /api/agents/{agent}/commands": [
        Question(MANAGERS, body={"type": "ping"}),
        Question(ADMINS_OF_HOSTS, body={"type": "reboot"}),
    ],
    "GET /api/agents/{agent}/commands/{id}": [Question(READING, 404, path=COMMAND)],
    "DELETE /api/agents/{agent}/commands/{id}": [Question(MANAGERS, 404, path=COMMAND)],
    "GET /api/agents/{agent}/commands/{id}/stream": [Question(READING, 404, path=COMMAND)],
    "GET /api/agents/{agent}/stream/logs": [Question(READING, 409, query="?source=file&path=/var/log/syslog")],
    "GET /api/agents/{agent}/stream/metrics": [Question(MONITORS)],
    "GET /api/agents/{agent}/files": [Question(READING, 409, query="?path=/etc/motd")],
    "POST /api/agents/{agent}/files": [Question(MANAGERS, 409)],
    "GET /api/agents/{agent}/files/upload": [Question(READING, 409, query="?upload=12345678&dest=/srv/a")],
    "GET /api/agents/{agent}/files/list": [Question(READING, 409)],
    "GET /api/0/agent/stream": anybody(404),
}
