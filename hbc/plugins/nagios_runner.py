"""Checks made for Nagios, Icinga and the like, run as they are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from hbc import perfdata
from hbc.plugins.base import HERE, Data, Machine, Metric, Plugin
from hbc.plugins.exec_program import environment, execute
from hbc.plugins.rates import Rates
from hbc.plugins.settings import seconds, texts

MOST_CHECKS = 100
_FOLDERS = (  # where distributions put them
    "/usr/lib/nagios/plugins",
    "/usr/lib64/nagios/plugins",
    "/usr/lib/monitoring-plugins",
    "/usr/libexec/monitoring-plugins",
    "/usr/local/libexec/nagios",
)
_OPTIONS = ("command", "interval", "timeout", "env")
_NOT_EXECUTABLE, _MISSING = 126, 127  # exit codes of shells and wrappers
_FAILURES = {_NOT_EXECUTABLE: "it cannot be executed", _MISSING: "a program is missing"}


@dataclass
class Check:
    """interval, timeout: seconds. due: seconds of the machine's clock. found: of the last run, {} before it."""

    name: str
    command: tuple[str, ...]
    interval: float
    timeout: float
    environment: Mapping[str, str]
    due: float
    found: Data


class NagiosRunner(Plugin):
    name = "nagios_runner"
    summary = "checks made for Nagios: their state, text and performance data"
    standard = False
    named = True
    timeout = 60.0
    overtime = 2.0
    metrics = (
        Metric("*.state", "", "0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN: what the check exits with."),
        Metric("*.output", "text", "The first line that it prints."),
        Metric("*.seconds", "seconds", "How long it took."),
    )
    options: ClassVar[Mapping[str, str]] = {
        "checks": "name to the command of a check, a list, or to {command, interval, timeout, env}",
    }

    def __init__(self, options: Mapping[str, Any], machine: Machine = HERE) -> None:
        super().__init__(options, machine)
        checks = options.get("checks")
        if not isinstance(checks, Mapping) or not checks:
            raise ValueError("checks: a mapping of names to commands is needed")
        if len(checks) > MOST_CHECKS:
            raise ValueError(f"checks: there are {len(checks)}, and {MOST_CHECKS} can be run")
        now = machine.clock()
        self._checks = [_check(str(name), about, now) for name, about in checks.items()]
        self._rates = Rates(digits=3)

    def collect(self) -> Data:
        """Run what is due, one after another. A sample has the last results of all, so it is only made when there is a
        new one. What the plugin's own timeout leaves no time for is due next time."""
        began = now = self.machine.clock()
        fresh = False
        for check in sorted(self._checks, key=lambda check: check.due):
            if check.due > now or (fresh and now - began + check.timeout > self.limit):
                break
            check.found = self._run(check)
            fresh = True
            check.due = max(check.due + check.interval, now)
            now = self.machine.clock()
        return {check.name: check.found for check in self._checks if check.found} if fresh else {}

    def _run(self, check: Check) -> Data:
        began = self.machine.clock()
        try:
            code, output, complaint = execute(check.command, check.environment, min(check.timeout, self.limit))
        except RuntimeError as problem:
            return {"state": perfdata.UNKNOWN, "output": str(problem), "seconds": self._since(began)}
        printed = perfdata.read(output.decode("utf-8", "replace"))
        if not printed.text:
            printed = printed._replace(text=complaint.decode("utf-8", "replace").strip().partition("\n")[0][:300])
        state, note = judge(code)
        if note:
            printed = printed._replace(text=f"{note}: {printed.text}" if printed.text else note)
        found: Data = perfdata.metrics(state, printed) | {"seconds": self._since(began)}
        counters = {f"{label}_per_second": printed.values[label] for label in printed.counters}
        return found | self._rates.of(check.name, counters, began)

    def _since(self, began: float) -> float:
        return round(self.machine.clock() - began, 3)


def judge(code: int) -> tuple[int, str]:
    """(state, what is odd about it) of an exit code; negative: the signal that killed it."""
    if perfdata.OK <= code <= perfdata.UNKNOWN:
        return code, ""
    if code < 0 or code > 128:
        return perfdata.UNKNOWN, f"killed by signal {-code if code < 0 else code - 128}"
    return perfdata.UNKNOWN, f"exit code {code}, {_FAILURES.get(code, 'which means nothing')}"


def _check(name: str, about: Any, now: float) -> Check:
    """Raises ValueError naming the option."""
    section = about if isinstance(about, Mapping) else {"command": about}
    try:
        for option in section:
            if option not in _OPTIONS:
                raise ValueError(f"{option}: there is no such option; there is: {', '.join(_OPTIONS)}")
        command = texts(section, "command", ())
        if not command or not command[0]:
            raise ValueError("command: a program is needed, as a list: [check_load, -w, '5,4,3']")
        variables = environment(section)
        folders = os.pathsep.join((variables.get("PATH", os.defpath), *_FOLDERS))
        return Check(
            name,
            command,
            seconds(section, "interval", 60.0, least=1.0, most=86400.0),
            seconds(section, "timeout", 10.0, least=0.1, most=600.0),
            {**variables, "PATH": folders},
            due=now,
            found={},
        )
    except ValueError as problem:
        raise ValueError(f"checks: {name}: {problem}") from None
