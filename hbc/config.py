"""The agent's configuration: YAML to plain frozen classes, with every problem at once.

Each problem is ``file:line: key: reason``.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hbc.allow import Allow, read_allow
from hbc.reading import Reader, duration, plain_text, plain_texts, shown, whole
from hbc.trust import SYSTEM_TRUST, Trust
from hbc.wire import HTTP_PORT
from hbc.yaml_text import parse

DEFAULT_SERVER = f"http://127.0.0.1:{HTTP_PORT}"
INTERVAL_LEAST, INTERVAL_MOST = 1.0, 3600.0  # seconds
MEGABYTE = 1 << 20

_NAME = re.compile(r"[A-Za-z0-9._:-]{1,253}")
_KEY = re.compile(r"[0-9a-f]{64}")
_FILE_BYTES = MEGABYTE


class ConfigError(Exception):
    """The configuration cannot be used. ``problems`` are lines ``file:line: key: reason``, in file order."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class HeartbeatConfig:
    """port: None takes what the daemon says, 0 sends none. interval: seconds, None is the agent's own."""

    port: int | None = None
    interval: float | None = None


@dataclass(frozen=True)
class SpoolConfig:
    """path: None is ``spool`` in the state directory. max_age: seconds."""

    path: Path | None = None
    max_bytes: int = 256 * MEGABYTE
    max_age: float = 7 * 86400.0


@dataclass(frozen=True)
class Config:
    """source: the file it came from, None for the defaults. Times in seconds."""

    servers: tuple[str, ...] = (DEFAULT_SERVER,)
    key: str | None = field(default=None, repr=False)
    key_file: Path | None = None
    trust: Trust = SYSTEM_TRUST
    name: str = ""
    interval: float = 10.0
    tags: tuple[str, ...] = ()
    heartbeat: HeartbeatConfig = HeartbeatConfig()
    plugins: Mapping[str, Any] = field(default_factory=dict)
    plugin_dirs: tuple[Path, ...] = ()
    spool: SpoolConfig = SpoolConfig()
    allow: Allow = field(default_factory=Allow)
    source: Path | None = None
    lines: Mapping[str, int] = field(default_factory=dict, repr=False, compare=False)

    def line(self, problem: str) -> int:
        """Where in the file ``plugins.x.y: reason`` or ``plugin_dirs[0]: reason`` is about."""
        path = problem.partition(": ")[0]
        while path and path not in self.lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.lines.get(path, 1)

    def locate(self, problem: str) -> str:
        """A problem with file and line before it."""
        return f"{self.source}:{self.line(problem)}: {problem}" if self.source else problem


def find(explicit: str | None, environment: Mapping[str, str] = os.environ) -> Path | None:
    """The config file to read: the one given, $HBC_CONFIG, else the first usual one there is; None: there is none."""
    named = explicit or environment.get("HBC_CONFIG")
    if named:
        return Path(named)
    return next((path for path in usual_places(environment) if path.is_file()), None)


