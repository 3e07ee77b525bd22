"""The dashboards that are shipped are whole, as far as can be seen without a Grafana."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "static" / "grafana"
BUILT_IN = {"__from", "__to", "__interval_ms", "__rate_interval", "__url_time_range", "__value", "__field"}
PLUGINS = {"infinity.json": "yesoreyeram-infinity-datasource", "prometheus.json": "prometheus"}


@pytest.fixture(params=PLUGINS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def board(name: str) -> Any:
    return json.loads((FOLDER / name).read_text("utf-8"))


def nodes(value: Any) -> list[dict[str, Any]]:
    """Every object in it."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    found = [node for each in inner for node in nodes(each)]
    return [value, *found] if isinstance(value, dict) else found


def test_no_other_dashboard_is_shipped() -> None:
    assert {path.name for path in FOLDER.iterdir()} == PLUGINS.keys()


def test_panels_have_ids_of_their_own(board: Any) -> None:
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)


def test_panels_lie_side_by_side(board: Any) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_everything_is_asked_of_the_data_source_that_is_chosen(board: Any, name: str) -> None:
    sources = [node["datasource"] for node in nodes(board) if "datasource" in node]
    assert sources
    assert all(source == {"type": PLUGINS[name], "uid": "${datasource}"} for source in sources)
    (chosen,) = [each for each in board["templating"]["list"] if each["type"] == "datasource"]
    assert (chosen["name"], chosen["query"]) == ("datasource", PLUGINS[name])


def test_every_variable_that_is_used_is_there(board: Any) -> None:
    used = {first or second for first, second in re.findall(r"\$\{(\w+)|\$(\w+)", json.dumps(board))}
    assert used <= {variable["name"] for variable in board["templating"]["list"]} | BUILT_IN
