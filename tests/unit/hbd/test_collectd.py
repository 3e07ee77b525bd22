"""What collectd says, in the words of our own agent. The lines are those of collectd 5.12."""

from functools import partial

import pytest

from hbd.model import Data
from hbd.receivers.rates import Rates
from hbd.scraping.collectd import translate
from hbd.scraping.exposition import parse
from hbd.scraping.node_exporter import Families

GIB, MIB = 1 << 30, 1 << 20


def told(*scrapes: str, seconds: float = 10.0) -> dict[str, Data]:
    """What becomes of the last one of these."""
    rates = Rates(digits=6)
    data: dict[str, Data] = {}
    for number, text in enumerate(scrapes):
        data = translate(Families(parse(text).series), partial(rates.of, 0, at=number * seconds))
    return data


def series(name: str, value: float, machine: str = "web1", **labels: str) -> str:
    told = "".join(f'{label}="{text}",' for label, text in labels.items())
    return f'collectd_{name}{{{told}instance="{machine}"}} {value} 1795294347816\n'


def cpu(**ticks: float) -> str:
    return "".join(
        series("cpu_total", spent, cpu=core, type=mode) for core in ("0", "1") for mode, spent in ticks.items()
    )


def df(name: str, used: float, free: float, reserved: float = 0.0) -> str:
    sizes = {"used": used, "free": free, "reserved": reserved}
    return "".join(series("df_df_complex", size * GIB, df=name, type=kind) for kind, size in sizes.items())


def test_another_exporter_is_none_of_it() -> None:
    assert told("node_load1 3\nup 1") == {}


def test_shares_of_the_processor_are_made_from_the_ticks_of_all_cores() -> None:
    found = told(cpu(idle=100, user=50, system=10, wait=5, nice=0), cpu(idle=105, user=53, system=11, wait=6, nice=0))
    assert found["cpu_monitor"] == {
        "cpu_percent": 40.0,
        "user_percent": 30.0,
        "system_percent": 10.0,
        "iowait_percent": 10.0,
        "steal_percent": 0.0,
        "cpu_count": 2,
    }


def test_load_has_our_names() -> None:
    text = "".join(series(f"load_{term}term", value) for term, value in (("short", 1.5), ("mid", 1.0), ("long", 0.5)))
    assert told(text)["cpu_monitor"] == {"load_1min": 1.5, "load_5min": 1.0, "load_15min": 0.5}


def test_memory_that_can_be_had_again_is_not_in_use() -> None:
    sizes = {"used": 30, "free": 20, "buffered": 5, "cached": 35, "slab_recl": 5, "slab_unrecl": 5}
    text = "".join(series("memory", size * MIB, memory=kind) for kind, size in sizes.items())
    text += series("swap", MIB, swap="used") + series("swap", 3 * MIB, swap="free")
    found = told(text)["memory_monitor"]
    assert found["percent"] == 35.0
    assert (found["total_mb"], found["used_mb"], found["available_mb"]) == (100.0, 35.0, 65.0)
    assert (found["swap_percent"], found["swap_total_mb"], found["swap_used_mb"]) == (25.0, 4.0, 1.0)


def test_disks_are_counted_as_df_does_and_the_root_is_named() -> None:
    inodes = "".join(series("df_df_inodes", n, df="root", type=kind) for kind, n in (("used", 25), ("free", 75)))
    found = told(df("root", 30, 60, 10) + df("srv-www", 1, 1) + inodes)["disk_monitor"]
    assert found["/"] == {
        "percent": 33.3,
        "total_gb": 100.0,
        "used_gb": 30.0,
        "free_gb": 60.0,
        "inodes_percent": 25.0,
        "inodes_total": 100.0,
        "inodes_free": 75.0,
    }
    assert found["srv-www"]["percent"] == 50.0


@pytest.mark.parametrize("name", ["dev", "dev-shm", "run", "run-lock", "sys-fs-cgroup"])
def test_what_is_mounted_in_memory_is_no_disk(name: str) -> None:
    assert told(df(name, 1, 1)) == {"os_info": {"hostname": "web1"}}


def test_traffic_of_interfaces_has_rates_and_a_total() -> None:
    def text(received: int) -> str:
        return series("interface_if_octets_rx_total", received, interface="eth0")

    found = told(text(1000), text(6000))["network_monitor"]
    assert found["eth0"] == {"rx_bytes": 6000.0, "rx_bytes_per_second": 500.0}
    assert found["total"] == {"rx_bytes_per_second": 500.0}


def test_processes_temperatures_and_uptime_have_our_names() -> None:
    text = series("processes_ps_state", 3, processes="blocked") + series("uptime", 86400)
    text += series("sensors_temperature", 45.25, sensors="coretemp-isa-0000", type="temp1")
    found = told(text)
    assert found["process_monitor"] == {"disk_sleep": 3.0}
    assert found["temperature"] == {"coretemp-isa-0000 temp1": {"celsius": 45.2}}
    assert found["os_info"] == {"hostname": "web1", "uptime_seconds": 86400.0}


def test_one_that_speaks_for_several_machines_is_left_as_it_is() -> None:
    assert told(series("uptime", 1) + series("uptime", 2, machine="db1")) == {}


def test_odd_values_cost_themselves() -> None:
    text = 'collectd_memory{instance="web1"} 5\ncollectd_df_df_complex{df="root",instance="web1"} 5\n' + df("", 1, 1)
    assert told(text + cpu())["os_info"] == {"hostname": "web1"}