def usual_places(environment: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """Where a config file is looked for that nobody has named, the first that is there counts."""
    home = Path(environment.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return Path("hbc.yaml"), home / "hbc" / "config.yaml", Path("/etc/hbc/config.yaml")


def load(path: Path | None) -> Config:
    """Read and check a config file; None gives the defaults. Raises ConfigError."""
    config, problems = examine(path)
    if problems:
        raise ConfigError([f"{path}:{line}: {text}" for line, text in problems])
    return config


def examine(path: Path | None) -> tuple[Config, list[tuple[int, str]]]:
    """What a config file gives, with defaults where it cannot be used, and its problems as (line, ``key: reason``).

    The plugins are not looked at. Raises ConfigError when there is no reading the file.
    """
    if path is None:
        return Config(name=machine_name()), []
    try:
        with path.open("rb") as file:
            raw = file.read(_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror or error}"]) from None
    if len(raw) > _FILE_BYTES:
        raise ConfigError([f"{path}: larger than {_FILE_BYTES} bytes: that is no configuration"])
    tree, lines, problems = parse(raw)
    reader = Reader(tree, lines, problems)
    config = _read(reader, path)
    return config, sorted(reader.problems, key=lambda problem: problem[0])


def machine_name() -> str:
    """The machine's host name, with whatever a host may not be called replaced."""
    return re.sub(r"[^A-Za-z0-9._:-]", "-", socket.gethostname())[:253] or "localhost"


# ----------------------------------------------------------------------------------------------------- values to Config


def _read(top: Reader, path: Path) -> Config:
    def local(value: Any) -> Path:
        return path.parent / Path(plain_text(value)).expanduser()

    def folders(value: Any) -> tuple[Path, ...]:
        return tuple(local(text) for text in plain_texts(value))

    key = top.get("key", key_text, None)
    key_file = top.get("key_file", local, None)
    heartbeat = top.section("heartbeat")
    spool = top.section("spool")
    config = Config(
        servers=top.get("server", _servers, (DEFAULT_SERVER,)),
        key=key,
        key_file=key_file,
        trust=Trust(top.get("ca_file", local, None), top.get("pin_file", local, None)),
        name=top.get("name", host_name, "") or machine_name(),
        interval=top.get("interval", interval, 10.0),
        tags=top.get("tags", plain_texts, ()),
        heartbeat=HeartbeatConfig(
            port=heartbeat.get("port", whole(0, 65535), None),
            interval=heartbeat.get("interval", interval, None),
        ),
        plugins=top.get("plugins", _plugins, {}),
        plugin_dirs=top.get("plugin_dirs", folders, ()),
        spool=SpoolConfig(
            path=spool.get("path", local, None),
            max_bytes=spool.get("max_mb", whole(1, 1 << 20), 256) * MEGABYTE,
            max_age=spool.get("max_days", _days, 7.0) * 86400,
        ),
        allow=read_allow(top.section("allow")),
        source=path,
        lines=top.lines,
    )
    if key is not None and key_file is not None:
        top.note("key_file", "give either key or key_file")
    if config.trust.ca_file is not None and config.trust.pin_file is not None:
        top.note("pin_file", "give either ca_file or pin_file")
    for section in (top, heartbeat, spool):
        section.close()
    return config


def interval(value: Any) -> float:
    """A duration that can lie between two reports. Raises ValueError."""
    seconds = duration(value)
    if not INTERVAL_LEAST <= seconds <= INTERVAL_MOST:
        raise ValueError(f"{seconds:g} s is out of range, {INTERVAL_LEAST:g} to {INTERVAL_MOST:g} s can be used")
    return seconds


def server_url(value: Any) -> str:
    """An http or https address. Raises ValueError."""
    text = plain_text(value)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{text!r} is no address: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or re.search(r"[\s\x00-\x1f]", text):
        raise ValueError(f"{text!r} is no address like https://monitor.example:{HTTP_PORT}")
    if parts.username or parts.query or parts.fragment:
        raise ValueError("an address has no user, query or fragment here")
    try:
        parts.hostname.encode("idna")
    except UnicodeError:
        raise ValueError(
            f"{parts.hostname!r} is no host name: each part between its dots has 1-63 characters that a name may have"
        ) from None
    return text


def key_text(value: Any) -> str:
    """An agent key. Raises ValueError, which does not repeat it."""
    if not isinstance(value, str) or not _KEY.fullmatch(value):
        raise ValueError("an agent key is 64 characters of 0-9 and a-f")
    return value


def host_name(value: Any) -> str:
    """What the daemon may call this machine. Raises ValueError."""
    text = plain_text(value)
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text!r} is no host name: 1-253 letters, digits, '.', '_', '-' and ':' can be used")
    return text


def _servers(value: Any) -> tuple[str, ...]:
    servers = tuple(server_url(item) for item in (value if isinstance(value, list) else [value]))
    if not servers:
        raise ValueError("the list is empty")
    return servers


def _plugins(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"must be a section with one entry a plugin, not {shown(value)}")
    return value


def _days(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.01 <= value <= 3650:
        raise ValueError(f"{shown(value)} is no number of days from 0.01 to 3650")
    return float(value)
