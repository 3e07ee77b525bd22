"""Running the install script below a folder, as if that were the root of a machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

from hbd.remote import package
from hbd.remote.install_script import Server, script

KEY = "5e" * 32
NOWHERE = Server("http://127.0.0.1:9")
"""a daemon that nobody reaches"""

_WHOSE = 'if [ -n "$(find "$lib" -prune -user hbc 2>/dev/null)" ] && [ ! -O "$lib" ]; then'
SYSTEM_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"


@cache
def built() -> package.Package:
    return package.build()


class Machine:
    """A root directory below ``folder``, empty at first, and what the script makes of it.

    tools: a folder of programs that come before the machine's own. shell: what runs the script.
    """

    def __init__(self, folder: Path, *, shell: str = "/bin/sh") -> None:
        self.root = folder / "root"
        self.root.mkdir(parents=True)
        self.tools = folder / "tools"
        self.tools.mkdir()
        self.shell = shell
        self.package_file = folder / "hbc.pyz"
        self.package_file.write_bytes(built().data)
        self.script_file = folder / "install.sh"
        self.write(script(NOWHERE, built(), "web-1", KEY))

    def write(self, text: str) -> None:
        assert text.count(SYSTEM_PATH) == 1
        self.script_file.write_text(text.replace(SYSTEM_PATH, f"PATH={self.tools}:/usr/bin:/bin\n"))

    def own_package(self) -> None:
        """From now on the script takes the package and its folder to belong to the agent, as after --self-update."""
        text = self.script_file.read_text()
        assert text.count(_WHOSE) == 1
        self.script_file.write_text(text.replace(_WHOSE, "if true; then"))

    def tool(self, name: str, body: str) -> None:
        """Put a program in place of one of the machine's."""
        file = self.tools / name
        file.write_text(f"#!/bin/sh\n{body}\n")
        file.chmod(0o755)

    def run(self, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.shell, str(self.script_file), "--root", str(self.root), "--python", sys.executable, *options],
            cwd=self.root,
            env={"HOME": str(self.root), **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def install(self, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """With the package from a file, so that no daemon is needed."""
        return self.run("--package", str(self.package_file), *options, **environment)

    def path(self, absolute: str) -> Path:
        return self.root / absolute.lstrip("/")

    @property
    def files(self) -> set[str]:
        """All that lies there but what the running agent itself keeps."""
        found = (f"/{file.relative_to(self.root)}" for file in self.root.rglob("*") if not file.is_dir())
        return {file for file in found if not file.startswith("/var/lib/hbc/")}

    @property
    def pid(self) -> int | None:
        """Of the agent that the script has started, if it runs."""
        try:
            pid = int(self.path("/etc/hbc/hbc.pid").read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except FileNotFoundError:
            return None
        return pid if os.fsencode(self.path("/usr/local/lib/hbc/hbc.pyz")) in command else None

    def close(self) -> None:
        if (pid := self.pid) is not None:
            os.kill(pid, signal.SIGKILL)
