"""The thresholds that every host has unless its configuration says otherwise; docs/alerts.md says why these."""

from __future__ import annotations

from typing import Final

from hbd.config.structs import Threshold, Thresholds

_MINUTE = 60.0

DEFAULT: Final = Thresholds(
    {
        ("cpu_monitor", "cpu_percent"): Threshold(warning=90.0, hysteresis=0.05, hold=10 * _MINUTE, display="CPU"),
        ("cpu_monitor", "load_per_core"): Threshold(
            warning=2.0, critical=5.0, hysteresis=0.1, hold=10 * _MINUTE, display="Load per core"
        ),
        ("cpu_monitor", "iowait_percent"): Threshold(
            warning=40.0, hysteresis=0.1, hold=15 * _MINUTE, display="Waiting for disks"
        ),
        ("cpu_monitor", "steal_percent"): Threshold(
            warning=10.0, hysteresis=0.1, hold=15 * _MINUTE, display="CPU taken by other guests"
        ),
        ("memory_monitor", "percent"): Threshold(
            warning=90.0, critical=95.0, hysteresis=0.03, hold=5 * _MINUTE, display="Memory"
        ),
        ("memory_monitor", "swap_percent"): Threshold(warning=90.0, hysteresis=0.05, hold=15 * _MINUTE, display="Swap"),
        ("disk_monitor", "*", "percent"): Threshold(warning=85.0, critical=95.0, hysteresis=0.02, display="Disk space"),
        ("disk_monitor", "*", "inodes_percent"): Threshold(
            warning=85.0, critical=95.0, hysteresis=0.02, display="Inodes"
        ),
        ("disk_monitor", "*", "hours_to_full"): Threshold(
            operator="<",
            warning=24.0,
            critical=4.0,
            hysteresis=0.25,
            hold=30 * _MINUTE,
            keep_firing_for=15 * _MINUTE,
            display="Hours until full",
        ),
        ("disk_monitor", "*", "inodes_hours_to_full"): Threshold(
            operator="<",
            warning=24.0,
            critical=4.0,
            hysteresis=0.25,
            hold=30 * _MINUTE,
            keep_firing_for=15 * _MINUTE,
            display="Hours until no inodes are left",
        ),
        ("disk_monitor", "*", "hanging"): Threshold(
            critical=1.0, operator="==", hold=2 * _MINUTE, display="Disk does not answer"
        ),
        ("disk_monitor", "/", "read_only"): Threshold(
            warning=1.0, operator="==", hold=_MINUTE, display="Read-only root"
        ),
        ("temperature", "*", "celsius"): Threshold(
            warning=90.0, critical=100.0, hysteresis=0.05, hold=5 * _MINUTE, display="Temperature"
        ),
        ("jobs", "*", "state"): Threshold(operator="nagios", display="Job"),
        ("nagios_runner", "*", "state"): Threshold(operator="nagios", display="Check"),
        ("nagios_passive", "*", "state"): Threshold(operator="nagios", display="Check"),
        ("agent_monitor", "*", "ok"): Threshold(warning=0.0, operator="==", hold=10 * _MINUTE, display="Plugin fails"),
        ("agent_monitor", "spool_records"): Threshold(
            warning=100.0, hysteresis=0.5, hold=15 * _MINUTE, display="Reports that wait"
        ),
        ("agent_monitor", "clock_skew_seconds"): Threshold(
            warning=30.0, hysteresis=0.2, hold=5 * _MINUTE, display="Clock skew in seconds"
        ),
    }
)
