"""One file going out or coming in, and what is in a folder. All of it blocks; callers use a thread.

What comes in is kept beside its target under a name of its own until it is complete, and then takes the target's place
in one step: under the real name there is the old file or the new one, never half of either.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import stat
import time
from itertools import islice
from pathlib import PurePosixPath
from typing import TypedDict

from hbc.files.beneath import Beneath, Place, Refusal, check_name, refusal_of

MOST_ENTRIES = 10_000  # of a folder that is listed
KEPT_SECONDS = 24 * 3600.0  # what an upload left behind can be gone on with
_PART = ".hbd-upload-"
_KEY = re.compile(r"[0-9a-f]{32}")
_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}


class Listed(TypedDict):
    """modified: Unix seconds. mode: as ``0644``."""

    name: str
    type: str
    size: int
    modified: int
    mode: str


class Download:
    """A file as it is now: what is added to it later is not sent."""

    def __init__(self, beneath: Beneath, path: str, most: int) -> None:
        """most: bytes. Raises Refusal."""
        self._fd, found = beneath.file(path)
        self.size = found.st_size
        self.modified = found.st_mtime
        self.etag = f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"
        if self.size > most:
            self.close()
            raise Refusal("large", f"{self.size} bytes are more than this host gives out ({most})")

    def read(self, offset: int, most: int) -> bytes:
        """Raises Refusal when the file has become shorter."""
        try:
            data = os.pread(self._fd, most, offset)
        except OSError as error:
            raise refusal_of(error) from None
        if not data:
            raise Refusal("failed", "the file became shorter while it was sent")
        return data

    def close(self) -> None:
        os.close(self._fd)


class Upload:
    """A file that comes in. key: 32 hex characters that name it while it is incomplete; "" when it cannot be gone on
    with. offset: bytes that are here."""

    def __init__(self, beneath: Beneath, dest: str, *, name: str, key: str, offset: int, most: int) -> None:
        """name: for a ``dest`` that is a folder. offset: where it is to go on. most: bytes. Raises Refusal."""
        if key and not _KEY.fullmatch(key):
            raise Refusal("denied", "that is no key of an upload")
        self.path, self._place = _target(beneath, dest, name)
        self._most = most
        self._keep = bool(key)
        self._fd = -1
        self._closed = False
        self._part = _part_name(key or os.urandom(16).hex(), self._place.name)
        try:
            self._mode, self._owner = _mode_of(self._place)
            _sweep(self._place.folder, time.time())
            self._fd = _open_part(self._place.folder, self._part)
            here = os.fstat(self._fd).st_size
            if not 0 <= offset <= here:
                raise Refusal("conflict", f"offset: {here} bytes are here")
            os.ftruncate(self._fd, offset)
        except OSError as error:
            self.close()
            raise refusal_of(error) from None
        except BaseException:
            self.close()
            raise
        self.offset = offset

    def write(self, data: bytes) -> None:
        """Raises Refusal when it becomes too large or the disk does not take it."""
        if self.offset + len(data) > self._most:
            self._keep = False
            raise Refusal("large", f"more than this host takes ({self._most} bytes)")
        try:
            while data:
                written = os.pwrite(self._fd, data, self.offset)
                self.offset += written
                data = data[written:]
        except OSError as error:
            raise refusal_of(error) from None

    def finish(self) -> None:
        """All is here: put it in the target's place. Raises Refusal, and the old file is as it was."""
        folder, name = self._place.folder, self._place.name
        try:
            os.fchmod(self._fd, self._mode)
            if self._owner is not None and os.geteuid() == 0:
                os.fchown(self._fd, *self._owner)
            os.fsync(self._fd)
            _mode_of(self._place)  # what is there may have changed since
            os.rename(self._part, name, src_dir_fd=folder, dst_dir_fd=folder)
            self._part = ""
            _sync_folder(folder)
        except OSError as error:
            raise refusal_of(error) from None

    def close(self) -> None:
        """Let go. What is incomplete is kept when it can be gone on with. A second call changes nothing."""
        if self._closed:
            return
        self._closed = True
        if self._part and self._fd >= 0 and not self._keep:
            try:
                os.unlink(self._part, dir_fd=self._place.folder)
            except OSError:
                pass
        if self._fd >= 0:
            os.close(self._fd)
        self._place.close()


def arrived(beneath: Beneath, dest: str, key: str) -> int:
    """Bytes of an incomplete upload that are here. Raises Refusal."""
    _, place = _target(beneath, dest, "")
    try:
        found = os.stat(_part_name(key, place.name), dir_fd=place.folder, follow_symlinks=False)
        return found.st_size if stat.S_ISREG(found.st_mode) else 0
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise refusal_of(error) from None
    finally:
        place.close()


