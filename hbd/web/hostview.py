"""A host as its readers see it, and the list of all hosts, as bytes that are made again only after a change."""

from __future__ import annotations

import asyncio
import gzip
import math
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from hbd.alerts import Alerts
from hbd.connections import STRIP_MINUTES
from hbd.hosts import Host, Hosts
from hbd.model import Data, State
from hbd.presence import ConnectionView, HostPresence, Presence
from hbd.rings import Rings
from hbd.web import schemas

GZIP_LEVEL = 1  # a list of 1,000 hosts shrinks to a tenth at any level; this one takes a quarter of the time
STRIP_SECONDS = 60.0  # the strip of a host moves on by one letter each minute, with or without news
LATE_SECONDS = 15.0  # how late that may show for a host that says nothing

NOT_HEARD = HostPresence(
    state=State.UNKNOWN,
    since=None,
    last_seen=None,
    reason="never heard",
    interval=0.0,
    connections=[],
    strip="-" * STRIP_MINUTES,
)
"""a host between its enrolment and the moment presence knows it"""


class HostList:
    """All hosts as one JSON array. etag: another for every list that is made, in this run of the daemon or the next."""

    def __init__(self, data: bytes, etag: str) -> None:
        self.data = data
        self.etag = etag
        self._packing: asyncio.Task[bytes] | None = None

    async def packed(self) -> bytes:
        """The same with gzip. It is done once, away from the event loop, for all who wait."""
        if self._packing is None:
            self._packing = asyncio.create_task(asyncio.to_thread(gzip.compress, self.data, GZIP_LEVEL, mtime=0))
        return await asyncio.shield(self._packing)


class HostViews:
    """Hosts in the shape of ``schemas.Host``. Whoever changes a host says so with ``forget``."""

    def __init__(
        self,
        hosts: Hosts,
        presence: Presence,
        rings: Rings,
        alerts: Alerts | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._hosts = hosts
        self._presence = presence
        self._rings = rings
        self._alerts = alerts or Alerts()
        self._clock = clock
        self._encoder = msgspec.json.Encoder()
        self._fragments: dict[int, tuple[float, bytes]] = {}
        self._changed: set[int] = set()
        self._ages_at = 0.0
        self._list: HostList | None = None
        self._run = secrets.token_hex(6)
        self._made = 0
        self._listed = 0

    def forget(self, host_id: int) -> None:
        """Something about the host has changed, or it is gone."""
        self._changed.add(host_id)
        self._fragments.pop(host_id, None)
        self._list = None

    def take_changed(self) -> set[int]:
        """Ids of the hosts that are shown otherwise than when this was last asked, those that are gone among them."""
        self._let_age()
        changed, self._changed = self._changed, set()
        return changed

    def fragment(self, host: Host) -> bytes:
        """One host as JSON."""
        self._let_age()
        return self._current(host)

    def all(self) -> HostList:
        """Every host, in the order of their names."""
        self._let_age()
        if self._list is None or self._listed != len(self._hosts):
            self._listed = len(self._hosts)
            self._made += 1
            self._list = HostList(self.join(self._hosts), f'"{self._run}-{self._made}"')
        return self._list

    def join(self, hosts: Iterable[Host]) -> bytes:
        """Some hosts as one JSON array."""
        self._let_age()
        fragments = [self._current(host) for host in hosts]
        if not fragments:
            return b"[]"
        # The brackets go on before the pieces are joined: the whole is large, and is copied once this way.
        fragments[0] = b"[" + fragments[0]
        fragments[-1] += b"]"
        return b",".join(fragments)

    def _current(self, host: Host) -> bytes:
        found = self._fragments.get(host.id)
        if found is None:
            encoded = self._encoder.encode(self.host(host))
            self._fragments[host.id] = (self._clock(), encoded)
            return encoded
        return found[1]

    def _let_age(self) -> None:
        """Forget what was made before this minute, some seconds into it: by then most hosts have reported anyway."""
        now = self._clock()
        if now < self._ages_at:
            return
        turn = now - now % STRIP_SECONDS
        self._ages_at = turn + (STRIP_SECONDS if now - turn >= LATE_SECONDS else 0) + LATE_SECONDS
        aged = [host_id for host_id, made in self._fragments.items() if made[0] < turn]
        for host_id in aged:
            del self._fragments[host_id]
        self._changed.update(aged)
        self._list = None

    def host(self, host: Host) -> schemas.Host:
        view = self._presence.view(host.id) or NOT_HEARD
        return schemas.Host(
            name=host.name,
            dyn=host.dyn,
            owner=host.owner,
            managers=host.managers,
            monitors=host.monitors,
            connections=[_connection(connection) for connection in view.connections],
            id=host.id,
            agent_id=host.agent_id,
            label=host.label,
            state=view.state,
            since=view.since,
            reason=view.reason,
            last_seen=_to_ms(view.last_seen),
            interval=view.interval,
            watched=host.watched,
            tags=host.tags,
            os=host.os,
            agent_version=host.agent_version,
            link=host.link,
            clock_offset=_to_ms(host.clock_offset),
            alerts=schemas.AlertCounts(*self._alerts.counts(host.id)),
            summary=self.summary(host.id),
            strip=view.strip,
        )

    def summary(self, host_id: int) -> schemas.Summary:
        cpu = self._newest(host_id, "cpu_monitor")
        disk_percent, disk_mount = fullest(self._newest(host_id, "disk_monitor"))
        network = self._newest(host_id, "network_monitor").get("total")
        totals = network if isinstance(network, dict) else {}
        cpu_count = number(cpu.get("cpu_count"))
        return schemas.Summary(
            cpu_percent=number(cpu.get("cpu_percent")),
            cpu_count=None if cpu_count is None else int(cpu_count),
            load_1min=number(cpu.get("load_1min")),
            memory_percent=number(self._newest(host_id, "memory_monitor").get("percent")),
            disk_percent=disk_percent,
            disk_mount=disk_mount,
            rx_bytes_per_second=_rate(totals.get("rx_bytes_per_second")),
            tx_bytes_per_second=_rate(totals.get("tx_bytes_per_second")),
        )

    def _newest(self, host_id: int, plugin: str) -> Data:
        sample = self._rings.latest(host_id, plugin)
        return {} if sample is None else sample.data


def number(value: Any) -> float | None:
    """What an agent sent, if it is a finite number, else None."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return value
    return None


def fullest(disks: Data) -> tuple[float | None, str | None]:
    """Percent and mount of the fullest disk of a disk_monitor sample; (None, None) when there is none."""
    best: tuple[float | None, str | None] = (None, None)
    for mount, disk in disks.items():
        percent = number(disk.get("percent")) if isinstance(disk, dict) else None
        if percent is not None and (best[0] is None or percent > best[0]):
            best = (percent, mount)
    return best


def _connection(view: ConnectionView) -> schemas.Connection:
    return schemas.Connection(
        family=view.family,
        address=view.address,
        state=view.state,
        since=view.since,
        last_seen=round(view.last_seen, 3),
        interval=view.interval,
        rtt_ms=None if view.rtt is None else round(view.rtt * 1000, 3),
        lost=view.lost,
        heartbeat_at=_to_ms(view.heartbeat_at),
        report_at=_to_ms(view.report_at),
    )


def _rate(value: Any) -> float | None:
    """Bytes a second to a tenth; see ``_to_ms``."""
    found = number(value)
    return None if found is None else round(found, 1)


def _to_ms(at: float | None) -> float | None:
    """To the millisecond: what is finer is noise, and costs in every copy."""
    return None if at is None else round(at, 3)
