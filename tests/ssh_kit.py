"""A real OpenSSH server on loopback, which lets in the user who runs the tests, to a home of its own."""

from __future__ import annotations

import asyncio
import getpass
import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Self

from programs import SLOW, eventually, free_port

from hbd.remote.ssh import Target

# What comes over the connection is run with another home, and a PATH in which a Python without packages comes first.
_FORCED = """#!/bin/sh
HOME={home} PATH={tools}:/usr/bin:/bin
export HOME PATH
unset XDG_CONFIG_HOME XDG_DATA_HOME XDG_STATE_HOME XDG_RUNTIME_DIR DBUS_SESSION_BUS_ADDRESS
cd
printf '%s\\n' "$SSH_ORIGINAL_COMMAND" >>{commands}
if [ "$(cat {cut})" = "$(wc -l <{commands})" ]; then
    head -c "$(cat {cut_bytes})" | /bin/sh -c "$SSH_ORIGINAL_COMMAND" >/dev/null 2>&1
    kill -KILL $PPID
fi
case $SSH_ORIGINAL_COMMAND in
    *" -s --"*) sed 's|^PATH=/usr.*|PATH={tools}:/usr/bin:/bin|' | /bin/sh -c "$SSH_ORIGINAL_COMMAND" ;;
    *) exec /bin/sh -c "$SSH_ORIGINAL_COMMAND" ;;
esac
"""
_CONFIG = """ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
ForceCommand {folder}/forced
"""


class SshServer:
    """keys: the folder of the key that opens it. home: where what is installed lands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.tools = folder / "tools"
        self.keys = folder / "keys"
        self.commands_file = folder / "commands"
        self.port = free_port()
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        for path in (self.folder, self.home, self.tools, self.keys):
            path.mkdir(exist_ok=True)
        (self.tools / "python3").symlink_to(Path(sys.executable).resolve())
        await self.make_key(self.keys / "id_ed25519")
        await self.make_key(self.folder / "host_key")
        shutil.copy(self.keys / "id_ed25519.pub", self.folder / "authorized_keys")
        forced = self.folder / "forced"
        self.cut(0, 0)
        names = {"home": self.home, "tools": self.tools, "commands": self.commands_file}
        forced.write_text(_FORCED.format(**names, cut=self.folder / "cut", cut_bytes=self.folder / "cut_bytes"))
        forced.chmod(0o755)
        (self.folder / "sshd_config").write_text(_CONFIG.format(folder=self.folder, port=self.port))
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        with suppress(FileNotFoundError, ValueError, ProcessLookupError):
            os.kill(int((self.home / ".config/hbc/hbc.pid").read_text()), signal.SIGKILL)

    @property
    def commands(self) -> list[str]:
        """What was run over connections so far."""
        return self.commands_file.read_text().splitlines() if self.commands_file.exists() else []

    def cut(self, command: int, bytes: int) -> None:
        """Break the connection of that command, the first is 1, after so much of what it is given."""
        (self.folder / "cut").write_text(f"{command}\n")
        (self.folder / "cut_bytes").write_text(f"{bytes}\n")

    @property
    def target(self) -> Target:
        return Target("127.0.0.1", self.port, getpass.getuser(), self.keys / "id_ed25519")

    async def start(self) -> None:
        sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        assert sshd is not None, "install openssh-server"
        with (self.folder / "sshd.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sshd, "-D", "-e", "-f", str(self.folder / "sshd_config")), stdin=-3, stdout=log, stderr=log
            )

        async def answers() -> bool:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return True
            return False

        await eventually(answers, 10, "sshd listens")

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await asyncio.wait_for(self._process.wait(), 10 * SLOW)

    async def another_host_key(self) -> None:
        """As after the machine was installed anew, or when it is another one."""
        await self.stop()
        for file in self.folder.glob("host_key*"):
            file.unlink()
        await self.make_key(self.folder / "host_key")
        await self.start()

    async def fingerprint(self) -> str:
        """Of the host key, as ssh-keygen shows it."""
        asked = await asyncio.create_subprocess_exec(
            *("ssh-keygen", "-l", "-f", str(self.folder / "host_key.pub")), stdout=asyncio.subprocess.PIPE
        )
        told, _ = await asked.communicate()
        return told.split()[1].decode()

    @staticmethod
    async def make_key(file: Path) -> None:
        made = await asyncio.create_subprocess_exec(
            *("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "tests", "-f", str(file)), stdin=-3
        )
        assert await made.wait() == 0
