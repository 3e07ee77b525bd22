"""The shipped thresholds: told in docs/alerts.md, about metrics that exist, quiet on a machine that is well."""

from pathlib import Path
from typing import Any

import pytest

from hbc.plugins import PLUGINS
from hbd.config import load
from hbd.config.default_thresholds import DEFAULT
from hbd.config.structs import Threshold
from hbd.derived import METRICS
from hbd.model import Data, Level
from hbd.rules import RuleBook

PAGE = (Path(__file__).parents[3] / "docs" / "alerts.md").read_text()
TABLE = PAGE[PAGE.index("## The shipped thresholds") : PAGE.index("## Changing them")]

OF_HBD = {("jobs", "*.state"), ("nagios_passive", "*.state")}  # told in docs/jobs.md and docs/receivers.md

WELL: dict[str, Data] = {
    "cpu_monitor": {"cpu_percent": 85.0, "load_per_core": 1.4, "iowait_percent": 20.0, "steal_percent": 2.0},
    "memory_monitor": {"percent": 80.0, "swap_percent": 60.0},
    "disk_monitor": {
        "/": {"percent": 75.0, "inodes_percent": 40.0, "read_only": False, "hanging": False, "hours_to_full": 31.0},
        "/mnt/archive": {"percent": 75.0, "read_only": True, "hanging": False},
    },
    "temperature": {"k10temp Tctl": {"celsius": 82.0}},
    "nagios_runner": {"load": {"state": 0, "load1": 99.0}},
    "nagios_passive": {"raid": {"state": 0}},
    "jobs": {"backup": {"state": 0, "status": "late"}},
    "agent_monitor": {"spool_records": 2, "clock_skew_seconds": 2.5, "cpu_monitor": {"ok": True}},
}
SICK: dict[str, Data] = {
    "cpu_monitor": {"cpu_percent": 99.0, "load_per_core": 9.0, "iowait_percent": 70.0, "steal_percent": 30.0},
    "memory_monitor": {"percent": 98.0, "swap_percent": 99.0},
    "disk_monitor": {
        "/": {"percent": 99.0, "inodes_percent": 99.0, "read_only": True, "hanging": False}
        | {"hours_to_full": 0.5, "inodes_hours_to_full": 20.0},
        "/mnt/nfs": {"hanging": True},
    },
    "temperature": {"k10temp Tctl": {"celsius": 103.0}},
    "nagios_runner": {"load": {"state": 2}},
    "nagios_passive": {"raid": {"state": 3}},
    "jobs": {"backup": {"state": 2, "status": "down"}},
    "agent_monitor": {"spool_records": 4000, "clock_skew_seconds": 3600.0, "cpu_monitor": {"ok": False}},
}


def levels(report: dict[str, Data]) -> dict[str, Level]:
    rules = RuleBook({}).of()
    return {
        verdict.path: verdict.level
        for plugin, data in report.items()
        for verdict in rules.judge(plugin, data, lambda path: Level.OK)
    }


def length(seconds: float) -> str:
    return f"{seconds / 60:g}m" if seconds else ""


def row(path: tuple[str, ...], threshold: Threshold) -> str:
    limits = (f"{limit:g}" if limit is not None else "" for limit in (threshold.warning, threshold.critical))
    hysteresis = f"{threshold.hysteresis:g}" if threshold.hysteresis else ""
    cells = (f"`{'.'.join(path)}`", f"`{threshold.operator}`", *limits, length(threshold.hold), hysteresis)
    return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|"


@pytest.mark.parametrize(("path", "threshold"), DEFAULT.items(), ids=map(".".join, DEFAULT))
def test_threshold_has_its_row_on_the_page(path: tuple[str, ...], threshold: Threshold) -> None:
    assert f"\n{row(path, threshold)}" in TABLE


def test_page_has_rows_for_shipped_thresholds_alone() -> None:
    assert TABLE.count("\n| `") == len(DEFAULT)


@pytest.mark.parametrize("path", DEFAULT, ids=".".join)
def test_threshold_is_about_a_metric_that_the_agent_reports_or_the_daemon_adds(path: tuple[str, ...]) -> None:
    plugin, *key, metric = path
    name = f"*.{metric}" if key else metric
    known = PLUGINS[plugin].metrics if plugin in PLUGINS else ()
    assert name in {declared.name for declared in known} or (plugin, name) in METRICS or (plugin, name) in OF_HBD


def test_machine_that_is_well_is_quiet() -> None:
    assert set(levels(WELL).values()) == {Level.OK}


def test_every_threshold_is_heard_on_a_sick_machine() -> None:
    bad = {path for path, level in levels(SICK).items() if level is not Level.OK}
    rules = RuleBook({}).of()
    assert {rules.explain(path)[0].pattern for path in bad} == set(DEFAULT)


def examples() -> list[Any]:
    return [block.partition("```")[0] for block in PAGE.split("```yaml\n")[1:]]


@pytest.mark.parametrize("text", examples(), ids=lambda text: text.split("\n")[0])
def test_example_of_the_page_is_a_config(text: str, tmp_path: Path) -> None:
    (tmp_path / "hbd.yaml").write_text(text)
    config = load(tmp_path / "hbd.yaml")
    assert config.threshold_configs or config.maintenance
