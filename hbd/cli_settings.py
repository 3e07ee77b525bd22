"""``hbd export`` and ``hbd import``: the settings that are in the database, as YAML."""

from __future__ import annotations

import argparse
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hbd.asking import ask, caller, change, note
from hbd.config import MAX_FILE_BYTES
from hbd.errors import HbdError


def add_commands(command: Callable[..., Any]) -> None:
    """command: makes a parser for a command."""
    made = command("export", _export, "print the settings that people made in hbd, not in the config, as YAML")
    made.add_argument(
        "--with-secrets", action="store_true", help="also hashes of passwords, secrets of channels, addresses of jobs"
    )
    made.add_argument("file", metavar="FILE", type=Path, nargs="?", help="write them there; replaces what is there")
    taken = command("import", _import, "bring in the settings of a file that export wrote, all of them or none")
    taken.epilog = (
        "What the file names becomes as the file says; what it does not name stays, or goes with --replace. "
        "Hosts are never removed."
    )
    taken.add_argument("--dry-run", action="store_true", help="only say what would be different")
    other = taken.add_mutually_exclusive_group()
    other.add_argument("--merge", action="store_true", help="keep what the file does not name; it is so anyway")
    other.add_argument("--replace", action="store_true", help="remove what the file does not name, section by section")
    taken.add_argument("file", metavar="FILE", type=Path)


def _export(options: argparse.Namespace) -> int:
    text: str = ask(options, "settings export", secrets=options.with_secrets, by=caller())
    if options.file is None:
        sys.stdout.write(text)
        return 0
    _write(options.file, text, private=options.with_secrets)
    note(f"wrote {options.file}" + ("; it holds secrets, and only you may read it" if options.with_secrets else ""))
    return 0


def _write(path: Path, text: str, *, private: bool) -> None:
    """All of it or nothing, and private from its first byte."""
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    mode = 0o600 if private else 0o666
    try:
        with os.fdopen(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "w", encoding="utf-8") as file:
            file.write(text)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _import(options: argparse.Namespace) -> int:
    asked = {"text": _text(options.file), "name": str(options.file), "removes": options.replace}
    if options.dry_run:
        result = ask(options, "settings import", **asked, dry_run=True, by=caller())
    else:
        result = change(options, "settings import", **asked, dry_run=False, is_change=_is_change)
    for problem in result["problems"]:
        print(problem, file=sys.stderr)
    if result["problems"]:
        note("nothing was changed")
        return 1
    for line in result["changes"]:
        print(line)
    print(_counted(result, options.dry_run))
    for text in result["notes"]:
        note(text)
    return 0


def _is_change(result: dict[str, Any]) -> bool:
    return bool(result.get("changes"))


def _counted(result: dict[str, Any], dry_run: bool) -> str:
    count = {mark: sum(line.startswith(mark) for line in result["changes"]) for mark in "+~-"}
    will = "would be " if dry_run else ""
    parts = [f"{will}{count['+']} added, {count['~']} changed, {count['-']} removed; {result['same']} the same"]
    if result["left"]:
        parts.append(f"{result['left']} that the file does not name {'would stay' if dry_run else 'stay'}")
    return ", ".join(parts)


def _text(path: Path) -> str:
    """Raises HbdError, OSError."""
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise HbdError(f"{path} is no file")
    if about.st_size > MAX_FILE_BYTES:
        raise HbdError(f"{path} is larger than {MAX_FILE_BYTES >> 20} MiB")
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise HbdError(f"{path} is not UTF-8 text") from None
