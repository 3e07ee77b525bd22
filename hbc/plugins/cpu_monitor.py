"""How busy the processors are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hbc.plugins.base import HERE, Data, Machine, Metric, Plugin, Unavailable, psutil_module, read, read_int
from hbc.plugins.rates import Rates

# The order of /proc/stat (proc(5)); guest times are part of user and nice already.
_STATES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_COUNTERS = {b"ctxt": "context_switches_per_second", b"intr": "interrupts_per_second", b"processes": "forks_per_second"}
_MOST_CLOCKS_READ = 8  # a reading may have to wake the core it asks


class CpuMonitor(Plugin):
    name = "cpu_monitor"
    summary = "processor use, load, frequency"
    has_rates = True
    metrics = (
        Metric("cpu_percent", "percent", "Time not idle, over all cores (0-100)."),
        Metric("user_percent", "percent", "Time in programs, niced ones included."),
        Metric("system_percent", "percent", "Time in the kernel, interrupts included."),
        Metric("iowait_percent", "percent", "Time idle while waiting for a disk; part of idle, not of cpu_percent."),
        Metric("steal_percent", "percent", "Time that the hypervisor gave to others."),
        Metric("load_1min", "count", "Processes running or waiting, mean of 1 minute."),
        Metric("load_5min", "count", "The same over 5 minutes."),
        Metric("load_15min", "count", "The same over 15 minutes."),
        Metric("load_per_core", "count", "load_5min for each logical processor; more than 1 has to wait."),
        Metric("cpu_count", "count", "Logical processors."),
        Metric("frequency_mhz", "MHz", "Clock now, mean of the first cores; fixed where the machine does not tell it."),
        Metric("context_switches_per_second", "1/s", "Changes from one thread to another."),
        Metric("interrupts_per_second", "1/s", "Interrupts served."),
        Metric("forks_per_second", "1/s", "Processes and threads started."),
    )

    def __init__(self, options: Mapping[str, Any], machine: Machine = HERE) -> None:
        super().__init__(options, machine)
        self._before: dict[str, float] | None = None
        self._rates = Rates()
        self._clocks: list[str] | None = None
        self._nominal_mhz: float | None = None

    def collect(self) -> Data:
        now = self.machine.clock()
        times, counters, count = self._linux() if self.machine.linux else self._psutil()
        data = shares(self._before, times)
        self._before = times
        data |= dict(zip(("load_1min", "load_5min", "load_15min"), self._load(), strict=False))
        data["cpu_count"] = count
        if "load_5min" in data and count:
            data["load_per_core"] = round(data["load_5min"] / count, 2)
        mhz = self._frequency()
        if mhz:
            data["frequency_mhz"] = round(mhz)
        return data | self._rates.of("", counters, now)

    def _linux(self) -> tuple[dict[str, float], dict[str, float], int]:
        times: dict[str, float] = {}
        counters: dict[str, float] = {}
        count = 0
        for line in read(f"{self.machine.proc}/stat").splitlines():
            key, _, rest = line.partition(b" ")
            if key == b"cpu":
                times = dict(zip(_STATES, map(float, rest.split()), strict=False))
            elif key.startswith(b"cpu"):
                count += 1
            elif key in _COUNTERS:
                counters[_COUNTERS[key]] = int(rest.split(b" ", 1)[0])
        return times, counters, count

    def _psutil(self) -> tuple[dict[str, float], dict[str, float], int]:
        psutil = psutil_module()
        spent = psutil.cpu_times()
        times = {state: getattr(spent, state, 0.0) for state in _STATES}
        stats = psutil.cpu_stats()
        counters = {"context_switches_per_second": stats.ctx_switches, "interrupts_per_second": stats.interrupts}
        return times, counters, psutil.cpu_count() or 1

    def _load(self) -> list[float]:
        if self.machine.linux:
            return [float(load) for load in read(f"{self.machine.proc}/loadavg").split()[:3]]
        try:
            return [round(load, 2) for load in os.getloadavg()]
        except OSError:
            return []

    def _frequency(self) -> float | None:
        if not self.machine.linux:
            try:
                frequency = psutil_module().cpu_freq()
            except (Unavailable, OSError, RuntimeError, AttributeError, NotImplementedError):
                return None
            return frequency.current if frequency else None
        if self._clocks is None:
            policies = Path(self.machine.sys, "devices/system/cpu/cpufreq").glob("policy*/scaling_cur_freq")
            self._clocks = [str(path) for path in sorted(policies)[:_MOST_CLOCKS_READ]]
            if not self._clocks:
                self._nominal_mhz = self._cpuinfo_mhz()
        clocks = [khz for path in self._clocks if (khz := read_int(path))]
        return sum(clocks) / len(clocks) / 1000 if clocks else self._nominal_mhz

    def _cpuinfo_mhz(self) -> float | None:
        """Without frequency scaling (most virtual machines) the clock stands in cpuinfo and does not change."""
        try:
            for line in read(f"{self.machine.proc}/cpuinfo").splitlines():
                if line.startswith(b"cpu MHz"):
                    return float(line.partition(b":")[2])
        except (OSError, ValueError):
            pass
        return None


def shares(before: Mapping[str, float] | None, now: Mapping[str, float]) -> Data:
    """Two readings of the time spent in each state, as percentages of the time between; {} when they tell none.

    A state whose time went down counts as 0: the kernel's iowait does that at times.
    """
    if before is None:
        return {}
    spent = {state: max(0.0, now[state] - before.get(state, 0.0)) for state in now}
    total = sum(spent.values())
    if total <= 0:
        return {}

    def percent(*states: str) -> float:
        return round(100 * sum(spent.get(state, 0.0) for state in states) / total, 1)

    return {
        "cpu_percent": percent(*(spent.keys() - {"idle", "iowait"})),
        "user_percent": percent("user", "nice"),
        "system_percent": percent("system", "irq", "softirq"),
        "iowait_percent": percent("iowait"),
        "steal_percent": percent("steal"),
    }
