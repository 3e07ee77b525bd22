"""The install script below a folder of its own: what it makes, keeps, renews, puts back and removes."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from install_kit import KEY, NOWHERE, Machine, built
from programs import SLOW

from hbc.yaml_text import parse
from hbd.errors import InvalidInput
from hbd.remote.install_script import Server, line, script

PACKAGE, CONFIG, KEY_FILE = "/usr/local/lib/hbc/hbc.pyz", "/etc/hbc/config.yaml", "/etc/hbc/key"
COMMAND, PID, UNIT = "/usr/local/bin/hbc", "/etc/hbc/hbc.pid", "/etc/systemd/system/hbc.service"
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"

# Says what it is told, and what it should answer; without systemd there is nothing to start.
SYSTEMCTL = """printf '%s\\n' "$*" >>"${0%/*}/../told"
case $1 in is-active) cat "${0%/*}/../state" ;; esac"""


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.close()


@pytest.fixture
def with_systemd(machine: Machine) -> Machine:
    machine.path("/run/systemd/system").mkdir(parents=True)
    machine.tool("systemctl", SYSTEMCTL)
    machine.tools.with_name("state").write_text("active\n")
    return machine


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def told(machine: Machine) -> list[str]:
    return machine.tools.with_name("told").read_text().splitlines()


@contextmanager
def started_by_cron(machine: Machine) -> Iterator[subprocess.Popen[bytes]]:
    """The agent that the script has started is gone, as after a restart of the machine, and the crontab has started it
    again by the line that the script gave."""
    ran = machine.install()
    assert ran.returncode == 0, ran.stderr
    assert machine.pid is not None
    os.kill(machine.pid, signal.SIGKILL)
    line = next(line for line in ran.stdout.splitlines() if "@reboot" in line)
    agent = subprocess.Popen(["/bin/sh", "-c", f"exec env {line.partition('@reboot ')[2]}"])
    try:
        eventually(lambda: "reporting to" in machine.path("/var/lib/hbc/hbc.log").read_text())
        yield agent
    finally:
        agent.kill()
        agent.wait()


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30 * SLOW
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# ------------------------------------------------------------------------------------------------------- installing


def test_it_brings_up_an_agent_in_an_empty_root(machine: Machine) -> None:
    ran = machine.install()
    assert ran.returncode == 0, ran.stderr
    assert machine.files == {PACKAGE, CONFIG, KEY_FILE, COMMAND, PID}
    assert machine.pid is not None


def test_it_says_what_it_changes_before_it_does(machine: Machine) -> None:
    machine.package_file.write_bytes(b"something else")
    said = machine.install().stdout
    for path in (PACKAGE, CONFIG, KEY_FILE, COMMAND):
        assert str(machine.path(path)) in said
    assert not machine.files


def test_the_key_is_for_the_agent_alone(machine: Machine) -> None:
    machine.install()
    assert machine.path(KEY_FILE).read_text() == KEY + "\n"
    assert mode(machine.path(KEY_FILE)) == 0o600


def test_nothing_is_allowed_in_a_new_config(machine: Machine) -> None:
    machine.install()
    shown = subprocess.run(
        [machine.path(COMMAND), "policy", "-c", machine.path(CONFIG)],
        env={"STATE_DIRECTORY": str(machine.path("/var/lib/hbc"))},
        capture_output=True,
        text=True,
    ).stdout
    assert "nothing" in shown


def test_a_new_config_says_nothing_of_programs(machine: Machine) -> None:
    """An empty list there would mean that the command shell may run none."""
    machine.install()
    settings, _, problems = parse(machine.path(CONFIG).read_bytes())
    assert (settings["allow"], problems) == ({"commands": []}, [])


def test_the_key_is_in_no_argument_of_the_agent(machine: Machine) -> None:
    machine.install()
    assert KEY.encode() not in Path(f"/proc/{machine.pid}/cmdline").read_bytes()
    assert KEY.encode() not in Path(f"/proc/{machine.pid}/environ").read_bytes()


def test_without_python_new_enough_nothing_is_changed_and_it_says_what_is_needed(machine: Machine) -> None:
    machine.tool("old", "exit 1")
    ran = machine.install("--python", str(machine.tools / "old"))
    assert ran.returncode == 1
    assert "it needs Python 3.11 or newer" in ran.stderr
    assert not machine.files


def test_an_agent_that_ends_at_once_is_removed_again(machine: Machine) -> None:
    machine.path("/var/lib/hbc").mkdir(parents=True)
    machine.path("/var/lib/hbc/spool").write_text("no folder")
    machine.path("/etc/hbc").mkdir(parents=True)
    machine.path(CONFIG).write_text("server: http://127.0.0.1:9\nspool: {path: /proc/none}\nplugins: {exec: 5}\n")
    ran = machine.install()
    assert ran.returncode == 1
    assert machine.files == {CONFIG}


# ---------------------------------------------------------------------------------------------------------- renewing


def test_running_it_again_renews_the_agent(machine: Machine) -> None:
    machine.install()
    first = machine.pid
    assert machine.install().returncode == 0
    assert machine.pid not in (None, first)
    assert machine.files == {PACKAGE, CONFIG, KEY_FILE, COMMAND, PID}


def test_running_it_again_renews_an_agent_that_cron_has_started(machine: Machine) -> None:
    with started_by_cron(machine) as agent:
        ran = machine.install()
        assert ran.returncode == 0, ran.stderr
        assert agent.poll() is not None
        assert machine.pid is not None


def test_running_it_again_keeps_what_stands_in_the_config(machine: Machine) -> None:
    machine.install()
    with machine.path(CONFIG).open("a") as config:
        config.write("interval: 30\n")
    machine.write(script(Server("http://127.0.0.1:10"), built(), "web-1", "ab" * 32))
    machine.install()
    text = machine.path(CONFIG).read_text()
    assert "interval: 30\n" in text
    assert "server: http://127.0.0.1:10\n" in text
    assert machine.path(KEY_FILE).read_text() == "ab" * 32 + "\n"


def test_a_config_with_several_servers_stays_as_it_is(machine: Machine) -> None:
    machine.install()
    config = machine.path(CONFIG)
    config.write_text("server: [http://127.0.0.1:9, http://127.0.0.1:10]\nkey_file: key\n")
    machine.write(script(Server("http://127.0.0.1:11"), built(), "web-1", KEY))
    ran = machine.install()
    assert config.read_text() == "server: [http://127.0.0.1:9, http://127.0.0.1:10]\nkey_file: key\n"
    assert "stays as it is" in ran.stderr


def test_a_renewal_that_does_not_work_leaves_the_agent_that_was_there(machine: Machine) -> None:
    machine.install()
    machine.path(CONFIG).write_text("server: http://127.0.0.1:9\nno_such_key: 1\n")
    machine.write(script(NOWHERE, built(), "web-1", "ab" * 32))
    ran = machine.install()
    assert ran.returncode == 1
    assert "what was there before is put back" in ran.stdout
    assert machine.path(KEY_FILE).read_text() == KEY + "\n"


def test_a_package_that_is_another_one_changes_nothing(machine: Machine) -> None:
    machine.install()
    pid = machine.pid
    machine.package_file.write_bytes(b"something else")
    ran = machine.install()
    assert ran.returncode == 1
    assert "the package is not the one that this script is for" in ran.stderr
    assert machine.pid == pid


def test_a_renewal_that_does_not_work_leaves_the_command_that_was_there(machine: Machine) -> None:
    machine.install()
    machine.path(COMMAND).write_text(f"#!/bin/sh\n# mine\nexec {machine.path(PACKAGE)}\n")
    machine.path(CONFIG).write_text("server: http://127.0.0.1:9\nplugins: {exec: 5}\nspool: {path: /proc/none}\n")
    machine.install()
    assert "# mine" in machine.path(COMMAND).read_text()


def test_a_package_of_the_agents_own_is_put_aside_with_its_folder(machine: Machine) -> None:
    machine.install()
    machine.own_package()
    left = machine.path(PACKAGE).with_name("left")
    left.write_text("x")
    folder = left.parent.stat().st_ino
    assert machine.install().returncode == 0
    assert left.parent.stat().st_ino != folder
    assert machine.files == {PACKAGE, CONFIG, KEY_FILE, COMMAND, PID}


@pytest.mark.parametrize("breaks", ["package", "config"])
def test_a_renewal_that_does_not_work_leaves_the_agent_its_own_package(machine: Machine, breaks: str) -> None:
    machine.install()
    machine.own_package()
    folder, file = machine.path(PACKAGE).parent.stat(), machine.path(PACKAGE).stat()
    if breaks == "package":
        machine.package_file.write_bytes(b"something else")
    else:
        machine.path(CONFIG).write_text("server: http://127.0.0.1:9\nno_such_key: 1\n")
    assert machine.install().returncode == 1
    for before, after in ((folder, machine.path(PACKAGE).parent.stat()), (file, machine.path(PACKAGE).stat())):
        assert (after.st_ino, after.st_uid, after.st_mode) == (before.st_ino, before.st_uid, before.st_mode)
    assert not machine.path("/usr/local/lib/hbc.old").exists()


# ---------------------------------------------------------------------------------------------------------- removing


def test_uninstall_leaves_nothing(machine: Machine) -> None:
    machine.install()
    assert machine.run("--uninstall").returncode == 0
    assert not machine.files
    assert not machine.path("/var/lib/hbc").exists()
    assert machine.pid is None


def test_uninstall_ends_an_agent_that_cron_has_started(machine: Machine) -> None:
    with started_by_cron(machine) as agent:
        assert machine.run("--uninstall").returncode == 0
        assert agent.wait(10 * SLOW) is not None
        assert not machine.files


def test_uninstall_leaves_files_of_others_and_says_so(machine: Machine) -> None:
    machine.install()
    machine.path("/etc/hbc/mine").write_text("x")
    assert "has files of yours and stays" in machine.run("--uninstall").stdout
    assert machine.files == {"/etc/hbc/mine"}


def test_uninstall_removes_the_agents_own_folder_with_all_in_it(machine: Machine) -> None:
    machine.install()
    machine.own_package()
    machine.path(PACKAGE).with_name(".hbc.pyz.1234").write_text("x")
    assert machine.run("--uninstall").returncode == 0
    assert not machine.files
    assert not machine.path("/usr/local/lib/hbc").exists()


def test_uninstall_of_nothing_does_nothing(machine: Machine) -> None:
    assert machine.run("--uninstall").returncode == 0


# ------------------------------------------------------------------------------------------------------- the service


def test_where_systemd_runs_it_is_a_service(with_systemd: Machine) -> None:
    assert with_systemd.install().returncode == 0
    assert with_systemd.files == {PACKAGE, CONFIG, KEY_FILE, COMMAND, UNIT}
    assert told(with_systemd)[:3] == ["daemon-reload", "enable hbc.service", "restart hbc.service"]


def test_s71_the_unit_gives_the_service_little(with_systemd: Machine) -> None:
    with_systemd.install()
    unit = with_systemd.path(UNIT).read_text()
    for setting in ("NoNewPrivileges=yes", "ProtectSystem=strict", "PrivateTmp=yes", "CapabilityBoundingSet="):
        assert f"\n{setting}\n" in unit
    assert "ReadWritePaths" not in unit


def test_f67_a_service_that_does_not_stay_up_is_removed(with_systemd: Machine) -> None:
    with_systemd.tools.with_name("state").write_text("activating\n")
    ran = with_systemd.install()
    assert ran.returncode == 1
    assert not with_systemd.files
    assert "disable hbc.service" in told(with_systemd)


@pytest.mark.parametrize("failing", ["daemon-reload", "enable", "restart"])
def test_f67_a_service_that_cannot_be_started_is_removed(with_systemd: Machine, failing: str) -> None:
    with_systemd.tool("systemctl", f'{SYSTEMCTL}\n[ "$1" != {failing} ] || exit 1')
    assert with_systemd.install().returncode == 1
    assert not with_systemd.files


def test_f67_a_renewed_service_that_does_not_stay_up_is_the_old_one_again(with_systemd: Machine) -> None:
    with_systemd.install()
    before = {name: with_systemd.path(name).read_bytes() for name in with_systemd.files}
    with_systemd.tools.with_name("state").write_text("failed\n")
    with_systemd.write(script(Server("http://127.0.0.1:10"), built(), "web-1", "ab" * 32))
    assert with_systemd.install().returncode == 1
    assert {name: with_systemd.path(name).read_bytes() for name in with_systemd.files} == before


def test_self_update_gives_the_service_its_own_program_and_nothing_else(with_systemd: Machine) -> None:
    with_systemd.install("--self-update")
    unit = with_systemd.path(UNIT).read_text()
    assert f"ReadWritePaths={with_systemd.path('/usr/local/lib/hbc')}\n" in unit
    assert "commands: [update_agent]" in with_systemd.path(CONFIG).read_text()


# ------------------------------------------------------------------------------------------------------------ as text


def test_the_line_for_people_asks_for_no_certificate_that_the_system_knows() -> None:
    shown = line(Server("https://mon.example"), KEY)
    assert shown == f"curl -fsS 'https://mon.example/api/agents/install-script?key={KEY}' | sudo sh"


def test_the_line_for_people_brings_a_certificate_that_the_system_does_not_know() -> None:
    shown = line(Server("https://mon.example", PEM), KEY)
    assert "--cacert /dev/stdin" in shown
    assert PEM.strip() in shown
    assert " -k" not in shown


@pytest.mark.parametrize("url", ["https://x/$(id)", "https://x/'y", "ftp://x", "https://x\nkey: y", "https://u@x"])
def test_a_server_that_is_no_plain_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="server"):
        Server(url)
