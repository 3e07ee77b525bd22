"""What can only be seen across keys, and what this version cannot do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hbd.config.reading import Reading
from hbd.config.structs import ConfigFile, HostConfig


class NotYet(NamedTuple):
    """A key of the format that this version has no use for. refused: obeying the rest without it would be dangerous."""

    key: str
    refused: bool
    reason: str


NOT_YET = (
    NotYet("users", True, "this version cannot enforce sign-in yet; remove the section"),
    NotYet("hbd_tls", True, "this version cannot serve TLS yet; remove the key, and put a TLS proxy in front"),
    NotYet("wss_port", True, "this version cannot serve TLS yet; remove the key, and put a TLS proxy in front"),
    NotYet("cert_path", False, "read, but this version serves no TLS yet"),
    NotYet("wss_pem", False, "read, but this version serves no TLS yet"),
    NotYet("wss_key", False, "read, but this version serves no TLS yet"),
    NotYet("cors", False, "read for the live feed alone; this version sends no CORS headers yet"),
    NotYet("threshold_configs", False, "read, but this version judges no thresholds yet"),
    NotYet("threshold_renotify_interval", False, "read, but this version judges no thresholds yet"),
    NotYet("notification_channels", False, "read, but this version sends no notifications yet"),
    NotYet("plans", False, "read, but this version watches no processes yet"),
    NotYet("hosts.*.threshold_config", False, "read, but this version judges no thresholds yet"),
    NotYet("hosts.*.notification_channels", False, "read, but this version sends no notifications yet"),
    NotYet("hosts.*.min_report_interval", False, "read, but this version takes reports at any pace"),
)
_DEFAULTS = ConfigFile(database=Path())
_DEFAULT_HOST = HostConfig()


def check(config: ConfigFile, reading: Reading) -> None:
    """Adds to the reading's problems what is wrong between keys. Keys that could not be read are left alone."""
    _check_ports(config, reading)
    _check_certificates(config, reading)
    if config.users and not reading.is_bad("users"):
        _check_people(config, reading)
    for row in NOT_YET:
        if row.refused and _given(config, row.key):
            reading.problem(reading.lines.get(row.key, 1), row.key, row.reason)


def warnings(config: ConfigFile) -> list[str]:
    """``key: reason``: what was read but is not as somebody may think."""
    found = []
    for row in NOT_YET:
        keys = [] if row.refused else _given(config, row.key)
        if keys:
            more = f" (and {len(keys) - 1} more of the kind)" if len(keys) > 1 else ""
            found.append(f"{keys[0]}: {row.reason}{more}")
    listed = {name.lower() for name in config.watchhosts or ()}
    unwatched = [name for name, host in config.hosts.items() if host.watch is False]
    found += [
        f"hosts.{name}.watch: false, but watchhosts lists the host, so it is watched"
        for name in unwatched
        if name.lower() in listed
    ]
    if unwatched and config.watchhosts is None and not any(host.watch for host in config.hosts.values()):
        found.append(
            f"hosts.{unwatched[0]}.watch: false turns off watching every host; name those to watch in watchhosts"
        )
    return found


def _given(config: ConfigFile, key: str) -> list[str]:
    """The keys that ``key`` stands for and that are not at their defaults."""
    if not key.startswith("hosts.*."):
        return [key] if getattr(config, key) != getattr(_DEFAULTS, key) else []
    name = key.removeprefix("hosts.*.")
    default = getattr(_DEFAULT_HOST, name)
    return [f"hosts.{host}.{name}" for host, section in config.hosts.items() if getattr(section, name) != default]


def _check_ports(config: ConfigFile, reading: Reading) -> None:
    """hb_port is UDP and may have the number of one of the others."""
    users: dict[int, str] = {}
    for key in ("hbd_port", "ws_port", "wss_port"):
        port = getattr(config, key)
        if not port or reading.is_bad(key):
            continue
        if port in users:
            other = users[port]
            line = max(reading.lines.get(key, 1), reading.lines.get(other, 1))
            reading.problem(line, key, f"port {port} is used by {other} too")
        users[port] = key


def _check_certificates(config: ConfigFile, reading: Reading) -> None:
    if not (config.hbd_tls or config.wss_port is not None) or reading.is_bad("cert_path"):
        return
    if config.wss_pem is None and not reading.is_bad("wss_pem"):
        asking = "hbd_tls" if config.hbd_tls else "wss_port"
        reading.problem(reading.lines.get(asking, 1), "wss_pem", f"is needed, as {asking} asks for TLS")
    for key in ("wss_pem", "wss_key"):
        name = getattr(config, key)
        if name is not None and not (file := (config.cert_path or reading.folder) / name).is_file():
            reading.problem(reading.lines.get(key, 1), key, f"there is no file {file}")


def _check_people(config: ConfigFile, reading: Reading) -> None:
    """Who owns, manages or monitors must be a user, when the file has users."""
    for key, name in _people(config):
        if name not in config.users:
            reading.problem(reading.lines.get(key, 1), key, f"there is no user {name} in users")


def _people(config: ConfigFile) -> Iterator[tuple[str, str]]:
    if config.default_owner:
        yield "default_owner", config.default_owner
    for host_name, host in config.hosts.items():
        if host.owner:
            yield f"hosts.{host_name}.owner", host.owner
        for role, names in (("managers", host.managers), ("monitors", host.monitors)):
            for name in names or ():
                yield f"hosts.{host_name}.{role}", name
