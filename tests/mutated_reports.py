"""Mutated reports sent through the real handlers of the receivers, in process, onto a real database; see
``tests/bench/bench_receivers.py``. What happens to them must be one of few things, and all of it is checked."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import random
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec
from aiohttp import web
from multidict import CIMultiDict
from mutations import mutated, mutated_line
from world import World

from hbd.access import STRANGER
from hbd.errors import HbdError
from hbd.hosts import Host
from hbd.web import agent_routes, receiver_routes
from hbd.web.call import Call, Caller
from hbd.web.errors import response_for
from hbd.web.influx import WriteQuery

ROUTES = {route.path: route for route in (*agent_routes.ROUTES, *receiver_routes.ROUTES) if route.method == "POST"}

MONITRON: dict[str, Any] = {
    "cpu_usage": 23.5, "cpu_iowait": 1.2, "memory_usage": 67.4, "memory_total_mb": 8192, "swap_usage": 5.0,
    "disk_usage": [
        {"mount": "/", "usage": 45, "size": "50G", "used": "22G", "avail": "28G"},
        {"mount": "/srv", "usage": 99.5, "size": "1.8T", "used": "1.7T", "avail": "9,5G"},
    ],
    "network_rx_bytes": 1234567890, "network_tx_bytes": 987654321, "load_1m": 0.5, "load_5m": 0.3, "load_15m": 0.2,
    "os": "Ubuntu 24.04 LTS", "hostname": "web-server-1", "kernel": "6.5.0-44-generic",
}  # fmt: skip
HITFLOW: dict[str, Any] = {
    "operating_system": "Debian GNU/Linux 12", "uptime": 86400, "load_average": [0.5, 0.25, 1.0], "cpu": 12.5,
    "memory": {"available": 4096, "total": 16384, "used": 12288}, "swap": {"available": 0, "total": 0, "used": 0},
    "storage": [{"name": "/", "total": 100, "used": 25}, {"name": "/srv", "total": 1000, "used": 999}],
    "process": [["nginx", "www-data", 1.5, 120], ["mariadbd", "mysql", "S", 20.25, 4096]],
}  # fmt: skip
NOBA: dict[str, Any] = {
    "hostname": "web-server-1", "platform": "linux", "arch": "x86_64", "agent_version": "3.0.0", "uptime_s": 86400,
    "cpu_percent": 12.4, "mem_percent": 45.0, "mem_total_mb": 8192, "swap_percent": 1.0, "load_1m": 0.5,
    "disks": [{"mount": "/", "percent": 62.0, "total_gb": 50, "used_gb": 31}],
    "network": {"eth0": {"rx_bytes": 1234567890, "tx_bytes": 987654321}}, "temperatures": {"cpu": 45.5},
    "processes": [{"name": "nginx", "cpu": 1.5, "mem": 2.5}], "_capabilities": {"os": "linux"},
}  # fmt: skip
LINES = (
    b"cpu,cpu=cpu-total,host=web1 usage_idle=91.5,usage_iowait=0.5 1750000000000000000",
    b"mem,host=web1 total=8589934592i,available=4294967296i,used_percent=50",
    b"disk,path=/,fstype=ext4 total=100000000000i,used=50000000000i,used_percent=50",
    b"net,interface=eth0 bytes_recv=123456789i,bytes_sent=987654321i",
    b'odd\\ name,tag\\,with=odd\\ value text="a \\"word\\", and more",on=t,n=-5i,x=1e-3',
)
PERCENTS = frozenset(("cpu_percent", "iowait_percent", "percent", "swap_percent", "memory_percent"))
STATUSES = frozenset((200, 204, 400, 404, 413, 422))
AT_ONCE = 1_000
GOOD = 1 << 40
"""from here on: values of lines that nothing is wrong with"""


class Sent:
    """As much of a request as the handlers look at."""

    def __init__(self, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.headers, self.content_length, self._body = CIMultiDict(headers or {}), len(body), body

    async def read(self) -> bytes:
        return self._body


class Complaints(logging.Handler):
    """Everything that is logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))


