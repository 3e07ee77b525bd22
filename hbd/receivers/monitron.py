"""The report of a Monitron-style agent: one JSON object with its key in it, posted to ``/agent/report``."""

from __future__ import annotations

import re
from typing import NamedTuple

from hbd.hosts import Host
from hbd.model import Data, Moment, Sample
from hbd.receivers.doors import samples_of
from hbd.receivers.fields import Fields, Problems
from hbd.receivers.rates import Rates

NAME = "monitron"
SILENCE_SECONDS = 300.0  # so long without a report, and the host is down
MAX_DISKS = 256
MAX_MOUNT = 256
MAX_TEXT = 255
MAX_SIZE_TEXT = 32
MOST = 1 << 63  # of what is counted
MOST_LOAD = 1_000_000.0
GIB = 1 << 30
UNITS = {"": 1, **{letter: 1 << 10 * power for power, letter in enumerate("KMGTPEZ", 1)}}

_KEY = re.compile(r"[0-9A-Fa-f]{64}")
_SIZE = re.compile(r"\s*([0-9]{1,20}(?:[.,][0-9]{1,9})?)\s*([KMGTPEZ]?)(?:i?B)?\s*", re.IGNORECASE)
_NO_SIZE = ("", "-", "n/a")  # what tools print where there is none


class Reading(NamedTuple):
    """key: "" when there is none that could be one. counters: of the machine's network as a whole."""

    key: str
    plugins: dict[str, Data]
    counters: dict[str, float]


def read(body: object, problems: Problems) -> Reading:
    """What a report says, by the plugins that say it elsewhere; worth nothing when there are problems."""
    fields = Fields(body, problems)
    load = {f"load_{minutes}min": fields.maybe_number(f"load_{minutes}m", 0, MOST_LOAD) for minutes in ("1", "5", "15")}
    cpu = {
        "cpu_percent": fields.number("cpu_usage", 0, 100),
        "iowait_percent": fields.maybe_number("cpu_iowait", 0, 100),
        **load,
    }
    received = fields.maybe_whole("network_rx_bytes", 0, MOST)
    sent = fields.maybe_whole("network_tx_bytes", 0, MOST)
    counters = _known({"rx_bytes": received, "tx_bytes": sent})
    about = {
        "os": fields.maybe_text("os", MAX_TEXT),
        "kernel": fields.maybe_text("kernel", MAX_TEXT),
        "hostname": fields.maybe_text("hostname", MAX_TEXT),
    }
    return Reading(
        key=_key(fields),
        plugins={
            "cpu_monitor": _known(cpu),
            "memory_monitor": _memory(fields),
            "disk_monitor": _disks(fields),
            "os_info": _known(about),
        },
        counters=counters,
    )


def interval(grace: float) -> float:
    """Seconds until the next report is to be expected, where the config does not say."""
    return SILENCE_SECONDS / grace


def samples(reading: Reading, host: Host, rates: Rates, now: Moment) -> list[Sample]:
    """What is stored of a report that is all right."""
    plugins = dict(reading.plugins)
    if reading.counters:
        made = rates.of(host.id, NAME, reading.counters, now.mono)
        total = reading.counters | {f"{name}_per_second": rate for name, rate in made.items()}
        plugins["network_monitor"] = {"total": total}
    return samples_of(plugins, now.wall)


def _key(fields: Fields) -> str:
    key = fields.text("agent_key", 0, MAX_TEXT)
    if _KEY.fullmatch(key):
        return key.lower()
    fields.wrong("agent_key", "is no agent key: those have 64 hexadecimal digits")
    return ""


def _memory(fields: Fields) -> Data:
    percent = fields.number("memory_usage", 0, 100)
    total = fields.maybe_whole("memory_total_mb", 0, MOST)
    used = None if total is None else round(total * percent / 100, 1)
    return _known(
        {
            "percent": percent,
            "total_mb": total,
            "used_mb": used,
            "available_mb": None if total is None or used is None else round(total - used, 1),
            "swap_percent": fields.maybe_number("swap_usage", 0, 100),
        }
    )


def _disks(fields: Fields) -> Data:
    """By mount; of two that are mounted in the same place the later one shows, as on the machine itself."""
    disks: Data = {}
    for path, entry in fields.list("disk_usage", 0, MAX_DISKS):
        disk = Fields(entry, fields.problems, path)
        disks[disk.text("mount", 1, MAX_MOUNT)] = _known(
            {
                "percent": disk.number("usage", 0, 100),
                "total_gb": _gigabytes(disk, "size"),
                "used_gb": _gigabytes(disk, "used"),
                "free_gb": _gigabytes(disk, "avail"),
            }
        )
    return disks


def _gigabytes(disk: Fields, name: str) -> float | None:
    """``50G`` as ``df -h`` prints it: units are powers of 1024, and without one it is bytes."""
    text = disk.maybe_text(name, MAX_SIZE_TEXT)
    if text is None or text.strip().lower() in _NO_SIZE:
        return None
    found = _SIZE.fullmatch(text)
    if found is None:
        disk.wrong(name, "is no size such as 50G")
        return None
    number, unit = float(found[1].replace(",", ".")), UNITS[found[2].upper()]
    return round(number * unit / GIB, 2)


def _known(values: dict[str, float | None] | dict[str, int | None] | dict[str, str | None]) -> Data:
    return {name: value for name, value in values.items() if value is not None}
