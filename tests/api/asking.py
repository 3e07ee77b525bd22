"""Questions about what is stored: what there is to be told, and what the answers are."""

from __future__ import annotations

import time
from typing import Any

from stored_samples import keep
from world import Api, World

from hbd.hosts import Host
from hbd.model import Data


async def put(world: World, name: str, values: dict[float, Data], plugin: str = "cpu_monitor") -> Host:
    """Stored samples of a host, which is enrolled where there is none. values: seconds ago → data."""
    host = world.hosts.get(name) or await world.enrol(name)
    now = time.time()
    await keep(world.store, host, plugin, {now - ago: data for ago, data in values.items()})
    return host


async def asked(api: Api, url: str) -> Any:
    """The answer to a question that is one."""
    async with api.get(url) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def refused(api: Api, url: str) -> tuple[int, str]:
    """The status of an answer that is an error, and what it says."""
    async with api.get(url) as answer:
        return answer.status, (await answer.json())["error"]
