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
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

import msgspec
from aiohttp import web
from multidict import CIMultiDict
from mutations import mutated, mutated_line
from world import World

from hbd.access import STRANGER
from hbd.config.structs import ScrapeJob, ScrapeTarget
from hbd.errors import HbdError
from hbd.hosts import Host
from hbd.job_schedule import Timing
from hbd.pipeline import Source
from hbd.receivers.doors import source_of
from hbd.scraping.scraper import Exporter
from hbd.store.audit import Entry
from hbd.web import agent_routes, receiver_routes
from hbd.web.call import Call, Caller
from hbd.web.errors import response_for
from hbd.web.influx import WriteQuery
from hbd.web.jobs import PingQuery

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
RESULTS: tuple[dict[str, Any], ...] = (
    {"service": "raid", "state": 2, "output": "CRITICAL - md0 degraded | disks=1;;;0;2"},
    {"service": "load", "state": "WARNING", "output": "load 4 | load1=4.0;3;5 'a b'=7c"},
)
NRDP: tuple[dict[str, Any], ...] = (
    {"checkresult": {"type": "service"}, "servicename": "raid", "state": "2", "output": "degraded | disks=1"},
    {"checkresult": {"type": "host"}, "hostname": "web1", "state": "1", "output": "DOWN"},
)
EXPOSED = (
    b"# TYPE orders counter",
    b'orders{kind="tea",size="a \\"b\\" c"} 3 1750000000000',
    b'node_filesystem_size_bytes{device="/dev/sda1",fstype="ext4",mountpoint="/"} 5.0e+10',
    b'node_filesystem_avail_bytes{device="/dev/sda1",fstype="ext4",mountpoint="/"} 2.5e+10',
    b'node_cpu_seconds_total{cpu="0",mode="idle"} 1234.5',
    b'node_network_receive_bytes_total{device="eth0"} 123456789',
    b'node_uname_info{machine="x86_64",nodename="web1",release="6.1",sysname="Linux"} 1',
    b"node_memory_MemTotal_bytes 8e9",
    b"node_memory_MemAvailable_bytes 4e9",
    b"node_boot_time_seconds NaN",
)
CALLS = ("", "start", "fail", "log", "0", "1", "255", "256", "-1", "1.5", "\u0661", "x" * 300, "\0", "start/")
PERCENTS = frozenset(("cpu_percent", "iowait_percent", "percent", "swap_percent", "memory_percent"))
STATUSES = frozenset((200, 204, 400, 404, 413, 422))
AT_ONCE = 1_000
GOOD = 1 << 40
"""from here on: values of lines that nothing is wrong with"""


