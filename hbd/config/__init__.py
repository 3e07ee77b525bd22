"""Configuration: a YAML file read into frozen structs, or every problem in it at once.

``structs`` says which keys there are, ``yaml_source`` turns text into nodes that know their lines, ``reading`` turns
nodes into structs, ``leaves`` reads single values, ``checks`` looks across keys.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec

from hbd.config.checks import check, warnings
from hbd.config.layers import Layer, threshold_layers
from hbd.config.reading import Problem, Reading
from hbd.config.reload import changes, restart_needed
from hbd.config.structs import Config, ConfigFile, HostConfig, HostSettings, Limits, Secret
from hbd.config.yaml_source import YamlError, parse
from hbd.errors import ConfigError

__all__ = [
    "Config",
    "ConfigFile",
    "HostConfig",
    "HostSettings",
    "Layer",
    "Limits",
    "Secret",
    "changes",
    "find",
    "host_settings",
    "load",
    "restart_needed",
    "threshold_layers",
    "watched",
]

MAX_FILE_BYTES = 8 * 1024 * 1024
MAX_PROBLEMS = 200


def find(explicit: Path | None = None) -> Path | None:
    """The file to read: the one named, else by ``$HBD_CONFIG``, else the first usual place that has one, else None."""
    if explicit is not None:
        return explicit
    if named := os.environ.get("HBD_CONFIG"):
        return Path(named)
    places = [Path("hbd.yaml"), Path("/etc/hbd/config.yaml")]
    try:
        places.insert(1, Path.home() / ".config" / "hbd" / "config.yaml")
    except RuntimeError:
        pass  # a user without a home directory
    return next((place for place in places if _is_there(place)), None)


def _is_there(place: Path) -> bool:
    """A file that we may not look at is there: starting without it would ignore what its author wants."""
    try:
        place.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def load(path: Path | None) -> Config:
    """The configuration in the file, the built-in defaults for None. Raises ConfigError with every problem."""
    if path is None:
        return Config()
    reading = Reading(folder=path.absolute().parent)
    try:
        text, open_to_all = _text(path)
        root = parse(text)
    except YamlError as error:
        raise ConfigError([_line(path, Problem(error.line, "yaml", error.reason))]) from error
    except OSError as error:
        raise ConfigError([_line(path, Problem(1, "file", f"cannot be read: {error.strerror or error}"))]) from error
    read = reading.read_file(root) if root is not None else ConfigFile()
    check(read, reading)
    if reading.problems:
        ordered = sorted(reading.problems, key=lambda problem: problem.line)
        told = [_line(path, problem) for problem in ordered[:MAX_PROBLEMS]]
        if len(ordered) > MAX_PROBLEMS:
            told.append(_line(path, Problem(ordered[MAX_PROBLEMS].line, "file", "more problems from here on")))
        raise ConfigError(told)
    notes = warnings(read)
    secrets = (
        read.users,
        read.notification_channels,
        read.auth.oidc.client_secret,
        any(job.token or job.password for job in read.scrape.values()),
        any(section.has_secrets for section in read.remote_write.values()),
    )
    if open_to_all and any(secrets):
        notes.append(f"file: every user of this machine can read its secrets; chmod 600 {path}")
    lines = {key: line for key, line in reading.lines.items() if key.startswith("notification_channels.")}
    return Config(**msgspec.structs.asdict(read), source=path, warnings=tuple(notes), lines=lines)


def _line(path: Path, problem: Problem) -> str:
    return f"{path}:{problem.line}: {problem.key}: {problem.reason}"


def _text(path: Path) -> tuple[str, bool]:
    """(the file's text, whether everybody may read it). Raises OSError, YamlError."""
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):  # reading a pipe could hang the daemon for ever
        raise OSError("it is a directory" if stat.S_ISDIR(about.st_mode) else "it is not a regular file")
    if about.st_size > MAX_FILE_BYTES:
        raise OSError(f"it is larger than {MAX_FILE_BYTES // 2**20} MiB")
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise YamlError(content.count(b"\n", 0, error.start) + 1, "not UTF-8 text") from error
    if not text.strip():
        raise OSError("it is empty, as after a write that was cut short")
    return text, bool(about.st_mode & stat.S_IROTH)


def watched(config: Config, name: str) -> bool:
    """Whether silence of the host is worth an alert.

    It is with ``watch: true`` or in ``watchhosts``; with neither key anywhere in the file, all hosts are watched.
    """
    return config.watched_names is None or name.lower() in config.watched_names


def host_settings(config: Config, name: str) -> HostSettings:
    """What holds for the host, in any case of its name, and for one that the file does not name too."""
    section = config.hosts_by_name.get(name.lower()) or HostConfig()
    return HostSettings(
        owner=section.owner or config.default_owner,
        managers=section.managers or (),
        monitors=section.monitors or (),
        watch=watched(config, name),
        dyn=name.lower() in config.dyn_names,
        tags=section.tags,
        interval=section.interval,
        enabled=section.enabled is not False,
        min_report_interval=section.min_report_interval or 0.0,
    )
