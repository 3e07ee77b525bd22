"""A disk that is full, under real programs: what has to be known is told, and what was acknowledged stays."""

from __future__ import annotations

import asyncio
import random
import re
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from notified import PATH, RULES, Ear, Voice, heard, listening, speaking
from programs import SLOW, Agent, Daemon, eventually, stored_reports, twice
from small_disk import SmallDisk, small_disk
from virtual_agents import Fleet

from hbd.rollups import MINUTE
from hbd.stats import Stats
from hbd.store import Store
from hbd.store.history import Row, insert

FULL = "the disk is full: "
WITHIN = 30.0
BALLAST = 8 << 20


@pytest.fixture
async def disk(tmp_path: Path) -> AsyncIterator[SmallDisk]:
    async with small_disk(tmp_path / "disk", "64m") as made:
        yield made


def on(disk: SmallDisk, **settings: Any) -> Daemon:
    """A daemon whose database is there."""
    daemon = Daemon(
        disk.folder.parent / "daemon",
        database=str(disk.folder / "hbd.db"),
        ballast=BALLAST,
        agents={"enrollment": "open"},
        **settings,
    )
    daemon.within = disk.within
    return daemon


async def ballast_is_made(disk: SmallDisk) -> None:
    file = disk.seen("hbd.db.ballast")

    async def made() -> bool:
        return file.exists() and file.stat().st_size == BALLAST

    await eventually(made, WITHIN, "the ballast is made")


async def storage(daemon: Daemon, begins: str) -> str:
    """What the status says of storage once it begins so."""

    async def says() -> str | None:
        status = await daemon.fetch("/api/0/status")
        return status["storage"] if status is not None and status["storage"].startswith(begins) else None

    said: str = await eventually(says, WITHIN, f"storage is {begins!r}")  # type: ignore[assignment]
    return said


async def level(daemon: Daemon) -> str | None:
    """Of the agent's one metric, None when it is no problem."""
    alerts = await daemon.fetch("/api/0/alerts")
    return next((alert["level"] for alert in alerts["alerts"] if alert["metric_path"] == PATH), None)


def stored(disk: SmallDisk, daemon: Daemon) -> list[tuple[str, str, int]]:
    """See ``stored_reports``. SQLite finds no file of another mount namespace, so it is given a copy."""
    folder = disk.folder.parent / "seen"
    folder.mkdir(exist_ok=True)
    for left in folder.iterdir():
        left.unlink()
    daemon.signal(signal.SIGSTOP)  # a copy of one moment
    try:
        for name in ("hbd.db", "hbd.db-wal"):
            (folder / name).write_bytes(disk.seen(name).read_bytes())
    finally:
        daemon.signal(signal.SIGCONT)
    return stored_reports(folder / "hbd.db")


@pytest.mark.timeout(180 * SLOW)
async def test_f06_on_a_full_disk_alerts_open_close_and_outlive_a_kill(disk: SmallDisk) -> None:
    async with AsyncExitStack() as stack:
        ears = await stack.enter_async_context(listening("ops"))
        ear: Ear = ears["ops"]
        daemon = on(
            disk,
            threshold_configs=RULES,
            notification_channels=ears.channels(),
            notification_routes={"everything": {"channels": ["ops"]}},
            notifications={"about_hbd": ["ops"]},
        )
        await stack.enter_async_context(daemon)
        await daemon.ready()
        voice = Voice("web-1", daemon.url)
        await stack.enter_async_context(speaking(voice))
        await asyncio.wait_for(voice.connected.wait(), WITHIN * SLOW)
        await ballast_is_made(disk)

        disk.fill()
        voice.say("CRITICAL")
        await eventually(heard(lambda: ear.told() == [(1, "CRITICAL")]), WITHIN, "the alert is told")
        assert await storage(daemon, FULL)
        await eventually(
            heard(lambda: "CRITICAL hbd: storage is degraded" in ear.titles), WITHIN, "the disk is told, too"
        )
        await daemon.kill()
        await daemon.start(ready=False)
        await storage(daemon, FULL)
        assert await level(daemon) == "CRITICAL"
        voice.say("OK")
        await eventually(heard(lambda: ear.told() == [(1, "CRITICAL"), (2, "OK")]), WITHIN, "its end is told")
        await daemon.kill()
        await daemon.start(ready=False)
        await storage(daemon, FULL)
        assert "Traceback" not in daemon.text


