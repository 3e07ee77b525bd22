"""Names that the fields of forms offer: hosts, tags and metrics that the caller sees."""

from __future__ import annotations

from hbd.access import visible
from hbd.web.call import Call

OFFERED = 500  # of each
HOSTS_ASKED = 50  # so many are asked for what they measure


def known_names(call: Call) -> dict[str, list[str]]:
    """``hosts``, ``tags``, ``metrics``, each in alphabetical order."""
    hosts = visible(call.identity, call.parts.hosts)
    tags = {tag for host in hosts for tag in host.tags}
    metrics = {alert.path for host in hosts[:HOSTS_ASKED] for alert in call.parts.alerts.of(host.id)}
    return {
        "hosts": [host.name for host in hosts[:OFFERED]],
        "tags": sorted(tags, key=str.lower)[:OFFERED],
        "metrics": sorted(metrics)[:OFFERED],
    }
