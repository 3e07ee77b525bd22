"""The dashboards that are shipped, read as Grafana reads them, and a site whose numbers they show."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from programs import Agent, Daemon

ROOT = Path(__file__).resolve().parents[1]
HOST = "web1"
RULES = {"default": {"memory_monitor": {"percent": {"critical": 0, "for": 0}}}}


def dashboard(name: str) -> Any:
    return json.loads((ROOT / "static" / "grafana" / name).read_text("utf-8"))


def filled_in(text: str, **more: str) -> str:
    """A text of a dashboard with its variables replaced, as Grafana does it."""
    now = time.time()
    values = {"hosts": "*", "host": HOST, "__from": f"{(now - 900) * 1000:.0f}", "__to": f"{(now + 60) * 1000:.0f}"}
    values |= {"__interval_ms": "60000", "__rate_interval": "1m"} | more
    replaced = re.sub(r"\$\{(\w+)\}|\$(\w+)", lambda match: values[match[1] or match[2]], text)
    assert "$" not in replaced
    return replaced


def queries(board: Any) -> Iterator[tuple[str, Any]]:
    """(where it is, query) of everything that a dashboard asks of its data source."""
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield f"{panel['title']} {target['refId']}", target
    for annotation in board["annotations"]["list"]:
        yield annotation["name"], annotation["target"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            query = variable["query"]
            yield f"variable {variable['name']}", query["infinityQuery"] if isinstance(query, dict) else {"expr": query}


@asynccontextmanager
async def site(folder: Path, **settings: Any) -> AsyncIterator[Daemon]:
    """A daemon with an agent that reports every second, and an alert."""
    async with (
        Daemon(folder / "daemon", threshold_configs=RULES, **settings) as daemon,
        Agent(folder / "agent", daemon.url, HOST),
    ):
        yield daemon
