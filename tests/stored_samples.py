"""Samples that are in a database as if reports had brought them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count

import msgspec

from hbd.hosts import Host
from hbd.model import Data, Report, Sample
from hbd.store import Store, Turn

_numbers = count(1)


async def keep(store: Store, host: Host, plugin: str, values: Mapping[float, Data]) -> None:
    """Each in a report of its own. values: time (Unix seconds) → data."""
    reports = []
    for at, data in sorted(values.items()):
        body = msgspec.json.encode([{"plugin": plugin, "time": at, "data": data}])
        reports.append((Report(host.id, "ab" * 8, next(_numbers), (Sample(plugin, at, data),), body), at))
    await store.record(Turn(reports=reports))
