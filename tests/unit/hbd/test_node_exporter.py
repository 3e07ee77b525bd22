"""What node_exporter says, in the words of our own agent."""

from functools import partial

from hbd.model import Data
from hbd.receivers.rates import Rates
from hbd.scraping.exposition import parse
from hbd.scraping.node_exporter import Families, translate

UNAME = 'node_uname_info{machine="x86_64",nodename="web1",release="6.1.0",sysname="Linux"} 1\n'
GIB = 1 << 30


def told(*scrapes: str, seconds: float = 10.0) -> dict[str, Data]:
    """What becomes of the last one of these."""
    rates = Rates(digits=6)
    data: dict[str, Data] = {}
    for number, text in enumerate(scrapes):
        data = translate(Families(parse(UNAME + text).series), partial(rates.of, 0, at=number * seconds))
    return data


def cpu(**modes: float) -> str:
    return "".join(
        f'node_cpu_seconds_total{{cpu="{core}",mode="{mode}"}} {spent}\n'
        for core in (0, 1)
        for mode, spent in modes.items()
    )


def test_another_exporter_is_none_of_it() -> None:
    assert translate(Families(parse("node_load1 3\nup 1").series), lambda key, counters: {}) == {}


def test_shares_of_the_processor_are_made_from_the_seconds_of_all_cores() -> None:
    first = cpu(idle=100, user=50, system=10, iowait=5, nice=0, steal=0)
    second = cpu(idle=105, user=53, system=11, iowait=6, nice=0, steal=0)
    found = told(first, second)["cpu_monitor"]
    shares = {name: found[name] for name in found if name.endswith("_percent")}
    assert shares == {
        "cpu_percent": 40.0,
        "user_percent": 30.0,
        "system_percent": 10.0,
        "iowait_percent": 10.0,
        "steal_percent": 0.0,
    }


def test_the_first_scrape_has_counters_and_no_rates() -> None:
    found = told(cpu(idle=100) + "node_forks_total 7\n")["cpu_monitor"]
    assert found == {"idle_seconds": 200.0, "cpu_count": 2, "forks": 7.0}


def test_counters_stay_beside_the_rates_made_of_them() -> None:
    found = told("node_forks_total 7", "node_forks_total 27")["cpu_monitor"]
    assert found == {"forks": 27.0, "forks_per_second": 2.0}


def test_load_goes_by_core() -> None:
    found = told(cpu(idle=1) + "node_load1 1\nnode_load5 3\nnode_load15 2")["cpu_monitor"]
    assert (found["load_1min"], found["load_5min"], found["load_15min"], found["load_per_core"]) == (1, 3, 2, 1.5)


def test_memory_is_in_mebibytes() -> None:
    sizes = {
        "MemTotal": 4,
        "MemAvailable": 1,
        "MemFree": 0.5,
        "Cached": 1,
        "SReclaimable": 0.5,
        "SwapTotal": 2,
        "SwapFree": 0.5,
    }
    found = told("".join(f"node_memory_{name}_bytes {size * GIB}\n" for name, size in sizes.items()))["memory_monitor"]
    assert found == {
        "percent": 75.0,
        "swap_percent": 75.0,
        "total_mb": 4096.0,
        "available_mb": 1024.0,
        "used_mb": 3072.0,
        "free_mb": 512.0,
        "cached_mb": 1536.0,
        "swap_total_mb": 2048.0,
        "swap_used_mb": 1536.0,
    }


def disk(mount: str, device: str = "/dev/sda1", fstype: str = "ext4", **values: float) -> str:
    labels = f'{{device="{device}",fstype="{fstype}",mountpoint="{mount}"}}'
    return "".join(f"node_filesystem_{name}{labels} {value}\n" for name, value in values.items())


def test_a_disk_is_as_full_as_df_says() -> None:
    found = told(disk("/", size_bytes=100 * GIB, free_bytes=30 * GIB, avail_bytes=20 * GIB, files=1000, files_free=900))
    assert found["disk_monitor"]["/"] == {
        "percent": 77.8,
        "total_gb": 100.0,
        "used_gb": 70.0,
        "free_gb": 20.0,
        "inodes_percent": 10.0,
        "inodes_total": 1000.0,
        "inodes_free": 900.0,
        "read_only": False,
        "device": "/dev/sda1",
        "fstype": "ext4",
    }


