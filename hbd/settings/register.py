"""The commands ``hbd export`` and ``hbd import``, carried out by the running daemon or, without one, on the database
itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, NamedTuple

from hbd.accounts import Accounts
from hbd.channels.base import ChannelType
from hbd.channels.registry import types_for
from hbd.config import Config
from hbd.host_access import HostAccess
from hbd.settings import gathering
from hbd.settings.applying import Applying
from hbd.settings.changes import Plan, told
from hbd.settings.gathering import Rows, settings_of, without_secrets
from hbd.settings.planning import Planning
from hbd.settings.reading import SettingsFile
from hbd.settings.writing import text_of
from hbd.store import Store
from hbd.store.audit import Entry
from hbd.store.together import write_together


class Running(NamedTuple):
    """The parts of a running daemon that hold settings in memory.

    rewriting: of each part, what keeps it from changing anything while its rows are written, and has it read them
    again then; entered in this order and left in the opposite one. in_force: puts into force what they have read.
    """

    rewriting: Sequence[Callable[[], AbstractAsyncContextManager[None]]]
    in_force: Callable[[], Awaitable[None]]


class _Planned(NamedTuple):
    """found: what was there, at that time."""

    found: Rows
    plan: Plan
    now: float


class SettingsRegister:
    """config: as it is now. running: None where no daemon runs."""

    def __init__(self, store: Store, config: Callable[[], Config], running: Running | None = None) -> None:
        self._store = store
        self._config = config
        self._running = running

    @classmethod
    async def offline(cls, config: Config, store: Store) -> SettingsRegister:
        """Where no daemon runs. Raises StorageError."""
        await HostAccess(store, Accounts(config, store)).load(time.time())  # users of the config are in the database
        return cls(store, lambda: config)

    def commands(self) -> dict[str, Callable[..., Awaitable[Any]]]:
        """By name, as ``control`` knows them."""
        return {"settings export": self.export, "settings import": self.take}

    async def export(self, secrets: bool, by: str) -> str:
        """All settings as the text of a file. by: who gave the command, a user of the machine.

        Raises StorageError.
        """
        now = time.time()
        found = await gathering.rows(self._store, now)
        if secrets:
            entry = Entry(time=now, user="", via="cli", action="settings.export", detail=f"with all secrets; by {by}")
            await self._store.audit.add([entry])
        return await asyncio.to_thread(_text, found, await _kinds(found), secrets)

    async def take(self, text: str, name: str, removes: bool, dry_run: bool, by: str) -> dict[str, Any]:
        """Bring the settings of a file in, all or nothing. name: of the file. removes: whether what it does not name
        goes, in the sections that it has. dry_run: only say what would be different.

        Returns problems (then nothing is changed), changes as lines, and how many things are the same, or left because
        the file does not name them; notes tell what is still to do. Raises StorageError.
        """
        file = await asyncio.to_thread(SettingsFile, name, text)
        _, plan, _ = await self._planned(file, removes)  # what changes nothing or has problems keeps nobody waiting
        if plan.changes and not dry_run and not file.problems:
            plan = await self._write(file, removes, f"imported from {name} by {by}"[:300])
        if file.problems:
            return {"problems": file.problems}
        changes = await asyncio.to_thread(told, plan)
        return {"problems": [], "changes": changes, "same": plan.same, "left": plan.left, "notes": plan.notes}

    async def _planned(self, file: SettingsFile, removes: bool) -> _Planned:
        now = time.time()
        found = await gathering.rows(self._store, now)
        kinds = await _kinds(found, file)
        config = self._config()
        planning = await asyncio.to_thread(Planning, file, found, config, kinds, removes=removes, now=now)
        return _Planned(found, planning.plan, now)

    async def _write(self, file: SettingsFile, removes: bool, told: str) -> Plan:
        """What is written is planned when nobody else changes anything any more; with problems nothing is."""
        running = self._running
        async with AsyncExitStack() as stack:
            for rewriting in running.rewriting if running is not None else ():
                await stack.enter_async_context(rewriting())
            found, plan, now = await self._planned(file, removes)
            if file.problems or not plan.changes:
                return plan
            await write_together(self._store, lambda store: Applying(store, found, plan, told, now).run())
        if running is not None:
            await running.in_force()
        return plan


def _text(found: Rows, kinds: dict[str, ChannelType], secrets: bool) -> str:
    settings = settings_of(found)
    return text_of(settings if secrets else without_secrets(settings, found, kinds), secrets=secrets)


async def _kinds(found: Rows, file: SettingsFile | None = None) -> dict[str, ChannelType]:
    """The types of all channels; some are known to a library that takes a second to load."""
    keys = {spec.type for spec in found.channels.values()}
    if file is not None:
        keys |= {str(given.get("type")) for given in (file.settings.channels or {}).values()}
    return dict(await asyncio.to_thread(types_for, keys))
