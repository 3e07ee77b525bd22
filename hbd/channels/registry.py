"""The one list of channel types."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from hbd.channels import apprise_types
from hbd.channels.alertmanager import Alertmanager
from hbd.channels.base import ChannelType
from hbd.channels.email import Email
from hbd.channels.script import Script
from hbd.channels.threads import Threads
from hbd.channels.webhook import Webhook

OWN: Mapping[str, ChannelType] = {kind.key: kind for kind in (Webhook(), Email(), Alertmanager(), Script())}
"""the types that need no large library"""


class Types:
    """All types. Those of Apprise are loaded, in a thread, when somebody first asks for one that is not our own."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._all: Mapping[str, ChannelType] | None = None
        self._loading = asyncio.Lock()

    async def all(self) -> Mapping[str, ChannelType]:
        if self._all is None:
            async with self._loading:
                if self._all is None:
                    self._all = await asyncio.get_running_loop().run_in_executor(self._threads, every_type)
        return self._all

    async def find(self, key: str) -> ChannelType | None:
        return OWN.get(key) or (await self.all()).get(key)

    async def enough_for(self, keys: set[str]) -> Mapping[str, ChannelType]:
        """All types, or our own when they are all that is asked for."""
        return OWN if keys <= OWN.keys() else await self.all()


def every_type() -> Mapping[str, ChannelType]:
    """All types; takes a second of whichever thread it is called in."""
    return {**OWN, **apprise_types.load()}


def types_for(keys: set[str]) -> Mapping[str, ChannelType]:
    """Enough types for these keys, in whichever thread it is called in."""
    return OWN if keys <= OWN.keys() else every_type()
