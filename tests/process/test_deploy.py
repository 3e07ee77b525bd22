"""Agents that are installed on machines: over a real SSH server, and by the script from a real daemon."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import shutil
import ssl
import subprocess
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import bcrypt
import pytest
from certificates import Authority, self_signed
from install_kit import Machine, built
from programs import SLOW, Daemon, eventually
from ssh_kit import SshServer

import hbc
from hbd.remote.install_script import Server, line, script
from hbd.remote.package import Package

PASSWORD = "correct horse"


class Admin:
    """Somebody who has signed in at a daemon."""

    def __init__(self, daemon: Daemon, session: aiohttp.ClientSession) -> None:
        self.daemon = daemon
        self._session = session

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with self._session.request(method, self.daemon.url + path, json=body) as answer:
            return answer.status, await answer.json()

    async def events(self, path: str) -> list[Any]:
        """The data of a stream, when that has ended."""
        async with asyncio.timeout(60 * SLOW), self._session.get(self.daemon.url + path) as stream:
            lines = [line async for line in stream.content]
        return [json.loads(line[5:]) for line in lines if line.startswith(b"data:")]


@pytest.fixture
async def ssh(tmp_path: Path) -> AsyncIterator[SshServer]:
    async with SshServer(tmp_path / "machine") as server:
        yield server


@asynccontextmanager
async def admin_of(folder: Path, **settings: Any) -> AsyncIterator[Admin]:
    """Somebody who has signed in at a daemon of its own."""
    users = {"admin": {"admin": True, "password": bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}}
    async with Daemon(folder, users=users, **settings) as daemon, aiohttp.ClientSession() as session:
        login = {"username": "admin", "password": PASSWORD}
        async with session.post(f"{daemon.url}/api/0/auth/login", json=login) as answer:
            token = (await answer.json())["token"]
        session.headers["Authorization"] = f"Bearer {token}"
        yield Admin(daemon, session)


@pytest.fixture
async def admin(tmp_path: Path, ssh: SshServer) -> AsyncIterator[Admin]:
    async with admin_of(tmp_path / "daemon", agents={"ssh_keys": str(ssh.keys)}) as somebody:
        yield somebody


def order(ssh: SshServer, **more: Any) -> dict[str, Any]:
    """The body of text 004, for the machine of the tests, where nothing is to be changed but a home."""
    target = ssh.target
    return {
        "host": target.host,
        "ssh_user": target.user,
        "ssh_port": target.port,
        "ssh_key": "~/.ssh/id_ed25519",
        "label": "db-01",
        "scope": "user",
        **more,
    }


async def test_a_machine_with_nothing_but_python_and_ssh_gets_an_agent_that_reports(
    admin: Admin, ssh: SshServer
) -> None:
    status, answer = await admin.ask("POST", "/api/agents/deploy", order(ssh))
    assert status == 200, answer
    assert answer["status"] == "deployed"
    assert answer["host_key"] == await ssh.fingerprint()

    async def measured() -> Any:
        status, plugin = await admin.ask("GET", "/api/0/hosts/db-01/plugins/cpu_monitor")
        return status == 200 and plugin["samples"]

    await eventually(measured, 30, "the agent has reported")
    status, agent = await admin.ask("GET", f"/api/agents/{answer['agent_id']}")
    assert (status, agent["label"], agent["status"]) == (200, "db-01", "online")
    key_file = ssh.home / ".config/hbc/key"
    assert key_file.read_text().strip() == answer["key"]
    assert key_file.stat().st_mode & 0o777 == 0o600


async def test_deploying_again_renews_the_agent_under_its_name_in_steps_that_can_be_watched(
    admin: Admin, ssh: SshServer
) -> None:
    _, first = await admin.ask("POST", "/api/agents/deploy", order(ssh))
    status, begun = await admin.ask("POST", "/api/agents/deployments", order(ssh))
    assert status == 202
    seen = await admin.events(f"/api/agents/deployments/{begun['id']}/stream")
    names = ["connect", "check", "enrol", "install", "report"]
    assert [step["name"] for step in seen[-1]["steps"] if step["status"] == "done"] == names
    assert (seen[-1]["status"], seen[-1]["agent_id"]) == ("done", first["agent_id"])
    running = [step["name"] for state in seen for step in state["steps"] if step["status"] == "running"]
    assert "install" in running
    assert list(dict.fromkeys(running)) == [name for name in names if name in running]
    assert (ssh.home / ".config/hbc/key").read_text().strip() != first["key"]


async def test_s57_a_machine_that_shows_another_key_is_told_nothing(admin: Admin, ssh: SshServer) -> None:
    await admin.ask("POST", "/api/agents/deploy", order(ssh))
    ran = len(ssh.commands)
    await ssh.another_host_key()
    status, answer = await admin.ask("POST", "/api/agents/deploy", order(ssh))
    assert status == 409
    assert (answer["code"], answer["step"]) == ("changed_host_key", "connect")
    assert answer["host_key"] == await ssh.fingerprint()
    assert len(ssh.commands) == ran
    wanted = order(ssh, host_key=answer["host_key"])
    assert (await admin.ask("POST", "/api/agents/deploy", wanted))[0] == 409
    path = f"/api/agents/host_keys/127.0.0.1?port={ssh.port}"
    assert (await admin.ask("DELETE", path))[0] == 200


async def test_f67_a_connection_that_breaks_leaves_no_half_agent_and_a_rerun_repairs_it(
    admin: Admin, ssh: SshServer
) -> None:
    ssh.cut(2, 9000)  # in the midst of the script
    status, failed = await admin.ask("POST", "/api/agents/deploy", order(ssh))
    assert (status, failed["step"]) == (502, "install")
    assert "the connection broke" in failed["error"]
    assert not [file for file in ssh.home.rglob("*") if file.is_file()]
    status, answer = await admin.ask("POST", "/api/agents/deploy", order(ssh))
    assert status == 200, answer
    assert len((await admin.ask("GET", "/api/agents"))[1]) == 1


async def test_an_agent_renews_itself_when_it_is_told_to(admin: Admin, machine: Machine) -> None:
    _, host = await admin.ask("POST", "/api/agents", {"hostname": "web-1"})
    older = aged(built())
    machine.package_file.write_bytes(older.data)
    machine.write(script(Server(admin.daemon.url), older, "web-1", host["key"]))
    ran = await asyncio.to_thread(machine.install, "--self-update")
    assert ran.returncode == 0, ran.stderr
    pid = machine.pid

    async def version() -> Any:
        return (await admin.ask("GET", "/api/agents/web-1"))[1]["version"]

    async def is_old() -> bool:
        return bool(await version() == older.version)

    async def is_new() -> bool:
        return bool(await version() == built().version)

    await eventually(is_old, 30, "the old agent has connected")
    status, queued = await admin.ask("POST", "/api/agents/web-1/commands", {"type": "update_agent"})
    assert status == 200, queued
    await eventually(is_new, 30, "the new agent has connected")
    _, command = await admin.ask("GET", f"/api/agents/web-1/commands/{queued['command_id']}")
    assert command["status"] == "done", command
    assert machine.path("/usr/local/lib/hbc/hbc.pyz").read_bytes() == built().data
    assert machine.pid == pid


async def test_a_version_that_does_not_reach_hbd_makes_way_for_the_one_before(machine: Machine, tmp_path: Path) -> None:
    folder = tmp_path / "daemon"
    hand_out_a_mute_agent(folder)
    async with admin_of(folder) as admin:
        _, host = await admin.ask("POST", "/api/agents", {"hostname": "web-1"})
        older = aged(built())
        machine.package_file.write_bytes(older.data)
        machine.write(script(Server(admin.daemon.url), older, "web-1", host["key"]))
        ran = await asyncio.to_thread(machine.install, "--self-update")
        assert ran.returncode == 0, ran.stderr
        pid = machine.pid

        async def agent() -> Any:
            return (await admin.ask("GET", "/api/agents/web-1"))[1]

        async def is_there() -> bool:
            return bool((await agent())["connected"])

        async def tells_of_it() -> Any:
            monitor = (await agent())["metrics"]["plugins"].get("agent_monitor", {"data": {}})
            return monitor["data"].get("update_agent")

        await eventually(is_there, 30, "the old agent has connected")
        status, queued = await admin.ask("POST", "/api/agents/web-1/commands", {"type": "update_agent"})
        assert status == 200, queued
        told = await eventually(tells_of_it, 60, "the old agent is back")
        version = built().version
        assert told == {
            "ok": False,
            "reason": f"hbc {version} did not reach a daemon within 0.05 min; {older.version} runs again",
        }
        assert (await agent())["version"] == older.version
        assert machine.path("/usr/local/lib/hbc/hbc.pyz").read_bytes() == older.data
        assert machine.pid == pid


def hand_out_a_mute_agent(folder: Path) -> None:
    """A daemon that runs in this folder has an agent that starts, and never connects."""
    ours = Path(hbc.__file__).parent
    shutil.copytree(ours, folder / "hbc", ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / "hbc/link.py").open("a") as link:
        link.write(
            "\n\nasync def _mute(self: Link) -> None:\n    await self._stopping.wait()\n\n\nLink._establish = _mute\n"
        )
    trial = folder / "hbc/trial.py"
    text = trial.read_text()
    assert "TRIAL_SECONDS = 600.0\n" in text
    trial.write_text(text.replace("TRIAL_SECONDS = 600.0\n", "TRIAL_SECONDS = 3.0\n"))


def aged(package: Package) -> Package:
    """The same package as an older version."""
    old = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(package.data)) as source, zipfile.ZipFile(old, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name == "hbc/__init__.py":
                data = data.replace(f'"{package.version}"'.encode(), b'"0.0.1"')
            target.writestr(name, data)
    return Package(old.getvalue(), hashlib.sha256(old.getvalue()).hexdigest(), "0.0.1")


# ------------------------------------------------------------------------------------------------ without a connection


async def test_over_tls_the_script_brings_the_authority_that_the_agent_needs(machine: Machine, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, private = authority.issue("server")
    chain = tmp_path / "chain.pem"
    chain.write_text(certificate.read_text() + authority.file.read_text())
    settings = {"hbd_tls": True, "wss_pem": str(chain), "wss_key": str(private)}
    daemon = Daemon(tmp_path / "daemon", **settings)
    daemon.authority = authority.file
    async with daemon:
        url = daemon.url
        key = await enrolled(daemon, "web-1")
        ask = f"{url}/api/agents/install-script?key={key}"
        machine.write(await asyncio.to_thread(fetched, ask, "--cacert", str(authority.file)))
        ran = await asyncio.to_thread(machine.run)
        assert ran.returncode == 0, ran.stderr
        assert "ca_file: server.pem" in machine.path("/etc/hbc/config.yaml").read_text()

        async def reported() -> Any:
            return await daemon.fetch("/api/0/hosts/web-1/plugins/cpu_monitor")

        await eventually(reported, 30, "the agent has reported")


async def test_a_certificate_of_its_own_is_pinned(machine: Machine, tmp_path: Path) -> None:
    certificate, private = self_signed(tmp_path)
    daemon = Daemon(tmp_path / "daemon", hbd_tls=True, wss_pem=str(certificate), wss_key=str(private))
    daemon.authority = certificate
    async with daemon:
        key = await enrolled(daemon, "web-1")
        shown = line(Server(daemon.url, certificate.read_text()), key)
        brought = await asyncio.to_thread(run_line, shown.replace("| sudo sh", "| cat"))
        machine.write(brought)
        ran = await asyncio.to_thread(machine.run)
        assert ran.returncode == 0, ran.stderr
        assert "pin_file: server.pem" in machine.path("/etc/hbc/config.yaml").read_text()

        async def reported() -> Any:
            return await daemon.fetch("/api/0/hosts/web-1/plugins/cpu_monitor")

        await eventually(reported, 30, "the agent has reported")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path / "installed")
    yield made
    made.close()


async def test_the_script_of_a_daemon_brings_up_an_agent_that_reports(machine: Machine, tmp_path: Path) -> None:
    async with Daemon(tmp_path / "daemon") as daemon:
        key = await enrolled(daemon, "web-1")
        ask = f"{daemon.url}/api/agents/install-script?key={key}"
        machine.write(await asyncio.to_thread(fetched, ask))
        # No other network: whatever else it asked for would go to a proxy that is not there.
        nowhere = {"https_proxy": "http://127.0.0.1:9", "PIP_INDEX_URL": "http://127.0.0.1:9"}
        ran = await asyncio.to_thread(machine.run, **nowhere)
        assert ran.returncode == 0, ran.stderr

        async def reported() -> Any:
            return await daemon.fetch("/api/0/hosts/web-1/plugins/cpu_monitor")

        await eventually(reported, 30, "the agent has reported")


async def enrolled(daemon: Daemon, name: str) -> str:
    trusted = ssl.create_default_context(cafile=daemon.authority)
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{daemon.url}/api/agents", json={"hostname": name}, ssl=trusted) as answer,
    ):
        key: str = (await answer.json())["key"]
        return key


def run_line(text: str) -> str:
    """What a line for people prints, in the shell that they have."""
    return subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True).stdout


def fetched(url: str, *options: str) -> str:
    """As people fetch it."""
    path = {"PATH": os.environ["PATH"]}
    ran = subprocess.run(["curl", "-fsS", *options, url], capture_output=True, text=True, check=True, env=path)
    return ran.stdout
