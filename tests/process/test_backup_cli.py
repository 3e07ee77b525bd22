"""``hbd backup`` and ``hbd restore`` as programs."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from programs import SLOW, Daemon, eventually, stored_reports
from virtual_agents import Fleet


async def hbd(daemon: Daemon, *arguments: str, killed_after: float | None = None) -> tuple[int, str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HBD_", "HBC_", "XDG_"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hbd", *arguments, "-c", str(daemon.config_file)),
        env=kept | {"HOME": str(daemon.folder)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    if killed_after is not None:
        await asyncio.wait({asyncio.create_task(process.wait())}, timeout=killed_after)
        if process.returncode is None:
            process.kill()
    async with asyncio.timeout(60 * SLOW):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_a_backup_of_a_running_daemon_brings_back_what_was_acknowledged(daemon: Daemon, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    async with Fleet(daemon.url, 20, interval=0.1) as fleet:

        async def some_are_acknowledged() -> bool:
            return fleet.tally.acked >= 200

        await eventually(some_are_acknowledged, 30, "200 reports are acknowledged")
        acked = fleet.tally.acked
        code, out, _ = await hbd(daemon, "backup", str(copy))
        assert (code, out.startswith(f"{copy}: ")) == (0, True)
    code, _, err = await hbd(daemon, "restore", "--force", str(copy))
    assert (code, "in use by another hbd" in err) == (1, True)
    assert await daemon.stop() == 0
    assert len(stored_reports(daemon.database)) > acked
    code, _, err = await hbd(daemon, "restore", "--force", str(copy))
    assert (code, "is kept as" in err, "cannot be seen" in err) == (0, True, False)
    assert len(set(stored_reports(daemon.database))) >= acked
    await daemon.start()
    assert await daemon.fetch("/api/0/hosts")


@pytest.mark.timeout(120 * SLOW)
async def test_a_backup_that_is_killed_leaves_no_file_with_its_name(daemon: Daemon, tmp_path: Path) -> None:
    assert await daemon.stop() == 0
    for number in range(8):
        copy = tmp_path / f"copy-{number}.db"
        code, _, _ = await hbd(daemon, "backup", str(copy), killed_after=random.uniform(0.2, 0.7))
        assert copy.exists() or code != 0
        if copy.exists():
            with closing(sqlite3.connect(copy)) as db:
                assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    code, _, _ = await hbd(daemon, "backup", str(tmp_path / "last.db"))
    assert code == 0


async def test_a_backup_without_its_checksum_is_restored_and_told(daemon: Daemon, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    assert (await hbd(daemon, "backup", str(copy)))[0] == 0
    assert await daemon.stop() == 0
    (tmp_path / "copy.db.sha256").unlink()
    code, _, err = await hbd(daemon, "restore", "--force", str(copy))
    assert (code, "there is no copy.db.sha256: whether single values went bad" in err) == (0, True)
