"""The examples of the API's contract, run as they stand there (``tests/data/text003``) against a daemon with users.

They say ``localhost:50004``. Where the system lets us, daemon, agents and examples get a network of their own, in which
that port is free whatever else runs on the machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import bcrypt
import pytest
from programs import SLOW, Agent, Daemon, eventually

EXAMPLES = Path(__file__).parents[1] / "data" / "text003"
PORT = 50004
REPORTED = {"cpu_percent", "memory_percent", "disk_percent"}
HOSTS = ("webserver01", "database01")
OPEN_LOOPBACK = """
import fcntl, socket, struct, sys
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP))
print("open", flush=True)
sys.stdin.read()
"""


class Ran(NamedTuple):
    code: int
    out: str
    err: str


class Site:
    """A daemon at localhost:50004, and a shell that reaches it."""

    def __init__(self, folder: Path, within: Sequence[str]) -> None:
        self.folder = folder
        self.within = within

    async def run(self, *command: str) -> Ran:
        kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        process = await asyncio.create_subprocess_exec(
            *self.within,
            *command,
            cwd=self.folder,
            env=kept,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(30 * SLOW):
                out, err = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
        assert process.returncode is not None
        return Ran(process.returncode, out.decode(), err.decode())

    async def shell(self, example: str) -> Ran:
        return await self.run("bash", str(EXAMPLES / example))


def documents(text: str) -> list[Any]:
    """The JSON documents that stand in a text one after the other."""
    decoder, found = json.JSONDecoder(), []
    while text := text.lstrip():
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:]
    return found


@asynccontextmanager
async def network_of_its_own() -> AsyncIterator[Sequence[str]]:
    """The command that runs another one in it; an empty one where the system does not let us have such a network."""
    try:
        holder = await asyncio.create_subprocess_exec(
            *("unshare", "--map-root-user", "--net", sys.executable, "-c", OPEN_LOOPBACK),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except FileNotFoundError:
        yield ()
        return
    assert holder.stdin is not None and holder.stdout is not None
    try:
        if await holder.stdout.readline() == b"open\n":
            yield ("nsenter", "--preserve-credentials", "--user", "--net", "--target", str(holder.pid))
        else:
            yield ()
    finally:
        holder.stdin.close()
        await holder.wait()


def known(summary: dict[str, Any]) -> set[str]:
    return {name for name, value in summary.items() if value is not None}


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@asynccontextmanager
async def site(folder: Path, **settings: Any) -> AsyncIterator[Site]:
    """A daemon with these settings, to which two hosts have reported."""
    async with AsyncExitStack() as stack:
        within = await stack.enter_async_context(network_of_its_own())
        if not within and not is_free(PORT):
            pytest.fail(f"port {PORT} is taken, and this system lets us have no network of our own (unshare --net)")
        daemon = Daemon(folder / "hbd", hbd_port=PORT, agents={"enrollment": "open"}, **settings)
        daemon.config_file.chmod(0o600)
        daemon.within = within
        await daemon.start(ready=False)
        stack.push_async_callback(daemon.kill)
        for name in HOSTS:
            agent = Agent(folder / name, f"http://localhost:{PORT}", name)
            agent.within = within
            await stack.enter_async_context(agent)
        made = Site(folder, within)

        async def all_have_reported() -> bool:
            assert await daemon.alive(), daemon.text
            match documents((await made.shell("login.sh")).out):
                case [[*hosts]]:  # before that nothing, or an error
                    return set(HOSTS) == {host["name"] for host in hosts if known(host["summary"]) >= REPORTED}
            return False

        await eventually(all_have_reported, 40, f"{HOSTS} have reported")
        yield made


@pytest.fixture
async def with_users(tmp_path: Path) -> AsyncIterator[Site]:
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    users = {
        "root": {"role": "admin"},
        "alice": {"password": hashed},
        "monitor": {"password": hashed},
    }
    hosts = {name: {"owner": "alice", "monitors": ["monitor"]} for name in HOSTS}
    async with site(tmp_path, users=users, hosts=hosts) as made:
        yield made


@pytest.fixture
async def without_users(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as made:
        yield made


# ------------------------------------------------------------------------------------------------------- with users


async def test_the_login_example_gets_a_token_that_lists_the_hosts(with_users: Site) -> None:
    ran = await with_users.shell("login.sh")
    assert ran.code == 0
    assert {host["name"]: host["owner"] for host in json.loads(ran.out)} == dict.fromkeys(HOSTS, "alice")


async def test_the_examples_without_a_token_are_told_to_log_in(with_users: Site) -> None:
    for example in ("plugins.sh", "samples.sh", "alerts_of_host.sh", "alerts.sh"):
        ran = await with_users.shell(example)
        assert ran.code == 0
        answers = documents(ran.out)
        assert answers == [{"error": "Sign in, or send a token"}] * len(answers) != []


async def test_the_python_client_logs_in_and_prints_the_newest_samples(with_users: Site) -> None:
    ran = await with_users.run(sys.executable, str(EXAMPLES / "python_client.py"))
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == "Host: webserver01"
    assert {"cpu_monitor", "memory_monitor", "disk_monitor"} <= set(lines[1].removeprefix("Plugins: ").split(", "))
    assert any(line.startswith("  cpu_percent: ") for line in lines)
    assert "ALERTS" not in ran.out


async def test_the_monitoring_script_runs_and_raises_no_false_alarm(with_users: Site) -> None:
    """Its ``$AUTH`` falls apart into words, so that curl sends no token: the answer is a 401, which has no summary."""
    ran = await with_users.shell("monitoring_script.sh")
    assert (ran.code, ran.out) == (0, "")


async def test_the_monitoring_script_sees_the_alerts_once_its_header_is_quoted(with_users: Site) -> None:
    script = (EXAMPLES / "monitoring_script.sh").read_text("utf-8")
    script = script.replace('AUTH="-H \\"Authorization: Bearer $TOKEN\\""', 'AUTH=(-H "Authorization: Bearer $TOKEN")')
    script = script.replace("curl -s $AUTH", 'curl -s "${AUTH[@]}"') + 'echo "$RESPONSE"\n'
    ran = await with_users.run("bash", "-c", script)
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out)["host_count"] == len(HOSTS)


# ---------------------------------------------------------------------------------------------------- without users


async def test_without_users_the_examples_need_no_token(without_users: Site) -> None:
    (plugins,) = documents((await without_users.shell("plugins.sh")).out)
    assert plugins["hostname"] == "webserver01"
    assert plugins["plugins"]["cpu_monitor"]["data"]["cpu_percent"] >= 0
    cpu, memory, disk = documents((await without_users.shell("samples.sh")).out)
    assert (cpu["hostname"], cpu["plugin"], cpu["sample_count"]) == ("webserver01", "cpu_monitor", 1)
    assert (memory["hostname"], memory["plugin"]) == ("webserver01", "memory_monitor")
    assert (disk["hostname"], disk["plugin"]) == ("database01", "disk_monitor")
    (alerts,) = documents((await without_users.shell("alerts.sh")).out)
    assert (alerts["alerts"], alerts["host_count"]) == ([], len(HOSTS))
    (of_host,) = documents((await without_users.shell("alerts_of_host.sh")).out)
    assert of_host["hostname"] == "webserver01"


async def test_without_users_the_examples_that_log_in_run_too(without_users: Site) -> None:
    (hosts,) = documents((await without_users.shell("login.sh")).out)
    assert {host["name"] for host in hosts} == set(HOSTS)
    script = await without_users.shell("monitoring_script.sh")
    assert (script.code, script.out, script.err) == (0, "", "")
    client = await without_users.run(sys.executable, str(EXAMPLES / "python_client.py"))
    assert (client.code, client.err) == (0, "")
    assert client.out.startswith("Host: webserver01\n")
