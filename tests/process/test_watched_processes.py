"""A process that real programs watch: it starts, is started anew, and dies."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from programs import Agent, Daemon, eventually

NAME = f"hbd-watched-{os.getpid()}"
WITHIN = 30.0


class Service:
    """A program of that name, which does nothing."""

    def __init__(self, folder: Path) -> None:
        self._program = folder / NAME
        shutil.copy2(shutil.which("sleep") or "/bin/sleep", self._program)
        self._running: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._running = await asyncio.create_subprocess_exec(self._program, "600")

    async def stop(self) -> None:
        if self._running is not None:
            self._running.kill()
            await self._running.wait()
            self._running = None


class Watch:
    """The processes API of a daemon, for the host ``web-1``."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._place = "/servers/web-1/processes"

    async def ask(self, method: str, path: str = "", **body: Any) -> tuple[int, Any]:
        url = self._daemon.url + self._place + path
        async with aiohttp.request(method, url, json=body or None) as answer:
            return answer.status, await answer.json()

    async def until(self, number: int, **wanted: Any) -> dict[str, Any]:
        async def is_so() -> dict[str, Any] | None:
            _, found = await self.ask("GET", f"/{number}")
            process: dict[str, Any] = found["process"]
            shown = process | {"restarts": found["recent_restarts"]}
            return process if all(shown[name] == value for name, value in wanted.items()) else None

        return await eventually(is_so, WITHIN, f"the process is {wanted}")

    async def alerts(self) -> dict[str, str]:
        found = await self._daemon.fetch("/api/0/alerts")
        return {alert["metric_path"]: alert["level"] for alert in found["alerts"] if NAME in alert["metric_path"]}

    async def until_told(self, **levels: str) -> None:
        wanted = {f"watched_processes.{NAME}.{metric}": level for metric, level in levels.items()}

        async def is_told() -> bool:
            return await self.alerts() == wanted

        await eventually(is_told, WITHIN, f"the alerts are {wanted}")


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    made = Service(tmp_path)
    yield made
    await made.stop()


async def test_a_process_is_watched_from_its_start_over_a_restart_to_its_end(tmp_path: Path, service: Service) -> None:
    daemon = Daemon(tmp_path / "daemon")
    agent = Agent(tmp_path / "agent", daemon.url, "web-1")
    watch = Watch(daemon)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(daemon)
        await stack.enter_async_context(agent)

        async def linked() -> bool:
            host = await daemon.host("web-1")
            return host is not None and bool(host["link"])

        await eventually(linked, WITHIN, "the agent is connected")
        status, made = await watch.ask("POST", process_name=NAME, alert_on_restart=True)
        assert (status, made["process"]["status"]) == (201, "pending")
        number = made["process"]["id"]
        await watch.until(number, status="down", last_count=0)
        await watch.until_told(count="CRITICAL")

        await service.start()
        seen = await watch.until(number, status="up", last_count=1)
        assert seen["last_memory_pct"] >= 0
        await watch.until_told()

        await service.stop()
        await service.start()
        await watch.until(number, status="alerting", alerted_state="restart", restarts=1)
        await watch.until_told(restarts="WARNING")

        await daemon.stop(10)
        await daemon.start()
        await eventually(linked, WITHIN, "the agent is back")
        await watch.until(number, status="alerting", restarts=1)
        await service.stop()
        await watch.until(number, status="down", alerted_state="down")
        await watch.until_told(count="CRITICAL", restarts="WARNING")

        assert await watch.ask("DELETE", f"/{number}") == (200, {"ok": True})
        await watch.until_told()
        assert "Traceback" not in daemon.text + agent.text
