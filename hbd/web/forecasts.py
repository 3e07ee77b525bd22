"""When disks will be full: over HTTP, and as words for the pages."""

from __future__ import annotations

from msgspec import Struct

from hbd.derived import DISKS, LEFT
from hbd.errors import StorageError
from hbd.forecasts import Forecast, words
from hbd.hosts import Host
from hbd.model import Data
from hbd.rollups import HOUR
from hbd.trends import FAR
from hbd.web.call import Call
from hbd.web.hostview import number


class DiskForecast(Struct):
    """mount: of the disk. metric: ``percent`` of its room, or ``inodes_percent``. percent: now.

    full_in: seconds until it is full, about. not_within: seconds in which it will not be full. Both are null where
    nobody can tell. words: the same, ``in about 12 days``; "" then.
    """

    mount: str
    metric: str
    percent: float
    full_in: float | None
    not_within: float | None
    words: str


class HostForecast(Struct):
    host: str
    disks: list[DiskForecast]


async def of_host(call: Call) -> HostForecast:
    return HostForecast(call.host.name, await disks(call, call.host))


async def disks(call: Call, host: Host) -> list[DiskForecast]:
    """The disks of a host as they are now, each with its room before its inodes. Raises StorageError."""
    newest = call.parts.rings.latest(host.id, DISKS)
    if newest is None:
        return []
    known = await call.parts.forecasts.of(call.parts.store, host.id)
    return [
        _disk(mount, metric, percent, _sooner(disk, metric) or known.get((mount, metric)))
        for mount, disk in newest.data.items()
        if isinstance(disk, dict)
        for metric in LEFT
        if (percent := number(disk.get(metric))) is not None
    ]


async def disks_if_known(call: Call, host: Host) -> list[DiskForecast]:
    """The same for a page, which has much else to show when the database does not answer."""
    try:
        return await disks(call, host)
    except StorageError:
        return []


def _sooner(disk: Data, metric: str) -> Forecast | None:
    """What the last hours foretell, which alerts go by; None when that is no end."""
    hours = number(disk.get(LEFT[metric]))
    return Forecast(hours * HOUR, None) if hours is not None and 0 <= hours < FAR else None


def _disk(mount: str, metric: str, percent: float, found: Forecast | None) -> DiskForecast:
    full_in, not_within = (found.full_in, found.not_within) if found is not None else (None, None)
    return DiskForecast(mount, metric, percent, full_in, not_within, words(found))
