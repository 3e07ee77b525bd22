"""``hbd run --with-agent``: an hbc for this machine, in a child process, kept running."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from pathlib import Path

from hbd.enrolment import Enrolment
from hbd.hosts import Hosts
from hbd.model import Moment, is_host_name
from hbd.store.database import make_private_folder

log = logging.getLogger(__name__)

STOP_SECONDS = 3.0
RESTART_SECONDS = (1.0, 2.0, 5.0, 15.0, 60.0)

# On Linux the child ends with us, also when we are killed: an agent without its daemon would hold on to its spool.
_START = (
    "import sys, signal, os\n"
    "if sys.platform == 'linux':\n"
    "    import ctypes\n"
    "    ctypes.CDLL(None).prctl(1, signal.SIGTERM)\n"
    "    if os.getppid() != int(sys.argv.pop(1)): sys.exit(0)\n"
    "else:\n"
    "    sys.argv.pop(1)\n"
    "from runpy import run_module\n"
    "run_module('hbc', run_name='__main__', alter_sys=True)\n"
)


class Companion:
    """The agent beside the daemon. Its key and its queue lie in ``agent/`` beside the database."""

    def __init__(self, database: Path, enrolment: Enrolment, hosts: Hosts) -> None:
        self._folder = database.parent / "agent"
        self._enrolment = enrolment
        self._hosts = hosts
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._pinned: Path | None = None  # what the agent trusts, where the daemon speaks TLS

    async def start(self, server: str, certificate: str | None = None) -> None:
        """Give it a key if it has none that works, and start it.

        server: URL of this daemon. certificate: the one that it serves there, PEM; the agent trusts no other, and asks
        for no name, which 127.0.0.1 seldom is.
        """
        make_private_folder(self._folder)
        if certificate is not None:
            self._pinned = self._folder / "server.pem"
            self.pin(certificate)
        key_file = self._folder / "key"
        await self._ensure_key(key_file)
        self._task = asyncio.create_task(self._keep_running(server, key_file))

    def pin(self, certificate: str) -> None:
        """The daemon serves another certificate from now on; the agent reads it at its next connection."""
        if self._pinned is None:
            return
        try:
            _write(self._pinned, certificate)
        except OSError as error:
            log.error("the agent beside the daemon cannot be told the new certificate: %s", error)

    async def stop(self) -> None:
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _ensure_key(self, key_file: Path) -> None:
        name = machine_name()
        if self._enrolment.host_of(_read(key_file), Moment.now().wall) is not None:
            return
        known = self._hosts.get(name)
        if known is not None and self._enrolment.has_key(known):
            key = await self._enrolment.rotate(known)
        else:
            key = await self._enrolment.add(name)
        _write(key_file, key)

    async def _keep_running(self, server: str, key_file: Path) -> None:
        starts = 0
        while True:
            loop = asyncio.get_running_loop()
            began = loop.time()
            try:
                self._process = await self._spawn(server, key_file)
                code = await self._process.wait()
                how = f"ended ({signal.Signals(-code).name if code < 0 else f'code {code}'})"
            except OSError as error:
                how = f"could not be started ({error})"
            starts = 0 if loop.time() - began > RESTART_SECONDS[-1] else starts + 1
            pause = RESTART_SECONDS[min(starts, len(RESTART_SECONDS) - 1)]
            log.error("the agent %s; starting it again in %g s", how, pause)
            await asyncio.sleep(pause)

    async def _spawn(self, server: str, key_file: Path) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _START, str(os.getpid()), "run", "--server", server),
            *("--key-file", str(key_file), "--name", machine_name()),
            *(("--pin-file", str(self._pinned)) if self._pinned else ()),
            stdin=asyncio.subprocess.DEVNULL,
            env=os.environ | {"STATE_DIRECTORY": str(self._folder)},
        )


def _read(key_file: Path) -> str:
    """The key in a file; "" when there is none."""
    try:
        return key_file.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return ""


def _write(path: Path, text: str) -> None:
    """Put a file in place whole, for this user alone."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(text + "\n")
    fresh.replace(path)


def machine_name() -> str:
    """The host name of this machine, as far as it can name a host."""
    name = socket.gethostname()
    return name if is_host_name(name) else "localhost"
