"""How agents are pointed at this daemon: lines to copy, for hbc and for the agents of other systems. Pure."""

from __future__ import annotations

from typing import NamedTuple

KEY = "KEY"
"""stands for the key of the host, which nobody is shown twice"""


class Way(NamedTuple):
    """One kind of agent, and what it takes to have it report here."""

    title: str
    text: str


def ways(origin: str, number: int, agent_id: str) -> list[Way]:
    """origin: where this daemon is reached. number, agent_id: of the host that the reports are for."""
    post = "curl -fsS -X POST"
    as_json = "-H 'Content-Type: application/json'"
    return [
        Way("hbc", f"hbc run --server {origin} --key {KEY}"),
        Way(
            "An agent of NOBA",
            f"{post} {origin}/api/agents/{agent_id}/report -H 'X-Agent-Key: {KEY}' {as_json} \\\n"
            '  -d \'{"cpu_percent": 12.4, "mem_percent": 45.0, "disk_percent": 62.0, "uptime_s": 86400}\'\n'
            f"# the agent itself: server {origin}, key {KEY}",
        ),
        Way(
            "An agent of Monitron",
            f"{post} {origin}/agent/report {as_json} \\\n"
            f'  -d \'{{"agent_key": "{KEY}", "cpu_usage": 12.4, "memory_usage": 45.0, '
            '"disk_usage": [{"mount": "/", "usage": 62.0}]}\'\n'
            f"# the agent itself: server {origin}, key {KEY}",
        ),
        Way(
            "An agent of HitFlow",
            f"address: {origin}/agent/v1/report\nHitFlow-Agent-Server: {number}\nHitFlow-Agent-Token: {KEY}",
        ),
    ]
