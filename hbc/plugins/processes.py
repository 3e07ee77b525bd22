"""The table of processes, read cheaply: on Linux from /proc, elsewhere by psutil."""

from __future__ import annotations

import os
from typing import NamedTuple

from hbc.plugins.base import psutil_module, read

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
        self._tick = 1 / os.sysconf("SC_CLK_TCK")
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
            (int(fields[11]) + int(fields[12])) * self._tick,
            int(fields[19]),
            int(fields[21]) * self._page,
        )

    def name(self, process: Process) -> str:
        """The program's name; the kernel cuts it at 15 characters, the command line may have the rest."""
        if len(process.title) == 15:
            try:
                program = read(f"{self._proc}/{process.pid}/cmdline").split(b"\0", 1)[0].decode("utf-8", "replace")
            except OSError:
                return process.title
            full = program.rpartition("/")[2]
            if full.startswith(process.title):
                return full
        return process.title

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

    def name(self, process: Process) -> str:
        return process.title

    def user(self, process: Process) -> str:
        return self._users.get(process.pid, "")


def _user_name(uid: int) -> str:
    import pwd  # Unix only

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
