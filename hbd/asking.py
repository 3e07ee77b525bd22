"""How the commands of the command line reach the running daemon, or the database itself where none is running."""

from __future__ import annotations

import argparse
import asyncio
import os
import pwd
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import msgspec

from hbd import config as configuration
from hbd.config import Config
from hbd.errors import Conflict, HbdError

if TYPE_CHECKING:
    from hbd.enrolment import Enrolment
    from hbd.hosts import Hosts
    from hbd.store import Store

NEEDING = frozenset(("agent list", "backup", "settings export", "token list", "user list"))
"""commands that are of no use without a database"""


def config_of(options: argparse.Namespace) -> Config:
    """The config that ``-c`` or its usual place gives. Raises ConfigError."""
    return configuration.load(configuration.find(options.config))


class NoDatabase(HbdError):
    """There is nothing to list or to copy."""


def ask(options: argparse.Namespace, command: str, **arguments: Any) -> Any:
    """Have a command carried out by the running daemon, or here when none is running.

    Raises HbdError, OSError; NoDatabase where something is to be listed of a database that is not there.
    """
    from hbd import control
    from hbd.store.database import holder_of

    config = config_of(options)
    deadline = time.monotonic() + control.START_SECONDS
    while True:
        try:
            if holder_of(config.database) is not None:
                return control.ask(config.database, command, **arguments)
            return _here(config, command, arguments)
        except control.Gone:  # a daemon, or a command, that has just ended
            if time.monotonic() >= deadline:
                raise
        except Conflict:  # a daemon, or a command, that has just begun; or what was asked for cannot be
            if holder_of(config.database) is None or time.monotonic() >= deadline:
                raise


def _here(config: Config, command: str, arguments: dict[str, Any]) -> Any:
    if command in NEEDING and not config.database.exists():
        raise NoDatabase(
            f"there is no database {config.database}; is this the config of your hbd? -c FILE names another"
        )
    if arguments.get("dry_run") and not config.database.exists():
        with TemporaryDirectory(prefix="hbd-") as folder:  # what only looks leaves no database behind
            config = msgspec.structs.replace(config, database=Path(folder) / "hbd.db")
            return asyncio.run(_offline(config, command, arguments))
    return asyncio.run(_offline(config, command, arguments))


def change(
    options: argparse.Namespace, command: str, *, is_change: Callable[[Any], bool] = lambda _: True, **arguments: Any
) -> Any:
    """Like ``ask``, for what is told in the audit log; which database was changed is said on standard error.

    is_change: whether anything was, by what is returned.
    """
    from hbd.store.database import holder_of

    result = ask(options, command, **arguments, by=caller())
    if not is_change(result):
        return result
    database = config_of(options).database
    if holder_of(database) is not None:
        note(f"changed {database}; the hbd that runs on it knows at once")
    else:
        note(f"changed {database}; no hbd runs on it, the next one that is started there will know")
    return result


def note(text: str) -> None:
    """Tell the person at the keyboard; standard output is for what a script wants."""
    sys.stderr.write(f"hbd: {text}\n")


async def _offline(config: Config, command: str, arguments: dict[str, Any]) -> Any:
    from hbd import explain
    from hbd.agent_register import AgentRegister
    from hbd.agents import Agents
    from hbd.backups import Backups
    from hbd.people import People
    from hbd.settings.register import SettingsRegister

    store, enrolment, hosts = await _opened(config)
    try:
        if command.startswith("agent "):
            commands = Agents(AgentRegister(enrolment, hosts), hosts, store).commands()
        elif command == "backup":
            commands = {"backup": Backups(store).make}
        elif command.startswith("settings "):
            commands = (await SettingsRegister.offline(config, store)).commands()
        elif command == "explain":
            commands = (await explain.offline(config, store, hosts)).commands()
        else:
            commands = (await People.offline(config, store, hosts)).commands()
        return await commands[command](**arguments)
    finally:
        await store.close()


async def _opened(config: Config) -> tuple[Store, Enrolment, Hosts]:
    """The database without a daemon; the caller closes the store. Raises HbdError."""
    from hbd.enrolment import Enrolment
    from hbd.hosts import Hosts
    from hbd.stats import Stats
    from hbd.store import Store

    store, hosts = Store(config.database, Stats()), Hosts()
    enrolment = Enrolment(hosts, store)
    try:
        await store.open()
        await enrolment.load(config)
    except BaseException:
        with suppress(Exception):
            await store.close()
        raise
    return store, enrolment, hosts


def caller() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def table(rows: Sequence[Sequence[str]]) -> str:
    """The rows as lines, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def local_time(seconds: float | None, otherwise: str = "never") -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else otherwise
