"""Commands that the agent carries out itself, without a program."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

SayText = Callable[[str], None]
Afterwards = Callable[[], None] | None
Work = Callable[[Mapping[str, Any], SayText], Awaitable[Afterwards]]
"""Does it with these parameters, saying what is to be shown. Raises Failed. What it returns is called when the outcome
is on disk and on its way to the daemon."""

_BETWEEN_SECONDS = 0.5  # two readings that processor time is made from


class Failed(Exception):
    """It could not be done; the text says why."""


async def ping(params: Mapping[str, Any], say: SayText) -> Afterwards:
    say("pong\n")
    return None


async def process_list(params: Mapping[str, Any], say: SayText) -> Afterwards:
    """A table of all processes that the agent can see, the busiest first. No arguments: they may hold secrets."""
    from hbc.plugins.processes import ProcTable, PsutilTable, cpu_percents

    table: ProcTable | PsutilTable = await asyncio.to_thread(ProcTable if sys.platform == "linux" else PsutilTable)
    before = {process.pid: process for process in await asyncio.to_thread(table.read)}
    await asyncio.sleep(_BETWEEN_SECONDS)
    processes = await asyncio.to_thread(table.read)
    loads = cpu_percents(before, processes, _BETWEEN_SECONDS)

    def lines() -> str:
        rows = [f"{'PID':>7} {'USER':<16} {'S':1} {'CPU%':>6} {'MEM_MB':>8} NAME"]
        for process in sorted(processes, key=lambda each: (-loads.get(each.pid, 0.0), -each.rss)):
            user, name = _visible(table.user(process))[:16], _visible(table.name(process))
            cpu, memory = loads.get(process.pid, 0.0), process.rss / (1 << 20)
            rows.append(f"{process.pid:>7} {user:<16} {process.state:1} {cpu:>6.1f} {memory:>8.1f} {name}")
        return "\n".join(rows) + "\n"

    say(await asyncio.to_thread(lines))
    return None


def _visible(text: str) -> str:
    """A process may call itself what it likes, also what a terminal would obey."""
    return "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in text)


WORKS: dict[str, Work] = {"ping": ping, "process_list": process_list}