class Sent:
    """As much of a request as the handlers look at."""

    method = "POST"

    def __init__(self, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.headers, self.content_length, self._body = CIMultiDict(headers or {}), len(body), body

    @property
    def content(self) -> Sent:
        return self

    async def read(self) -> bytes:
        return self._body

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        for first in range(0, len(self._body), size):
            yield self._body[first : first + size]


class Saying(Exporter):
    """An exporter whose answer is given."""

    def __init__(self, host: Host) -> None:
        super().__init__(ScrapeTarget("shop", f"http://{host.name}/", host.name, ScrapeJob()))
        self.text = ""

    async def fetch(self) -> tuple[str, Source]:
        self.status = 200
        return self.text, source_of("192.0.2.8")


class Complaints(logging.Handler):
    """Everything that is logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))


class Receivers:
    """The receivers of a daemon, and hosts that send to them, each host to one of them.

    only: names of receivers; all of them without. outcomes: (receiver, status) to how often.
    """

    def __init__(self, world: World, seed: int, only: Sequence[str] = ()) -> None:
        self._world = world
        self._chance = random.Random(seed)
        senders = {
            "monitron": self._monitron,
            "hitflow": self._hitflow,
            "noba": self._noba,
            "influx": self._influx,
            "nagios": self._nagios,
            "nrdp": self._nrdp,
            "prometheus": self._prometheus,
            "jobs": self._job,
        }
        self._senders = {name: sender for name, sender in senders.items() if not only or name in only}
        self._hosts: dict[str, list[tuple[Host, str]]] = {}
        self._receiver_of: dict[int, str] = {}
        self._good = itertools.count(GOOD)
        self._written: set[int] = set()
        self._told = 0  # calls of jobs that say something new
        self.outcomes: Counter[tuple[str, int]] = Counter()

    async def enrol(self, hosts: int) -> None:
        """So many for each receiver."""
        for name in self._senders:
            for number in range(hosts):
                host = await self._world.enrol(f"{name}{number}")
                key = await (self._job_of(host) if name == "jobs" else self._world.key(host))
                self._hosts.setdefault(name, []).append((host, key))
                self._receiver_of[host.id] = name
        await self._stored()

    async def _job_of(self, host: Host) -> str:
        """What a job of a host calls with."""
        entry = Entry(time=self._world.now.wall, user="", via="cli", action="job.create")
        job = await self._world.jobs.add(host, "backup", Timing(3600.0, 600.0), "", entry)
        return job.token

    async def send(self, reports: int) -> None:
        """Send so many, and check what became of them."""
        complaints = Complaints()
        logging.getLogger("hbd").addHandler(complaints)
        try:
            for first in range(0, reports, AT_ONCE):
                before, self._told = self.outcomes.copy(), 0
                self._written.clear()
                await asyncio.gather(*(self._one() for _ in range(min(AT_ONCE, reports - first))))
                await self._check_stored(self.outcomes - before)
        finally:
            logging.getLogger("hbd").removeHandler(complaints)
        assert complaints.texts == []

    async def _one(self) -> None:
        name = self._chance.choice(list(self._senders))
        status = await self._senders[name](*self._chance.choice(self._hosts[name]))
        self.outcomes[name, status] += 1

    async def _monitron(self, host: Host, key: str) -> int:
        sent = Sent(mutated({"agent_key": key} | MONITRON, self._chance))
        status, told = await self._answer("/agent/report", sent)
        assert status == 200 or told.get("errors") or status == 404, (told, sent)
        return status

    async def _hitflow(self, host: Host, key: str) -> int:
        headers = {"HitFlow-Agent-Server": str(host.id), "HitFlow-Agent-Token": key}
        sent = Sent(mutated(HITFLOW, self._chance), headers)
        status, told = await self._answer("/agent/v1/report", sent)
        assert status == 200 or told.get("input"), (told, sent)
        return status

    async def _noba(self, host: Host, key: str) -> int:
        sent = Sent(mutated(NOBA, self._chance), {"X-Agent-Key": key})
        return (await self._answer("/api/agent/report", sent))[0]

    async def _influx(self, host: Host, key: str) -> int:
        lines = [mutated_line(self._chance.choice(LINES), self._chance) for _ in range(self._chance.randrange(6))]
        self._put_in(lines, b"canary n=%di")
        sent = Sent(b"\n".join(lines), {"Authorization": f"Token {key}"})
        return (await self._answer("/write", sent, query=WriteQuery()))[0]

    async def _nagios(self, host: Host, key: str) -> int:
        results = [mutated(self._chance.choice(RESULTS), self._chance) for _ in range(self._chance.randrange(4))]
        results = [result for result in results if _is_json(result)]
        self._put_in(results, b'{"service": "canary", "state": 0, "output": "| n=%d"}')
        sent = Sent(b"[%s]" % b",".join(results), {"X-Agent-Key": key})
        return (await self._answer("/nagios/results", sent))[0]

    async def _nrdp(self, host: Host, key: str) -> int:
        results = [mutated(self._chance.choice(NRDP), self._chance) for _ in range(self._chance.randrange(4))]
        results = [result for result in results if _is_json(result)]
        self._put_in(results, b'{"servicename": "canary", "state": "0", "output": "| n=%d"}')
        if self._chance.random() < 0.5:
            form = {"JSONDATA": b'{"checkresults": [%s]}' % b",".join(results)}
        else:
            form = {"XMLDATA": "".join(("<c>", *map(_as_xml, results), "</c>")).encode("utf-8", "replace")}
        sent = Sent(urlencode({"token": key, "cmd": "submitcheck"} | form).encode())
        return (await self._answer("/nrdp/", sent))[0]

    async def _prometheus(self, host: Host, key: str) -> int:
        lines = [mutated_line(self._chance.choice(EXPOSED), self._chance) for _ in range(self._chance.randrange(8))]
        self._put_in(lines, b"canary %d")
        exporter = Saying(host)
        exporter.text = b"\n".join(lines).decode("utf-8", "replace")
        await self._world.scraper.scrape(exporter)
        assert exporter.last is not None
        assert exporter.last.error == "", (exporter.last, exporter.text)
        return 200

    async def _job(self, host: Host, token: str) -> int:
        chance = self._chance
        what = chance.choice(CALLS)
        if chance.random() < 0.1:
            token = token[: chance.randrange(36)] + chance.choice(("", "x", "\0"))
        sent = Sent(mutated(MONITRON, chance))
        rid = chance.choice(("", "a", "é" * 64))
        status, _ = await self._answer("/ping/{token}/{what}", sent, query=PingQuery(rid), token=token, what=what)
        self._told += status == 200 and what != "log"
        return status

    def _put_in(self, items: list[bytes], good: bytes) -> None:
        """Put among some items one that nothing is wrong with: it is to be stored whatever becomes of the others."""
        number = next(self._good)
        self._written.add(number)
        items.insert(self._chance.randrange(len(items) + 1), good % number)

    async def _answer(self, path: str, sent: Sent, query: Any = None, **places: str) -> tuple[int, Any]:
        """(status, what was answered). places: of the path."""
        route = ROUTES[path]
        call = Call(
            request=cast(web.Request, sent),
            parts=self._world.parts,
            route=route,
            caller=Caller(identity=STRANGER, address="192.0.2.7"),
            path=places,
            query=query,
        )
        try:
            answer = await route.handler(call)
        except HbdError as error:
            answer = response_for(error)
        if not isinstance(answer, web.Response):
            return 200, answer
        assert answer.status in STATUSES, (answer.status, answer.body, await sent.read())
        is_json = answer.content_type == "application/json" and answer.body
        return answer.status, msgspec.json.decode(cast(bytes, answer.body)) if is_json else None

    async def _stored(self) -> list[tuple[int, bytes]]:
        """(host, what was stored) since this was called last."""

        def look(db: sqlite3.Connection) -> list[tuple[int, bytes]]:
            rows = db.execute("SELECT host_id, body FROM samples").fetchall()
            db.execute("DELETE FROM samples")
            return rows

        found: list[tuple[int, bytes]] = await self._world.store.database.write(look)
        return found

    async def _check_stored(self, outcomes: Counter[tuple[str, int]]) -> None:
        """As many reports are on disk as were taken, each of them sound."""
        rows = await self._stored()
        stored = Counter(self._receiver_of[host_id] for host_id, _ in rows)
        for name in ("monitron", "hitflow", "noba", "prometheus"):
            assert stored[name] == outcomes[name, 200], name
        for name in ("influx", "nagios", "nrdp"):
            assert stored[name] == outcomes[name, 200] + outcomes[name, 204] + outcomes[name, 400], name
        assert stored["jobs"] == self._told
        for host_id, body in rows:
            if self._receiver_of[host_id] in ("nagios", "nrdp"):
                (sample,) = msgspec.json.decode(body)
                for service, result in sample["data"].items():
                    assert 0 < len(service) <= 128, service
                    assert result["state"] in (0, 1, 2, 3), result
        values = [leaf for _, body in rows for sample in msgspec.json.decode(body) for leaf in _leaves(sample["data"])]
        for name, value in values:
            assert value is None or isinstance(value, str | int) or math.isfinite(value), (name, value)
        assert self._written <= {value for _, value in values}
        strict = (body for host_id, body in rows if self._receiver_of[host_id] in ("monitron", "hitflow"))
        for body in strict:
            for sample in msgspec.json.decode(body):
                assert all(0 <= value <= 100 for name, value in _leaves(sample["data"]) if name in PERCENTS), body


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return False
    return True


def _as_xml(result: bytes) -> str:
    """As NRDP's senders write it, or nearly so."""
    found = msgspec.json.decode(result)
    if not isinstance(found, dict):
        return "<checkresult/>"
    told = "".join(
        f"<{name}>{escape(str(found.get(name, '')))}</{name}>" for name in ("servicename", "state", "output")
    )
    about = found.get("checkresult")
    kind = about.get("type") if isinstance(about, dict) else about
    text = f"<checkresult type={quoteattr(str(kind))}>{told}</checkresult>"
    try:
        ElementTree.fromstring(text)
    except ElementTree.ParseError:  # it would take the whole body with it
        return "<checkresult/>"
    return text


def _leaves(data: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _leaves(value, key)
    elif isinstance(data, list):
        for value in data:
            yield from _leaves(value, name)
    else:
        yield name, data


async def receivers_of(path: Path, seed: int, hosts: int = 10, only: Sequence[str] = ()) -> tuple[World, Receivers]:
    """A daemon's receivers over a database there; the caller closes the world."""
    world = World(path)
    await world.open()
    receivers = Receivers(world, seed, only)
    await receivers.enrol(hosts)
    return world, receivers
