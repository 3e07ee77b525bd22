"""The report of a HitFlow-style agent: one JSON object, its key in a header, posted to ``/agent/v1/report``."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Any

from hbd.hosts import Host
from hbd.model import Data
from hbd.receivers.fields import Fields, Problems, checked_number, checked_text, checked_whole

NAME = "hitflow"
SILENCE_SECONDS = 300.0  # so long without a report, and the host is down, where the config does not say
SERVER_HEADER, TOKEN_HEADER = "HitFlow-Agent-Server", "HitFlow-Agent-Token"
MAX_UPTIME = 157_680_000  # seconds: five years
MAX_SIZE = 1_048_576  # MB of memory, GB of a volume
MAX_STORAGE = 32
MAX_PROCESSES = 100
SHOWN = 10  # processes in the list of the busiest, and in that of the largest


class Code(IntEnum):
    """What ``error`` is in an answer."""

    TAKEN = 0
    NO_HEADERS = 10000
    WRONG_HEADERS = 22036
    INVALID = 21101
    TOO_EARLY = 22037
    SWITCHED_OFF = 22038
    NOT_NOW = 503  # of our own: the disk does not take it, send it again


def read(body: object) -> dict[str, Data]:
    """What a report says, by the plugins that say it elsewhere. Raises InvalidFields."""
    problems = Problems()
    fields = Fields(body, problems)
    about = {
        "os": fields.text("operating_system", 1, 32),
        "uptime_seconds": fields.whole("uptime", 0, MAX_UPTIME),
    }
    load = [checked_number(value, 0, 100, problems, path) for path, value in fields.list("load_average", 3, 3)]
    cpu: Data = {"cpu_percent": fields.number("cpu", 0, 100)}
    cpu |= dict(zip(("load_1min", "load_5min", "load_15min"), load, strict=False))
    memory, total_mb = _memory(fields)
    plugins = {
        "os_info": about,
        "cpu_monitor": cpu,
        "memory_monitor": memory,
        "disk_monitor": _storage(fields),
        "process_monitor": _processes(fields, total_mb),
    }
    problems.check()
    return plugins


def interval(host: Host, grace: float) -> float:
    """Seconds until the next report is to be expected, where the config does not say."""
    return max(SILENCE_SECONDS / grace, host.min_report_interval)


def _memory(fields: Fields) -> tuple[Data, int]:
    """(memory and swap, megabytes of memory)"""
    sizes = {}
    for name in ("memory", "swap"):
        part = fields.within(name)
        sizes[name] = [part.whole(key, 0, MAX_SIZE) for key in ("total", "available", "used")]
    total, available, used = sizes["memory"]
    swap_total, _, swap_used = sizes["swap"]
    data: Data = {
        "percent": _percent(total - available, total),
        "total_mb": total,
        "available_mb": available,
        "used_mb": used,
        "swap_percent": _percent(swap_used, swap_total),
        "swap_total_mb": swap_total,
        "swap_used_mb": swap_used,
    }
    return data, total


def _storage(fields: Fields) -> Data:
    """By name; of two volumes of the same name the later one shows."""
    volumes: Data = {}
    for path, entry in fields.list("storage", 1, MAX_STORAGE):
        volume = Fields(entry, fields.problems, path)
        total, used = volume.whole("total", 0, MAX_SIZE), volume.whole("used", 0, MAX_SIZE)
        volumes[volume.text("name", 1, 256)] = {
            "percent": _percent(used, total),
            "total_gb": total,
            "used_gb": used,
            "free_gb": max(0, total - used),
        }
    return volumes


def _processes(fields: Fields, total_mb: int) -> Data:
    """``listed``: how many were sent; a machine has more than those that are active."""
    found = [
        _process(path, entry, total_mb, fields.problems) for path, entry in fields.list("process", 0, MAX_PROCESSES)
    ]
    return {
        "listed": len(found),
        "top_cpu": _largest(found, "cpu_percent"),
        "top_memory": _largest(found, "memory_mb"),
    }


def _process(path: str, entry: Any, total_mb: int, problems: Problems) -> Data:
    """``[name, user, cpu, memory]``; some agents have something else between user and cpu."""
    if not isinstance(entry, list) or len(entry) not in (4, 5):
        problems.add(path, "must be a list of name, user, CPU and memory")
        return {"cpu_percent": 0.0, "memory_mb": 0}
    cpu, memory = len(entry) - 2, len(entry) - 1
    used = checked_whole(entry[memory], 0, MAX_SIZE, problems, f"{path}.{memory}")
    process: Data = {
        "name": checked_text(entry[0], 1, 96, problems, f"{path}.0"),
        "user": checked_text(entry[1], 1, 48, problems, f"{path}.1"),
        "cpu_percent": checked_number(entry[cpu], 0, 100, problems, f"{path}.{cpu}"),
        "memory_mb": used,
    }
    return process | ({"memory_percent": _percent(used, total_mb)} if total_mb else {})


def _largest(processes: Iterable[Data], name: str) -> list[Data]:
    used = (process for process in processes if process[name])
    return sorted(used, key=lambda process: -process[name])[:SHOWN]


def _percent(part: float, whole: float) -> float:
    return round(min(100.0, max(0.0, 100 * part / whole)), 1) if whole > 0 else 0.0
