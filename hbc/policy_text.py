"""A policy in words, for people."""

from __future__ import annotations

from collections.abc import Iterator

from hbc.wire import Policy


def lines(policy: Policy, source: str) -> Iterator[str]:
    """What a daemon may do on this machine. source: where it is written."""
    yield f"hbd may do this here, as user {policy['user']}, by {source}:"
    if policy["problem"]:
        yield f"  nothing: {policy['problem']}"
        return
    yield from _listed("commands", [_command(command) for command in policy["commands"]], "none")
    names = {command["name"] for command in policy["commands"]}
    if "shell" in names:
        yield from _any("programs a shell command may start", policy["programs"], "ANY")
    if names & {"service_status", "service_restart"}:
        yield from _any("services", policy["services"], "any")
    yield from _listed("logs of units", policy["log_units"], "none")
    yield from _listed("log files", policy["log_paths"], "none")
    roots = [f"{root['path']} (read{' and write' if root['writable'] else ''})" for root in policy["file_roots"]]
    yield from _listed("files below", roots, "none")
    yield from _listed("limits", [f"{name} {value:g}" for name, value in policy["limits"].items()], "")


def _command(command: object) -> str:
    assert isinstance(command, dict)
    title = f": {command['title']}" if "title" in command else ""
    return f"{command['name']} ({command['risk']} risk){title}"


def _any(title: str, items: list[str] | None, without: str) -> Iterator[str]:
    """items: None means any, which without says."""
    yield from _listed(title, items or [], without if items is None else "none")


def _listed(title: str, items: list[str], without: str) -> Iterator[str]:
    if not items:
        yield f"  {title}: {without}"
        return
    yield f"  {title}:"
    for item in items:
        yield f"    {item}"
