"""How full each disk is, and what is read from and written to it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from hbc.plugins.base import GIB, HERE, Data, Machine, Metric, Plugin, psutil_module, read
from hbc.plugins.errands import Errand, run_all
from hbc.plugins.mounts import Mount, parse_mountinfo, worth_watching
from hbc.plugins.rates import Rates
from hbc.plugins.settings import chooser, seconds

_SECTOR = 512  # bytes; the unit of /proc/diskstats whatever the disk's own is
# Columns of /proc/diskstats behind the name, and what one count stands for.
_COLUMNS = {
    "reads_per_second": (0, 1.0),
    "read_bytes_per_second": (2, _SECTOR),
    "writes_per_second": (4, 1.0),
    "write_bytes_per_second": (6, _SECTOR),
    "busy_percent": (9, 0.1),  # milliseconds; 1,000 of them in a second are 100 %
}


class DiskMonitor(Plugin):
    name = "disk_monitor"
    summary = "space, inodes and I/O of each mounted disk"
    has_rates = True
    metrics = (
        Metric("*.percent", "percent", "Space in use, as `df` shows it."),
        Metric("*.total_gb", "GB", "Size of the file system."),
        Metric("*.used_gb", "GB", "Space in use."),
        Metric("*.free_gb", "GB", "Space that users who are not root can still fill."),
        Metric("*.inodes_percent", "percent", "Inodes in use, where the file system has a fixed number."),
        Metric("*.inodes_total", "count", "Inodes there are."),
        Metric("*.inodes_free", "count", "Inodes left."),
        Metric("*.read_only", "yes/no", "Whether nothing can be written, as after a disk error."),
        Metric("*.hanging", "yes/no", "It does not answer (a dead NFS server, say); nothing else is known then."),
        Metric("*.device", "text", "What is mounted there."),
        Metric("*.fstype", "text", "Kind of file system."),
        Metric("*.read_bytes_per_second", "bytes/s", "Read from the disk (Linux)."),
        Metric("*.write_bytes_per_second", "bytes/s", "Written to the disk (Linux)."),
        Metric("*.reads_per_second", "1/s", "Read requests finished (Linux)."),
        Metric("*.writes_per_second", "1/s", "Write requests finished (Linux)."),
        Metric("*.busy_percent", "percent", "Time with a request under way (Linux)."),
    )
    options: ClassVar[Mapping[str, str]] = {
        "include": "mount points to show (shell patterns); default all disks",
        "exclude": "mount points to leave out (shell patterns)",
        "mount_timeout": "seconds for one file system to answer; default 1",
    }

    def __init__(self, options: Mapping[str, Any], machine: Machine = HERE) -> None:
        super().__init__(options, machine)
        self._wanted = chooser(options)
        self._mount_timeout = seconds(options, "mount_timeout", 1.0, least=0.05, most=60.0)
        self._rates = Rates()
        self._table: tuple[bytes, list[Mount]] = (b"", [])
        self._hanging: set[str] = set()  # mounts with a call out that has not come back

    def collect(self) -> Data:
        now = self.machine.clock()
        mounts = [mount for mount in self._mounts() if self._wanted(mount.path)]
        busy = self._traffic(mounts, now)
        asked = [
            Errand(mount.path, partial(usage, mount.path), self._mount_timeout)
            for mount in mounts
            if mount.path not in self._hanging
        ]
        # What hangs stays with the thread that asked, and is asked again when that came back; so a mount costs its
        # limit once, and the budget keeps many of them that die together from using up the plugin's own time.
        outcomes = run_all(asked, self._hanging, budget=self.limit / 2)
        data: Data = {}
        for mount in mounts:
            about = {"device": mount.source, "fstype": mount.kind} if mount.kind else {}
            outcome = outcomes.get(mount.path)
            if mount.path in self._hanging:
                data[mount.path] = {"hanging": True} | about
            elif outcome is not None and outcome.value:  # not: no disk after all, taken away, or not ours to see
                state = {"read_only": mount.read_only, "hanging": False}
                data[mount.path] = outcome.value | state | about | busy.get(mount.path, {})
        return data

    def _mounts(self) -> list[Mount]:
        if not self.machine.linux:
            return worth_watching(
                Mount(part.mountpoint, part.device, part.device, part.fstype, "ro" in part.opts.split(","))
                for part in psutil_module().disk_partitions(all=False)
            )
        table = read(f"{self.machine.proc}/self/mountinfo")
        if table != self._table[0]:
            self._table = (table, worth_watching(parse_mountinfo(table.decode("utf-8", "surrogateescape"))))
        return self._table[1]

    def _traffic(self, mounts: list[Mount], now: float) -> dict[str, Data]:
        """Mount point to I/O rates, for the mounts whose device the kernel counts."""
        if not self.machine.linux:
            return {}
        try:
            table = read(f"{self.machine.proc}/diskstats").decode("utf-8", "replace")
        except OSError:
            return {}
        rows = [line.split() for line in table.splitlines()]
        by_number = {f"{row[0]}:{row[1]}": row for row in rows}
        by_name = {row[2]: row for row in rows}
        rates: dict[str, Data] = {}
        for mount in mounts:
            row = by_number.get(mount.device)
            if row is None and mount.source.startswith("/dev/"):  # btrfs and ZFS have numbers of their own
                row = by_name.get(Path(mount.source).resolve().name)
            if row is not None and len(row) >= 13:
                counters = {name: int(row[3 + column]) * scale for name, (column, scale) in _COLUMNS.items()}
                rates[mount.path] = self._rates.of(mount.path, counters, now)
                if "busy_percent" in rates[mount.path]:
                    rates[mount.path]["busy_percent"] = min(100.0, rates[mount.path]["busy_percent"])
        self._rates.keep({mount.path for mount in mounts})
        return rates


def usage(path: str) -> Data:
    """Space and inodes of the file system mounted at path; {} when it is none with blocks. May hang for ever."""
    if not Path(path).is_dir():  # a file bound into a container
        return {}
    found = os.statvfs(path)
    if found.f_blocks == 0:
        return {}
    used = found.f_blocks - found.f_bfree
    data: Data = {
        # Of what users can have: the blocks kept for root count neither as used nor as free.
        "percent": round(100 * used / (used + found.f_bavail), 1) if used + found.f_bavail > 0 else 100.0,
        "total_gb": round(found.f_blocks * found.f_frsize / GIB, 2),
        "used_gb": round(used * found.f_frsize / GIB, 2),
        "free_gb": round(found.f_bavail * found.f_frsize / GIB, 2),
    }
    if found.f_files > 0:
        data["inodes_percent"] = round(100 * (found.f_files - found.f_ffree) / found.f_files, 1)
        data["inodes_total"] = found.f_files
        data["inodes_free"] = found.f_ffree
    return data
