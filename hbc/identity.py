"""Who this agent is: its state directory, its key, and which start of which boot this is."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from hbc.config import key_text
from hbc.wire import key_hash

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_FILE_CHARACTERS = 1024  # of a file that holds one short word


class KeyProblem(Exception):
    """The key file cannot be used; says why in words."""


class Identity:
    """run_id names this start for ever. event: ``booted`` when the machine booted since the last start."""

    def __init__(self, state: Path, key: str | None, key_file: Path, source: str = "") -> None:
        """key: None while not enrolled. key_file: where a key that the daemon hands out is kept.

        source: where the key comes from, in words; "": from key_file.
        """
        self.run_id = secrets.token_hex(8)
        self.boot_id = boot_id()
        self.event: Literal["booted", "started"] = "started"
        self.key = key
        self.key_hash = None if key is None else key_hash(key)
        self.state = state
        self._key_file = key_file
        self._source = source or str(key_file)
        self._boot_file = state / "boot_id"

    @property
    def about_key(self) -> str:
        """Whether there is a key and where it comes from, for the log."""
        return f"no key in {self._key_file}" if self.key is None else f"the key is from {self._source}"

    def note_start(self) -> None:
        """Compare with the boot of the last start and remember this one. Raises OSError."""
        try:
            with open(self._boot_file, errors="replace", opener=_regular) as file:
                before = file.read(_FILE_CHARACTERS).strip()
        except FileNotFoundError:
            before = ""
        if before == self.boot_id:
            return
        if before:
            self.event = "booted"
        write_private(self._boot_file, self.boot_id)

    def enrolled(self, key: str) -> None:
        """The daemon gave us a key. Raises ValueError when it is none, OSError when it cannot be kept for later."""
        key_text(key)
        self.key, self.key_hash = key, key_hash(key)
        self._source = str(self._key_file)
        write_private(self._key_file, key)


def state_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the agent keeps what must outlive it, made if need be. Raises OSError.

    $STATE_DIRECTORY (systemd gives it), as root /var/lib/hbc, else ``hbc`` in the user's state directory.
    """
    given = environment.get("STATE_DIRECTORY", "").partition(":")[0]
    home = Path(environment.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "hbc"
    if given:
        folder = Path(given)
    elif os.geteuid() == 0:
        folder = Path("/var/lib/hbc")
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            folder = home
    else:
        folder = home
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def read_key(path: Path) -> str | None:
    """The key in a file, None when there is no file. Raises KeyProblem."""
    try:
        with open(path, opener=_regular) as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(_FILE_CHARACTERS).strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeyProblem(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise KeyProblem(f"{path}: {error}") from None
    if mode & 0o077:
        raise KeyProblem(f"{path}: others may read it (mode {mode:04o}); run: chmod 600 {path}")
    try:
        return key_text(text)
    except ValueError as error:
        raise KeyProblem(f"{path}: {error}") from None


def _regular(path: str, flags: int) -> int:
    """An opener that refuses what could keep the start waiting for ever: a pipe, a terminal. Raises OSError."""
    file = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return file


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user may read, whole or not at all. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "w") as out:
            out.write(text + "\n")
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def boot_id() -> str:
    """The same until the machine boots again."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        import psutil

        return f"boot-{int(psutil.boot_time() // 60)}"
