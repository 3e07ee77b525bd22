"""A real daemon and a real agent that lets it read and write some folders, for tests of streams."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import bcrypt
import pytest
from programs import SLOW, Agent, Daemon, eventually

PASSWORD = "correct horse"
BASE = "/api/agents/web1"


class Site:
    """A daemon with an operator, an agent with allowed folders, and a client who has signed in."""

    def __init__(self, tmp_path: Path) -> None:
        self.files = tmp_path / "srv"
        self.logs = tmp_path / "log"
        self.bin = tmp_path / "bin"
        for folder in (self.files, self.logs, self.bin):
            folder.mkdir()
        hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
        self.daemon = Daemon(
            tmp_path / "daemon",
            users={"ops": {"role": "operator", "password": hashed}},
            agents={"enrollment": "open"},
        )
        allow = {
            "file_roots": [str(self.files)],
            "log_paths": [str(self.logs)],
            "log_units": ["app"],
            "limits": {"upload_mb": 500, "download_mb": 500},
        }
        self.agent = Agent(tmp_path / "agent", self.daemon.url, "web1", allow=allow)
        self.http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60 * SLOW))

    async def start(self) -> None:
        await self.daemon.start()
        await self.agent.start()
        sent = {"username": "ops", "password": PASSWORD}
        async with self.http.post(self.daemon.url + "/api/0/auth/login", json=sent) as answer:
            self.token = (await answer.json())["token"]
        self.http.headers["X-Auth-Token"] = self.token
        await self.linked()

    async def linked(self) -> None:
        async def link() -> bool:
            async with self.http.get(self.daemon.url + "/api/0/hosts") as answer:
                return any(host["link"] for host in await answer.json())

        await eventually(link, 20, "the agent is connected")

    def get(self, where: str, **params: str) -> Any:
        return self.http.get(self.daemon.url + BASE + where, params=params)

    def post(self, data: bytes | Any, **fields: str) -> Any:
        form = aiohttp.FormData()
        for name, value in fields.items():
            form.add_field(name, value)
        form.add_field("file", io.BytesIO(data) if isinstance(data, bytes) else data, filename="x")
        return self.http.post(self.daemon.url + BASE + "/files", data=form)

    async def stop(self) -> None:
        await self.http.close()
        await self.agent.kill()
        await self.daemon.kill()


@pytest.fixture(name="site")
async def a_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    site = Site(tmp_path)
    try:
        await site.start()
        yield site
    finally:
        await site.stop()


def peak_kilobytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
