"""``hbd backup`` and ``hbd restore``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hbd.asking import ask, config_of, note


def add_commands(command: Callable[..., Any]) -> None:
    """command: makes a parser for a command."""
    made = command("backup", _backup, "copy the database to a file, also while hbd runs, and prove the copy")
    made.add_argument("file", metavar="FILE", type=Path, help="must not be there yet")
    restored = command("restore", _restore, "put a backup in the place of the database; hbd must not run")
    restored.add_argument("--force", action="store_true", help="replace a database that is there; it is kept beside")
    restored.add_argument("file", metavar="FILE", type=Path)


def _backup(options: argparse.Namespace) -> int:
    made = ask(options, "backup", path=str(options.file.absolute()))
    print(f"{made['path']}: {made['size'] / 2**20:.1f} MiB, {made['hosts']} hosts; checked, and whole")
    return 0


def _restore(options: argparse.Namespace) -> int:
    from hbd.backups import checksum_path, restore

    database = config_of(options).database
    if options.file.is_file() and not (noted := checksum_path(options.file)).exists():
        note(f"there is no {noted.name}: whether single values went bad since the backup was made cannot be seen")
    kept = restore(options.file, database, force=options.force)
    if kept is not None:
        note(f"what was there is kept as {kept}")
    print(f"{database}: restored from {options.file}")
    return 0
