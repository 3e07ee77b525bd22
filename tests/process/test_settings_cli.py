"""``hbd export`` and ``hbd import`` as programs, beside a daemon that runs."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import aiohttp
import bcrypt
from programs import SLOW, Daemon

PASSWORD = "correct horse"
HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()


async def hbd(daemon: Daemon, *arguments: str) -> tuple[int, str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HBD_", "HBC_", "XDG_"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hbd", *arguments, "-c", str(daemon.config_file)),
        env=kept | {"HOME": str(daemon.folder)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60 * SLOW):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def names(daemon: Daemon) -> list[str]:
    """Of the hosts that root sees over the API."""
    timeout = aiohttp.ClientTimeout(total=10 * SLOW)
    async with aiohttp.ClientSession(daemon.url, timeout=timeout, raise_for_status=True) as session:
        async with session.post("/api/0/auth/login", json={"username": "root", "password": PASSWORD}) as answer:
            token = (await answer.json())["token"]
        async with session.get("/api/0/hosts", headers={"Authorization": f"Bearer {token}"}) as answer:
            return [host["name"] for host in await answer.json()]


async def test_a_running_daemon_knows_at_once_what_is_imported(daemon: Daemon, tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    users = "".join(f"  u{number}: {{avatar: {'x' * 60_000}}}\n" for number in range(20))  # over 1 MiB
    users += f'  root: {{role: admin, password: "{HASH}"}}\n'
    file.write_text(f"version: 1\nhosts: {{web1: {{}}}}\nusers:\n{users}", "utf-8")
    code, out, err = await hbd(daemon, "import", str(file))
    assert (code, out.splitlines()[-1]) == (0, "22 added, 0 changed, 0 removed; 0 the same")
    assert "the hbd that runs on it knows at once\n" in err
    assert await names(daemon) == ["web1"]


async def test_what_a_daemon_exports_makes_another_one_like_it(daemon: Daemon, tmp_path: Path) -> None:
    await hbd(daemon, "agent", "add", "web1")
    await hbd(daemon, "user", "add", "--admin", "--no-password", "root")
    file = tmp_path / "settings.yaml"
    assert (await hbd(daemon, "export", str(file)))[0] == 0
    async with Daemon(tmp_path / "other") as other:
        code, _, err = await hbd(other, "import", str(file))
        assert (code, "web1: no key yet" in err) == (0, True)
        assert await hbd(other, "export") == (0, file.read_text("utf-8"), "")
