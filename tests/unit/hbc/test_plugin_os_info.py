import socket

import pytest

import hbc
from hbc.plugins.base import Machine
from hbc.plugins.os_info import OsInfo


@pytest.fixture
def machine(tmp_path):
    for folder in ("proc", "sys/class/dmi/id", "etc"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "proc/uptime").write_text("3600.55 7000.00\n")
    (tmp_path / "proc/stat").write_text("cpu 1 2 3\nbtime 1711230000\n")
    (tmp_path / "proc/cpuinfo").write_text("model name\t: Example CPU @ 3 GHz\nflags\t\t: fpu hypervisor\n")
    (tmp_path / "etc/os-release").write_text('NAME="Example"\nPRETTY_NAME="Example Linux 12"\n')
    return Machine(linux=True, proc=f"{tmp_path}/proc", sys=f"{tmp_path}/sys", etc=f"{tmp_path}/etc")


def test_system_is_called_by_its_pretty_name(machine):
    assert OsInfo({}, machine).collect()["os"] == "Example Linux 12"


def test_start_of_the_machine_and_uptime(machine):
    data = OsInfo({}, machine).collect()

    assert (data["boot_time"], data["uptime_seconds"]) == (1711230000, 3601)


def test_processor_is_named(machine):
    assert OsInfo({}, machine).collect()["cpu_model"] == "Example CPU @ 3 GHz"


def test_agent_and_machine_are_named(machine):
    data = OsInfo({}, machine).collect()

    assert (data["agent_version"], data["hostname"]) == (hbc.__version__, socket.gethostname())


def test_it_is_asked_rarely():
    assert OsInfo.interval == 600


def test_elsewhere_psutil_tells_the_start_of_the_machine():
    data = OsInfo({}, Machine(linux=False)).collect()

    assert data["uptime_seconds"] > 0
    assert data["kernel"]


def test_this_machine_can_be_read():
    assert {"os", "kernel", "arch", "uptime_seconds", "python"} <= OsInfo({}).collect().keys()
