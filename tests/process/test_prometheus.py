"""Remote write to Debian's Prometheus, through outages of it and a kill of hbd."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from programs import SLOW, Daemon, eventually, free_port
from virtual_agents import Fleet

from hbd.config.structs import RemoteWrite
from hbd.exporters import names
from hbd.exporters.sender import BREATH_SECONDS, Writer
from hbd.hosts import Host, Hosts
from hbd.model import Report, Sample
from hbd.stats import Stats
from hbd.store import Store, Turn
from hbd.store.reading import read_report

AGENTS = 4
BEGAN = 1_795_219_200.0
OUTAGES = ("stopped", "killed", "hangs", "stopped", "killed")

Series = dict[tuple[str, str, str], dict[int, float]]
"""(name, host, key) → milliseconds → value"""


class Prometheus:
    """One that takes remote write and scrapes nothing; its data stays over a restart."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.url = f"http://127.0.0.1:{free_port()}"
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        config = self._folder / "prometheus.yml"
        config.write_text("scrape_configs: []\n")
        with (self._folder / "prometheus.log").open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={self._folder / 'data'}",
                "--storage.tsdb.retention.time=100y",
                f"--web.listen-address={self.url.removeprefix('http://')}",
                "--web.enable-remote-write-receiver",
                stdout=output,
                stderr=output,
            )
        await eventually(self._is_ready, 30, "Prometheus is ready")

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def ended(self) -> None:
        assert self._process is not None
        async with asyncio.timeout(30 * SLOW):
            await self._process.wait()

    async def _is_ready(self) -> bool:
        try:
            async with aiohttp.request("GET", f"{self.url}/-/ready") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def ask(self, query: str, at: float) -> list[dict[str, Any]]:
        parameters = {"query": query, "time": f"{at:.3f}"}
        async with aiohttp.request("POST", f"{self.url}/api/v1/query", data=parameters) as answer:
            found = await answer.json()
            assert found["status"] == "success", found
            result: list[dict[str, Any]] = found["data"]["result"]
            return result

    async def held(self, at: float, span: str = "1h") -> Series:
        """All that it has of that span before a time."""
        found: Series = {}
        for series in await self.ask(f'{{host!=""}}[{span}]', at):
            labels = series["metric"]
            found[labels["__name__"], labels["host"], labels.get("key", "")] = {
                round(second * 1000): float(value) for second, value in series["values"]
            }
        return found


@pytest.fixture
async def prometheus(tmp_path: Path) -> AsyncIterator[Prometheus]:
    found = Prometheus(tmp_path / "prometheus")
    await found.start()
    yield found
    found.signal(signal.SIGKILL)
    await found.ended()


def expected(samples: Iterable[tuple[str, Sample]]) -> Series:
    found: Series = defaultdict(dict)
    for host, sample in samples:
        for _, (name, key, value) in names.series(sample.plugin, sample.data):
            found[name, host, key][round(sample.time * 1000)] = value
    return dict(found)


def stored(database: Path) -> list[tuple[str, Sample]]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT name, shift, body FROM samples JOIN hosts ON hosts.id = host_id").fetchall()
    return [(host, sample) for host, shift, body in rows for sample in read_report(shift, body)]


async def out(prometheus: Prometheus, how: str) -> None:
    """Have it take nothing for some seconds."""
    if how == "hangs":
        prometheus.signal(signal.SIGSTOP)
    else:
        prometheus.signal(signal.SIGTERM if how == "stopped" else signal.SIGKILL)
        await prometheus.ended()
    await asyncio.sleep(2)  # the length of the outage, in which reports go on
    if how == "hangs":
        prometheus.signal(signal.SIGCONT)
    else:
        await prometheus.start()


