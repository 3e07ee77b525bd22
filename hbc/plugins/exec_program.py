"""Any program that prints numbers."""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping
from typing import Any, ClassVar

from hbc.plugins.base import HERE, Data, Machine, Plugin
from hbc.plugins.settings import texts

MOST_OUTPUT = 256 * 1024  # bytes
_MOST_COMPLAINT = 2048  # bytes of stderr that are kept
_KEPT_FROM_ENVIRONMENT = ("PATH", "HOME", "USER", "LOGNAME", "TZ", "TMPDIR")  # the agent's key is not passed on
_LINE = re.compile(r"(\S+)\s+(.+)")
_POLL = 0.25  # seconds; how soon it shows that the program ended while a child of it still holds the output open


class ExecProgram(Plugin):
    name = "exec"
    summary = "what a program prints: a JSON object, or lines of a name and a value"
    overtime = 2.0
    timeout = 10.0
    standard = False
    options: ClassVar[Mapping[str, str]] = {
        "command": "the program and its arguments, as a list; no shell reads them",
        "env": "more environment variables for it, name: value",
    }

    def __init__(self, options: Mapping[str, Any], machine: Machine = HERE) -> None:
        super().__init__(options, machine)
        self._environment = environment(options)
        self._command = texts(options, "command", ())
        if not self._command or not self._command[0]:
            raise ValueError("command: a program is needed, as a list: [/usr/local/bin/check, --all]")

    def collect(self) -> Data:
        return parse(run(self._command, self._environment, self.limit))


def environment(options: Mapping[str, Any]) -> dict[str, str]:
    """The environment of a program: a little of our own, and the option ``env``. Raises ValueError."""
    more = options.get("env") or {}
    if not isinstance(more, Mapping):
        raise ValueError("env: a mapping of names to values is needed")
    kept = {name: os.environ[name] for name in _KEPT_FROM_ENVIRONMENT if name in os.environ}
    return kept | {"LC_ALL": "C"} | {str(name): str(value) for name, value in more.items()}


def run(command: tuple[str, ...], environment: Mapping[str, str], limit: float) -> str:
    """What the program prints on stdout. Raises RuntimeError like ``execute``, and when it fails."""
    code, output, complaint = execute(command, environment, limit)
    if code != 0:
        how = f"exit code {code}" if code > 0 else f"killed by signal {-code}"
        said = complaint.decode("utf-8", "replace").strip().partition("\n")[0][:300]
        raise RuntimeError(f"{how}: {said}" if said else how)
    return output.decode("utf-8", "replace")


def execute(command: tuple[str, ...], environment: Mapping[str, str], limit: float) -> tuple[int, bytes, bytes]:
    """The exit code of the program, negative for a signal, and what it prints on stdout and stderr.

    It runs in a process group of its own, which is killed in the end whatever happened; a child that leaves the group
    (``setsid``) is not ours to end. Raises RuntimeError in words: it could not be started, took longer than limit
    seconds, or printed more than MOST_OUTPUT.
    """
    deadline = time.monotonic() + limit
    try:
        program = subprocess.Popen(  # noqa: S603 - the command comes from the machine's own config
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env=dict(environment),
            start_new_session=True,
        )
    except (OSError, ValueError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
        raise RuntimeError(f"cannot start {command[0]}: {reason}") from None
    with program:
        try:
            output, complaint = _listen(program, deadline)
            code = program.wait(max(0.0, deadline - time.monotonic()))
        except (TimeoutError, subprocess.TimeoutExpired):
            raise RuntimeError(f"took longer than {limit:g} s and was killed") from None
        finally:
            try:
                os.killpg(program.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass  # nothing is left of it
    return code, output, complaint


def _listen(program: subprocess.Popen[bytes], deadline: float) -> tuple[bytes, bytes]:
    """Read both pipes until they are closed or the program has ended. Raises TimeoutError, RuntimeError."""
    assert program.stdout is not None and program.stderr is not None
    output, complaint = bytearray(), bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(program.stdout, selectors.EVENT_READ, output)
        selector.register(program.stderr, selectors.EVENT_READ, complaint)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            ready = selector.select(min(left, _POLL))
            if not ready and program.poll() is not None:
                break
            for key, _ in ready:
                part = os.read(key.fd, 65536)
                if not part:
                    selector.unregister(key.fileobj)
                elif key.data is output:
                    output += part
                    if len(output) > MOST_OUTPUT:
                        raise RuntimeError(f"printed more than {MOST_OUTPUT // 1024} kB")
                else:
                    complaint += part[: _MOST_COMPLAINT - len(complaint)]
    return bytes(output), bytes(complaint)


def parse(text: str) -> Data:
    """The metrics in what a program printed. Raises RuntimeError naming the line that cannot be understood.

    Either one JSON object, or lines ``name value`` or ``name value unit``; a value that is no number is a text and
    goes to the end of its line. Empty lines and those that start with ``#`` are skipped.
    """
    text = text.strip()
    if not text:
        raise RuntimeError("printed nothing")
    if text[0] in "{[":
        try:
            data = json.loads(text)
        except ValueError as problem:
            raise RuntimeError(f"printed JSON that cannot be read: {problem}") from None
        if not isinstance(data, dict):
            raise RuntimeError("printed a JSON list; an object is needed")
        return data
    data = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise RuntimeError(f"line {number}: {line[:80]!r} is no `name value`")
        data[match[1]] = _value(match[2])
    return data


def _value(text: str) -> float | str:
    first, *unit = text.split()
    if len(unit) <= 1:
        for kind in (int, float):
            try:
                return kind(first)
            except ValueError:
                pass
    return text
