"""Attacks on the way in which agents are installed: catalogue S58, S70 and S71."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from install_kit import KEY, NOWHERE, Machine, built
from world import Api, World

from hbd.remote.install_script import Server, script

PEM = "-----BEGIN CERTIFICATE-----\nMIIB'\"$(id)\n-----END CERTIFICATE-----"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.close()


def places(text: str) -> list[int]:
    """Where to cut: behind every line, at every byte of the end, and here and there within lines."""
    lines = [match.end() for match in re.finditer("\n", text)]
    return sorted({*lines[:-1], *range(0, len(text), 101), *range(len(text) - 60, len(text) - 1)})


def test_s58_a_script_that_is_cut_anywhere_runs_nothing(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    text = script(NOWHERE, built(), "web-1", KEY)
    for place in places(text):
        ran = subprocess.run(
            ["/bin/sh", "-s", "--", "--root", str(tmp_path / "root")],
            input=text[:place],
            env={"HOME": str(tmp_path), "PATH": str(tools)},
            capture_output=True,
            text=True,
        )
        assert ran.stdout == "", place
    assert list(tmp_path.iterdir()) == [tools]


@pytest.mark.parametrize(
    "name", ["$(touch canary)", "`touch canary`", "'; touch canary; '", '"; touch canary; "', "a\nb"]
)
def test_s58_a_name_is_never_run(machine: Machine, name: str) -> None:
    machine.write(script(NOWHERE, built(), name, KEY))
    ran = machine.install()
    assert ran.returncode == 0, ran.stderr
    assert f"as {name}:" in ran.stdout
    assert not list(machine.root.rglob("canary"))


def test_s58_a_certificate_is_never_run(machine: Machine) -> None:
    machine.write(script(Server(NOWHERE.url, PEM), built(), "web-1", KEY))
    machine.install()
    assert not list(machine.root.rglob("canary"))


def test_s58_the_script_knows_no_way_around_a_certificate() -> None:
    text = script(NOWHERE, built(), "web-1", KEY)
    assert not re.search(r"curl|wget|--insecure|CERT_NONE|_create_unverified", text)


def test_s58_the_key_is_in_no_argument(machine: Machine) -> None:
    """Whatever the script starts, none of it is started with the key."""
    seen = machine.tools.parent / "seen"
    machine.tool("spy", f'printf "%s\\n" "$*" >>{seen}; exec {os.path.realpath("/proc/self/exe")} "$@"')
    ran = machine.install("--python", str(machine.tools / "spy"))
    assert ran.returncode == 0, ran.stderr
    assert "check-config" in seen.read_text()
    assert KEY not in seen.read_text()


async def test_s58_a_script_needs_a_key_that_lives(api: Api, world: World) -> None:
    host = await world.enrol("alpha")
    key = await world.key(host)
    await world.enrolment.revoke(world.hosts.require("alpha"))
    for asked, status in (("", 401), ("?key=", 401), (f"?key={key}", 403), (f"?key={'ab' * 32}", 403), ("?key=x", 403)):
        async with api.get(f"/api/agents/install-script{asked}") as answer:
            assert answer.status == status, asked
            assert "hbc" not in (await answer.text()).replace("hbd", "")


async def test_s45_the_package_takes_no_key_from_the_address(api: Api, world: World) -> None:
    key = await world.key(await world.enrol("alpha"))
    async with api.get(f"/api/agents/package?key={key}") as answer:
        assert answer.status == 401
    async with api.get("/api/agents/package", headers={"X-Agent-Key": key}) as answer:
        assert answer.status == 200


async def test_s58_no_cache_keeps_a_script(api: Api, world: World) -> None:
    key = await world.key(await world.enrol("alpha"))
    async with api.get("/api/agents/install-script", params={"key": key}) as answer:
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "no-store"


# ------------------------------------------------------------------------------------------------------ local attackers


def test_s70_what_others_have_in_the_environment_does_not_count(machine: Machine) -> None:
    trap = machine.root.parent / "trap"
    trap.mkdir()
    for name in ("sitecustomize.py", "hashlib.py", "ssl.py"):
        (trap / name).write_text(f"open({str(trap / 'canary')!r}, 'w')\n")
    for name in ("id", "mkdir", "python3", "profile"):
        (trap / name).write_text(f"#!/bin/sh\ntouch {trap / 'canary'}\n")
        (trap / name).chmod(0o755)
    ran = machine.install(
        PATH=str(trap), PYTHONPATH=str(trap), ENV=str(trap / "profile"), BASH_ENV=str(trap / "profile")
    )
    assert ran.returncode == 0, ran.stderr
    assert not (trap / "canary").exists()


@pytest.mark.parametrize("place", ["/etc/hbc", "/etc/hbc/config.yaml", "/usr/local/lib/hbc", "/usr/local/bin/hbc"])
def test_s70_a_link_that_somebody_has_put_there_is_not_followed(machine: Machine, place: str) -> None:
    target = machine.root.parent / "target"
    target.mkdir()
    machine.path(place).parent.mkdir(parents=True)
    machine.path(place).symlink_to(target)
    ran = machine.install()
    assert ran.returncode == 1
    assert f"{machine.path(place)} is a link" in ran.stderr
    assert not list(target.iterdir())


@pytest.mark.parametrize("place", ["/etc/hbc", "/etc/hbc/config.yaml", "/usr/local/lib/hbc"])
def test_s70_what_belongs_to_somebody_else_is_refused(machine: Machine, place: str) -> None:
    machine.path(place).mkdir(parents=True)
    machine.tool("find", "exit 0")
    text = machine.script_file.read_text()
    assert text.count(' [ -O "$place" ]') == 1
    machine.script_file.write_text(text.replace(' [ -O "$place" ]', f' [ "$place" != {machine.path(place)} ]'))
    ran = machine.install()
    assert ran.returncode == 1
    assert "belongs to somebody else" in ran.stderr


@pytest.mark.parametrize("place", ["/usr/local/lib/hbc/hbc.pyz.new", "/etc/hbc/hbc.pyz.new", "/etc/hbc/key.new"])
def test_s70_a_link_where_a_file_will_be_made_is_not_written_through(machine: Machine, place: str) -> None:
    target = machine.root.parent / "target"
    target.write_text("mine")
    machine.path(place).parent.mkdir(parents=True)
    machine.path(place).symlink_to(target)
    assert machine.install().returncode == 0
    assert target.read_text() == "mine"


@pytest.mark.parametrize("place", ["/usr/local/lib/hbc/hbc.pyz.new", "/etc/hbc/hbc.pyz.new"])
def test_s70_a_file_that_was_there_before_is_never_what_is_run(machine: Machine, place: str) -> None:
    """Who has made it may still write to it."""
    file = machine.path(place)
    file.parent.mkdir(parents=True)
    file.write_text("x")
    with file.open("a") as kept:
        machine.install()
        kept.write("y")
    assert machine.path("/usr/local/lib/hbc/hbc.pyz").read_bytes() == built().data


def test_s70_nothing_that_the_agent_could_write_to_is_run_by_root(machine: Machine) -> None:
    """With a package of the agent's own: whatever runs before it is settled, lies where only root writes."""
    machine.install()
    machine.own_package()
    seen = machine.tools.parent / "seen"
    lib = machine.path("/usr/local/lib/hbc")
    before = lib.stat().st_ino
    python = os.path.realpath("/proc/self/exe")
    machine.tool("spy", f'printf "%s %s\\n" "$(stat -c %i {lib})" "$*" >>{seen}; exec {python} "$@"')
    assert machine.install("--python", str(machine.tools / "spy")).returncode == 0
    ran = [line.split() for line in seen.read_text().splitlines()]
    packages = {line[2] for line in ran if line[0] == str(before) and len(line) > 2 and line[2].startswith("/")}
    assert packages == {str(machine.path("/etc/hbc/hbc.pyz.new"))}


