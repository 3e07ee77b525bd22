"""What this host lets its daemon do: its own config file says so, and nothing that comes over the link changes it.

The file counts only when nobody but root and the agent's own user could have written it. It is read once, at the start.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hbc import wire
from hbc.allow import Allow, Limits
from hbc.belongings import belongings
from hbc.commands.kinds import KINDS, timeout
from hbc.commands.plan import Denied, Kind, Plan
from hbc.commands.units import unit_name
from hbc.config import Config
from hbc.ownership import written_by_others

DISABLED = "disabled by local policy"
_PATH_BYTES = 4096


@dataclass(frozen=True)
class Root:
    """A folder (or, for logs, a file) of the config, and whether files may be written below it."""

    path: Path
    writable: bool = False


@dataclass(frozen=True)
class Place:
    """Where a path leads: names from an allowed root on, none of them empty, ``.`` or ``..``; () is the root itself.

    Links are not looked at here: whoever opens it has to stay below the root.
    """

    root: Root
    names: tuple[str, ...]


class Policy:
    """Plain values in, plain values out. Whatever is not allowed raises Denied with the reason."""

    def __init__(self, allow: Allow, *, problem: str = "", protected: Iterable[Path] = (), user: str = "") -> None:
        """problem: why the config does not count, "" when it does. protected: files and folders that no command, log or
        transfer may touch whatever the roots say, links resolved. user: as whom the agent runs."""
        self.allow = Allow(limits=allow.limits) if problem else allow
        self.problem = "" if allow.nothing else problem
        self.protected = tuple(protected)
        self._user = user
        self.roots = (
            *(Root(Path(path)) for path in self.allow.read_roots),
            *(Root(Path(path), writable=True) for path in self.allow.file_roots),
        )
        self.log_roots = tuple(Root(Path(path)) for path in self.allow.log_paths)

    @property
    def limits(self) -> Limits:
        return self.allow.limits

    def command(self, cmd: str, params: Mapping[str, Any]) -> Plan:
        """What a command comes to."""
        named = self.allow.run.get(cmd)
        if named is not None:
            if set(params) - {"timeout"}:
                raise Denied(f"{cmd} takes no parameters but timeout: its arguments are in this host's allow.run")
            return Plan(timeout(self, params, named.timeout), named.argv)
        kind: Kind | None = KINDS.get(cmd)
        if kind is None:
            raise Denied(f"{DISABLED}: this host knows no command {cmd[:64]!r}")
        if cmd not in self.allow.commands:
            raise self._disabled(f"{cmd} is not in this host's allow.commands")
        return kind.plan(self, params)

    def log_unit(self, unit: str) -> str:
        """The whole name of a systemd unit whose log may be read."""
        try:
            name = unit_name(unit)
        except ValueError as error:
            raise Denied(f"unit: {error}") from None
        if name not in self.allow.log_units and "*" not in self.allow.log_units:
            raise self._disabled(f"{name} is not in this host's allow.log_units")
        return name

    def log_path(self, path: str) -> Place:
        """Where a log file is that may be read."""
        return self._place(path, self.log_roots, "allow.log_paths")

    def file(self, path: str, *, write: bool = False) -> Place:
        """Where a file is that may be read, or written."""
        place = self._place(path, self.roots, "allow.file_roots or allow.read_roots")
        if write and not place.root.writable:
            raise self._disabled(f"{place.root.path} is in this host's allow.read_roots: nothing is written there")
        return place

    def summary(self) -> wire.Policy:
        """The same for the daemon, which shows it to people."""
        commands = [wire.OfferedCommand(name=name, risk=KINDS[name].risk) for name in self.allow.commands]
        for name, named in self.allow.run.items():
            offered = wire.OfferedCommand(name=name, risk=named.risk)
            if named.title:
                offered["title"] = named.title
            commands.append(offered)
        return wire.Policy(
            commands=commands,
            programs=None if self.allow.programs is None else list(self.allow.programs),
            services=None if self.allow.services is None else list(self.allow.services),
            log_units=list(self.allow.log_units),
            log_paths=list(self.allow.log_paths),
            file_roots=[wire.OfferedRoot(path=str(root.path), writable=root.writable) for root in self.roots],
            limits=asdict(self.limits),
            user=self._user,
            problem=self.problem,
        )

    def _place(self, path: str, roots: tuple[Root, ...], listed_in: str) -> Place:
        if not isinstance(path, str) or not path.startswith("/"):
            raise Denied("path: it must begin with /")
        if "\0" in path or len(os.fsencode(path)) > _PATH_BYTES:
            raise Denied(f"path: a path has at most {_PATH_BYTES} bytes and no NUL")
        names = tuple(name for name in path.split("/") if name not in ("", "."))
        if ".." in names:
            raise Denied("path: write it without ..")
        found: Root | None = None
        for root in roots:
            covers = names[: len(root.path.parts) - 1] == root.path.parts[1:]
            # The innermost root counts, and of the same folder twice the one that allows less.
            if covers and (found is None or len(root.path.parts) > len(found.path.parts)):
                found = root
        if found is None:
            raise self._disabled(f"{path[:200]!r} is in none of this host's {listed_in}")
        return Place(found, names[len(found.path.parts) - 1 :])

    def _disabled(self, reason: str) -> Denied:
        return Denied(f"{DISABLED}: {self.problem or reason}")


def policy_of(config: Config, *folders: Path) -> Policy:
    """The policy of a config. folders: where the agent keeps what is its own."""
    problem = ""
    if config.source is not None and (reason := written_by_others(config.source)):
        problem = f"{config.source} is not to be trusted: {reason}"
    return Policy(
        config.allow,
        problem=problem[:1000],
        protected=[*(Path(os.path.realpath(folder)) for folder in folders), *belongings(config)],
        user=_user_name(),
    )


def _user_name() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name[:64]
    except KeyError:
        return str(os.geteuid())
