"""The keys that the daemon shows other machines: private key files in one folder, named and never sent."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from hbd.config import Config
from hbd.errors import InvalidInput

USUAL = ("id_ed25519", "id_ecdsa", "id_rsa")
_HOME = "~/.ssh/"
_HEAD = b"PRIVATE KEY-----"
_HEAD_BYTES = 100
_MOST_NAMES = 100


def folder(config: Config) -> Path:
    return config.agents.ssh_keys or Path.home() / ".ssh"


def find(place: Path, wanted: str) -> Path:
    """The key file of that name, or with "" the first of the usual ones.

    wanted: a name, or that name behind ``~/.ssh/`` or the folder itself: whatever stands before it, the key is one of
    this folder. Raises InvalidInput for all else, and when there is no such file.
    """
    if not wanted:
        found = next((place / name for name in USUAL if (place / name).is_file()), None)
        if found is None:
            raise InvalidInput(f"there is none of {', '.join(USUAL)} in {place}; make one with ssh-keygen", "ssh_key")
        return found
    name = wanted.removeprefix(_HOME).removeprefix(f"{place}/")
    if "/" in name or name in ("", ".", "..") or not name.isprintable():
        raise InvalidInput(f"give the name of a key file in {place}", "ssh_key")
    if not (place / name).is_file():
        raise InvalidInput(f"there is no key file {name!r} in {place}", "ssh_key")
    return place / name


def names(place: Path) -> list[str]:
    """The private keys in the folder, the usual ones first. Nothing where it cannot be read."""
    try:
        entries = sorted(entry.name for entry in os.scandir(place) if entry.is_file())
    except OSError:
        return []
    found = [name for name in entries if _is_private_key(place / name)]
    return sorted(found, key=lambda name: (USUAL.index(name) if name in USUAL else len(USUAL), name))[:_MOST_NAMES]


def problem(file: Path) -> str:
    """Why this key is not to be used, "" when it is."""
    mode = file.stat().st_mode
    if stat.S_IMODE(mode) & 0o077:
        return f"{file}: others may read this key; run: chmod 600 {file}"
    return ""


def _is_private_key(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return _HEAD in opened.read(_HEAD_BYTES)
    except OSError:
        return False
