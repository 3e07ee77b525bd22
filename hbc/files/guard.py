"""What is never opened, known by what it is and not by how it is called: a hard link or a mount is no way around."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
MOST_PROTECTED = 100_000  # names in protected folders that are looked at; beyond that no hard link is opened

_KERNEL = ("proc", "sysfs")
_OWN = "it belongs to the agent itself, which is protected"

Thing = tuple[int, int]
"""device, inode"""


class Guard:
    """As things are now; one is made for each path. protected: files, and folders with all that is in them."""

    def __init__(self, protected: Sequence[str]) -> None:
        self._things: set[Thing] = set()
        self._names: set[tuple[int, int, str]] = set()
        self._folders: list[Path] = []
        for path in map(Path, protected):
            if (found := stat_of(path)) is not None:
                if stat.S_ISDIR(found.st_mode) and thing(found) not in self._things:
                    self._folders.append(path)
                self._things.add(thing(found))
            if (folder := stat_of(path.parent)) is not None:
                self._names.add((*thing(folder), path.name))
        self._kernel = set(_kernel_devices())

    def objection(self, found: os.stat_result) -> str:
        """Why it is not opened; "" when nothing is against it."""
        if found.st_dev in self._kernel:  # environments and memory, the agent's own among them
            return "nothing of the kernel and of running processes is given out"
        if thing(found) in self._things:
            return _OWN
        if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
            return self._objection_to_link(found)
        return ""

    def objection_to_new(self, folder: os.stat_result, name: str) -> str:
        """The same for a name that may not be there yet."""
        return _OWN if (*thing(folder), name) in self._names else ""

    def _objection_to_link(self, found: os.stat_result) -> str:
        """The same for a file with more names than one, of which another may be in a protected folder."""
        for count, inode in enumerate(inode for folder in self._folders for inode in _inodes(folder)):
            if inode == found.st_ino:
                return _OWN
            if count == MOST_PROTECTED:
                return "it is a hard link, and too much is protected to tell whether to something of that"
        return ""


def stat_of(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def thing(found: os.stat_result) -> Thing:
    return found.st_dev, found.st_ino


def _inodes(folder: Path) -> Iterator[int]:
    """Of everything in a folder. Devices are left out: where two have the same inode, one file too many is refused."""
    waiting = [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    yield entry.inode()
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
        except OSError:  # it is gone, or not even the agent may look at it
            continue


def _kernel_devices() -> Iterable[int]:
    """Devices of the file systems that show the kernel and processes, wherever they are mounted."""
    if (processes := stat_of(Path("/proc"))) is not None:
        yield processes.st_dev
    try:
        mounts = MOUNTS.read_bytes()
    except OSError:
        return
    for line in mounts.splitlines():
        mount, _, system = line.partition(b" - ")
        if system.split(b" ", 1)[0].decode("ascii", "replace") in _KERNEL:
            major, _, minor = mount.split(b" ")[2].partition(b":")
            yield os.makedev(int(major), int(minor))
