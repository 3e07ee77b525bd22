"""An agent of the NOBA kind as a program of its own, against a running daemon: it reports, and does what it is told."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import bcrypt
import noba_client
import pytest
from programs import SLOW, Daemon, Program, eventually

PASSWORD = "correct horse battery"
ROOT = {"admin": True, "password": bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}


class Noba(Program):
    """``tests/noba_client.py``, which imports nothing of ours."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        folder.mkdir(exist_ok=True)
        super().__init__("noba", (), folder)
        self._command = [sys.executable, "-I", noba_client.__file__, *arguments]


@pytest.fixture(name="daemon")
async def a_daemon_with_an_admin(tmp_path: Path) -> AsyncIterator[Daemon]:
    async with Daemon(tmp_path / "daemon", users={"root": ROOT}) as running:
        yield running


@pytest.fixture(name="session")
async def signed_in(daemon: Daemon) -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=10 * SLOW)
    async with aiohttp.ClientSession(daemon.url, timeout=timeout, raise_for_status=True) as session:
        async with session.post("/api/0/auth/login", json={"username": "root", "password": PASSWORD}) as answer:
            session.headers["Authorization"] = f"Bearer {(await answer.json())['token']}"
        yield session


async def got(session: aiohttp.ClientSession, path: str) -> Any:
    async with session.get(path) as answer:
        return await answer.json()


async def enrolled(session: aiohttp.ClientSession) -> str:
    async with session.post("/api/agents", json={"hostname": "web", "label": "Web 1"}) as answer:
        return str((await answer.json())["key"])


async def run(session: aiohttp.ClientSession, command: str) -> dict[str, Any]:
    """What became of a shell command."""
    body = {"type": "shell", "params": {"command": command, "timeout": 30}}
    async with session.post("/api/agents/web/commands", json=body) as answer:
        queued = await answer.json()
    assert queued["status"] == "queued"

    async def ended() -> dict[str, Any] | None:
        (newest, *_) = await got(session, "/api/agents/web/commands")
        assert newest["command_id"] == queued["command_id"]
        return dict(newest) if newest["finished_at"] is not None else None

    outcome = await eventually(ended, 20, f"{command} has ended")
    assert outcome is not None
    return outcome


@pytest.mark.parametrize("way", ["--socket", "--no-socket"])
async def test_it_reports_and_runs_a_command(
    daemon: Daemon, session: aiohttp.ClientSession, tmp_path: Path, way: str
) -> None:
    key = await enrolled(session)
    async with Noba(tmp_path / "agent", daemon.url, key, way):

        async def reports() -> Any:
            shown = await got(session, "/api/agents/web")
            return shown if shown["connected"] == (way == "--socket") and shown["metrics"]["disk_percent"] else None

        shown = await eventually(reports, 20, "the agent has reported, and holds its socket if it has one")
        assert (shown["label"], shown["status"], shown["version"]) == ("Web 1", "online", "3.0.1")
        assert (shown["metrics"]["cpu_percent"], shown["metrics"]["disk_percent"]) == (12.4, 62.0)
        outcome = await run(session, "echo hello there")
        assert (outcome["status"], outcome["exit_code"], outcome["stdout"]) == ("done", 0, "hello there\n")
        assert (await run(session, "false"))["status"] == "failed"

        async def rates() -> bool:
            metrics = (await got(session, "/api/agents/web"))["metrics"]
            return metrics["rx_bytes_per_second"] is not None

        await eventually(rates, 20, "counters became rates")


async def test_a_command_for_an_agent_that_is_away_waits_for_it(
    daemon: Daemon, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    key = await enrolled(session)
    waiting = asyncio.create_task(run(session, "echo late"))
    await eventually(lambda: got(session, "/api/agents/web/commands"), 10, "the command is queued")
    async with Noba(tmp_path / "agent", daemon.url, key):
        assert (await waiting)["stdout"] == "late\n"