@pytest.mark.timeout(180 * SLOW)
async def test_f06_what_a_full_disk_does_not_take_comes_when_it_has_room(disk: SmallDisk) -> None:
    ledger: set[tuple[str, str, int]] = set()
    async with AsyncExitStack() as stack:
        daemon = await stack.enter_async_context(on(disk))
        await daemon.ready()
        await stack.enter_async_context(Agent(disk.folder.parent / "agent", daemon.url, "web-1"))
        fleet = Fleet(daemon.url, 5, interval=0.1, retry=0.2, on_ack=lambda *report: ledger.add(report))
        await stack.enter_async_context(fleet)
        await asyncio.wait_for(fleet.connected(), WITHIN * SLOW)
        await ballast_is_made(disk)

        async def has_reported() -> bool:
            return any(name == "web-1" for name, _, _ in stored(disk, daemon))

        await eventually(has_reported, WITHIN, "the agent has reported")
        disk.fill()
        await storage(daemon, FULL + "no samples are taken")

        async def is_refused() -> bool:
            return fleet.tally.busy > 50

        await eventually(is_refused, WITHIN, "reports are refused")
        refused_since = time.time()
        refused_at = max(seq for name, _, seq in stored(disk, daemon) if name == "web-1")

        async def beats() -> bool:
            host = await daemon.host("web-1")
            return any(link["last_seen"] > refused_since for link in host["connections"]) and host["state"] == "UP"

        await eventually(beats, WITHIN, "heartbeats count")
        assert await daemon.fetch("/readyz") is None
        assert "database or disk is full" not in str(await daemon.fetch("/api/0/status"))

        disk.empty()
        await storage(daemon, "ok")
        await ballast_is_made(disk)
        fleet.finish()
        await daemon.kill()  # these agents send again what was refused when they connect anew
        await daemon.start()
        await eventually(fleet.settled, WITHIN, "every report is acknowledged")

        async def has_caught_up() -> bool:
            known = {seq for name, _, seq in stored(disk, daemon) if name == "web-1"}
            return max(known) > refused_at and known == set(range(1, max(known) + 1))

        await eventually(has_caught_up, WITHIN, "what the agent kept is there, without a gap")

        kept = stored(disk, daemon)
    sent = {(one.name, one.run_id, seq) for one in fleet.agents for seq in range(1, one.seq + 1)}
    assert {report for report in kept if report[0] != "web-1"} == sent == ledger
    assert not twice(kept)
    assert "Traceback" not in daemon.text


async def put_history(disk: SmallDisk, megabytes: int) -> None:
    """Have a database there with so much history that is a week old."""
    path = disk.folder.parent / "filled.db"
    store, rng = Store(path, Stats()), random.Random(7)
    await store.open()
    await store.hosts.enrol("web-1", "agent_1", [], None, 0.0)
    old = time.time() - 7 * 86_400
    rows = [Row(MINUTE, 0, old, old, True, rng.randbytes(1 << 18)) for _ in range(4 * megabytes)]
    await store.database.write(lambda db: insert(db, 1, rows))
    await store.close()
    disk.seen("hbd.db").write_bytes(path.read_bytes())


@pytest.mark.timeout(180 * SLOW)
async def test_f07_on_a_full_disk_new_samples_take_the_room_of_old_history(disk: SmallDisk) -> None:
    await put_history(disk, 24)
    async with on(disk) as daemon:
        await daemon.ready()
        async with Fleet(daemon.url, 5, interval=0.1) as fleet:
            await asyncio.wait_for(fleet.connected(), WITHIN * SLOW)
            await ballast_is_made(disk)
            disk.fill()
            assert "the oldest history" in await storage(daemon, FULL + "new samples")
            acked = fleet.tally.acked

            async def are_taken() -> bool:
                return fleet.tally.acked > acked + 100

            await eventually(are_taken, WITHIN, "new samples are taken")
            assert await daemon.fetch("/readyz") is not None
            acked = fleet.tally.acked
            assert len(stored(disk, daemon)) >= acked
            disk.empty()
            await storage(daemon, "ok")
        journal = [line["msg"] for line in await daemon.fetch("/api/0/messages")]
    assert any(re.match(r"the disk has room again; [1-9]\d* rows of history were given up", line) for line in journal)
