"""A disk that is soon full, for programs that run in its mount namespace: nobody else sees it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

MOUNT = 'mount -t tmpfs -o "size=$1,mode=0700" tmpfs "$2" && echo mounted && read -r _'


class SmallDisk:
    """folder: where programs have it. within: the command that runs another one there."""

    def __init__(self, folder: Path, holder: int) -> None:
        self.folder = folder
        self.within: Sequence[str] = (
            *("nsenter", "--preserve-credentials", "--user", "--mount", "--target"),
            *(str(holder), "--wd=/", "--"),
        )
        self._root = Path(f"/proc/{holder}/root")
        self._filling: asyncio.Task[None] | None = None

    def seen(self, name: str) -> Path:
        """A file on it, for who is not there."""
        return self._root / self.folder.relative_to("/") / name

    def free(self) -> int:
        """Bytes that may still be written to it."""
        found = os.statvfs(self.seen(""))
        return found.f_bavail * found.f_frsize

    def fill(self) -> None:
        """Have something take all of it, and whatever becomes free."""
        self._fill()
        self._filling = asyncio.create_task(self._keep_filling())

    def empty(self) -> None:
        """Have that gone again."""
        self.stop()
        self.seen("filling").unlink()

    def stop(self) -> None:
        """Take no more."""
        if self._filling is not None:
            self._filling.cancel()

    def _fill(self) -> None:
        with self.seen("filling").open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(min(1 << 20, max(4096, self.free()))))

    async def _keep_filling(self) -> None:
        while True:
            self._fill()
            await asyncio.sleep(0.01)


@asynccontextmanager
async def small_disk(folder: Path, size: str) -> AsyncIterator[SmallDisk]:
    """size: in the words of ``mount``, such as ``64m``."""
    folder.mkdir()
    try:
        holder = await asyncio.create_subprocess_exec(
            *("unshare", "--map-root-user", "--mount", "sh", "-c", MOUNT, "sh", size, str(folder)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError:
        pytest.fail("unshare and nsenter (of util-linux) are needed")
    assert holder.stdin is not None and holder.stdout is not None
    try:
        if await holder.stdout.readline() != b"mounted\n":
            pytest.fail("this system lets us mount no file system of our own (unshare --map-root-user --mount)")
        disk = SmallDisk(folder, holder.pid)
        yield disk
        disk.stop()
    finally:
        holder.stdin.close()
        await holder.wait()
