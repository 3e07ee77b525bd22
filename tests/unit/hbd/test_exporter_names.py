import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbd.exporters.names import named, series


@pytest.mark.parametrize(
    ("plugin", "metric", "name", "factor"),
    [
        ("cpu_monitor", "cpu_percent", "hbd_cpu_ratio", 0.01),
        ("cpu_monitor", "iowait_percent", "hbd_cpu_iowait_ratio", 0.01),
        ("cpu_monitor", "load_1min", "hbd_cpu_load_1min", 1.0),
        ("cpu_monitor", "frequency_mhz", "hbd_cpu_frequency_hertz", 1e6),
        ("memory_monitor", "percent", "hbd_memory_ratio", 0.01),
        ("memory_monitor", "total_mb", "hbd_memory_total_bytes", 2.0**20),
        ("disk_monitor", "free_gb", "hbd_disk_free_bytes", 2.0**30),
        ("network_monitor", "rx_bytes_per_second", "hbd_network_rx_bytes_per_second", 1.0),
        ("agent_monitor", "rtt_ipv4_ms", "hbd_agent_rtt_ipv4_seconds", 0.001),
        ("process_monitor", "total", "hbd_process_number", 1.0),
        ("cpu_monitor", "cpu_count", "hbd_cpu_number", 1.0),
        ("disk_monitor", "inodes_total", "hbd_disk_inodes", 1.0),
        ("network_monitor", "speed_mbit", "hbd_network_speed_bytes_per_second", 125_000.0),
        ("temperature", "high", "hbd_temperature_high_celsius", 1.0),
        ("os_info", "boot_time", "hbd_os_info_boot_timestamp_seconds", 1.0),
        ("os_info", "uptime_seconds", "hbd_os_info_uptime_seconds", 1.0),
        ("my own-plugin", "weird metric!", "hbd_my_own_plugin_weird_metric", 1.0),
    ],
)
def test_a_metric_has_the_name_and_the_unit_of_the_field(plugin, metric, name, factor):
    found = named(plugin, metric)
    assert (found.name, found.factor) == (name, factor)


def test_what_only_grows_is_a_counter():
    assert named("own", "sent_total").counter
    assert not named("own", "sent").counter


def test_as_many_as_there_are_is_no_counter():
    assert not named("disk_monitor", "inodes_total").counter


@given(st.text(), st.text())
def test_no_name_is_taken_for_a_part_of_a_histogram(plugin, metric):
    for ending in ("", "_sum", "_count", "_bucket"):
        assert not named(plugin, metric + ending).name.endswith(("_sum", "_count", "_bucket"))


def test_what_a_number_is_about_is_its_key():
    found = [(each.name, each.key, each.value) for _, each in series("disk_monitor", {"/home": {"percent": 50.0}})]
    assert found == [("hbd_disk_ratio", "/home", 0.5)]


def test_texts_and_tables_are_no_series():
    assert list(series("own", {"text": "x", "rows": [{"pid": 1}], "none": None})) == []


def test_yes_and_no_are_one_and_zero():
    assert [each.value for _, each in series("own", {"up": True, "ro": False})] == [1, 0]


@given(st.text(), st.text())
def test_every_name_is_one_that_prometheus_takes(plugin, metric):
    assert re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", named(plugin, metric).name)


def test_a_number_that_no_double_holds_is_no_series():
    assert list(series("own", {"huge_mb": 10**400})) == []
