"""What collectd says through its plugin write_prometheus, in the words of our own agent. Pure. docs/receivers.md has
the table."""

from __future__ import annotations

from collections import defaultdict

from hbd.model import Data
from hbd.receivers import interfaces
from hbd.scraping.node_exporter import GIB, MIB, Families, RatesOf, cpu_shares, percent_of, with_rates

_LOADS = {"short": "load_1min", "mid": "load_5min", "long": "load_15min"}
_MODES = {"wait": "iowait", "interrupt": "irq"}
_CPU = {"collectd_contextswitch_total": "context_switches", "collectd_processes_fork_rate_total": "forks"}
_TRAFFIC = {"octets": "bytes", "packets": "packets", "errors": "errors", "dropped": "drops"}
_NO_DISK = ("dev", "run", "sys", "proc")  # what is mounted there is in memory, or is nothing
_STATES = {
    "running": "running",
    "sleeping": "sleeping",
    "blocked": "disk_sleep",
    "zombies": "zombies",
    "stopped": "stopped",
}
ROOT = "root"


def translate(families: Families, rates: RatesOf) -> dict[str, Data]:
    """Plugin to data, of what there is. Nothing where it speaks for several machines: all of it is one host's here."""
    machines = families.values_of("instance", "collectd_")
    if len(machines) != 1:
        return {}
    found = {
        "cpu_monitor": _cpu(families, rates),
        "memory_monitor": _memory(families) | _swap(families),
        "disk_monitor": _disks(families),
        "network_monitor": _network(families, rates),
        "process_monitor": _processes(families),
        "temperature": _temperatures(families),
        "os_info": _system(families, *machines),
    }
    return {plugin: data for plugin, data in found.items() if data}


def _cpu(families: Families, rates: RatesOf) -> Data:
    data: Data = {
        name: families.value(f"collectd_load_{term}term")
        for term, name in _LOADS.items()
        if f"collectd_load_{term}term" in families
    }
    ticks: dict[str, float] = defaultdict(float)
    cores = set()
    for series in families.all("collectd_cpu_total"):
        mode = series.labels.get("type", "")
        ticks[_MODES.get(mode, mode)] += series.value
        cores.add(series.labels.get("cpu"))
    if ticks:
        data |= cpu_shares(rates("cpu", ticks)) | {"cpu_count": len(cores)}
        if "load_5min" in data:
            data["load_per_core"] = round(data["load_5min"] / len(cores), 2)
    counters = {name: value for family, name in _CPU.items() if (value := families.value(family)) is not None}
    return data | with_rates("cpu counters", counters, rates)


def _memory(families: Families) -> Data:
    sizes = families.by("collectd_memory", "memory")
    total = sum(sizes.values())
    if not {"used", "free"} <= sizes.keys():
        return {}
    cached = sizes.get("cached", 0.0) + sizes.get("slab_recl", 0.0)
    available = sizes["free"] + sizes.get("buffered", 0.0) + cached
    told = {
        "total": total,
        "used": total - available,
        "available": available,
        "free": sizes["free"],
        "buffers": sizes.get("buffered", 0.0),
        "cached": cached,
    }
    data: Data = {"percent": percent_of(total - available, total)}
    return data | {f"{name}_mb": round(size / MIB, 1) for name, size in told.items()}


def _swap(families: Families) -> Data:
    sizes = families.by("collectd_swap", "swap")
    if not {"used", "free"} <= sizes.keys():
        return {}
    used, total = sizes["used"], sum(sizes.values())
    return {
        "swap_percent": percent_of(used, total),
        "swap_total_mb": round(total / MIB, 1),
        "swap_used_mb": round(used / MIB, 1),
    }


def _disks(families: Families) -> Data:
    """By the names that collectd has: ``srv-my-data`` may have been /srv/my-data or /srv/my/data."""
    data: Data = {}
    for mount, found in _by_mount(families, "collectd_df_df_complex").items():
        used, free = found.get("used", 0.0), found.get("free", 0.0)
        total = used + free + found.get("reserved", 0.0)
        if total > 0:
            data[mount] = {
                "percent": percent_of(used, used + free),
                "total_gb": round(total / GIB, 2),
                "used_gb": round(used / GIB, 2),
                "free_gb": round(free / GIB, 2),
            }
    for mount, found in _by_mount(families, "collectd_df_df_inodes").items():
        total, free = sum(found.values()), found.get("free", 0.0)
        if total > 0 and mount in data:
            data[mount] |= {
                "inodes_percent": percent_of(total - free, total),
                "inodes_total": total,
                "inodes_free": free,
            }
    return data


def _by_mount(families: Families, family: str) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for series in families.all(family):
        name = series.labels.get("df", "")
        if name and name.partition("-")[0] not in _NO_DISK:
            found["/" if name == ROOT else name][series.labels.get("type", "")] = series.value
    return found


def _network(families: Families, rates: RatesOf) -> Data:
    counters: dict[str, dict[str, float]] = defaultdict(dict)
    for kind, name in _TRAFFIC.items():
        for way in ("rx", "tx"):
            for device, value in families.by(f"collectd_interface_if_{kind}_{way}_total", "interface").items():
                counters[device][f"{way}_{name}"] = value
    data: Data = {
        device: with_rates(f"net {device}", found, rates)
        for device, found in counters.items()
        if interfaces.is_shown(device)
    }
    if total := interfaces.total(data):
        data[interfaces.TOTAL] = total
    return data


def _processes(families: Families) -> Data:
    states = families.by("collectd_processes_ps_state", "processes")
    return {name: states[state] for state, name in _STATES.items() if state in states}


def _temperatures(families: Families) -> Data:
    return {
        f"{one.labels.get('sensors', '')} {one.labels.get('type', '')}".strip(): {"celsius": round(one.value, 1)}
        for one in families.all("collectd_sensors_temperature")
    }


def _system(families: Families, machine: str) -> Data:
    uptime = families.value("collectd_uptime")
    return {"hostname": machine} | ({"uptime_seconds": uptime} if uptime is not None else {})
