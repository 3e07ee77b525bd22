"""Who gets in where, for the routes about agents."""

from __future__ import annotations

from questions import (
    ADMINS,
    CALLERS,
    FOREIGN,
    MANAGERS,
    MONITORS,
    OWN,
    OWNERS,
    SIGNED_IN,
    UNKNOWN,
    Question,
    anybody,
    only,
)

ADMINS_OF = {
    OWN: frozenset(("admin", "write token", "token of own host")),
    FOREIGN: frozenset(("admin", "write token", "token of other host")),
    UNKNOWN: SIGNED_IN,
}
"""who may change what only admins may; a token of theirs with the host that it is for"""

NO_AGENT = dict.fromkeys((OWN, FOREIGN, UNKNOWN), CALLERS)
"""whoever has no agent's key is nobody there"""
DEPLOYERS = ADMINS - {"read token"}
NO_KEY = {"host": "192.0.2.1", "ssh_key": "../id_ed25519"}

MATRIX: dict[str, list[Question]] = {
    "GET /api/agents": only(SIGNED_IN),
    "POST /api/agents": only(ADMINS - {"read token"}, 409, body={"hostname": "alpha"}),
    "GET /api/agents/{agent}": [Question(MONITORS)],
    "PUT /api/agents/{agent}": [Question(MANAGERS, body={"label": "Alpha"})],
    "DELETE /api/agents/{agent}": [Question(ADMINS_OF)],
    "DELETE /api/0/hosts/{host}": [Question(OWNERS)],
    "POST /api/agents/{agent}/key": [Question(OWNERS)],
    "DELETE /api/agents/{agent}/key": [Question(OWNERS)],
    "POST /api/agents/{agent}/report": [Question(NO_AGENT, 401, body={})],
    "POST /api/agent/report": anybody(401, body={}),
    "GET /api/agent/ws": anybody(401),
    "POST /api/agents/deploy": only(DEPLOYERS, 400, body=NO_KEY),
    "GET /api/agents/deployments": only(ADMINS),
    "POST /api/agents/deployments": only(DEPLOYERS, 400, body=NO_KEY),
    "GET /api/agents/deployments/{id}": only(ADMINS, 404, path={"id": "0"}),
    "DELETE /api/agents/deployments/{id}": only(DEPLOYERS, 404, path={"id": "0"}),
    "GET /api/agents/deployments/{id}/stream": only(ADMINS, 404, path={"id": "0"}),
    "DELETE /api/agents/host_keys/{machine}": only(DEPLOYERS, 404, path={"machine": "192.0.2.1"}),
    "GET /api/agents/install-script": anybody(401),
    "GET /api/agents/package": anybody(401),
}
