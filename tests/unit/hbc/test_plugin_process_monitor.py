import os
import subprocess
import sys

import pytest

from hbc.plugins.base import Machine
from hbc.plugins.process_monitor import ProcessMonitor
from hbc.plugins.processes import ProcTable

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def table(tmp_path):
    """A /proc that a test fills; each reading is ten seconds after the one before."""

    class Fake:
        now = 0.0
        proc = tmp_path

        def clock(self):
            self.now += 10.0
            return self.now

        def plugin(self, **options):
            return ProcessMonitor(options, Machine(linux=True, proc=str(tmp_path), clock=self.clock))

        def process(self, pid, name="prog", state="S", cpu=0.0, started=1, rss=1024**2, threads=1):
            (tmp_path / str(pid)).mkdir(exist_ok=True)
            fields = [state, 1, *[0] * 9, int(cpu * TICKS), 0, *[0] * 4, threads, 0, started, 0, rss // PAGE, 0, 0]
            (tmp_path / str(pid) / "stat").write_text(f"{pid} ({name}) {' '.join(map(str, fields))}\n")

        def ended(self, pid):
            (tmp_path / str(pid) / "stat").unlink()
            (tmp_path / str(pid)).rmdir()

    return Fake()


def test_processes_are_counted_by_state(table):
    for pid, state in enumerate("RSSDTtZI", start=1):
        table.process(pid, state=state, threads=2)
    data = table.plugin().collect()

    assert (data["total"], data["threads"]) == (8, 16)
    assert (data["running"], data["sleeping"], data["disk_sleep"]) == (1, 2, 1)
    assert (data["stopped"], data["zombies"], data["idle"]) == (2, 1, 1)


def test_first_sample_has_no_processor_times(table):
    table.process(1, cpu=100)
    data = table.plugin().collect()

    assert "top_cpu" not in data
    assert "cpu_percent" not in data["top_memory"][0]


def test_processor_time_is_that_since_the_sample_before(table):
    plugin = table.plugin()
    table.process(1, "busy", cpu=100)
    table.process(2, "idle", cpu=500)
    plugin.collect()
    table.process(1, "busy", cpu=105)

    assert [(entry["name"], entry["cpu_percent"]) for entry in plugin.collect()["top_cpu"]] == [("busy", 50.0)]


def test_process_that_started_in_between_used_all_its_time_in_it(table):
    plugin = table.plugin()
    plugin.collect()
    table.process(7, cpu=1)

    assert plugin.collect()["top_cpu"][0]["cpu_percent"] == 10.0


def test_pid_that_was_given_to_another_starts_at_nothing(table):
    plugin = table.plugin()
    table.process(7, cpu=100, started=1)
    plugin.collect()
    table.process(7, cpu=1, started=99)

    assert plugin.collect()["top_cpu"][0]["cpu_percent"] == 10.0


def test_process_that_ended_is_gone(table):
    plugin = table.plugin()
    table.process(1)
    table.process(2)
    plugin.collect()
    table.ended(2)

    assert plugin.collect()["total"] == 1


def test_the_largest_come_first(table):
    for pid in range(1, 9):
        table.process(pid, rss=pid * 1024**2)

    assert [entry["pid"] for entry in table.plugin(top=3).collect()["top_memory"]] == [8, 7, 6]


def test_memory_is_told_in_megabytes(table):
    table.process(1, rss=64 * 1024**2)

    assert table.plugin().collect()["top_memory"][0]["memory_mb"] == 64.0


@pytest.mark.parametrize("name", ["a b", "(sd-pam)", "evil) R 1 (x", "x)"])
def test_any_name_can_be_read(table, name):
    table.process(1, name)

    assert table.plugin().collect()["top_memory"][0]["name"] == name


def test_name_that_the_kernel_cut_is_completed(table):
    table.process(1, "gnome-terminal-")
    (table.proc / "1/cmdline").write_bytes(b"/usr/libexec/gnome-terminal-server\0--secret\0")

    assert table.plugin().collect()["top_memory"][0]["name"] == "gnome-terminal-server"


def test_entry_names_its_user(table):
    table.process(1)
    import pwd

    assert table.plugin().collect()["top_memory"][0]["user"] == pwd.getpwuid(os.geteuid()).pw_name


def test_lists_can_be_left_out(table):
    table.process(1)

    assert "top_memory" not in table.plugin(top=0).collect()


@pytest.mark.parametrize("top", [-1, 51, "5", True, 1.5])
def test_length_of_the_lists_is_checked(table, top):
    with pytest.raises(ValueError, match=r"top: .* is no whole number from 0 to 50"):
        table.plugin(top=top)


def test_files_stay_open_for_living_processes_only():
    table = ProcTable()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with child:
        assert child.pid in {process.pid for process in table.read()}
        child.communicate(b"\n")

    assert child.pid not in {process.pid for process in table.read()}
    assert str(child.pid) not in table._open


def test_more_processes_than_may_be_kept_open_are_all_read(table):
    for pid in range(1, 21):
        table.process(pid)
    reader = ProcTable(str(table.proc))
    reader._most_open = 5

    assert len(reader.read()) == len(reader.read()) == 20
    assert len(reader._open) == 5


def test_psutil_gives_the_same_metrics():
    plugin = ProcessMonitor({"top": 50}, Machine(linux=False, clock=iter([0.0, 10.0]).__next__))
    plugin.collect()
    data = plugin.collect()

    assert data["total"] > 1
    assert data["top_memory"][0].keys() == {"pid", "name", "user", "cpu_percent", "memory_percent", "memory_mb"}


def test_linux_needs_no_psutil():
    code = (
        "import sys; sys.modules['psutil'] = None\n"
        "from hbc.plugins.build import build\n"
        "entries, problems = build({'temperature': False, 'watched_processes': False})\n"
        "assert not problems, problems\n"
        "print(all(entry.plugin.collect() for entry in entries if entry.enabled))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "True\n"


def test_this_machine_can_be_read():
    plugin = ProcessMonitor({"top": 50})

    assert os.getpid() in {process.pid for process in ProcTable().read()}
    assert plugin.collect()["total"] >= 1
