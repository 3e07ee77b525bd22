"""The table of processes, read cheaply: on Linux from /proc, elsewhere by psutil."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from hbc.plugins.base import Machine, psutil_module, read

# psutil's words for what Linux calls by a letter.
_PSUTIL_STATES = {
    "running": "R",
    "sleeping": "S",
    "disk-sleep": "D",
    "stopped": "T",
    "tracing-stop": "t",
    "zombie": "Z",
    "idle": "I",
}
_MOST_KEPT_OPEN = 512  # each costs 4 kB in the kernel
_CLOCK_WAS_SET = 1.0  # seconds by which it then jumps at the least
_FRESH_SECONDS = 0.25  # plugins of one round share what was read so lately


class Process(NamedTuple):
    """state: the letter of proc_pid_stat(5). cpu_seconds: since it started. started: in ticks since boot on Linux,
    elsewhere Unix seconds; with the pid it names the process for ever. rss: bytes."""

    pid: int
    title: str
    state: str
    threads: int
    cpu_seconds: float
    started: float
    rss: int


class ProcTable:
    """Reads ``/proc/<pid>/stat`` of every process and nothing else.

    The files are kept open from one reading to the next, which halves the cost. A process that is gone answers
    ESRCH even when its pid was given to another. A line that has not changed, as those of most processes, is not
    parsed again.
    """

    def __init__(self, proc: str = "/proc") -> None:
        import resource  # Unix only

        self._proc = proc
        self._open: dict[str, int] = {}
        self._parsed: dict[str, tuple[bytes, Process]] = {}
        self._most_open = min(_MOST_KEPT_OPEN, max(0, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4))
        self._page = os.sysconf("SC_PAGE_SIZE")
        self.tick = 1 / os.sysconf("SC_CLK_TCK")
        """seconds that ``Process.started`` counts"""
        self._origin = 0.0
        self._users: dict[int, str] = {}
        self.memory_bytes = os.sysconf("SC_PHYS_PAGES") * self._page

    def __del__(self) -> None:
        for descriptor in self.__dict__.pop("_open", {}).values():
            os.close(descriptor)

    def read(self) -> list[Process]:
        """All processes that can be seen."""
        pids = [name for name in os.listdir(self._proc) if name.isdigit()]  # noqa: PTH208 - a third of the cost
        for gone in self._open.keys() - set(pids):
            os.close(self._open.pop(gone))
        before, self._parsed = self._parsed, {}
        for pid in pids:
            line = self._stat(pid)
            if line:
                last = before.get(pid)
                if last is None or last[0] != line:
                    last = (line, self._parse(pid, line))
                self._parsed[pid] = last
        return [process for _, process in self._parsed.values()]

    def _stat(self, pid: str) -> bytes:
        """The line of one process, b"" when it has just ended."""
        descriptor = self._open.get(pid)
        if descriptor is not None:
            try:
                return os.pread(descriptor, 1024, 0)
            except OSError:
                os.close(self._open.pop(pid))
        try:
            descriptor = os.open(f"{self._proc}/{pid}/stat", os.O_RDONLY)
        except OSError:
            return b""
        keep = len(self._open) < self._most_open
        if keep:
            self._open[pid] = descriptor
        try:
            return os.pread(descriptor, 1024, 0)
        except OSError:
            return b""
        finally:
            if not keep:
                os.close(descriptor)

    def _parse(self, pid: str, line: bytes) -> Process:
        # The name may hold blanks and parentheses: the last one closes it.
        end = line.rindex(b")")
        # From here on field n of the manual is at n - 3: 0 state, 11 utime, 12 stime, 17 threads, 19 start, 21 rss.
        fields = line[end + 2 :].split(b" ", 22)
        return Process(
            int(pid),
            line[line.index(b"(") + 1 : end].decode("utf-8", "replace"),
            chr(fields[0][0]),
            int(fields[17]),
            (int(fields[11]) + int(fields[12])) * self.tick,
            int(fields[19]),
            int(fields[21]) * self._page,
        )

    def origin(self) -> float:
        """When ``Process.started`` was 0, in Unix seconds: when the machine booted, by the wall clock of now.

        It stays the same until the clock is set. /proc/stat has it too, but containers may show their own there.
        """
        booted = time.time() - self.present()
        if abs(booted - self._origin) >= _CLOCK_WAS_SET:
            self._origin = booted
        return self._origin

    def present(self) -> float:
        """Seconds from the origin to now; no setting of the clock moves it."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def name(self, process: Process) -> str:
        """The program's name; the kernel cuts it at 15 characters, the command line may have the rest."""
        if len(process.title) == 15:
            full = self.called(process)
            if full.startswith(process.title):
                return full
        return process.title

    def called(self, process: Process) -> str:
        """By which name the program was called, without its folder; "" when it does not tell."""
        try:
            called = read(f"{self._proc}/{process.pid}/cmdline").split(b"\0", 1)[0].decode("utf-8", "replace")
        except OSError:
            return ""
        return called.rpartition("/")[2]

    def user(self, process: Process) -> str:
        """Name of the user it runs as, or the number of one without a name."""
        try:
            uid = os.stat(f"{self._proc}/{process.pid}").st_uid  # noqa: PTH116 - on the hot path
        except OSError:
            return ""
        if uid not in self._users:
            self._users[uid] = _user_name(uid)
        return self._users[uid]


