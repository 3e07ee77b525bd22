"""What node_exporter says, in the words of our own agent. Pure. docs/receivers.md has the table."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hbd.model import Data
from hbd.receivers import interfaces
from hbd.scraping.exposition import Series

RatesOf = Callable[[str, Mapping[str, float]], dict[str, float]]
"""what the counters belong to, counters → those with a rate now, by the same name"""

MIB, GIB = 1 << 20, 1 << 30
_NO_DISK = frozenset(("tmpfs", "ramfs", "overlay", "squashfs", "iso9660", "erofs", "udf", "fuse.lxcfs"))
_PARTITION = re.compile(r"(?<=[a-z])[0-9]+\Z|(?<=[0-9])p[0-9]+\Z")  # sda1 is of sda, nvme0n1p2 of nvme0n1
_WAYS = {"receive": "rx", "transmit": "tx"}
_TRAFFIC = {"bytes": "bytes", "packets": "packets", "errs": "errors", "drop": "drops"}
_DISK = {
    "node_disk_read_bytes_total": "read_bytes",
    "node_disk_written_bytes_total": "write_bytes",
    "node_disk_reads_completed_total": "reads",
    "node_disk_writes_completed_total": "writes",
}
_CPU = {
    "node_context_switches_total": "context_switches",
    "node_intr_total": "interrupts",
    "node_forks_total": "forks",
}
_LOADS = {"node_load1": "load_1min", "node_load5": "load_5min", "node_load15": "load_15min"}
_MEMORY = {
    "MemTotal": "total",
    "MemFree": "free",
    "MemAvailable": "available",
    "Buffers": "buffers",
    "Cached": "cached",
    "SReclaimable": "reclaimable",
    "Shmem": "shared",
    "SwapTotal": "swap_total",
    "SwapFree": "swap_free",
}
_SPACE = {"size_bytes": "size", "free_bytes": "free", "avail_bytes": "avail", "files": "files", "files_free": "ffree"}
_SOCKETS = {
    "tcp_sockets": ("node_sockstat_TCP_inuse", "node_sockstat_TCP6_inuse"),
    "udp_sockets": ("node_sockstat_UDP_inuse", "node_sockstat_UDP6_inuse"),
    "tcp_time_wait": ("node_sockstat_TCP_tw",),
    "tcp_established": ("node_netstat_Tcp_CurrEstab",),
}
_PROCESSES = {
    "node_processes_pids": "total",
    "node_processes_threads": "threads",
    "node_procs_running": "running",
    "node_procs_blocked": "disk_sleep",
}


class Families:
    """Series by name. What was asked for is noted: the rest has no place in our words, and is kept as it is."""

    def __init__(self, series: Iterable[Series]) -> None:
        self._by_name: dict[str, list[Series]] = defaultdict(list)
        for one in series:
            self._by_name[one.name].append(one)
        self.used: set[str] = set()

    def all(self, name: str) -> list[Series]:
        found = self._by_name.get(name, [])
        if found:
            self.used.add(name)
        return found

    def value(self, name: str) -> float | None:
        found = self.all(name)
        return found[0].value if found else None

    def by(self, name: str, label: str) -> dict[str, float]:
        return {one.labels[label]: one.value for one in self.all(name) if label in one.labels}

    def labels(self, name: str) -> dict[str, str]:
        found = self.all(name)
        return found[0].labels if found else {}

    def values_of(self, label: str, prefix: str) -> set[str]:
        """What a label is in all series whose names begin so."""
        found = (series for name, named in self._by_name.items() if name.startswith(prefix) for series in named)
        return {series.labels[label] for series in found if label in series.labels}

    def __contains__(self, name: str) -> bool:
        return name in self._by_name


def translate(families: Families, rates: RatesOf) -> dict[str, Data]:
    """Plugin to data, of what there is. The first scrape has no rates."""
    if "node_exporter_build_info" not in families and "node_uname_info" not in families:
        return {}
    found = {
        "cpu_monitor": _cpu(families, rates),
        "memory_monitor": _memory(families),
        "disk_monitor": _disks(families, rates),
        "network_monitor": _network(families, rates),
        "process_monitor": _processes(families),
        "temperature": _temperatures(families),
        "os_info": _system(families),
    }
    return {plugin: data for plugin, data in found.items() if data}


def with_rates(key: str, counters: Mapping[str, float], rates: RatesOf, digits: int = 1) -> Data:
    """Counters as they were sent, ``rx_bytes``, and what is made of them, ``rx_bytes_per_second``."""
    return dict(counters) | {f"{name}_per_second": round(rate, digits) for name, rate in rates(key, counters).items()}


def _cpu(families: Families, rates: RatesOf) -> Data:
    modes: dict[str, float] = defaultdict(float)
    cores = set()
    for series in families.all("node_cpu_seconds_total"):
        modes[series.labels.get("mode", "")] += series.value
        cores.add(series.labels.get("cpu"))
    data: Data = {f"{mode}_seconds": round(spent, 2) for mode, spent in modes.items()}
    data |= cpu_shares(rates("cpu", modes))
    data |= {name: value for family, name in _LOADS.items() if (value := families.value(family)) is not None}
    if cores:
        data["cpu_count"] = len(cores)
        if "load_5min" in data:
            data["load_per_core"] = round(data["load_5min"] / len(cores), 2)
    clocks = [series.value for series in families.all("node_cpu_scaling_frequency_hertz")]
    if clocks:
        data["frequency_mhz"] = round(sum(clocks) / len(clocks) / 1e6, 0)
    counters = {name: value for family, name in _CPU.items() if (value := families.value(family)) is not None}
    return data | with_rates("cpu counters", counters, rates)


def cpu_shares(spent: Mapping[str, float]) -> Data:
    """spent: seconds of all cores in each mode, in a second."""
    total = sum(spent.values())
    if total <= 0:
        return {}

    def percent(*modes: str) -> float:
        return round(100 * sum(spent.get(mode, 0.0) for mode in modes) / total, 1)

    return {
        "cpu_percent": percent(*(spent.keys() - {"idle", "iowait"})),
        "user_percent": percent("user", "nice"),
        "system_percent": percent("system", "irq", "softirq"),
        "iowait_percent": percent("iowait"),
        "steal_percent": percent("steal"),
    }


def _memory(families: Families) -> Data:
    sizes = {
        name: value
        for key, name in _MEMORY.items()
        if (value := families.value(f"node_memory_{key}_bytes")) is not None
    }
    if "total" not in sizes or "available" not in sizes:
        return {}
    sizes["cached"] = sizes.get("cached", 0.0) + sizes.pop("reclaimable", 0.0)
    sizes["used"] = sizes["total"] - sizes["available"]
    swap = sizes.get("swap_total", 0.0)
    sizes["swap_used"] = swap - sizes.pop("swap_free", swap)
    data: Data = {
        "percent": percent_of(sizes["used"], sizes["total"]),
        "swap_percent": percent_of(sizes["swap_used"], swap),
    }
    return data | {f"{name}_mb": round(size / MIB, 1) for name, size in sizes.items()}


def _disks(families: Families, rates: RatesOf) -> Data:
    mounts: dict[str, dict[str, Any]] = defaultdict(dict)
    for family, name in (*_SPACE.items(), ("readonly", "read_only"), ("device_error", "error")):
        for series in families.all(f"node_filesystem_{family}"):
            if "mountpoint" in series.labels and series.labels.get("fstype") not in _NO_DISK:
                mounts[series.labels["mountpoint"]] |= {name: series.value, "labels": series.labels}
    traffic = _disk_traffic(families, rates)
    data: Data = {}
    for mount, found in mounts.items():
        if not found.get("size") or found.get("error"):
            continue
        device = found["labels"].get("device", "")
        name = device.removeprefix("/dev/")
        data[mount] = {
            **_space(found),
            "read_only": bool(found.get("read_only")),
            "device": device,
            "fstype": found["labels"].get("fstype", ""),
            **(traffic.get(name) or traffic.get(_PARTITION.sub("", name)) or {}),
        }
    return data


def _space(found: Mapping[str, float]) -> Data:
    size = found["size"]
    free = found.get("free", found.get("avail", 0.0))
    available = found.get("avail", free)
    used = size - free
    data: Data = {
        # As df has it: what is kept for root counts neither as used nor as free.
        "percent": percent_of(used, used + available),
        "total_gb": round(size / GIB, 2),
        "used_gb": round(used / GIB, 2),
        "free_gb": round(available / GIB, 2),
    }
    if found.get("files") and "ffree" in found:
        data["inodes_percent"] = percent_of(found["files"] - found["ffree"], found["files"])
        data["inodes_total"] = found["files"]
        data["inodes_free"] = found["ffree"]
    return data


def _disk_traffic(families: Families, rates: RatesOf) -> dict[str, Data]:
    counters: dict[str, dict[str, float]] = defaultdict(dict)
    for family, name in _DISK.items():
        for device, value in families.by(family, "device").items():
            counters[device][name] = value
    data = {device: with_rates(f"disk {device}", found, rates) for device, found in counters.items()}
    for device, value in families.by("node_disk_io_time_seconds_total", "device").items():
        data.setdefault(device, {})["busy_seconds"] = value
        if (busy := rates(f"disk time {device}", {"busy": value}).get("busy")) is not None:
            data[device]["busy_percent"] = min(100.0, round(100 * busy, 1))
    return data


def _network(families: Families, rates: RatesOf) -> Data:
    counters: dict[str, dict[str, float]] = defaultdict(dict)
    for way, prefix in _WAYS.items():
        for kind, name in _TRAFFIC.items():
            for device, value in families.by(f"node_network_{way}_{kind}_total", "device").items():
                counters[device][f"{prefix}_{name}"] = value
    up = families.by("node_network_up", "device")
    speed = families.by("node_network_speed_bytes", "device")
    data: Data = {}
    for device, found in counters.items():
        if interfaces.is_shown(device):
            data[device] = with_rates(f"net {device}", found, rates)
            if device in up:
                data[device]["up"] = bool(up[device]) or device == "lo"  # which has no notion of a link
            if speed.get(device, 0.0) > 0:
                data[device]["speed_mbit"] = round(speed[device] * 8 / 1e6, 0)
    if total := interfaces.total(data):
        data[interfaces.TOTAL] = total
    for name, sources in _SOCKETS.items():
        counted = [series.value for source in sources for series in families.all(source)]
        if counted:
            data[name] = sum(counted)
    resent = families.value("node_netstat_Tcp_RetransSegs")
    return data | (with_rates("tcp", {"tcp_retransmits": resent}, rates) if resent is not None else {})


def _processes(families: Families) -> Data:
    data: Data = {name: value for family, name in _PROCESSES.items() if (value := families.value(family)) is not None}
    states = families.by("node_processes_state", "state")
    if states:
        data["zombies"], data["sleeping"] = states.get("Z", 0.0), states.get("S", 0.0)
    return data


def _temperatures(families: Families) -> Data:
    def named(family: str, label: str) -> dict[tuple[str, str], str]:
        return {
            (one.labels.get("chip", ""), one.labels.get("sensor", "")): one.labels.get(label, "")
            for one in families.all(family)
        }

    chips = {chip: name for (chip, _), name in named("node_hwmon_chip_names", "chip_name").items()}
    sensors = named("node_hwmon_sensor_label", "label")
    limits = {
        kind: {
            (one.labels.get("chip"), one.labels.get("sensor")): one.value
            for one in families.all(f"node_hwmon_temp_{family}_celsius")
        }
        for kind, family in (("high", "max"), ("critical", "crit"))
    }
    data: Data = {}
    for series in families.all("node_hwmon_temp_celsius"):
        chip, sensor = where = series.labels.get("chip", ""), series.labels.get("sensor", "")
        name = f"{chips.get(chip, chip)} {sensors.get(where, sensor)}"
        if name in data:  # two disks have chips of one name
            name = f"{chip} {sensors.get(where, sensor)}"
        data[name] = {"celsius": round(series.value, 1)}
        data[name] |= {kind: found[where] for kind, found in limits.items() if found.get(where, 0.0) > 0}
    if not data:
        zones = families.all("node_thermal_zone_temp")
        data = {one.labels.get("type", one.labels.get("zone", "")): {"celsius": round(one.value, 1)} for one in zones}
    return data


def _system(families: Families) -> Data:
    uname, release = families.labels("node_uname_info"), families.labels("node_os_info")
    version = families.labels("node_exporter_build_info").get("version")
    data: Data = {
        "os": release.get("pretty_name") or uname.get("sysname"),
        "kernel": uname.get("release"),
        "arch": uname.get("machine"),
        "hostname": uname.get("nodename"),
        "agent_version": f"node_exporter {version}" if version else None,
    }
    boot, now = families.value("node_boot_time_seconds"), families.value("node_time_seconds")
    if boot is not None:
        data["boot_time"] = boot
        if now is not None:
            data["uptime_seconds"] = round(now - boot, 0)
    return {name: value for name, value in data.items() if value}


def percent_of(part: float, whole: float) -> float:
    return round(100 * part / whole, 1) if whole > 0 else 0.0