class Receivers:
    """The receivers of a daemon, and hosts that send to them, each host to one of them.

    outcomes: (receiver, status) to how often.
    """

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._chance = random.Random(seed)
        self._senders = (self._monitron, self._hitflow, self._noba, self._influx)
        self._hosts: dict[str, list[tuple[Host, str]]] = {}
        self._receiver_of: dict[int, str] = {}
        self._good = itertools.count(GOOD)
        self._written: set[int] = set()
        self.outcomes: Counter[tuple[str, int]] = Counter()

    async def enrol(self, hosts: int) -> None:
        """So many for each receiver."""
        for sender in self._senders:
            name = sender.__name__.strip("_")
            for number in range(hosts):
                host = await self._world.enrol(f"{name}{number}")
                self._hosts.setdefault(name, []).append((host, await self._world.key(host)))
                self._receiver_of[host.id] = name

    async def send(self, reports: int) -> None:
        """Send so many, and check what became of them."""
        complaints = Complaints()
        logging.getLogger("hbd").addHandler(complaints)
        try:
            for first in range(0, reports, AT_ONCE):
                before = self.outcomes.copy()
                self._written.clear()
                await asyncio.gather(*(self._one() for _ in range(min(AT_ONCE, reports - first))))
                await self._check_stored(self.outcomes - before)
        finally:
            logging.getLogger("hbd").removeHandler(complaints)
        assert complaints.texts == []

    async def _one(self) -> None:
        sender = self._chance.choice(self._senders)
        name = sender.__name__.strip("_")
        path, sent, query = sender(*self._chance.choice(self._hosts[name]))
        status, told = await self._answer(path, sent, query)
        self.outcomes[name, status] += 1
        assert status in STATUSES, (status, told, sent)
        if name in ("monitron", "hitflow") and status in (400, 422):
            assert told.get("input") or told.get("errors"), (told, sent)

    def _monitron(self, host: Host, key: str) -> tuple[str, Sent, Any]:
        return "/agent/report", Sent(mutated({"agent_key": key} | MONITRON, self._chance)), None

    def _hitflow(self, host: Host, key: str) -> tuple[str, Sent, Any]:
        headers = {"HitFlow-Agent-Server": str(host.id), "HitFlow-Agent-Token": key}
        return "/agent/v1/report", Sent(mutated(HITFLOW, self._chance), headers), None

    def _noba(self, host: Host, key: str) -> tuple[str, Sent, Any]:
        return "/api/agent/report", Sent(mutated(NOBA, self._chance), {"X-Agent-Key": key}), None

    def _influx(self, host: Host, key: str) -> tuple[str, Sent, Any]:
        """Some lines, one of which nothing is wrong with: that is to be stored whatever becomes of the others."""
        good = next(self._good)
        self._written.add(good)
        lines = [mutated_line(self._chance.choice(LINES), self._chance) for _ in range(self._chance.randrange(6))]
        lines.insert(self._chance.randrange(len(lines) + 1), b"canary n=%di" % good)
        return "/write", Sent(b"\n".join(lines), {"Authorization": f"Token {key}"}), WriteQuery()

    async def _answer(self, path: str, sent: Sent, query: Any) -> tuple[int, Any]:
        """(status, what was answered)"""
        route = ROUTES[path]
        call = Call(
            request=cast(web.Request, sent),
            parts=self._world.parts,
            route=route,
            caller=Caller(identity=STRANGER, address="192.0.2.7"),
            path={},
            query=query,
        )
        try:
            answer = await route.handler(call)
        except HbdError as error:
            answer = response_for(error)
        if not isinstance(answer, web.Response):
            return 200, answer
        return answer.status, msgspec.json.decode(cast(bytes, answer.body)) if answer.body else None

    async def _check_stored(self, outcomes: Counter[tuple[str, int]]) -> None:
        """As many reports are on disk as were taken, each of them sound; then make room for the next ones."""

        def look(db: sqlite3.Connection) -> list[tuple[int, bytes]]:
            rows = db.execute("SELECT host_id, body FROM samples").fetchall()
            db.execute("DELETE FROM samples")
            return rows

        rows = await self._world.store.database.write(look)
        stored = Counter(self._receiver_of[host_id] for host_id, _ in rows)
        for name in ("monitron", "hitflow", "noba"):
            assert stored[name] == outcomes[name, 200], name
        assert stored["influx"] == outcomes["influx", 204] + outcomes["influx", 400]
        values = [leaf for _, body in rows for sample in msgspec.json.decode(body) for leaf in _leaves(sample["data"])]
        for name, value in values:
            assert value is None or isinstance(value, str | int) or math.isfinite(value), (name, value)
        assert self._written <= {value for _, value in values}
        strict = (body for host_id, body in rows if self._receiver_of[host_id] in ("monitron", "hitflow"))
        for body in strict:
            for sample in msgspec.json.decode(body):
                assert all(0 <= value <= 100 for name, value in _leaves(sample["data"]) if name in PERCENTS), body


def _leaves(data: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _leaves(value, key)
    elif isinstance(data, list):
        for value in data:
            yield from _leaves(value, name)
    else:
        yield name, data


async def receivers_of(path: Path, seed: int, hosts: int = 10) -> tuple[World, Receivers]:
    """A daemon's receivers over a database there; the caller closes the world."""
    world = World(path)
    await world.open()
    receivers = Receivers(world, seed)
    await receivers.enrol(hosts)
    return world, receivers
