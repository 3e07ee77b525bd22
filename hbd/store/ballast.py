"""Room on the disk that is kept for bad days: a file beside the database that nothing is in, given up when the disk is
full, so that what has to be written still can be."""

from __future__ import annotations

import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)

SPARE_BYTES = 16 << 20  # that must be free beside the ballast: a disk that lacks them is still full


class Ballast:
    """The file of one database. Nothing here waits for anything but the disk; see ``Database`` for the thread."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(f"{database.name}.ballast")

    def size(self) -> int:
        """Bytes of it; 0 when there is none."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def make(self, size: int, *, beside: int = SPARE_BYTES) -> bool:
        """Have it take so many bytes of the disk (0: none). Whether it does, and so many are free beside it.

        Without room it stays as large as it was. The room is taken for a moment to see that it can be: a quota ends
        before the disk does.
        """
        before = self.size()
        try:
            if free_bytes(self.path.parent) < size - before + beside:
                return False
            descriptor = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            log.debug("no ballast can be made: %s", error)
            return False
        made = False
        try:
            os.posix_fallocate(descriptor, 0, size + beside)
            made = True
        except OSError as error:
            log.debug("no ballast can be made: %s", error)
        finally:
            kept = size if made else before
            os.ftruncate(descriptor, kept)
            os.close(descriptor)
            if not kept:
                self.path.unlink(missing_ok=True)
        return made

    def give_up(self) -> int:
        """Let the disk have it; how many bytes there were."""
        size = self.size()
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            log.error("the ballast cannot be given up: %s", error)
            return 0
        return size


def free_bytes(folder: Path) -> int:
    """What may still be written to the file system of a folder. Raises OSError."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