def test_what_is_no_disk_or_cannot_be_asked_is_left_out() -> None:
    text = disk("/run", fstype="tmpfs", size_bytes=5) + disk("/nfs", size_bytes=5, device_error=1)
    text += disk("/proc", size_bytes=0) + disk("/data", size_bytes=5, free_bytes=5, avail_bytes=5)
    assert set(told(text)["disk_monitor"]) == {"/data"}


def test_traffic_of_a_disk_is_with_what_is_mounted_of_it() -> None:
    def scrape(read: float, busy: float) -> str:
        return (
            disk("/", size_bytes=GIB, avail_bytes=GIB)
            + disk("/boot", device="/dev/nvme0n1p2", size_bytes=GIB, avail_bytes=GIB)
            + f'node_disk_read_bytes_total{{device="sda"}} {read}\n'
            + f'node_disk_io_time_seconds_total{{device="sda"}} {busy}\n'
            + f'node_disk_read_bytes_total{{device="nvme0n1"}} {read * 2}\n'
        )

    found = told(scrape(1000, 3), scrape(2000, 8))["disk_monitor"]
    assert (found["/"]["read_bytes_per_second"], found["/"]["busy_percent"]) == (100.0, 50.0)
    assert found["/boot"]["read_bytes_per_second"] == 200.0


def net(received: float) -> str:
    return "".join(
        f'node_network_receive_bytes_total{{device="{device}"}} {received}\nnode_network_up{{device="{device}"}} {up}\n'
        for device, up in (("eth0", 1), ("lo", 0), ("docker0", 1), ("veth12", 1))
    )


def test_traffic_of_the_machine_counts_what_has_hardware() -> None:
    found = told(net(1000), net(6000))["network_monitor"]
    assert set(found) == {"eth0", "lo", "docker0", "total"}
    assert found["eth0"] == {"rx_bytes": 6000.0, "rx_bytes_per_second": 500.0, "up": True}
    assert found["lo"]["up"] is True
    assert found["total"] == {"rx_bytes_per_second": 500.0}


def test_sockets_of_both_families_are_one_number() -> None:
    text = "node_sockstat_TCP_inuse 4\nnode_sockstat_TCP6_inuse 3\nnode_netstat_Tcp_CurrEstab 2"
    assert told(text)["network_monitor"] == {"tcp_sockets": 7.0, "tcp_established": 2.0}


def test_temperatures_have_the_names_of_their_sensors() -> None:
    where = '{chip="platform_coretemp_0",sensor="temp1"'
    text = (
        'node_hwmon_chip_names{chip="platform_coretemp_0",chip_name="coretemp"} 1\n'
        f'node_hwmon_sensor_label{where},label="Package id 0"}} 1\n'
        f"node_hwmon_temp_celsius{where}}} 45\nnode_hwmon_temp_max_celsius{where}}} 80\n"
        f"node_hwmon_temp_crit_celsius{where}}} 100\n"
    )
    assert told(text)["temperature"] == {"coretemp Package id 0": {"celsius": 45.0, "high": 80.0, "critical": 100.0}}


def test_thermal_zones_count_where_there_are_no_sensors() -> None:
    assert told('node_thermal_zone_temp{type="cpu",zone="0"} 51.5')["temperature"] == {"cpu": {"celsius": 51.5}}


def test_the_system_is_named() -> None:
    text = (
        'node_os_info{pretty_name="Debian GNU/Linux 12 (bookworm)"} 1\nnode_exporter_build_info{version="1.5.0"} 1\n'
        "node_boot_time_seconds 1000\nnode_time_seconds 5000.4\n"
    )
    assert told(text)["os_info"] == {
        "os": "Debian GNU/Linux 12 (bookworm)",
        "kernel": "6.1.0",
        "arch": "x86_64",
        "hostname": "web1",
        "agent_version": "node_exporter 1.5.0",
        "boot_time": 1000.0,
        "uptime_seconds": 4000,
    }


def test_processes_are_counted() -> None:
    text = 'node_procs_running 2\nnode_procs_blocked 1\nnode_processes_pids 90\nnode_processes_state{state="Z"} 3'
    assert told(text)["process_monitor"] == {
        "total": 90.0,
        "running": 2.0,
        "disk_sleep": 1.0,
        "zombies": 3.0,
        "sleeping": 0.0,
    }
