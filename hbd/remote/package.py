"""The agent as one file that Python runs: hbc with the two pure libraries it needs, packed by the daemon from what it
runs itself, so that a host needs nothing but Python and the way to its daemon.

The same sources give the same bytes, whatever the machine and the day.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.metadata
import importlib.util
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hbc import __version__
from hbd.errors import HbdError

PYTHON = (3, 11)
"""the oldest Python that runs it"""

_PACKAGES = ("hbc", "websockets", "yaml")
_LIBRARIES = {"websockets": "websockets", "yaml": "pyyaml"}
"""package → its distribution, whose licence has to go with it"""
_MAIN = "import sys\n\nfrom hbc.cli import main\n\nsys.exit(main())\n"
_DAY = (1980, 1, 1, 0, 0, 0)  # the first that a zip file can name


class PackageProblem(HbdError):
    """A part of the package is not where it should be, in an installation of hbd that is not whole."""


@dataclass(frozen=True)
class Package:
    """data: the zip file. digest: its SHA-256, 64 hex characters. version: that of hbc in it."""

    data: bytes
    digest: str
    version: str


class Packages:
    """The package of this daemon, built when somebody first wants it."""

    def __init__(self) -> None:
        self._package: Package | None = None
        self._building = asyncio.Lock()

    async def get(self) -> Package:
        """Raises PackageProblem."""
        async with self._building:
            if self._package is None:
                self._package = await asyncio.to_thread(build)
            return self._package

    async def named(self) -> dict[str, str]:
        """What the command ``update_agent`` tells an agent of it."""
        package = await self.get()
        return {"version": package.version, "sha256": package.digest}


def build() -> Package:
    """Reads some hundred files: call it in a thread. Raises PackageProblem."""
    content = dict(sorted([("__main__.py", _MAIN.encode()), *_modules(), *_licences()]))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in content.items():
            entry = zipfile.ZipInfo(name, _DAY)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, wherever it is made
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, data)
    whole = packed.getvalue()
    return Package(whole, hashlib.sha256(whole).hexdigest(), __version__)


def _modules() -> Iterator[tuple[str, bytes]]:
    """Every module of the packages by its path. What is compiled stays behind: all of it can be done without."""
    for package in _PACKAGES:
        found = importlib.util.find_spec(package)
        if found is None or found.origin is None:
            raise PackageProblem(f"the package {package} is not installed beside hbd")
        root = Path(found.origin).parent
        for file in root.rglob("*.py"):
            yield f"{package}/{file.relative_to(root).as_posix()}", file.read_bytes()


def _licences() -> Iterator[tuple[str, bytes]]:
    for package, distribution in _LIBRARIES.items():
        for file in importlib.metadata.files(distribution) or ():
            if "LICENSE" in file.name.upper():
                yield f"licences/{package}.txt", file.read_binary()
