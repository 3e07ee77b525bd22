"""What an agent is made of and lives by. Whoever can change any of it decides what the agent does, whatever its policy
says, so that no command, log or transfer may touch it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from hbc.config import Config, usual_places

_NAGIOS_FOLDERS = ("/usr/lib/nagios/plugins", "/usr/lib64/nagios/plugins", "/usr/local/lib/nagios/plugins")
_BY_NAME = ("systemctl", "journalctl", "sh")  # what the agent starts of its own


def belongings(config: Config) -> list[Path]:
    """Full paths of files and folders, also of those that are not there (yet): under the names that they are known by,
    and where links lead."""
    found: dict[Path, None] = {}
    here = _here()
    for path in (*_files(config), *_programs(config), *_interpreter()):
        named = here / path
        real = Path(os.path.realpath(named))
        found |= dict.fromkeys((named, Path(os.path.realpath(named.parent)) / named.name, real))
    return list(found)


def within_reach(config: Config) -> list[str]:
    """What is wrong with folders that hbd may write to: ``allow.file_roots: reason``."""
    elsewhere = _here() / "hbc.yaml"  # read by whoever starts hbc in this folder, which need not be the agent's
    own = [path for path in belongings(config) if path != elsewhere or path.exists()]
    problems = []
    for root in config.allow.file_roots:
        here = {Path(root), Path(os.path.realpath(root))}
        held = next((path for path in own if any(path.is_relative_to(folder) for folder in here)), None)
        if held is not None:
            problems.append(
                f"allow.file_roots: {root} holds {held}, which hbc lives by. That is protected, but whoever may write"
                " there can often find another way to rule here; name a folder that is for files alone"
            )
    return problems


def _files(config: Config) -> Iterator[Path]:
    """What is read at the start, now or the next time."""
    with suppress(RuntimeError):  # a user without a home
        yield from usual_places()
        yield from usual_places({})
        yield Path.home() / "hbc.yaml"
    yield from config.plugin_dirs
    for path in (config.source, config.key_file, config.trust.ca_file, config.trust.pin_file):
        if path is not None:
            yield path


def _interpreter() -> Iterator[Path]:
    """Python with all it loads, and what starts us in it."""
    package = Path(__file__).parent
    yield package if package.is_dir() else package.parent  # a zip file's folders are no files
    yield Path(os.__file__).parent
    yield Path(sys.executable)
    if sys.prefix != sys.base_prefix:
        yield Path(sys.prefix)
    for entry in map(Path, sys.path):
        if entry.name in ("site-packages", "dist-packages"):
            yield entry
    if sys.argv[0] and (launcher := _which(sys.argv[0], os.environ.get("PATH", os.defpath))):
        yield launcher


def _programs(config: Config) -> Iterator[Path]:
    """Programs that a command or a plugin starts, and scripts that are among their arguments."""
    for argv in (
        *((program,) for program in config.allow.programs or ()),
        *(named.argv for named in config.allow.run.values()),
        *_commands(config.plugins),
        *((name,) for name in _BY_NAME),
    ):
        yield from _started(argv)


def _started(argv: tuple[str, ...]) -> Iterator[Path]:
    program, *arguments = argv
    if found := _which(program, os.pathsep.join((os.environ.get("PATH", os.defpath), *_NAGIOS_FOLDERS))):
        yield found
    for argument in arguments:
        if argument.startswith("/") and os.access(argument, os.R_OK) and Path(argument).is_file():
            yield Path(argument)


def _which(program: str, folders: str) -> Path | None:
    """Where a program is; with a folder in its name it need not be there yet."""
    if "/" in program:
        return Path(program)
    found = (Path(folder) / program for folder in folders.split(os.pathsep) if folder)
    return next((path for path in found if os.access(path, os.X_OK)), None)


def _here() -> Path:
    try:
        return Path.cwd()
    except OSError:  # it is gone
        return Path("/")


def _commands(options: Any) -> Iterator[tuple[str, ...]]:
    """Every ``command`` and each of the ``checks`` in the options of plugins, as far as they can be read."""
    if not isinstance(options, Mapping):
        return
    for name, value in options.items():
        checks = value if name == "checks" and isinstance(value, Mapping) else {"": value} if name == "command" else {}
        yield from (argv for each in checks.values() if (argv := _argv(each)))
        yield from _commands(value)


def _argv(value: Any) -> tuple[str, ...]:
    words: Iterable[Any] = [value] if isinstance(value, str) else value if isinstance(value, list) else ()
    return tuple(word for word in words if isinstance(word, str) and word and "\0" not in word)
