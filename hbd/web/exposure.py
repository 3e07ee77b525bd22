"""What the daemon could do on a host, told from the policy that the host's own config sets. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from hbd.remote.frames import Policy

Extent = Literal["nothing", "some", "everything"]
SIGNS = {"nothing": ("UP", "●"), "some": ("OVERDUE", "▲"), "everything": ("DOWN", "■")}
RISKS = {"low": ("UP", "●"), "medium": ("OVERDUE", "▲"), "high": ("DOWN", "■")}
"""extents and risks as a state, for its colour, and a shape"""
ANY = "*"
WORDS = {
    "ping": "ask whether it answers",
    "shell": "run programs",
    "service_status": "ask how services are",
    "service_restart": "restart services",
    "process_list": "list processes",
    "reboot": "reboot the machine",
    "update_agent": "put another version of the agent in place",
}
EXAMPLE = """\
allow:
  commands: [ping, service_status]
  services: [nginx]  # without it: any
  log_units: [nginx]
  log_paths: [/var/log/nginx]
  read_roots: [/etc/nginx]  # read
  file_roots: [/srv/www]  # read, write
"""
BY_PROGRAM = ("shell",)
RUN_OTHERS = frozenset(
    (
        *("ash", "bash", "csh", "dash", "fish", "ksh", "sh", "tcsh", "zsh", "busybox"),
        *("awk", "gawk", "mawk", "lua", "node", "perl", "php", "python", "ruby", "expect"),
        *("doas", "su", "sudo", "systemd-run", "chroot", "nsenter", "unshare", "docker", "podman", "ssh"),
        *("env", "find", "ionice", "make", "nice", "nohup", "script", "setsid", "timeout", "watch", "xargs"),
        *("emacs", "gdb", "rsync", "screen", "socat", "strace", "tar", "tmux", "vi", "vim"),
    )
)
"""programs that run others by their usual options; a list with one of them limits nothing"""
BY_SERVICE = ("service_status", "service_restart")
UNITS = {"kb": "kB", "mb": "MB", "seconds": "s"}
IN_SECONDS = ("timeout",)


class Allowed(NamedTuple):
    """One thing that may be done. risk: "" where it has none of its own; only: what it is limited to."""

    name: str
    words: str
    risk: str
    only: Sequence[str] = ()


class Exposure(NamedTuple):
    """extent: how much a daemon in wrong hands could do. headline: that in a sentence."""

    extent: Extent
    headline: str
    commands: list[Allowed]
    logs: list[Allowed]
    files: list[Allowed]
    limits: list[tuple[str, str]]


def exposure(policy: Policy) -> Exposure:
    commands = [_command(policy, entry.name, entry.risk, entry.title) for entry in policy.commands]
    logs = [Allowed(unit, "journal of this unit", "") for unit in policy.log_units if unit != ANY]
    if ANY in policy.log_units:
        logs.insert(0, Allowed("journal", "of every unit", ""))
    logs += [Allowed(path, "file, or the files of this folder", "") for path in policy.log_paths]
    files = [_root(root.path, root.writable) for root in policy.file_roots]
    extent: Extent = "some" if commands or logs or files else "nothing"
    if any(_is_everything(policy, entry.name) for entry in policy.commands) or _writes_everywhere(policy):
        extent = "everything"
    limits = [_limit(name, value) for name, value in sorted(policy.limits.items())]
    return Exposure(extent, _headline(policy, extent), commands, logs, files, [] if extent == "nothing" else limits)


def _headline(policy: Policy, extent: Extent) -> str:
    user = f"the user {policy.user}" if policy.user else "its agent"
    if extent == "nothing":
        return "Nothing. hbd listens to this host and cannot act on it."
    if extent == "everything":
        return f"Everything that {user} may do on this host."
    return f"What stands here, as {user}, and nothing else."


def _command(policy: Policy, name: str, risk: str, title: str) -> Allowed:
    if name in BY_PROGRAM:
        return Allowed(name, _programs(policy.programs), risk, policy.programs or [])
    if name in BY_SERVICE:
        return Allowed(name, _services(WORDS[name], policy.services), risk, policy.services or [])
    return Allowed(name, title or WORDS.get(name, "a command that the host's config declares"), risk)


def _programs(listed: Sequence[str] | None) -> str:
    if listed is None:
        return "run any program"
    if not listed:
        return "run no program: none is listed"
    return "run these programs" + (", of which some run any other" if any(map(_runs_others, listed)) else "")


def _services(words: str, listed: Sequence[str] | None) -> str:
    if listed is None:
        return f"{words}, whichever there are"
    return words if listed else f"{words}, but none is listed"


def _root(path: str, writable: bool) -> Allowed:
    words = "read files, and put files there" if writable else "read files"
    return Allowed(path, words, "medium" if writable else "low")


def _is_everything(policy: Policy, name: str) -> bool:
    """Whether a command lets whoever gives it do as they please."""
    return name in BY_PROGRAM and (policy.programs is None or any(map(_runs_others, policy.programs)))


def _runs_others(program: str) -> bool:
    return program.rpartition("/")[2].rstrip("0123456789.") in RUN_OTHERS


def _writes_everywhere(policy: Policy) -> bool:
    return any(root.writable and root.path == "/" for root in policy.file_roots)


def _limit(name: str, value: float) -> tuple[str, str]:
    """``output_kb, 128`` → ``output, 128 kB``."""
    words, _, suffix = name.rpartition("_")
    unit = UNITS.get(suffix)
    if unit is None:
        words, unit = name, "s" if name in IN_SECONDS else ""
    return words.replace("_", " "), f"{value:g} {unit}".rstrip()
