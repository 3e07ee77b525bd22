"""The agent about itself: what it costs, and how its plugins do."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from typing import Any

from hbc.plugins.base import HERE, MIB, Data, Machine, Metric, Plugin, Unavailable, psutil_module, read
from hbc.plugins.rates import Rates


class AgentMonitor(Plugin):
    name = "agent_monitor"
    summary = "what the agent itself costs, its spool, and how each plugin's last run went"
    has_rates = True
    metrics = (
        Metric("cpu_percent", "percent", "Processor time of the agent, of one core."),
        Metric("rss_mb", "MB", "Memory of the agent."),
        Metric("threads", "count", "Threads of the agent; more than usual when a plugin hangs."),
        Metric("spool_records", "count", "Reports that wait for the daemon."),
        Metric("spool_bytes", "bytes", "What they take on disk."),
        Metric("dropped_total", "count", "Reports lost since the agent started, the spool being full or broken."),
        Metric("rejected_total", "count", "Reports that the daemon will never take."),
        Metric("reconnects_total", "count", "How often the link to the daemon was made anew."),
        Metric("rtt_ipv4_ms", "ms", "Round trip of the last heartbeat over IPv4."),
        Metric("rtt_ipv6_ms", "ms", "Round trip of the last heartbeat over IPv6."),
        Metric("*.ok", "yes/no", "Whether the plugin's last run went well."),
        Metric("*.seconds", "seconds", "How long it took."),
        Metric("*.reason", "text", "Why it did not go well, or why there is nothing to measure."),
    )

    def __init__(self, options: Mapping[str, Any], machine: Machine = HERE) -> None:
        super().__init__(options, machine)
        self._rates = Rates(digits=5)

    def collect(self) -> Data:
        data: Data = {"threads": threading.active_count()}
        used = self._rates.of("", {"cpu": time.process_time()}, self.machine.clock())
        if used:
            data["cpu_percent"] = round(100 * used["cpu"], 2)
        try:
            data["rss_mb"] = round(self._rss() / MIB, 1)
        except Unavailable:
            pass
        # A copy first: the agent's other threads write there.
        return data | dict(self.machine.facts)

    def _rss(self) -> int:
        if self.machine.linux:
            return int(read(f"{self.machine.proc}/self/statm").split()[1]) * os.sysconf("SC_PAGE_SIZE")
        resident: int = psutil_module().Process().memory_info().rss
        return resident
