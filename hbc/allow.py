"""What the config file lets the daemon do on this machine (``allow:``), as it is written there.

Nothing is allowed that is not listed. What it comes to is worked out in ``hbc/policy.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from hbc.commands.kinds import KINDS
from hbc.commands.plan import RISKS, Risk
from hbc.commands.units import unit_name
from hbc.reading import Reader, absolute_paths, duration, plain_text, plain_texts, shown, whole

TIMEOUT_MOST = 86_400.0  # seconds
OUTPUT_KB_MOST = 256  # of stdout and of stderr each; both fit in one frame
MOST_LISTED = 100  # of anything; the daemon reads no longer lists, and no longer texts
LONGEST = 1000  # characters

_COMMAND_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Limits:
    """timeout: seconds a command may run. output_kb: of stdout and stderr each, the rest is cut. parallel: commands at
    a time; streams: logs and files at a time. upload_mb, download_mb: of one file."""

    timeout: float = 300.0
    output_kb: int = 128
    parallel: int = 4
    streams: int = 8
    upload_mb: int = 100
    download_mb: int = 1024


@dataclass(frozen=True)
class NamedCommand:
    """A program with its arguments that can be asked for by a name, and in no other way. timeout: None is the usual."""

    argv: tuple[str, ...]
    risk: Risk = "medium"
    timeout: float | None = None
    title: str = ""


@dataclass(frozen=True)
class Allow:
    """The lists of the config. programs, services: None means any, where the command is allowed at all."""

    commands: tuple[str, ...] = ()
    programs: tuple[str, ...] | None = None
    services: tuple[str, ...] | None = None
    log_units: tuple[str, ...] = ()
    log_paths: tuple[str, ...] = ()
    file_roots: tuple[str, ...] = ()
    read_roots: tuple[str, ...] = ()
    run: Mapping[str, NamedCommand] = field(default_factory=dict)
    limits: Limits = Limits()

    @property
    def nothing(self) -> bool:
        return not (self.commands or self.run or self.log_units or self.log_paths or self.file_roots or self.read_roots)


def read_allow(section: Reader) -> Allow:
    """The section ``allow``; what is wrong with it is noted in the reader."""
    allow = Allow(
        commands=section.get("commands", _few(_kinds), ()),
        # A list that is there and empty means none; only one that is not written at all means any.
        programs=section.get("programs", _few(absolute_paths), () if "programs" in section else None),
        services=section.get("services", _few(_units), () if "services" in section else None),
        log_units=section.get("log_units", _few(_units), ()),
        log_paths=section.get("log_paths", _few(_places), ()),
        file_roots=section.get("file_roots", _few(_places), ()),
        read_roots=section.get("read_roots", _few(_places), ()),
        run=_named_commands(section),
        limits=_limits(section.section("limits")),
    )
    section.close()
    return allow


def _limits(section: Reader) -> Limits:
    limits = Limits(
        timeout=section.get("timeout", _timeout, Limits.timeout),
        output_kb=section.get("output_kb", whole(1, OUTPUT_KB_MOST), Limits.output_kb),
        parallel=section.get("parallel", whole(1, 100), Limits.parallel),
        streams=section.get("streams", whole(1, 100), Limits.streams),
        upload_mb=section.get("upload_mb", whole(0, 1 << 20), Limits.upload_mb),
        download_mb=section.get("download_mb", whole(0, 1 << 20), Limits.download_mb),
    )
    section.close()
    return limits


def _named_commands(section: Reader) -> dict[str, NamedCommand]:
    run: dict[str, NamedCommand] = {}
    for name, entry in section.sections("run").items():
        problems = len(entry.problems)
        command = NamedCommand(
            argv=entry.get("command", _argv, ()),
            risk=entry.get("risk", _risk, NamedCommand.risk),
            timeout=entry.get("timeout", _timeout, None),
            title=entry.get("title", _title, ""),
        )
        entry.close()
        if not _COMMAND_NAME.fullmatch(name):
            entry.note("", "is no name for a command; 1-64 of a-z, 0-9, _ and - can be used")
        elif name in KINDS:
            entry.note("", f"{name} is a command that hbc knows itself; take another name")
        elif len(run) == MOST_LISTED:
            entry.note("", f"more than {MOST_LISTED} commands")
        elif command.argv:
            run[name] = command
        elif len(entry.problems) == problems:
            entry.note("command", "a program is needed, as a list: [/usr/bin/uptime, --pretty]")
    return run


def _few(check: Callable[[Any], tuple[str, ...]]) -> Callable[[Any], tuple[str, ...]]:
    def few(value: Any) -> tuple[str, ...]:
        if isinstance(value, list) and len(value) > MOST_LISTED:
            raise ValueError(f"{len(value)} are too many, {MOST_LISTED} can be listed")
        for text in plain_texts(value):
            if len(text) > LONGEST:
                raise ValueError(f"{text[:50]!r}… is too long; {LONGEST} characters can be used")
        return check(value)

    return few


def _kinds(value: Any) -> tuple[str, ...]:
    names = plain_texts(value)
    for name in names:
        if name not in KINDS:
            close = get_close_matches(name, KINDS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(KINDS)}, and your own go into run"
            raise ValueError(f"there is no command {name!r}; {hint}")
    return names


def _places(value: Any) -> tuple[str, ...]:
    paths = absolute_paths(value)
    for path in paths:
        if ".." in path.split("/"):
            raise ValueError(f"{path!r}: write it without ..")
    return paths


def _units(value: Any) -> tuple[str, ...]:
    return tuple("*" if name == "*" else unit_name(name) for name in plain_texts(value))


def _argv(value: Any) -> tuple[str, ...]:
    argv = plain_texts(value)
    if not argv or not argv[0].startswith("/"):
        raise ValueError("must be a list that begins with a program's full path: [/usr/bin/uptime, --pretty]")
    if any("\0" in argument for argument in argv):
        raise ValueError("a NUL character cannot be in an argument")
    return argv


def _risk(value: Any) -> Risk:
    if value not in RISKS:
        raise ValueError(f"{shown(value)} is no risk; low, medium and high can be used")
    risk: Risk = value
    return risk


def _title(value: Any) -> str:
    title = plain_text(value)
    if len(title) > 200 or not title.isprintable():
        raise ValueError("must be one line of at most 200 characters")
    return title


def _timeout(value: Any) -> float:
    seconds = duration(value)
    if not 1.0 <= seconds <= TIMEOUT_MOST:
        raise ValueError(f"{seconds:g} s is out of range, 1 s to {TIMEOUT_MOST / 3600:g} h can be used")
    return seconds
