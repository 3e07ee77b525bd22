"""A whole daemon inside the test, and the place that it lives in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hbd import config as configuration
from hbd import control
from hbd.daemon import Daemon
from hbd.hosts import Host
from hbd.model import Data, Family, Moment, Report, Sample

RUN = "0123456789abcdef"
PATH = "cpu_monitor.cpu_percent"
RULES = """
threshold_configs:
  default:
    cpu_monitor:
      cpu_percent: {warning: 80, critical: 90, display: CPU}
"""


class House:
    """A folder with a config file and a database, and the daemon that lives there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "hbd.yaml"
        self.write("")
        self.daemon: Daemon | None = None

    def write(self, text: str) -> None:
        self.file.write_text(f"database: {self.folder}/hbd.db\nhbd_port: 0\nhb_port: 0\nws_port: 0\n{text}")
        self.file.chmod(0o600)

    async def start(self, text: str | None = None) -> Daemon:
        """text: of the config file; None: it stays."""
        if text is not None:
            self.write(text)
        daemon = Daemon(configuration.load(self.file))
        await daemon.start()
        self.daemon = daemon
        return daemon

    async def stop(self) -> None:
        if self.daemon is not None:
            await self.daemon.stop()
            self.daemon = None

    async def restart(self) -> Daemon:
        await self.stop()
        return await self.start()

    def ask(self, command: str, **arguments: Any) -> Any:
        """What the daemon answers to a command of the command line; to be awaited."""
        return asyncio.to_thread(control.ask, self.folder / "hbd.db", command, **arguments)


@pytest.fixture(name="house")
async def a_house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    yield made
    await made.stop()


async def report(
    daemon: Daemon, name: str = "web-1", seq: int = 1, plugin: str = "cpu_monitor", data: Data | None = None
) -> Host:
    """Have a host report; it is enrolled when it is new."""
    if daemon.hosts.get(name) is None:
        await daemon.enrolment.add(name)
    host, now = daemon.hosts.require(name), Moment.now()
    data = {"cpu_percent": float(seq)} if data is None else data
    body = msgspec.json.encode([{"plugin": plugin, "time": now.wall, "data": data}])
    sample = Sample(plugin, now.wall, data)
    await daemon.pipeline.accept(Report(host.id, RUN, seq, (sample,), body, 0.0, 10.0, Family.IPV4, "192.0.2.1"), now)
    return host
