"""What a HitFlow-style report says, in our vocabulary."""

from typing import Any

from hbd.hosts import Host
from hbd.model import Data
from hbd.receivers import hitflow

NONE = {"available": 0, "total": 0, "used": 0}


def read(**report: Any) -> dict[str, Data]:
    needed = {
        "operating_system": "Debian",
        "uptime": 1,
        "load_average": [0, 0, 0],
        "cpu": 1,
        "memory": NONE,
        "swap": NONE,
        "storage": [{"name": "/", "total": 0, "used": 0}],
        "process": [],
    }
    return hitflow.read(needed | report)


def test_nothing_of_nothing_is_no_percentage_but_zero() -> None:
    plugins = read()
    assert (plugins["memory_monitor"]["percent"], plugins["memory_monitor"]["swap_percent"]) == (0.0, 0.0)
    assert plugins["disk_monitor"]["/"]["percent"] == 0.0


def test_numbers_that_contradict_each_other_stay_percentages() -> None:
    plugins = read(
        memory={"available": 30, "total": 20, "used": 10},
        swap={"available": 0, "total": 10, "used": 20},
        storage=[{"name": "/", "total": 10, "used": 20}],
    )
    assert (plugins["memory_monitor"]["percent"], plugins["memory_monitor"]["swap_percent"]) == (0.0, 100.0)
    assert plugins["disk_monitor"]["/"] == {"percent": 100.0, "total_gb": 10, "used_gb": 20, "free_gb": 0}


def test_the_ten_busiest_and_the_ten_largest_processes_are_listed() -> None:
    plugins = read(process=[[f"p{number}", "u", number, 100 - number] for number in range(100)])
    listed = plugins["process_monitor"]
    assert listed["listed"] == 100
    assert [process["name"] for process in listed["top_cpu"]] == [f"p{number}" for number in range(99, 89, -1)]
    assert [process["name"] for process in listed["top_memory"]] == [f"p{number}" for number in range(10)]


def test_without_the_memory_of_the_machine_a_process_has_no_share_of_it() -> None:
    (process,) = read(process=[["sh", "root", 1, 5]])["process_monitor"]["top_cpu"]
    assert process == {"name": "sh", "user": "root", "cpu_percent": 1.0, "memory_mb": 5}


def test_silence_is_timed_by_the_least_interval_where_that_is_longer() -> None:
    host = Host(1, "web1", "agent_000000000001")
    assert hitflow.interval(host, grace=3.0) == 100.0
    host.min_report_interval = 600.0
    assert hitflow.interval(host, grace=3.0) == 600.0