@pytest.mark.timeout(240 * SLOW)
async def test_every_sample_arrives_over_outages_and_a_kill_and_queries_agree(
    prometheus: Prometheus, tmp_path: Path
) -> None:
    target = {"url": f"{prometheus.url}/api/v1/write", "interval": "1s"}
    async with Daemon(tmp_path / "daemon", remote_write={"prometheus": target}) as daemon:

        async def sent() -> bool:
            """Whether it has what is on disk now."""
            wanted = expected(stored(daemon.database))
            held = await prometheus.held(time.time() + 1)
            return all(wanted[series].items() <= held.get(series, {}).items() for series in wanted)

        async with Fleet(daemon.url, AGENTS, interval=0.3, retry=0.2) as fleet:
            await asyncio.wait_for(fleet.connected(), 20 * SLOW)
            for number, how in enumerate(OUTAGES):
                await eventually(sent, 90, f"it has everything before outage {number}")
                outage = asyncio.create_task(out(prometheus, how))
                if number == 2:
                    await daemon.kill()
                    await daemon.start()
                await outage
            fleet.finish()
            await eventually(fleet.settled, 20, "every report is acknowledged")
        await eventually(sent, 90, "it has everything in the end")

        assert await prometheus.held(time.time() + 1) == expected(stored(daemon.database))
        status = await daemon.fetch("/api/0/status")
        assert status["warnings"] == []
        assert not any("refused" in counter for counter in status["counters"] if counter.startswith("remote_write"))

        host = fleet.agents[0].name
        ours = await daemon.fetch(f"/api/0/hosts/{host}/history?metric=cpu_monitor.cpu_percent&step=60")
        (series,) = ours["series"]
        for start, mean, least, most, last, count in series["points"]:
            for function, value in (("avg", mean), ("min", least), ("max", most), ("last", last)):
                query = f'{function}_over_time(hbd_cpu_ratio{{host="{host}"}}[59999ms])'
                (theirs,) = await prometheus.ask(query, start + 59.999)
                assert float(theirs["value"][1]) == pytest.approx(value * 0.01, rel=1e-9)
            (theirs,) = await prometheus.ask(
                f'count_over_time(hbd_cpu_ratio{{host="{host}"}}[59999ms])', start + 59.999
            )
            assert int(theirs["value"][1]) == count


def report_at(host_id: int, number: int) -> tuple[Report, float]:
    moment = BEGAN + number * 10
    samples = tuple(
        Sample(plugin, moment + 0.25, {"cpu_percent": (number * 7 + host_id) % 1000 / 10, "eth0": {"rx_total": number}})
        for plugin in ("cpu_monitor", "network_monitor")
    )
    body = msgspec.json.encode([msgspec.structs.asdict(sample) for sample in samples])
    return Report(host_id, "a" * 16, number, samples, body), moment


@pytest.mark.timeout(240 * SLOW)
async def test_hours_that_were_folded_and_packed_meanwhile_arrive_whole(prometheus: Prometheus, tmp_path: Path) -> None:
    """Prometheus is down for two hours of their time, again and again; half of each is folded before it is back."""
    store, hosts, stats = Store(tmp_path / "hbd.db", Stats()), Hosts(), Stats()
    await store.open()
    for number in (1, 2):
        await store.hosts.enrol(f"web-{number}", f"agent_{number}", [], None, 0.0)
        hosts.add(Host(number, f"web-{number}", f"agent_{number}"))
    await store.exports.begin(["there"])
    notes: list[str] = []
    settings = RemoteWrite(url=f"{prometheus.url}/api/v1/write")

    def writer() -> Writer:
        return Writer("there", settings, store.exports, hosts, stats, lambda text, now: notes.append(text))

    async def out_of_debt() -> bool:
        while await writes.step(session) == BREATH_SECONDS:
            pass
        return writes.trouble is None and await store.exports.next("there", 600) is None

    wanted: list[tuple[str, Sample]] = []
    async with aiohttp.ClientSession() as session:
        for outage in range(5):
            writes = writer()  # as after a restart
            prometheus.signal(signal.SIGKILL if outage % 2 else signal.SIGTERM)
            await prometheus.ended()
            reports = [report_at(host, number) for number in range(outage * 720, outage * 720 + 720) for host in (1, 2)]
            wanted += [(f"web-{report.host_id}", sample) for report, _ in reports for sample in report.samples]
            await store.record(Turn(reports=reports))
            await writes.step(session)
            assert writes.trouble is not None
            now = BEGAN + outage * 7200 + 7200
            while await store.samples.fold(now, 3600, 3600):
                pass
            while await store.history.pack(now):
                pass
            await prometheus.start()
            await eventually(out_of_debt, 60, "everything is sent")
    held = await prometheus.held(BEGAN + 5 * 7200, "24h")
    await store.close()
    assert held == expected(wanted)
    assert notes == []
