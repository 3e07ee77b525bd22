from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hbc.plugins.base import Machine, Unavailable
from hbc.plugins.process_monitor import ProcessMonitor
from hbc.plugins.processes import SharedTable
from hbc.plugins.watched_processes import WatchedProcesses
from hbc.wire import MAX_WATCHED

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
MEMORY = os.sysconf("SC_PHYS_PAGES") * PAGE
BOOT, UP = 1_750_000_000, 5_000


class Fake:
    """A /proc that a test fills; each reading is ten seconds after the one before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 0.0
        self.step = 10.0
        self.booted = float(BOOT)
        self.machine = Machine(linux=True, proc=str(folder), clock=self.clock)
        self.plugin = WatchedProcesses({}, self.machine)

    def clock(self) -> float:
        self.now += self.step
        return self.now

    def time(self) -> float:
        return self.booted + UP

    def process(
        self,
        pid: int,
        name: str,
        *,
        called: str = "",
        state: str = "S",
        cpu: float = 0.0,
        started: float = 1.0,
        rss: int = 0,
    ) -> None:
        """cpu: seconds it used; started: seconds after boot."""
        folder = self.folder / str(pid)
        folder.mkdir(exist_ok=True)
        fields = [state, 1, *[0] * 9, int(cpu * TICKS), 0, *[0] * 4, 1, 0, int(started * TICKS), 0, rss // PAGE, 0, 0]
        (folder / "stat").write_text(f"{pid} ({name}) {' '.join(map(str, fields))}\n")
        (folder / "cmdline").write_bytes(f"{called or name}\0--option\0".encode())

    def ended(self, pid: int) -> None:
        for file in (self.folder / str(pid)).iterdir():
            file.unlink()
        (self.folder / str(pid)).rmdir()

    def collect(self, *names: str) -> dict[str, Any]:
        self.plugin.watch(list(names))
        return self.plugin.collect()


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    fake = Fake(tmp_path)
    clocks = SimpleNamespace(time=fake.time, clock_gettime=lambda clock: float(UP), CLOCK_BOOTTIME=7)
    monkeypatch.setattr("hbc.plugins.processes.time", clocks)
    return fake


def test_all_of_a_name_are_counted(proc: Fake) -> None:
    for pid, name in enumerate(("nginx", "nginx", "bash"), start=1):
        proc.process(pid, name)
    assert proc.collect("nginx")["nginx"]["count"] == 2


def test_a_name_has_to_be_the_whole_name(proc: Fake) -> None:
    proc.process(1, "nginx-debug")
    assert proc.collect("nginx")["nginx"] == {"count": 0, "cpu_percent": 0.0, "memory_percent": 0.0}


def test_a_name_that_the_kernel_cut_is_found_by_the_whole_one_and_by_what_is_left(proc: Fake) -> None:
    proc.process(1, "gnome-terminal-", called="/usr/libexec/gnome-terminal-server")
    found = proc.collect("gnome-terminal-server", "gnome-terminal-")
    assert [values["count"] for values in found.values()] == [1, 1]


def test_a_process_that_renamed_itself_is_found_by_the_name_it_was_called_by(proc: Fake) -> None:
    proc.process(1, "MainThread", called="/opt/search/bin/searchd")
    assert proc.collect("searchd")["searchd"]["count"] == 1


def test_a_process_without_a_command_line_is_found_by_what_the_kernel_calls_it(proc: Fake) -> None:
    proc.process(1, "kswapd0")
    (proc.folder / "1/cmdline").write_bytes(b"")
    assert proc.collect("kswapd0")["kswapd0"]["count"] == 1


def test_a_process_that_runs_another_program_is_looked_at_anew(proc: Fake) -> None:
    proc.process(1, "sh", called="/bin/sh")
    assert proc.collect("worker")["worker"]["count"] == 0
    proc.process(1, "python3", called="/srv/worker")
    assert proc.collect("worker")["worker"]["count"] == 1


def test_what_has_ended_does_not_count(proc: Fake) -> None:
    proc.process(1, "nginx", state="Z")
    assert proc.collect("nginx")["nginx"]["count"] == 0


def test_processor_time_is_the_sum_since_the_sample_before(proc: Fake) -> None:
    proc.process(1, "nginx", cpu=100)
    proc.process(2, "nginx", cpu=200)
    proc.collect("nginx")
    proc.process(1, "nginx", cpu=101)
    proc.process(2, "nginx", cpu=203)
    assert proc.collect("nginx")["nginx"]["cpu_percent"] == 40.0


def test_the_first_processor_time_is_that_of_the_whole_life(proc: Fake) -> None:
    proc.process(1, "nginx", cpu=100, started=UP - 400)
    assert proc.collect("nginx")["nginx"]["cpu_percent"] == 25.0


def test_a_name_that_is_added_has_its_processor_time_since_the_sample_before(proc: Fake) -> None:
    proc.process(1, "nginx", cpu=100)
    proc.collect("cron")
    proc.process(1, "nginx", cpu=101)
    assert proc.collect("cron", "nginx")["nginx"]["cpu_percent"] == 10.0


def test_who_asks_twice_in_a_moment_is_told_the_same(proc: Fake) -> None:
    proc.process(1, "nginx", cpu=100)
    proc.collect("nginx")
    proc.process(1, "nginx", cpu=102)
    before = proc.collect("nginx")
    proc.step = 0.1
    assert proc.collect("nginx") == before


def test_memory_is_the_sum_of_all(proc: Fake) -> None:
    for pid in (1, 2):
        proc.process(pid, "nginx", rss=MEMORY // 10)
    assert proc.collect("nginx")["nginx"]["memory_percent"] == pytest.approx(20, abs=0.01)


def test_the_start_is_that_of_the_oldest(proc: Fake) -> None:
    proc.process(1, "nginx", started=300)
    proc.process(2, "nginx", started=120.5)
    found = proc.collect("nginx")["nginx"]
    assert (found["oldest_start_time"], found["oldest_after_boot_seconds"]) == (BOOT + 120.5, 120.5)


def test_a_clock_that_was_set_moves_the_time_of_the_start_and_not_that_since_boot(proc: Fake) -> None:
    proc.process(1, "nginx", started=120)
    proc.collect("nginx")
    proc.booted += 3600
    found = proc.collect("nginx")["nginx"]
    assert (found["oldest_start_time"], found["oldest_after_boot_seconds"]) == (BOOT + 3720, 120)


def test_a_clock_that_is_read_with_a_hair_of_difference_moves_nothing(proc: Fake) -> None:
    proc.process(1, "nginx", started=120)
    starts = []
    for hair in (0.0, 0.004, -0.004, 0.3):
        proc.booted = BOOT + hair
        starts.append(proc.collect("nginx")["nginx"]["oldest_start_time"])
    assert starts == [BOOT + 120] * 4


def test_a_process_that_seems_to_start_in_the_future_has_no_processor_time_yet(proc: Fake) -> None:
    proc.process(1, "nginx", cpu=100, started=UP + 5)
    assert proc.collect("nginx")["nginx"]["cpu_percent"] == 0.0


def test_a_process_that_ends_leaves_nothing_behind(proc: Fake) -> None:
    proc.process(1, "nginx")
    proc.collect("nginx")
    proc.ended(1)
    assert proc.collect("nginx")["nginx"]["count"] == 0
    assert proc.plugin._called == {}


def test_with_nothing_to_watch_no_process_is_looked_at(proc: Fake) -> None:
    with pytest.raises(Unavailable):
        proc.collect()
    assert proc.machine.shared == {}


def test_the_table_is_read_once_for_all_plugins_of_a_round(proc: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    proc.process(1, "nginx")
    proc.step = 0.01
    table = SharedTable.of(proc.machine).table
    readings: list[int] = []
    read = table.read
    monkeypatch.setattr(table, "read", lambda: readings.append(1) or read())
    ProcessMonitor({}, proc.machine).collect()
    proc.collect("nginx")
    assert len(readings) == 1


def test_a_list_that_is_the_same_is_nothing_new(proc: Fake) -> None:
    assert [proc.plugin.watch(names) for names in (["a"], ["a"], ["a", "b"], [])] == [True, False, True, True]


@pytest.mark.parametrize("names", [None, "nginx", [""], [7], ["x" * 101], ["x"] * (MAX_WATCHED + 1)])
def test_a_list_of_what_cannot_be_names_is_refused_and_changes_nothing(proc: Fake, names: object) -> None:
    proc.process(1, "nginx")
    proc.plugin.watch(["nginx"])
    with pytest.raises(ValueError, match="process"):
        proc.plugin.watch(names)
    assert proc.plugin.collect().keys() == {"nginx"}


@pytest.mark.parametrize("linux", [True, False])
def test_a_process_of_this_machine_is_found(linux: bool) -> None:
    name = Path(sys.executable).name
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        plugin = WatchedProcesses({}, Machine(linux=linux))
        plugin.watch([name])
        found = plugin.collect()[name]
        child.communicate(b"\n")
    assert found["count"] >= 1
    assert found["memory_percent"] > 0
    assert 0 < found["oldest_start_time"] < 2**32
