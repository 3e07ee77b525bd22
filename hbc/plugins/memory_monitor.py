"""How much memory and swap is in use."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from hbc.plugins.base import HERE, MIB, Data, Machine, Metric, Plugin, psutil_module, read
from hbc.plugins.rates import Rates

_KEYS = {
    b"MemTotal": "total",
    b"MemFree": "free",
    b"MemAvailable": "available",
    b"Buffers": "buffers",
    b"Cached": "cached",
    b"SReclaimable": "reclaimable",
    b"Shmem": "shared",
    b"SwapTotal": "swap_total",
    b"SwapFree": "swap_free",
}
_WANTED = tuple(_KEYS)


class MemoryMonitor(Plugin):
    name = "memory_monitor"
    summary = "memory and swap in use"
    has_rates = True
    metrics = (
        Metric("percent", "percent", "Memory that is not available, of all."),
        Metric("total_mb", "MB", "Memory the system has."),
        Metric("available_mb", "MB", "Memory that programs can have without swapping."),
        Metric("used_mb", "MB", "total_mb less available_mb."),
        Metric("free_mb", "MB", "Memory used for nothing at all; caches are not counted."),
        Metric("buffers_mb", "MB", "Buffers of block devices (Linux)."),
        Metric("cached_mb", "MB", "Files kept in memory, given back when needed (Linux)."),
        Metric("shared_mb", "MB", "Shared memory and tmpfs (Linux)."),
        Metric("swap_percent", "percent", "Swap in use; 0 without swap."),
        Metric("swap_total_mb", "MB", "Swap the system has."),
        Metric("swap_used_mb", "MB", "Swap in use."),
        Metric("swap_in_bytes_per_second", "bytes/s", "Read back from swap."),
        Metric("swap_out_bytes_per_second", "bytes/s", "Written to swap."),
    )

    def __init__(self, options: Mapping[str, Any], machine: Machine = HERE) -> None:
        super().__init__(options, machine)
        self._rates = Rates()

    def collect(self) -> Data:
        now = self.machine.clock()
        sizes, counters = self._linux() if self.machine.linux else self._psutil()
        used = sizes["total"] - sizes["available"]
        swap_used = sizes["swap_total"] - sizes.pop("swap_free")
        data: Data = {
            "percent": _percent(used, sizes["total"]),
            "swap_percent": _percent(swap_used, sizes["swap_total"]),
        }
        for name, size in (sizes | {"used": used, "swap_used": swap_used}).items():
            data[f"{name}_mb"] = round(size / MIB, 1)
        return data | self._rates.of("", counters, now)

    def _linux(self) -> tuple[dict[str, float], dict[str, float]]:
        found: dict[str, float] = {}
        for line in read(f"{self.machine.proc}/meminfo").splitlines():
            if line.startswith(_WANTED):
                key, _, rest = line.partition(b":")
                if key in _KEYS:
                    found[_KEYS[key]] = int(rest.split()[0]) * 1024
        cached = found.get("cached", 0) + found.pop("reclaimable", 0)
        # Kernels before 3.14 do not tell what is available; this is what `free` showed there.
        available = found.get("available", found["free"] + found.get("buffers", 0) + cached)
        sizes = {"swap_total": 0.0, "swap_free": 0.0} | found | {"cached": cached, "available": available}
        return sizes, self._swapping()

    def _swapping(self) -> dict[str, float]:
        counters = {}
        page = os.sysconf("SC_PAGE_SIZE")
        for line in read(f"{self.machine.proc}/vmstat").splitlines():
            if line.startswith(b"pswp"):
                key, value = line.split()
                counters["swap_in_bytes_per_second" if key == b"pswpin" else "swap_out_bytes_per_second"] = (
                    float(value) * page
                )
        return counters

    def _psutil(self) -> tuple[dict[str, float], dict[str, float]]:
        psutil = psutil_module()
        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
        sizes = {
            "total": memory.total,
            "available": memory.available,
            "free": memory.free,
            "swap_total": swap.total,
            "swap_free": swap.total - swap.used,
        }
        return sizes, {"swap_in_bytes_per_second": swap.sin, "swap_out_bytes_per_second": swap.sout}


def _percent(part: float, whole: float) -> float:
    return round(100 * part / whole, 1) if whole > 0 else 0.0
