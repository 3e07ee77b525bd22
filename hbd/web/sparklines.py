"""The small lines of the live page over HTTP: the last hour of CPU and memory of many hosts at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, Struct

from hbd.access import Action, may
from hbd.errors import InvalidInput, StorageError
from hbd.hosts import Host
from hbd.rollups import MINUTE
from hbd.sparks import METRICS, MINUTES, Line
from hbd.web.call import Call

MAX_HOSTS = 200
FILLED_AT_ONCE = 10  # hosts whose hour before the daemon's start is read from the database for one answer


class SparklinesQuery(Struct):
    hosts: Annotated[str, Meta(min_length=1, max_length=60_000, description="Names, separated by commas.")]


class Sparklines(Struct):
    """to: Unix seconds, when the last minute of the lines ended. step: seconds. hosts: by name; those that are unknown,
    not yours to see, or have sent neither number in that hour, are left out.
    """

    to: int
    step: int
    hosts: dict[str, Line]


async def index(call: Call) -> Sparklines:
    query: SparklinesQuery = call.query
    names = list(dict.fromkeys(name for name in query.hosts.split(",") if name))
    if len(names) > MAX_HOSTS:
        raise InvalidInput(f"at most {MAX_HOSTS} at once", "hosts")
    found = (call.parts.hosts.get(name) for name in names)
    hosts = [host for host in found if host is not None and may(call.identity, Action.VIEW, host).allowed]
    minute, sparks = int(time.time() // MINUTE), call.parts.rings.sparks
    lacking = [host for host in hosts if not sparks.is_whole(host.id, minute)]
    for host in lacking[:FILLED_AT_ONCE]:
        await _fill(call, host, minute)
    lines = {host.name: line for host in hosts if (line := sparks.line(host.id, minute)) is not None}
    return Sparklines(minute * MINUTE, MINUTE, lines)


async def _fill(call: Call, host: Host, minute: int) -> None:
    """Add what is on disk of the hour before: once for each run of the daemon, and only where it did not see that."""
    first, end = (minute - MINUTES) * MINUTE, (minute + 1) * MINUTE
    try:
        rolled = await call.parts.store.history.rolled(host.id, METRICS, MINUTE, first, end)
    except StorageError:
        return  # the line is shorter until it can be read

    def means() -> Iterator[tuple[str, int, float, int]]:
        for plugin, columns in rolled.items():
            column = columns.get((METRICS[plugin],))
            for bucket in column.buckets() if column is not None else ():
                yield plugin, int(bucket.start // MINUTE), bucket.mean, bucket.count

    if call.parts.hosts.by_id(host.id) is not None:  # it may have been deleted meanwhile
        call.parts.rings.sparks.fill(host.id, means())
