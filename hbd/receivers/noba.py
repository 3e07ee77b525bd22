"""The report of a NOBA-style agent: one flat JSON object, read as the plugins that say the same elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from hbd.errors import InvalidInput
from hbd.hosts import Host
from hbd.model import Data, Moment, Sample
from hbd.receivers.doors import samples_of
from hbd.receivers.fields import Problems
from hbd.receivers.lenient import Lenient
from hbd.receivers.rates import Rates
from hbd.receivers.sound import sound

NAME = "noba"
OTHERS = "noba_monitor"
"""plugin of the numbers that have no place elsewhere"""
TOTAL = "total"
MAX_ENTRIES = 128  # disks, interfaces, sensors, tools of one report
MAX_PROCESSES = 20
MAX_OTHERS = 256
MAX_LEVELS = 3
MAX_MORE = 16  # further numbers of one disk or interface
MAX_TAGS = 64
TAGS_LOOKED_AT = 1_000
MAX_TAG = 64
MIB, GIB = 1 << 20, 1 << 30

_RX = ("rx_bytes", "bytes_recv", "rx")
_TX = ("tx_bytes", "bytes_sent", "tx")
_LASTING = ("os", "kernel", "virtualization", "tools")
"""what an agent finds out now and then, and not for every report"""
_NO_METRICS = ("timestamp", "interval")


class Reading(NamedTuple):
    """counters: interface, or ``total``, to bytes since its start. tags: None when it says none.

    platform: what kind of system it is, where it does not name the system itself.
    """

    plugins: dict[str, Data]
    counters: dict[str, dict[str, float]]
    tags: list[str] | None
    platform: str


def read(body: object, problems: Problems) -> Reading:
    """Raises InvalidInput when it is no report at all."""
    if not isinstance(body, dict):
        raise InvalidInput("must be an object", "body")
    fields = Lenient(body, problems)
    found = fields.within("_capabilities")
    platform = fields.text("platform")
    interfaces = _interfaces(fields)
    plugins: dict[str, Data] = {
        "cpu_monitor": {
            "cpu_percent": fields.number("cpu_percent"),
            "cpu_count": fields.number("cpu_count"),
            **{f"load_{minutes}min": fields.number(f"load_{minutes}m", f"load_{minutes}min") for minutes in (1, 5, 15)},
        },
        "memory_monitor": _memory(fields),
        "disk_monitor": _disks(fields),
        "network_monitor": {name: entry.numbers(MAX_MORE) for name, (_, entry) in interfaces.items()},
        "temperature": _temperatures(fields),
        "process_monitor": _processes(fields),
        "os_info": {
            "os": fields.text("os") or _distribution(found),
            "kernel": fields.text("kernel") or found.text("kernel"),
            "arch": fields.text("arch"),
            "hostname": fields.text("hostname"),
            "agent_version": fields.text("agent_version", "version"),
            "virtualization": _virtualization(found),
            "uptime_seconds": fields.number("uptime_s", "uptime_seconds", "uptime"),
            "tools": _tools(found),
        },
    }
    tags = _tags(fields)
    fields.take(*_NO_METRICS)
    plugins[OTHERS] = fields.numbers(MAX_OTHERS, MAX_LEVELS)
    return Reading(
        plugins={name: known for name, data in plugins.items() if (known := _known(data))},
        counters={name: counted for name, (counted, _) in interfaces.items() if counted},
        tags=tags,
        platform=platform,
    )


def samples(reading: Reading, host: Host, before: Data, rates: Rates, now: Moment) -> list[Sample]:
    """What is stored of a report. before: what ``os_info`` said last; what lasts of it is kept."""
    plugins = dict(reading.plugins)
    network = dict(plugins.get("network_monitor", {}))
    for name, counted in _with_total(reading.counters).items():
        made = rates.of(host.id, f"{NAME} {name}", counted, now.mono)
        network[name] = network.get(name, {}) | counted | {f"{key}_per_second": rate for key, rate in made.items()}
    plugins["network_monitor"] = network
    lasting = {name: before[name] for name in _LASTING if name in before}
    system = {"os": name} if (name := host.os or reading.platform) else {}
    plugins["os_info"] = system | lasting | plugins.get("os_info", {})
    return samples_of({name: sound(data) for name, data in plugins.items()}, now.wall)


def _with_total(counters: Mapping[str, Mapping[str, float]]) -> dict[str, Mapping[str, float]]:
    """The counters with those of the machine as a whole, the loopback left out."""
    if TOTAL in counters or not counters:
        return dict(counters)
    shares = [counted for name, counted in counters.items() if name != "lo"]
    total = {key: sum(counted.get(key, 0) for counted in shares) for key in {key for each in shares for key in each}}
    return {**counters, TOTAL: total}


def _known(data: Data) -> Data:
    return {name: value for name, value in data.items() if value not in (None, "", {}, [])}


def _scaled(value: float | None, unit: int, digits: int) -> float | None:
    return None if value is None else round(value / unit, digits)


def _percent(part: float | None, whole: float | None) -> float | None:
    return round(100 * part / whole, 1) if part is not None and whole else None


def _memory(fields: Lenient) -> Data:
    """Sizes are sent in bytes."""
    total, used = fields.number("mem_total"), fields.number("mem_used")
    swap_total, swap_used = fields.number("swap_total"), fields.number("swap_used")
    percent, swap_percent = fields.number("mem_percent", "memory_percent"), fields.number("swap_percent")
    return {
        "percent": _percent(used, total) if percent is None else percent,
        "total_mb": _scaled(total, MIB, 1),
        "used_mb": _scaled(used, MIB, 1),
        "available_mb": None if total is None or used is None else round((total - used) / MIB, 1),
        "swap_percent": _percent(swap_used, swap_total) if swap_percent is None else swap_percent,
        "swap_total_mb": _scaled(swap_total, MIB, 1),
        "swap_used_mb": _scaled(swap_used, MIB, 1),
    }


def _disks(fields: Lenient) -> Data:
    """By mount, sizes in bytes. ``disk_percent`` is that of the root, where the disks do not say it."""
    disks: Data = {}
    for mount, entry in fields.entries("disks", MAX_ENTRIES, "mount", "mountpoint", "path"):
        disk = fields.entry(entry, "disks", mount)
        total, used, free = disk.number("total"), disk.number("used"), disk.number("free")
        percent = disk.number("percent")
        if free is None and total is not None and used is not None:
            free = total - used
        disks[mount] = _known(
            {
                "percent": _percent(used, total) if percent is None else percent,
                "total_gb": _scaled(total, GIB, 2),
                "used_gb": _scaled(used, GIB, 2),
                "free_gb": _scaled(free, GIB, 2),
                "fstype": disk.text("fstype"),
                "device": disk.text("device"),
                **disk.numbers(MAX_MORE),
            }
        )
    root = fields.number("disk_percent")
    if root is not None:
        disks.setdefault("/", {}).setdefault("percent", root)
    return disks


def _interfaces(fields: Lenient) -> dict[str, tuple[dict[str, float], Lenient]]:
    """By interface, or ``total`` for all together: what it counted, and what else is said of it."""
    network = fields.rest.get("network")
    if isinstance(network, Mapping) and any(isinstance(network.get(name), int | float) for name in (*_RX, *_TX)):
        fields.rest["network"] = {TOTAL: network}
    found = {}
    for name, entry in fields.entries("network", MAX_ENTRIES, "name", "interface", "iface"):
        interface = fields.entry(entry, "network", name)
        found[name] = (_counters(interface, _RX, _TX), interface)
    total = _counters(fields, ("net_bytes_recv",), ("net_bytes_sent",))
    if total:
        found.setdefault(TOTAL, ({}, Lenient({}, fields.problems)))[0].update(total)
    return found


def _counters(fields: Lenient, received: tuple[str, ...], sent: tuple[str, ...]) -> dict[str, float]:
    counted = {"rx_bytes": fields.number(*received), "tx_bytes": fields.number(*sent)}
    return {name: value for name, value in counted.items() if value is not None}


def _temperatures(fields: Lenient) -> Data:
    found: Data = {}
    for name, entry in fields.entries("temperatures", MAX_ENTRIES, "name", "label"):
        if isinstance(entry, Mapping):
            celsius = fields.entry(entry, "temperatures", name).number("celsius", "current", "value", "temp")
        else:
            celsius = fields.checked(entry, f"temperatures.{name}")
        if celsius is not None:
            found[name] = {"celsius": celsius}
    return found


def _processes(fields: Lenient) -> Data:
    """The few that use the most, in the two orders that ``process_monitor`` has."""
    found: list[Data] = []
    value = fields.take("top_processes")
    for index, entry in enumerate(value[:MAX_PROCESSES] if isinstance(value, list) else ()):
        process = fields.entry(entry, "top_processes", str(index))
        row = {
            "pid": process.number("pid"),
            "name": process.text("name"),
            "user": process.text("user", "username"),
            "cpu_percent": process.number("cpu", "cpu_percent"),
            "memory_percent": process.number("mem", "memory_percent"),
        }
        if row["name"]:
            found.append(_known(row))
    return {"top_cpu": _top(found, "cpu_percent"), "top_memory": _top(found, "memory_percent")}


def _top(processes: list[Data], metric: str) -> list[Data]:
    def used(process: Data) -> float:
        share: float = process.get(metric, 0)
        return share

    return sorted((process for process in processes if used(process) > 0), key=used, reverse=True)


def _distribution(found: Lenient) -> str:
    name, version = found.text("distro"), found.text("distro_version")
    return f"{name[:1].upper()}{name[1:]} {version}".strip() if name else ""


def _virtualization(found: Lenient) -> str:
    if found.flag("is_wsl"):
        return "WSL"
    return "container" if found.flag("is_container") else ""


def _tools(found: Lenient) -> list[str]:
    """The programs that it found on its host."""
    entries = found.entries("capabilities", MAX_ENTRIES)
    return [name for name, entry in entries if isinstance(entry, Mapping) and entry.get("available") is True]


def _tags(fields: Lenient) -> list[str] | None:
    """A list of texts, or one text with commas."""
    value = fields.take("tags")
    if value is None:
        return None
    tags = value.split(",", TAGS_LOOKED_AT) if isinstance(value, str) else value
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags[:TAGS_LOOKED_AT]):
        fields.wrong("tags", "must be texts")
        return None
    named = [tag.strip() for tag in tags[:TAGS_LOOKED_AT]]
    return list(dict.fromkeys(tag for tag in named if 1 <= len(tag) <= MAX_TAG and tag.isprintable()))[:MAX_TAGS]
