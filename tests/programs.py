"""Real ``hbd`` and ``hbc`` processes for tests and benchmarks: start, ask, reload, stop, kill, start again."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import socket
import sqlite3
import ssl
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Self, TypeVar

import aiohttp
import yaml

SLOW = float(os.environ.get("HBD_TEST_SLOW", "1"))
"""every deadline is multiplied by this"""

T = TypeVar("T")


async def eventually(condition: Callable[[], Awaitable[T]], seconds: float, what: str) -> T:
    """The first true value that ``condition`` gives. Raises AssertionError when there is none in time."""
    deadline = time.monotonic() + seconds * SLOW
    while True:
        value = await condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds * SLOW:g} s: {what}")
        await asyncio.sleep(0.02)


def free_port() -> int:
    """A port that nobody listens on, TCP and UDP, IPv4 and IPv6.

    Below the range that outgoing connections take theirs from: an agent that tries to reach a daemon that is down
    would else now and then be given that very port, and find itself connected to itself.
    """
    while True:
        port = random.randrange(10_000, 32_000)
        try:
            for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    if family == socket.AF_INET or ipv6_works():
                        with socket.socket(family, kind) as probe:
                            probe.bind((address, port))
        except OSError:
            continue
        return port


def ipv6_works() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


class Program:
    """One program of ours in a process group of its own. What it prints goes to ``output``, over all its runs."""

    def __init__(self, module: str, arguments: Sequence[str], folder: Path) -> None:
        self.folder = folder
        self.output = folder / f"{module}.log"
        self.within: Sequence[str] = ()
        """a command that runs another one somewhere else, such as in a network of its own"""
        self._command = [sys.executable, "-m", module, *arguments]
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def text(self) -> str:
        return self.output.read_text("utf-8", "replace")

    async def start(self) -> None:
        """Start it anew; it must not be running."""
        # Nothing of the person who runs the tests: no home, no settings.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HBD_", "HBC_", "XDG_"))}
        with self.output.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *self.within,
                *self._command,
                cwd=self.folder,
                env=kept | {"HOME": str(self.folder), "STATE_DIRECTORY": str(self.folder)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def ended(self, seconds: float) -> int:
        """The exit code. Raises AssertionError when it still runs after that time."""
        assert self._process is not None
        try:
            async with asyncio.timeout(seconds * SLOW):
                return await self._process.wait()
        except TimeoutError:
            raise AssertionError(f"still running after {seconds * SLOW:g} s:\n{self.text}") from None

    async def stop(self, seconds: float = 5.0) -> int:
        """SIGTERM, and the exit code."""
        self.signal(signal.SIGTERM)
        return await self.ended(seconds)

    async def kill(self) -> None:
        """SIGKILL for the program and for whatever it started."""
        if self._process is not None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            await self._process.wait()

    async def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None


class Daemon(Program):
    """``hbd run`` with a database and ports of its own, the same ones at every start."""

    def __init__(self, folder: Path, *options: str, **settings: Any) -> None:
        """settings: keys of the config file beside those that are set here; options: of ``hbd run``."""
        folder.mkdir(exist_ok=True)
        self.config_file = folder / "hbd.yaml"
        self.authority: Path | None = None
        """the certificate authority that vouches for it, with ``hbd_tls``"""
        super().__init__("hbd", ["run", "-c", str(self.config_file), *options], folder)
        self.settings: dict[str, Any] = {
            "database": str(folder / "hbd.db"),
            "ballast": 0,
            "hbd_port": free_port(),
            "hb_port": free_port(),
            "ws_port": free_port(),
        }
        self.configure(**settings)

    @property
    def database(self) -> Path:
        return Path(self.settings["database"])

    @property
    def url(self) -> str:
        """Where it serves; with ``hbd_port: 0`` what it printed, "" before that."""
        if port := self.settings["hbd_port"]:
            return f"{'https' if self.settings.get('hbd_tls') else 'http'}://127.0.0.1:{port}"
        return next((url.rstrip("/") for url in self.printed_urls() if url.startswith("http")), "")

    def printed_urls(self) -> list[str]:
        return re.findall(r"\b(?:https?|wss?|udp)://\S+", self.text)

    def configure(self, **settings: Any) -> None:
        """Write the config file with these settings added."""
        self.settings |= settings
        self.config_file.write_text(yaml.safe_dump(self.settings), "utf-8")

    async def start(self, *, ready: bool = True) -> None:
        """Start it anew; ready: and wait until it takes reports."""
        await super().start()
        if ready:
            await self.ready()

    async def ready(self) -> None:
        async def answers() -> bool:
            if not await self.alive():
                raise AssertionError(f"the daemon has ended:\n{self.text}")
            return await self.fetch("/readyz") is not None

        await eventually(answers, 20, "the daemon is ready")

    async def fetch(self, path: str) -> Any:
        """The JSON (or text) at path; None while nothing but an error comes."""
        if not self.url:
            return None
        timeout = aiohttp.ClientTimeout(total=5 * SLOW)
        trusted = ssl.create_default_context(cafile=self.authority)
        try:
            async with aiohttp.request("GET", self.url + path, timeout=timeout, ssl=trusted) as answer:
                if answer.status != 200:
                    return None
                return await (answer.json() if answer.content_type == "application/json" else answer.text())
        except (aiohttp.ClientError, TimeoutError):
            return None

    async def host(self, name: str) -> Any:
        """The entry of ``/api/0/hosts`` for that host, None when there is none."""
        return next((host for host in await self.fetch("/api/0/hosts") or () if host["name"] == name), None)


class Agent(Program):
    """``hbc run`` with a queue and a state of its own."""

    def __init__(self, folder: Path, url: str, name: str, **settings: Any) -> None:
        """settings: keys of the config file beside those that are set here."""
        folder.mkdir(mode=0o700, exist_ok=True)
        config_file = folder / "hbc.yaml"
        super().__init__("hbc", ["run", "-c", str(config_file)], folder)
        self.name = name
        self.spool = folder / "spool"
        chosen = {"server": url, "name": name, "interval": 1, "spool": {"path": str(self.spool)}}
        config_file.write_text(yaml.safe_dump(chosen | settings), "utf-8")
        config_file.chmod(0o600)  # what others may write to allows nothing

    def spooled_bytes(self) -> int:
        return sum(file.stat().st_size for file in self.spool.iterdir())


def stored_reports(database: Path) -> list[tuple[str, str, int]]:
    """(host name, run id, seq) of every report on disk, folded or not; one that is there twice comes twice."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        found: list[tuple[str, str, int]] = db.execute(
            "SELECT name, run_id, seq FROM samples JOIN hosts ON hosts.id = host_id"
        ).fetchall()
        found += db.execute(
            "WITH RECURSIVE folded AS ("
            " SELECT name, run_id, json_extract(value, '$[0]') AS seq, json_extract(value, '$[1]') AS last"
            " FROM sequences JOIN hosts ON hosts.id = host_id, json_each(ranges)"
            " UNION ALL SELECT name, run_id, seq + 1, last FROM folded WHERE seq < last)"
            " SELECT name, run_id, seq FROM folded"
        ).fetchall()
    return found


def stored_samples(database: Path) -> dict[tuple[int, str], int]:
    """How many samples are on disk by (host id, plugin), folded or not."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        rows = db.execute(
            "SELECT host_id, plugin, sum(count) FROM ("
            " SELECT host_id, plugin, count FROM chunks UNION ALL"
            " SELECT host_id, json_extract(value, '$.plugin') AS plugin, 1 FROM samples, json_each(CAST(body AS TEXT)))"
            " GROUP BY host_id, plugin"
        )
        return {(host_id, plugin): count for host_id, plugin, count in rows}


def twice(reports: Iterable[tuple[str, str, int]]) -> set[tuple[str, str, int]]:
    """Those that are in it more than once."""
    return {report for report, times in Counter(reports).items() if times > 1}