@pytest.mark.parametrize("linked", [False, True])
def test_s70_a_log_that_is_a_link_is_not_read(machine: Machine, linked: bool) -> None:
    log, target = machine.path("/var/lib/hbc/hbc.log"), machine.root.parent / "target"
    log.parent.mkdir(parents=True)
    if linked:
        log.symlink_to(target)
    python = os.path.realpath("/proc/self/exe")
    machine.tool("dying", f'[ "$3" != run ] || {{ echo last words; exit 1; }}; exec {python} "$@"')
    ran = machine.install("--python", str(machine.tools / "dying"))
    assert ran.returncode == 1
    assert ("last words" in ran.stderr) is not linked
    assert not linked or target.read_text() == "last words\n"


def test_s70_no_folder_that_everybody_may_write_to_is_used(machine: Machine) -> None:
    assert not re.search(r"/tmp\b|/var/tmp|mktemp|TMPDIR", script(NOWHERE, built(), "web-1", KEY))
    machine.install()
    loose = [file for file in machine.root.rglob("*") if not file.is_symlink() and file.stat().st_mode & 0o022]
    assert not loose


def test_s71_the_agent_measures_without_root(machine: Machine) -> None:
    """As the unit has it: no capability, and no way to one."""
    machine.install()
    run = [str(machine.path("/usr/local/bin/hbc")), "once"]
    if os.geteuid() == 0:
        run = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", *run]
    ran = subprocess.run(run, env={"HOME": str(machine.root)}, cwd="/", capture_output=True, text=True)
    for plugin in ("cpu_monitor", "memory_monitor", "disk_monitor", "network_monitor", "process_monitor"):
        assert f'"plugin": "{plugin}"' in ran.stdout, ran.stderr
