"""Who gets in where, for the routes that Grafana asks."""

from __future__ import annotations

from typing import Any

from callers import ALPHA, BETA, UNKNOWN_HOST
from questions import FOREIGN, MONITORS, OWN, SIGNED_IN, Question, only

BASE = "/api/0/grafana"
RANGE = {"from": "2026-11-21T10:00:00.000Z", "to": "2026-11-21T11:00:00.000Z"}
METRIC = "metric=cpu_monitor.cpu_percent"


def _of_host(name: str) -> dict[str, Any]:
    target = {"target": "cpu_monitor.cpu_percent", "refId": "A", "payload": {"host": name}}
    return {"range": RANGE, "targets": [target]}


def _flat(query: str = "") -> list[Question]:
    """Everybody is shown what is theirs; who names a host has to see it."""
    return [
        *only(SIGNED_IN, query=f"?{query}"),
        Question(MONITORS, query=f"?{query}&hosts={{host}}"),
    ]


MATRIX: dict[str, list[Question]] = {
    f"GET {BASE}": only(SIGNED_IN),
    f"GET {BASE}/": only(SIGNED_IN),
    f"POST {BASE}/query": [
        *only(SIGNED_IN, body={"range": RANGE, "targets": [{"target": "hosts", "refId": "A"}]}),
        *only(MONITORS[OWN], body=_of_host(ALPHA)),
        *only(MONITORS[FOREIGN], body=_of_host(BETA)),
        *only(SIGNED_IN, 404, body=_of_host(UNKNOWN_HOST)),
    ],
    f"POST {BASE}/metrics": only(SIGNED_IN, body={}),
    f"POST {BASE}/metric-payload-options": only(SIGNED_IN, body={"metric": "hosts", "payload": {}, "name": "host"}),
    f"POST {BASE}/variable": [
        *only(SIGNED_IN, body={"payload": {"target": "hosts"}}),
        *only(MONITORS[OWN], body={"payload": {"target": "metrics", "host": ALPHA}}),
        *only(MONITORS[FOREIGN], body={"payload": {"target": "metrics", "host": BETA}}),
    ],
    f"POST {BASE}/search": only(SIGNED_IN, body={"target": ""}),
    f"POST {BASE}/tag-keys": only(SIGNED_IN, body={}),
    f"POST {BASE}/tag-values": only(SIGNED_IN, body={"key": "host"}),
    f"POST {BASE}/annotations": [
        *only(SIGNED_IN, body={"range": RANGE, "annotation": {"name": "wrong"}}),
        *only(MONITORS[OWN], body={"range": RANGE, "annotation": {"query": ALPHA}}),
        *only(MONITORS[FOREIGN], body={"range": RANGE, "annotation": {"query": BETA}}),
    ],
    f"GET {BASE}/hosts": _flat(),
    f"GET {BASE}/metrics": _flat(),
    f"GET {BASE}/latest": _flat(METRIC),
    f"GET {BASE}/series": _flat(METRIC),
    f"GET {BASE}/alerts": _flat(),
    f"GET {BASE}/annotations": _flat(),
    f"GET {BASE}/dashboards/{{name}}": only(SIGNED_IN, path={"name": "infinity.json"}),
}
