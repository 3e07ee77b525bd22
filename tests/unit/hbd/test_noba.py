"""The report of a NOBA-style agent as plugins and metrics."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbd.errors import InvalidInput
from hbd.hosts import Host
from hbd.model import Data, Moment
from hbd.receivers import lenient, noba
from hbd.receivers.agent_frames import WireSample
from hbd.receivers.fields import Problems
from hbd.receivers.noba import MAX_ENTRIES, MAX_OTHERS
from hbd.receivers.rates import Rates

GIB, MIB = 1 << 30, 1 << 20
NOW = Moment(1_750_000_000.0, 1000.0)

REPORT: dict[str, Any] = {
    "cpu_percent": 12.4,
    "cpu_count": 4,
    "load_1m": 0.5,
    "load_5m": 0.4,
    "load_15m": 0.3,
    "mem_total": 8 * GIB,
    "mem_used": 2 * GIB,
    "mem_percent": 25.0,
    "disks": [
        {"mount": "/", "total": 100 * GIB, "used": 62 * GIB, "percent": 62.0, "fstype": "ext4"},
        {"mount": "/srv", "total": 10 * GIB, "used": GIB, "percent": 10.0, "fstype": "xfs"},
    ],
    "net_bytes_sent": 5_000,
    "net_bytes_recv": 9_000,
    "temperatures": {"coretemp_Core 0": 41.5},
    "top_processes": [
        {"pid": 1, "name": "init", "cpu": 0.0, "mem": 0.4},
        {"pid": 77, "name": "postgres", "cpu": 12.5, "mem": 3.0},
    ],
    "uptime_s": 86_400,
    "hostname": "web-01",
    "platform": "Linux",
    "arch": "x86_64",
    "timestamp": 1_749_999_999,
    "agent_version": "3.0.1",
}
MANIFEST = {
    "os": "linux",
    "distro": "debian",
    "distro_version": "12",
    "kernel": "6.1.0-18-amd64",
    "init_system": "systemd",
    "is_wsl": False,
    "is_container": True,
    "capabilities": {"docker": {"available": True, "version": "Docker 24"}, "zfs": {"available": False}},
}

NAMES = (
    *REPORT,
    *MANIFEST,
    *("_capabilities", "network", "disk_percent", "mount", "percent", "total", "used", "name", "cpu", "mem", "pid"),
    *("bytes_sent", "rx_bytes", "celsius", "available", "tags", "os", "uptime", "eth0"),
)


def read(problems: Problems | None = None, **fields: Any) -> dict[str, Data]:
    return noba.read(fields, problems if problems is not None else Problems()).plugins


def taken(body: dict[str, Any], *, rates: Rates | None = None, now: Moment = NOW, before: Data | None = None) -> Any:
    reading = noba.read(body, Problems())
    host = Host(1, "web", "agent_000000000001")
    found = noba.samples(reading, host, before or {}, rates or Rates(), now)
    return {sample.plugin: sample.data for sample in found}


def wrong(**fields: Any) -> dict[str, str]:
    problems = Problems()
    read(problems, **fields)
    return problems.by_path


def test_a_whole_report_has_no_problems() -> None:
    assert wrong(**REPORT, _capabilities=MANIFEST) == {}


def test_processor_and_load_have_their_usual_names() -> None:
    assert read(**REPORT)["cpu_monitor"] == {
        "cpu_percent": 12.4,
        "cpu_count": 4,
        "load_1min": 0.5,
        "load_5min": 0.4,
        "load_15min": 0.3,
    }


def test_memory_is_told_in_mebibytes() -> None:
    assert read(**REPORT)["memory_monitor"] == {
        "percent": 25.0,
        "total_mb": 8192.0,
        "used_mb": 2048.0,
        "available_mb": 6144.0,
    }


def test_each_disk_stands_under_its_mount_as_sent() -> None:
    assert read(**REPORT)["disk_monitor"]["/"] == {
        "percent": 62.0,
        "total_gb": 100.0,
        "used_gb": 62.0,
        "free_gb": 38.0,
        "fstype": "ext4",
    }


def test_disk_percent_alone_is_that_of_the_root() -> None:
    assert read(disk_percent=62.0)["disk_monitor"] == {"/": {"percent": 62.0}}


def test_what_a_disk_says_itself_counts_more_than_disk_percent() -> None:
    assert read(disk_percent=1.0, disks=[{"mount": "/", "percent": 50.0}])["disk_monitor"] == {"/": {"percent": 50.0}}


def test_a_percentage_that_is_left_out_is_made_of_the_sizes() -> None:
    assert read(disks=[{"mount": "/", "total": 200, "used": 50}])["disk_monitor"]["/"]["percent"] == 25.0
    assert read(mem_total=200, mem_used=50)["memory_monitor"]["percent"] == 25.0


def test_temperatures_stand_under_their_sensors() -> None:
    assert read(**REPORT)["temperature"] == {"coretemp_Core 0": {"celsius": 41.5}}


def test_temperatures_may_be_a_list() -> None:
    assert read(temperatures=[{"name": "cpu", "current": 50}])["temperature"] == {"cpu": {"celsius": 50}}


def test_processes_stand_in_the_orders_of_what_they_use() -> None:
    processes = read(**REPORT)["process_monitor"]
    assert [process["name"] for process in processes["top_cpu"]] == ["postgres"]
    assert [process["name"] for process in processes["top_memory"]] == ["postgres", "init"]


def test_about_the_system_all_is_told_that_was_sent() -> None:
    assert read(**REPORT, _capabilities=MANIFEST)["os_info"] == {
        "os": "Debian 12",
        "kernel": "6.1.0-18-amd64",
        "arch": "x86_64",
        "hostname": "web-01",
        "agent_version": "3.0.1",
        "virtualization": "container",
        "uptime_seconds": 86_400,
        "tools": ["docker"],
    }


def test_the_report_of_the_documentation_is_read_whole() -> None:
    body = {
        "hostname": "web-01",
        "os": "Ubuntu 24.04",
        "cpu_percent": 12.4,
        "mem_percent": 45.0,
        "disk_percent": 62.0,
        "uptime_s": 86400,
    }
    assert taken(body) == {
        "cpu_monitor": {"cpu_percent": 12.4},
        "memory_monitor": {"percent": 45.0},
        "disk_monitor": {"/": {"percent": 62.0}},
        "os_info": {"os": "Ubuntu 24.04", "hostname": "web-01", "uptime_seconds": 86400},
    }


def test_what_is_found_out_now_and_then_lasts() -> None:
    before = taken(REPORT | {"_capabilities": MANIFEST})["os_info"]
    later = taken(REPORT, before=before)["os_info"]
    assert (later["os"], later["kernel"], later["tools"]) == ("Debian 12", "6.1.0-18-amd64", ["docker"])


def test_a_system_that_is_never_named_is_called_by_its_platform() -> None:
    assert taken(REPORT)["os_info"]["os"] == "Linux"


def test_counters_are_there_as_sent_and_become_rates() -> None:
    rates = Rates()
    assert taken(REPORT, rates=rates)["network_monitor"] == {"total": {"rx_bytes": 9_000, "tx_bytes": 5_000}}
    later = Moment(NOW.wall + 10, NOW.mono + 10)
    body = REPORT | {"net_bytes_recv": 9_500, "net_bytes_sent": 5_100}
    assert taken(body, rates=rates, now=later)["network_monitor"]["total"] == {
        "rx_bytes": 9_500,
        "tx_bytes": 5_100,
        "rx_bytes_per_second": 50.0,
        "tx_bytes_per_second": 10.0,
    }


@pytest.mark.parametrize(
    "network",
    [
        {"eth0": {"bytes_recv": 10, "bytes_sent": 20}, "lo": {"bytes_recv": 5, "bytes_sent": 5}},
        [{"name": "eth0", "rx_bytes": 10, "tx_bytes": 20}, {"interface": "lo", "rx": 5, "tx": 5}],
    ],
)
def test_interfaces_are_taken_each_and_together(network: Any) -> None:
    assert taken({"network": network})["network_monitor"] == {
        "eth0": {"rx_bytes": 10, "tx_bytes": 20},
        "lo": {"rx_bytes": 5, "tx_bytes": 5},
        "total": {"rx_bytes": 10, "tx_bytes": 20},
    }


def test_a_network_that_names_no_interface_is_the_machine_as_a_whole() -> None:
    assert taken({"network": {"bytes_recv": 10, "bytes_sent": 20}})["network_monitor"] == {
        "total": {"rx_bytes": 10, "tx_bytes": 20}
    }


def test_further_numbers_are_kept_and_further_texts_are_not() -> None:
    found = read(ups_charge=97, zfs={"tank": {"errors": 0}}, note="hello", flags=[1, 2], ok=True, _heal_reports=3)
    assert found == {"noba_monitor": {"ups_charge": 97, "zfs": {"tank": {"errors": 0}}}}


def test_further_numbers_of_a_disk_stay_with_it() -> None:
    assert read(disks=[{"mount": "/", "percent": 1, "inodes_percent": 7}])["disk_monitor"] == {
        "/": {"percent": 1, "inodes_percent": 7}
    }


@pytest.mark.parametrize("value", ["12.4", True, [], {}, math.nan, math.inf, 10**400])
def test_what_is_no_number_costs_itself_alone(value: Any) -> None:
    problems = Problems()
    assert read(problems, cpu_percent=value, load_1m=0.5) == {"cpu_monitor": {"load_1min": 0.5}}
    assert problems.by_path == {"cpu_percent": "must be a number"}


def test_a_number_that_is_wrong_within_a_disk_is_named_by_its_path() -> None:
    assert wrong(disks=[{"mount": "/", "percent": "full"}]) == {"disks./.percent": "must be a number"}


@pytest.mark.parametrize("value", [5, "x", True])
def test_disks_that_are_neither_list_nor_object_are_told(value: Any) -> None:
    assert wrong(disks=value) == {"disks": "must be a list or an object"}


@pytest.mark.parametrize("mount", [None, "", "a\nb", "m" * 300, 7, "\ud800"])
def test_a_disk_without_a_name_is_left_out(mount: Any) -> None:
    body = [{"mount": mount, "percent": 1}, {"mount": "/", "percent": 2}]
    assert read(disks=body)["disk_monitor"] == {"/": {"percent": 2}}
    assert wrong(disks=body) == {"disks.0": "has no name of 1-200 characters"}


def test_no_list_is_without_a_limit() -> None:
    many = [{"mount": f"/{number}", "percent": 1} for number in range(MAX_ENTRIES + 1)]
    assert len(read(disks=many)["disk_monitor"]) == MAX_ENTRIES
    assert wrong(disks=many) == {"disks": f"only {MAX_ENTRIES} of {MAX_ENTRIES + 1} entries are taken"}


def test_further_numbers_have_a_limit() -> None:
    many = {f"m{number}": number for number in range(MAX_OTHERS + 5)}
    assert len(read(None, **many)["noba_monitor"]) == MAX_OTHERS


def test_what_is_nested_deeply_ends() -> None:
    nested: Any = 1
    for _ in range(50):
        nested = {"x": nested}
    assert read(deep=nested) == {}


@pytest.mark.parametrize("body", [None, 1, "report", [], True])
def test_what_is_no_object_is_no_report(body: Any) -> None:
    with pytest.raises(InvalidInput, match="must be an object"):
        noba.read(body, Problems())


def test_an_empty_report_is_one() -> None:
    assert read() == {}


@pytest.mark.parametrize(("sent", "kept"), [("web, prod,web", ["web", "prod"]), (["web", ""], ["web"]), (None, None)])
def test_tags_come_as_a_list_or_with_commas(sent: Any, kept: Any) -> None:
    assert noba.read({"tags": sent}, Problems()).tags == kept


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    LEAVES,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=4), below),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=8), VALUES))
def test_whatever_is_sent_samples_are_such_as_every_agent_may_send(body: dict[str, Any]) -> None:
    found = noba.samples(noba.read(body, Problems()), Host(1, "web", "agent_000000000001"), {}, Rates(), NOW)
    msgspec.json.decode(msgspec.json.encode(found), type=list[WireSample])


def test_whatever_is_read_can_be_written_as_json() -> None:
    odd = json.loads(
        '{"hostname": "\\ud800", "disks": {"\\ud800": 1}, "zfs": {"\\udfff": 1}, "x": 123456789012345678901234567890,'
        ' "temperatures": {"a": NaN, "b": Infinity}, "top_processes": [{"name": "x", "pid": 1e400}], "y": -1e308}'
    )
    assert msgspec.json.encode(list(taken(odd).items()))


def test_a_percentage_beyond_all_measure_is_none() -> None:
    reading = noba.read({"disks": [{"mount": "/", "total": 1e-300, "used": 1e299}]}, Problems())
    (disks,) = noba.samples(reading, Host(1, "web", "agent_1"), {}, Rates(), Moment(1e9, 1.0))
    assert "percent" not in disks.data["/"]


def test_of_endless_fields_the_first_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[object] = []
    monkeypatch.setattr(lenient, "is_name", lambda name: looked_at.append(name) or True)
    body = {f"n{number}": number for number in range(255)} | {f"s{number}": "" for number in range(80_000)}
    problems = Problems()
    reading = noba.read(body, problems)
    assert (len(reading.plugins[noba.OTHERS]), len(looked_at)) == (255, 255)
    assert problems.by_path == {"body": "only 5000 of 80255 further fields are looked at"}


@pytest.mark.parametrize("tags", ["a," * 900_000, ["a"] * 900_000])
def test_of_endless_tags_the_first_are_looked_at(tags: object) -> None:
    assert noba.read({"tags": tags}, Problems()).tags == ["a"]
