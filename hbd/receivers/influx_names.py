"""What Telegraf and Glances write, in the words of our own agent. Pure. docs/receivers.md has the table.

The two have measurements of the same names and tell them apart by their fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from hbd.model import Data
from hbd.receivers import interfaces
from hbd.receivers.line_protocol import Point, Value

MIB, GIB = 1 << 20, 1 << 30
RESERVED = frozenset(("presence", "agent_monitor", "watched_processes", "jobs", "nagios_runner", "nagios_passive"))
"""plugins that say what nobody but hbd and its agent may"""
_ODD = re.compile(r"[^A-Za-z0-9_.:-]")
LONGEST_KEY = 256


class Said(NamedTuple):
    """What one point says. data: of the plugin, or of its key. counters: of the same, what only grows."""

    plugin: str
    key: str | None
    data: Data
    counters: Mapping[str, float] = {}


class Numbers(dict[str, float]):
    """Fields of a point that are numbers."""

    def __init__(self, fields: Mapping[str, Value]) -> None:
        super().__init__({name: float(value) for name, value in fields.items() if isinstance(value, int | float)})

    def some(self, names: Mapping[str, str], scale: float = 1.0, digits: int = 2) -> Data:
        """Those of our names whose field is there. names: of fields to ours."""
        return {ours: round(self[name] * scale, digits) for name, ours in names.items() if name in self}

    def counters(self, names: Mapping[str, str]) -> dict[str, float]:
        return {ours: self[name] for name, ours in names.items() if name in self}


Translate = Callable[[Point, Numbers], list[Said]]


def translate(point: Point) -> list[Said]:
    """What a point says in our words; else as it is, under its measurement and its tags. Raises ValueError."""
    numbers = Numbers(point.fields)
    known = TRANSLATIONS.get(point.measurement)
    return (known(point, numbers) if known is not None else []) or [_as_it_is(point)]


def _as_it_is(point: Point) -> Said:
    plugin = _ODD.sub("_", point.measurement)[:64]
    if plugin in RESERVED:
        raise ValueError(f"the measurement {plugin} is hbd's own")
    key = ",".join(f"{name}={value}" for name, value in point.tags.items() if name not in ("host", "hostname"))
    if len(key) > LONGEST_KEY:
        raise ValueError(f"has more than {LONGEST_KEY} characters of tags")
    return Said(
        plugin, key or None, {name: value for name, value in point.fields.items() if not isinstance(value, str)}
    )


# ------------------------------------------------------------------------------------------- processor, memory, system


def _cpu(point: Point, numbers: Numbers) -> list[Said]:
    prefix = "usage_" if "usage_idle" in numbers else ""
    if f"{prefix}idle" not in numbers or point.tags.get("cpu", "cpu-total") != "cpu-total":
        return []

    def share(*names: str) -> float:
        return round(sum(numbers.get(prefix + name, 0.0) for name in names), 1)

    data: Data = {
        "cpu_percent": round(min(100.0, max(0.0, 100 - share("idle", "iowait"))), 1),
        "user_percent": share("user", "nice"),
        "system_percent": share("system", "irq", "softirq"),
        "iowait_percent": share("iowait"),
        "steal_percent": share("steal"),
    }
    return [Said("cpu_monitor", None, data | numbers.some({"cpucore": "cpu_count"}))]


def _load(point: Point, numbers: Numbers) -> list[Said]:
    return _loads(numbers, {"min1": "load_1min", "min5": "load_5min", "min15": "load_15min"}, "cpucore")


def _loads(numbers: Numbers, names: Mapping[str, str], cores: str) -> list[Said]:
    data = numbers.some(names)
    if not data:
        return []
    if numbers.get(cores, 0.0) > 0:
        data["cpu_count"] = numbers[cores]
        if "load_5min" in data:
            data["load_per_core"] = round(data["load_5min"] / numbers[cores], 2)
    return [Said("cpu_monitor", None, data)]


def _system(point: Point, numbers: Numbers) -> list[Said]:
    if "hr_name" in point.fields or "os_name" in point.fields:
        about = {"os": "hr_name", "kernel": "os_version", "hostname": "hostname", "arch": "platform"}
        return [
            Said("os_info", None, {ours: point.fields[name] for ours, name in about.items() if name in point.fields})
        ]
    said = _loads(numbers, {"load1": "load_1min", "load5": "load_5min", "load15": "load_15min"}, "n_cpus")
    if "uptime" in numbers:
        hostname = {"hostname": point.tags["host"]} if "host" in point.tags else {}
        said.append(Said("os_info", None, {"uptime_seconds": numbers["uptime"], **hostname}))
    return said or ([Said("cpu_monitor", None, {})] if "uptime_format" in point.fields else [])


def _uptime(point: Point, numbers: Numbers) -> list[Said]:
    return [Said("os_info", None, {"uptime_seconds": numbers["seconds"]})] if "seconds" in numbers else []


def _kernel(point: Point, numbers: Numbers) -> list[Said]:
    names = {"context_switches": "context_switches", "interrupts": "interrupts", "processes_forked": "forks"}
    said = [Said("cpu_monitor", None, {}, counters)] if (counters := numbers.counters(names)) else []
    return said + ([Said("os_info", None, numbers.some({"boot_time": "boot_time"}))] if "boot_time" in numbers else [])


_SIZES = {
    "total": "total_mb",
    "available": "available_mb",
    "free": "free_mb",
    "buffered": "buffers_mb",
    "buffers": "buffers_mb",
    "cached": "cached_mb",
    "shared": "shared_mb",
}


def _memory(point: Point, numbers: Numbers) -> list[Said]:
    total, available = numbers.get("total", 0.0), numbers.get("available")
    if total <= 0 or available is None:
        return []
    data = numbers.some(_SIZES, 1 / MIB, 1)
    used = total - available
    return [Said("memory_monitor", None, data | {"percent": _percent(used, total), "used_mb": round(used / MIB, 1)})]


def _swap(point: Point, numbers: Numbers) -> list[Said]:
    if "total" not in numbers:
        return _swapping(numbers)
    data = numbers.some({"total": "swap_total_mb", "used": "swap_used_mb"}, 1 / MIB, 1)
    data["swap_percent"] = _percent(numbers.get("used", 0.0), numbers["total"])
    return [Said("memory_monitor", None, data), *_swapping(numbers)]


def _swapping(numbers: Numbers) -> list[Said]:
    counters = numbers.counters({"in": "swap_in_bytes", "out": "swap_out_bytes"})
    return [Said("memory_monitor", None, {}, counters)] if counters else []


_PROCESSES = {
    "total": "total",
    "running": "running",
    "sleeping": "sleeping",
    "blocked": "disk_sleep",
    "zombies": "zombies",
    "stopped": "stopped",
    "idle": "idle",
    "total_threads": "threads",
    "thread": "threads",
}


def _processes(point: Point, numbers: Numbers) -> list[Said]:
    data = numbers.some(_PROCESSES)
    return [Said("process_monitor", None, data)] if data else []


# ---------------------------------------------------------------------------------------------------- disks, networks


def _disk(point: Point, numbers: Numbers) -> list[Said]:
    mount = point.tags.get("path") or point.tags.get("mnt_point")
    total = numbers.get("total", numbers.get("size", 0.0))
    if not mount or total <= 0 or "used" not in numbers or "free" not in numbers:
        return []
    used, free = numbers["used"], numbers["free"]
    data: Data = {
        "percent": _percent(used, used + free),
        "total_gb": round(total / GIB, 2),
        "used_gb": round(used / GIB, 2),
        "free_gb": round(free / GIB, 2),
    }
    if numbers.get("inodes_total", 0.0) > 0 and "inodes_used" in numbers:
        data["inodes_total"] = numbers["inodes_total"]
        data["inodes_free"] = numbers["inodes_total"] - numbers["inodes_used"]
        data["inodes_percent"] = _percent(numbers["inodes_used"], numbers["inodes_total"])
    if "mode" in point.tags:
        data["read_only"] = point.tags["mode"] == "ro"
    about = {"device": ("device", "device_name"), "fstype": ("fstype", "fs_type")}
    for ours, names in about.items():
        value: Any = next((found for name in names if (found := point.tags.get(name) or point.fields.get(name))), None)
        if isinstance(value, str):
            data[ours] = value
    return [Said("disk_monitor", mount, data)]


def _disk_traffic(point: Point, numbers: Numbers) -> list[Said]:
    """By the name of the device: whoever knows the mounts moves it to them."""
    name = point.tags.get("name") or point.tags.get("disk_name")
    if not name:
        return []
    seconds = numbers.get("time_since_update", 0.0)
    if seconds > 0:  # Glances says what came since it looked last
        since = {
            "read_bytes": "read_bytes",
            "write_bytes": "write_bytes",
            "read_count": "reads",
            "write_count": "writes",
        }
        data = {
            f"{ours}_per_second": round(numbers[field] / seconds, 1)
            for field, ours in since.items()
            if field in numbers
        }
        return [Said(DISK_TRAFFIC, name, data)] if data else []
    growing = {"read_bytes": "read_bytes", "write_bytes": "write_bytes", "reads": "reads", "writes": "writes"}
    counters = numbers.counters(growing)
    return [Said(DISK_TRAFFIC, name, {}, counters)] if counters else []


DISK_TRAFFIC = "diskio"
_TRAFFIC = {
    "bytes_recv": "rx_bytes",
    "bytes_sent": "tx_bytes",
    "packets_recv": "rx_packets",
    "packets_sent": "tx_packets",
    "err_in": "rx_errors",
    "err_out": "tx_errors",
    "drop_in": "rx_drops",
    "drop_out": "tx_drops",
    "cumulative_rx": "rx_bytes",
    "cumulative_tx": "tx_bytes",
}


def _network(point: Point, numbers: Numbers) -> list[Said]:
    name = point.tags.get("interface") or point.tags.get("interface_name")
    counters = numbers.counters(_TRAFFIC)
    if not name or not counters:
        return []
    if not interfaces.is_shown(name):
        return [Said("network_monitor", None, {})]
    up = str(point.fields.get("is_up", "")).lower()
    return [Said("network_monitor", name, {"up": up == "true"} if up in ("true", "false") else {}, counters)]


def _sockets(point: Point, numbers: Numbers) -> list[Said]:
    names = {
        "tcp_established": "tcp_established",
        "tcp_time_wait": "tcp_time_wait",
        "udp_socket": "udp_sockets",
        "established": "tcp_established",
    }
    data = numbers.some(names)
    return [Said("network_monitor", None, data)] if data else []


_LOWEST, _HIGHEST = -60.0, 200.0  # degrees; what is beyond is no temperature


def _temperature(point: Point, numbers: Numbers) -> list[Said]:
    sensor = point.tags.get("sensor") or point.tags.get("label")
    value = numbers.get("temp", numbers.get("value"))
    kind = str(point.fields.get("type", point.tags.get("type", "temperature")))
    if not sensor or value is None or not _LOWEST < value < _HIGHEST or not kind.startswith("temperature"):
        return []
    return [Said("temperature", sensor, {"celsius": round(value, 1)})]


def _percent(part: float, whole: float) -> float:
    return round(100 * part / whole, 1) if whole > 0 else 0.0


TRANSLATIONS: Mapping[str, Translate] = {
    "cpu": _cpu,
    "load": _load,
    "system": _system,
    "uptime": _uptime,
    "kernel": _kernel,
    "mem": _memory,
    "swap": _swap,
    "memswap": _swap,
    "processes": _processes,
    "processcount": _processes,
    "disk": _disk,
    "fs": _disk,
    "diskio": _disk_traffic,
    "net": _network,
    "network": _network,
    "netstat": _sockets,
    "connections": _sockets,
    "temp": _temperature,
    "sensors": _temperature,
}
