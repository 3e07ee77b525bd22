"""Who gets in where, for the routes about foreign agents."""

from __future__ import annotations

from questions import MANAGERS, MONITORS, SIGNED_IN, Question, anybody, only

NOBODYS = {"id": "4711"}
NO_CALL = {"token": "x", "what": "start"}

MATRIX: dict[str, list[Question]] = {
    "POST /agent/report": anybody(422),
    "POST /agent/v1/report": anybody(401),
    "GET /api/0/hosts/{host}/reports": [Question(MONITORS)],
    "GET /api/0/hosts/{host}/reporting": [Question(MONITORS)],
    "PUT /api/0/hosts/{host}/reporting": [Question(MANAGERS, body={"min_report_interval": 5})],
    "POST /write": anybody(401),
    "POST /api/v2/write": anybody(401),
    "GET /query": anybody(401),
    "POST /query": anybody(401),
    "GET /ping": anybody(204),
    "GET /api/0/jobs": only(SIGNED_IN),
    "GET /api/0/hosts/{host}/jobs": [Question(MONITORS)],
    "POST /api/0/hosts/{host}/jobs": [Question(MANAGERS, 400, body={"name": " "})],
    "GET /api/0/hosts/{host}/jobs/{id}": [Question(MONITORS, 404, path=NOBODYS)],
    "PUT /api/0/hosts/{host}/jobs/{id}": [Question(MANAGERS, 404, path=NOBODYS, body={"name": "backup"})],
    "DELETE /api/0/hosts/{host}/jobs/{id}": [Question(MANAGERS, 404, path=NOBODYS)],
    "GET /api/0/hosts/{host}/jobs/{id}/pings": [Question(MONITORS, 404, path=NOBODYS)],
    "GET /ping/{token}": anybody(404, path=NO_CALL),
    "POST /ping/{token}": anybody(404, path=NO_CALL),
    "GET /ping/{token}/{what}": anybody(404, path=NO_CALL),
    "POST /ping/{token}/{what}": anybody(404, path=NO_CALL),
    "GET /api/0/scrapes": only(SIGNED_IN),
    "GET /jobs": only(SIGNED_IN),
    "GET /scrapes": only(SIGNED_IN),
    "POST /nagios/results": anybody(401),
    "POST /nrdp": anybody(401),
    "POST /nrdp/": anybody(401),
}
