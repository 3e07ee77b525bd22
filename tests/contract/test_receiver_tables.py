"""docs/receivers.md names every metric that comes of what agents of other systems send."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hbd.hosts import Host
from hbd.model import Data, Moment
from hbd.receivers import hitflow, monitron, noba
from hbd.receivers.fields import Problems
from hbd.receivers.rates import Rates
from hbd.scraping import collectd, node_exporter
from hbd.scraping.exposition import parse

DOCS = (Path(__file__).parents[2] / "docs" / "receivers.md").read_text()
HOST = Host(1, "web1", "agent_000000000001")
TIMES = (Moment(1_750_000_000.0, 1000.0), Moment(1_750_000_060.0, 1060.0))
MONITRON: dict[str, Any] = {
    "agent_key": "0" * 64, "cpu_usage": 23.5, "cpu_iowait": 1.2, "memory_usage": 67.4, "memory_total_mb": 8192,
    "swap_usage": 5.0, "disk_usage": [{"mount": "/", "usage": 45, "size": "50G", "used": "22G", "avail": "28G"}],
    "network_rx_bytes": 1234567890, "network_tx_bytes": 987654321, "load_1m": 0.5, "load_5m": 0.3, "load_15m": 0.2,
    "os": "Ubuntu 24.04 LTS", "hostname": "web-server-1", "kernel": "6.5.0-44-generic",
}  # fmt: skip
HITFLOW: dict[str, Any] = {
    "operating_system": "Debian", "uptime": 86400, "load_average": [0.5, 0.25, 1.0], "cpu": 12.5,
    "memory": {"available": 4096, "total": 16384, "used": 12288}, "swap": {"available": 1, "total": 2, "used": 1},
    "storage": [{"name": "/", "total": 100, "used": 25}], "process": [["nginx", "www-data", 1.5, 120]],
}  # fmt: skip
NOBA: dict[str, Any] = {
    "hostname": "web1", "os": "Ubuntu", "arch": "x86_64", "agent_version": "3", "uptime_s": 86400, "cpu_percent": 12.4,
    "cpu_count": 4, "load_1m": 0.5, "load_5m": 0.4, "load_15m": 0.3, "mem_percent": 45.0, "mem_total": 8 << 30,
    "mem_used": 2 << 30, "swap_percent": 1.0, "swap_total": 2 << 30, "swap_used": 1 << 30,
    "disks": [{"mount": "/", "total": 9 << 30, "used": 6 << 30, "free": 3 << 30, "percent": 62.0, "fstype": "ext4"}],
    "net_bytes_recv": 9000, "net_bytes_sent": 5000, "temperatures": {"cpu": 45.5},
    "top_processes": [{"pid": 77, "name": "postgres", "cpu": 12.5, "mem": 3.0}],
}  # fmt: skip
NODE = """node_uname_info{machine="x86_64",nodename="w",release="6.1",sysname="Linux"} 1
node_exporter_build_info{version="1.5"} 1
node_cpu_seconds_total{cpu="0",mode="idle"} %d
node_load1 1
node_load5 1
node_load15 1
node_context_switches_total 1
node_memory_MemTotal_bytes 8e9
node_memory_MemFree_bytes 1e9
node_memory_MemAvailable_bytes 4e9
node_memory_SwapTotal_bytes 1e9
node_memory_SwapFree_bytes 1e9
node_filesystem_size_bytes{device="/dev/vda",fstype="ext4",mountpoint="/"} 5e10
node_filesystem_avail_bytes{device="/dev/vda",fstype="ext4",mountpoint="/"} 2e10
node_filesystem_files{device="/dev/vda",fstype="ext4",mountpoint="/"} 5
node_filesystem_files_free{device="/dev/vda",fstype="ext4",mountpoint="/"} 4
node_disk_read_bytes_total{device="vda"} 5
node_disk_io_time_seconds_total{device="vda"} 5
node_network_receive_bytes_total{device="eth0"} 5
node_network_transmit_drop_total{device="eth0"} 5
node_network_up{device="eth0"} 1
node_netstat_Tcp_CurrEstab 5
node_procs_running 5
node_hwmon_temp_celsius{chip="a",sensor="b"} 45
node_boot_time_seconds 5
node_time_seconds 9
"""
COLLECTD = """collectd_cpu_total{cpu="0",type="idle",instance="w"} %d
collectd_load_shortterm{instance="w"} 1
collectd_load_midterm{instance="w"} 1
collectd_contextswitch_total{instance="w"} 1
collectd_memory{memory="used",instance="w"} 1
collectd_memory{memory="free",instance="w"} 1
collectd_swap{swap="used",instance="w"} 1
collectd_swap{swap="free",instance="w"} 1
collectd_df_df_complex{df="root",type="used",instance="w"} 5e10
collectd_df_df_inodes{df="root",type="used",instance="w"} 5
collectd_interface_if_dropped_rx_total{interface="eth0",instance="w"} 1
collectd_processes_ps_state{processes="blocked",instance="w"} 1
collectd_sensors_temperature{sensors="a",type="b",instance="w"} 45
collectd_uptime{instance="w"} 1
"""


def of_monitron() -> dict[str, Data]:
    rates, found = Rates(), monitron.read(MONITRON, Problems())
    return [{s.plugin: s.data for s in monitron.samples(found, HOST, rates, now)} for now in TIMES][-1]


def of_hitflow() -> dict[str, Data]:
    return hitflow.read(HITFLOW)


def of_noba() -> dict[str, Data]:
    rates, found = Rates(), noba.read(NOBA, Problems())
    return [{s.plugin: s.data for s in noba.samples(found, HOST, {}, rates, now)} for now in TIMES][-1]


def scraped(module: Any, text: str) -> dict[str, Data]:
    """What becomes of the second of two answers."""
    rates, found = Rates(), {}
    for number, now in enumerate(TIMES):
        families = node_exporter.Families(parse(text % (number * 50)).series)
        found = module.translate(families, partial(rates.of, 0, at=now.mono))
    return found


def metrics(data: Mapping[str, Any]) -> Iterator[str]:
    for name, value in data.items():
        if isinstance(value, dict):
            yield from metrics(value)
        else:
            yield name
            for entry in value if isinstance(value, list) else ():
                yield from metrics(entry)


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", DOCS, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    ("title", "plugins"),
    [
        ("Monitron", of_monitron()),
        ("HitFlow", of_hitflow()),
        ("NOBA", of_noba()),
        ("Prometheus", scraped(node_exporter, NODE)),
        ("Prometheus", scraped(collectd, COLLECTD)),
    ],
    ids=["monitron", "hitflow", "noba", "node_exporter", "collectd"],
)
def test_the_table_names_every_plugin_and_metric(title: str, plugins: dict[str, Data]) -> None:
    """A rate stands beside its counter, and of ``rx_drops`` the table may have no more than ``drops``."""
    words = set(re.findall(r"[a-z0-9_]+", section(title)))
    assert plugins
    assert plugins.keys() <= words
    told = {name.removesuffix("_per_second") for data in plugins.values() for name in metrics(data)}
    unnamed = {name for name in told if not {name, name[3:]} & words and not name.endswith("_seconds")}
    assert unnamed == set()
