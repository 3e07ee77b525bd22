"""The kinds of command that hbc knows, one line each, and what each comes to.

What a daemon sends is never read by a shell, but for the command of ``shell`` where the host allows any program.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hbc.commands.plan import Denied, Kind, Plan
from hbc.commands.units import unit_name

if TYPE_CHECKING:
    from hbc.policy import Policy

USUAL_TIMEOUT = 60.0  # seconds, where the daemon asks for no other and the host allows so much
COMMAND_CHARACTERS = 32_768  # of a shell command; the kernel takes four times as much in one argument
_SYSTEMCTL = ("systemctl", "--no-pager", "--no-ask-password")
_STATUS = "Id,Description,LoadState,ActiveState,SubState,Result,UnitFileState,MainPID,NRestarts,StateChangeTimestamp"


def timeout(policy: Policy, params: Mapping[str, Any], usual: float | None = None) -> float:
    """Seconds that a command may take. Raises Denied for more than the host allows."""
    most = policy.limits.timeout
    wanted = params.get("timeout")
    if wanted is None:
        return min(usual or USUAL_TIMEOUT, most)
    if isinstance(wanted, bool) or not isinstance(wanted, int | float) or not 0 < wanted < float("inf"):
        raise Denied(f"timeout: {str(wanted)[:50]!r} is no number of seconds")
    if wanted > most:
        raise Denied(f"timeout: {str(wanted)[:50]} s are more than this host allows, {most:g} s (allow.limits.timeout)")
    return float(wanted)


def _own(policy: Policy, params: Mapping[str, Any]) -> Plan:
    return Plan(timeout(policy, params))


def _shell(policy: Policy, params: Mapping[str, Any]) -> Plan:
    command = params.get("command")
    if not isinstance(command, str) or not command.strip() or len(command) > COMMAND_CHARACTERS or "\0" in command:
        raise Denied(f"command: a text of 1-{COMMAND_CHARACTERS} characters is needed")
    try:
        command.encode()
    except UnicodeEncodeError:
        raise Denied("command: it holds half of a character") from None
    seconds = timeout(policy, params)
    if policy.allow.programs is None:
        return Plan(seconds, ("/bin/sh", "-c", command))
    try:
        argv = shlex.split(command)
    except ValueError as error:
        raise Denied(f"command: {error}") from None
    program = _program(policy.allow.programs, argv[0] if argv else "")
    return Plan(seconds, (program, *argv[1:]))


def _program(programs: Sequence[str], name: str) -> str:
    """The listed program of that path; without a slash in it, the first of that name."""
    for program in programs:
        if name == program or ("/" not in name and name == program.rpartition("/")[2]):
            return program
    allowed = ", ".join(programs) or "none"
    raise Denied(f"disabled by local policy: {name[:200]!r} is none of this host's allow.programs ({allowed})")


def _service_status(policy: Policy, params: Mapping[str, Any]) -> Plan:
    unit = _service(policy, params)
    return Plan(timeout(policy, params), (*_SYSTEMCTL, "show", f"--property={_STATUS}", "--", unit))


def _service_restart(policy: Policy, params: Mapping[str, Any]) -> Plan:
    unit = _service(policy, params)
    return Plan(timeout(policy, params), (*_SYSTEMCTL, "restart", "--", unit))


def _service(policy: Policy, params: Mapping[str, Any]) -> str:
    try:
        unit = unit_name(params.get("service"))
    except ValueError as error:
        raise Denied(f"service: {error}") from None
    services = policy.allow.services
    if services is not None and unit not in services and "*" not in services:
        allowed = ", ".join(services) or "none"
        raise Denied(f"disabled by local policy: {unit} is none of this host's allow.services ({allowed})")
    return unit


def _reboot(policy: Policy, params: Mapping[str, Any]) -> Plan:
    return Plan(timeout(policy, params), (*_SYSTEMCTL, "reboot"))


KINDS: dict[str, Kind] = {
    "ping": Kind("low", _own),
    "service_status": Kind("low", _service_status),
    "process_list": Kind("low", _own),
    "shell": Kind("medium", _shell),
    "service_restart": Kind("medium", _service_restart),
    "reboot": Kind("high", _reboot),
    "update_agent": Kind("high", _own),
}