def listing(beneath: Beneath, path: str) -> tuple[list[Listed], bool, bool]:
    """What is in a folder, folders first; whether it was too much to tell all; whether files may be written there.

    Raises Refusal.
    """
    fd, root = beneath.folder(path)
    entries: list[Listed] = []
    try:
        with os.scandir(fd) as found:
            for entry in found:
                if len(entries) == MOST_ENTRIES:
                    return _sorted(entries), True, root.writable
                if entry.name.startswith(_PART):
                    continue
                try:
                    entries.append(_listed(entry.name, entry.stat(follow_symlinks=False)))
                except FileNotFoundError:
                    continue  # gone meanwhile
    except OSError as error:
        raise refusal_of(error) from None
    finally:
        os.close(fd)
    return _sorted(entries), False, root.writable


def _sorted(entries: list[Listed]) -> list[Listed]:
    return sorted(entries, key=lambda entry: (entry["type"] != "folder", entry["name"].casefold()))


def _listed(name: str, found: os.stat_result) -> Listed:
    return Listed(
        name=os.fsencode(name).decode("utf-8", "backslashreplace"),
        type=_KINDS.get(stat.S_IFMT(found.st_mode), "other"),
        size=found.st_size,
        modified=int(found.st_mtime),
        mode=f"{stat.S_IMODE(found.st_mode):04o}",
    )


def _target(beneath: Beneath, dest: str, name: str) -> tuple[str, Place]:
    """The file that ``dest`` means: itself, or ``name`` in it when it is a folder. Its path, and its place."""
    if not dest.endswith("/"):
        check_name(PurePosixPath(dest).name)
        place = _writable(beneath, dest)
        if not _is_folder(place):
            return dest, place
        place.close()
    check_name(name)
    path = f"{dest.rstrip('/')}/{name}"
    place = _writable(beneath, path)
    if _is_folder(place):
        place.close()
        raise Refusal("denied", "there is a folder of that name")
    return path, place


def _writable(beneath: Beneath, path: str) -> Place:
    place = beneath.place(path, new=True)
    if not place.root.writable:
        place.close()
        raise Refusal("denied", "files may be read there, not written")
    return place


def _is_folder(place: Place) -> bool:
    try:
        return stat.S_ISDIR(os.stat(place.name, dir_fd=place.folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False
    except OSError as error:
        place.close()
        raise refusal_of(error) from None


def _mode_of(place: Place) -> tuple[int, tuple[int, int] | None]:
    """Permissions (never setuid and the like) and owner that the new file gets: the old one's. Raises Refusal."""
    try:
        found = os.stat(place.name, dir_fd=place.folder, follow_symlinks=False)
    except FileNotFoundError:
        return 0o644, None
    if not stat.S_ISREG(found.st_mode):
        raise Refusal("denied", "there is something of that name that is no plain file")
    return found.st_mode & 0o777, (found.st_uid, found.st_gid)


def _part_name(key: str, name: str) -> str:
    """What a file is called as long as it is incomplete."""
    return _PART + hashlib.sha256(f"{key}/{name}".encode()).hexdigest()[:32]


def _open_part(folder: int, part: str) -> int:
    """What came of an upload so far, or a new file. Raises OSError, or Refusal when somebody else has put it there."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(part, flags | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
    except FileExistsError:
        fd = os.open(part, flags, dir_fd=folder)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_uid != os.geteuid():
            raise Refusal("denied", "what is there of this upload is not the agent's own")
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise Refusal("busy", "this upload is going on already") from None
    except BaseException:
        os.close(fd)
        raise
    return fd


def _sweep(folder: int, now: float) -> None:
    """Remove what uploads left behind in this folder long ago."""
    fd = _readable(folder)
    try:
        with os.scandir(fd) as found:
            old = [entry.name for entry in islice(found, MOST_ENTRIES) if _is_old_part(entry, now)]
        for name in old:
            os.unlink(name, dir_fd=folder)
    finally:
        os.close(fd)


def _is_old_part(entry: os.DirEntry[str], now: float) -> bool:
    if not entry.name.startswith(_PART):
        return False
    try:
        return entry.stat(follow_symlinks=False).st_mtime < now - KEPT_SECONDS
    except OSError:
        return False


def _sync_folder(folder: int) -> None:
    fd = _readable(folder)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _readable(folder: int) -> int:
    """A folder that is only held, opened for reading."""
    return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
