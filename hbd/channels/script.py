"""A program of this machine, out of the one folder that the configuration names.

It gets the message as JSON on its standard input and the main things in its environment, and nothing of the daemon's
own environment. What it starts is killed with it when it takes too long.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from pathlib import Path

from hbd.channels.base import Channel, Field, Flaw, Message, SendFailed, Settings, Tools, within_limit
from hbd.channels.webhook import usual_body

MAX_VALUE = 16_000  # characters of one variable

_NAME = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,100}")


class Script:
    key = "script"
    label = "Script"
    fields = (Field("program", "Program", required=True, help="Name of a file in the folder notifications.scripts."),)

    def check(self, settings: Settings) -> list[Flaw]:
        if _NAME.fullmatch(settings["program"]):
            return []
        return [("program", "must be the name of a file in the folder notifications.scripts")]

    def targets(self, settings: Settings) -> Sequence[tuple[str, int]]:
        return []

    def open(self, name: str, settings: Settings, tools: Tools) -> Channel:
        return _Open(name, settings["program"], tools)


class _Open:
    refresh = None

    def __init__(self, name: str, program: str, tools: Tools) -> None:
        self._name = name
        self._program = program
        self._tools = tools

    async def send(self, message: Message) -> str:
        program = await asyncio.to_thread(found, self._tools.scripts, self._program)
        async with within_limit():
            return await self._run(program, message)

    async def _run(self, program: Path, message: Message) -> str:
        try:
            process = await asyncio.create_subprocess_exec(
                program,
                stdin=PIPE,
                stdout=DEVNULL,
                stderr=DEVNULL,
                cwd=program.parent,
                env=environment(self._name, message),
                start_new_session=True,
            )
        except (OSError, ValueError):
            raise SendFailed("the program cannot be started", permanent=True) from None
        try:
            await process.communicate(usual_body(message))
        finally:
            await _end(process)
        code = process.returncode
        if code != 0:
            raise SendFailed(f"the program ended with {code}", permanent=code in (126, 127))
        return "0"

    async def close(self) -> None:
        pass


def found(folder: Path | None, name: str) -> Path:
    """The program of that name. Raises SendFailed where there is none that may be run."""
    if folder is None:
        raise SendFailed("notifications.scripts names no folder", permanent=True)
    program = (folder / name).resolve()
    if program.parent != folder.resolve() or not program.is_file() or not os.access(program, os.X_OK):
        raise SendFailed("there is no such program in the folder notifications.scripts", permanent=True)
    return program


def environment(channel: str, message: Message) -> dict[str, str]:
    item = message.items[0] if message.items else None
    values = {
        "CHANNEL": channel,
        "ID": message.id,
        "KIND": message.kind,
        "LEVEL": str(message.level),
        "TITLE": message.title,
        "TEXT": message.text,
        "COUNT": str(len(message.items)),
        "PROBLEM": item.id if item else "",
        "HOST": item.host if item else "",
        "METRIC": item.metric if item else "",
        "VALUE": item.value if item else "",
        "REASON": item.reason if item else "",
        "URL": item.url if item else "",
    }
    shown = {f"HBD_{name}": text.replace("\0", "")[:MAX_VALUE] for name, text in values.items()}
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", **shown}


async def _end(process: Process) -> None:
    """Kill the program, and what it started and did not wait for."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