class PsutilTable:
    """The same by psutil, at twenty times the cost. What may not be seen counts as nothing."""

    _WANTED = ("name", "status", "num_threads", "cpu_times", "create_time", "memory_info", "username")

    tick = 1.0

    def __init__(self) -> None:
        self._psutil = psutil_module()
        self._users: dict[int, str] = {}
        self.memory_bytes: int = self._psutil.virtual_memory().total

    def read(self) -> list[Process]:
        """All processes that can be seen."""
        processes = []
        self._users.clear()
        for found in self._psutil.process_iter(self._WANTED):
            info = found.info
            cpu, memory = info["cpu_times"], info["memory_info"]
            self._users[found.pid] = info["username"] or ""
            processes.append(
                Process(
                    found.pid,
                    info["name"] or "",
                    _PSUTIL_STATES.get(info["status"], "S"),
                    info["num_threads"] or 0,
                    cpu.user + cpu.system if cpu else 0.0,
                    info["create_time"] or 0.0,
                    memory.rss if memory else 0,
                )
            )
        return processes

    def origin(self) -> float:
        return 0.0

    def present(self) -> float:
        return time.time()

    def name(self, process: Process) -> str:
        return process.title

    def called(self, process: Process) -> str:
        return process.title

    def user(self, process: Process) -> str:
        return self._users.get(process.pid, "")


class Reading(NamedTuple):
    """All processes of one moment. at: seconds of the machine's clock."""

    at: float
    processes: list[Process]


class SharedTable:
    """The table of a machine for all plugins that look at it: it is read once in a round, whoever asks first."""

    def __init__(self, machine: Machine) -> None:
        """Raises Unavailable where there is no way to read it."""
        self.table: ProcTable | PsutilTable = ProcTable(machine.proc) if machine.linux else PsutilTable()
        self._clock = machine.clock
        self._lock = threading.Lock()  # a plugin that was given up may still be reading
        self._last: Reading | None = None

    @classmethod
    def of(cls, machine: Machine) -> SharedTable:
        """That of the machine. Raises Unavailable."""
        shared = machine.shared.get(cls.__name__)
        if not isinstance(shared, cls):
            shared = machine.shared[cls.__name__] = cls(machine)
        return shared

    def read(self) -> Reading:
        with self._lock:
            now = self._clock()
            if self._last is None or not 0 <= now - self._last.at < _FRESH_SECONDS:
                self._last = Reading(now, self.table.read())
            return self._last


def cpu_percents(before: Mapping[int, Process], now: Iterable[Process], elapsed: float) -> dict[int, float]:
    """Pid to processor time as a percentage of one core, for those that used any within elapsed seconds.

    A process that was not there before, or whose pid belonged to another, used all its time since.
    """
    percents = {}
    for process in now:
        last = before.get(process.pid)
        if last is process:
            continue
        used = process.cpu_seconds
        if last is not None and last.started == process.started:
            used -= last.cpu_seconds
        if used > 0:
            percents[process.pid] = round(100 * used / elapsed, 1)
    return percents


def _user_name(uid: int) -> str:
    import pwd  # Unix only

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
