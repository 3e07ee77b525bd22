"""The systemd unit of an installed agent, as systemd itself reads it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from install_kit import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    made.path("/run/systemd/system").mkdir(parents=True)
    made.tool("systemctl", "[ $1 != is-active ] || echo active")
    yield made
    made.close()


@pytest.fixture(params=[(), ("--self-update",)], ids=["plain", "self-update"])
def unit(machine: Machine, request: pytest.FixtureRequest) -> Path:
    ran = machine.install(*request.param)
    assert ran.returncode == 0, ran.stderr
    return machine.path("/etc/systemd/system/hbc.service")


def test_s71_systemd_takes_every_setting(unit: Path) -> None:
    ran = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    about_it = [line for line in (ran.stdout + ran.stderr).splitlines() if "hbc.service" in line]
    assert not about_it


def test_s71_systemd_finds_the_service_well_kept(unit: Path) -> None:
    ran = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", str(unit)], capture_output=True, text=True, check=False
    )
    exposure = re.search(r"Overall exposure level for hbc\.service: ([0-9.]+)", ran.stdout)
    assert exposure is not None, ran.stderr
    assert float(exposure[1]) < 5.0


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_every_usual_shell_runs_the_script(tmp_path: Path, shell: str) -> None:
    machine = Machine(tmp_path / shell)
    machine.tool("ash", 'exec busybox sh "$@"')
    machine.shell = str(machine.tools / "ash") if shell == "busybox" else f"/bin/{shell}"
    try:
        ran = machine.install()
        assert (ran.returncode, machine.pid is not None) == (0, True), ran.stderr
    finally:
        machine.close()


def test_the_script_is_clean_for_those_who_check_scripts() -> None:
    script = Path(__file__).parents[2] / "hbd/remote/install.sh"
    # What is set above it, what is called by a trap, Python in single quotes, and "and, or else fail" on purpose.
    left_out = "SC2015,SC2016,SC2153,SC2154,SC2317"
    ran = subprocess.run(
        ["shellcheck", "--shell=sh", f"--exclude={left_out}", str(script)], capture_output=True, text=True
    )
    assert ran.stdout == ""
