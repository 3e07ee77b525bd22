"""Commands over the local socket of a daemon that may just be starting."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from hbd import control
from hbd.cli import main
from hbd.control import Control, Gone, ask
from hbd.errors import HbdError
from hbd.store.database import take_lock


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Path]:
    """A database that somebody holds."""
    lock = take_lock(tmp_path / "hbd.db")
    yield tmp_path / "hbd.db"
    os.close(lock)


async def test_a_daemon_that_is_just_starting_is_waited_for(held: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def count() -> int:
        return 7

    loop, waits = asyncio.get_running_loop(), asyncio.Event()
    clock = SimpleNamespace(monotonic=lambda: 0.0, sleep=lambda seconds: loop.call_soon_threadsafe(waits.set))
    monkeypatch.setattr(control, "time", clock)
    asked = asyncio.create_task(asyncio.to_thread(ask, held, "count"))
    async with asyncio.timeout(30):
        await waits.wait()
        daemon = Control(held, {"count": count})
        await daemon.start()
        assert await asked == 7
    await daemon.close()


def test_a_daemon_that_does_not_listen_is_told(held: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "START_SECONDS", 0.0)
    with pytest.raises(HbdError, match=f"in use by process {os.getpid()}, which does not listen"):
        ask(held, "count")


def test_a_daemon_that_has_just_ended_is_told(tmp_path: Path) -> None:
    with pytest.raises(Gone, match=r"nobody uses .* any more"):
        ask(tmp_path / "hbd.db", "count")


def test_a_command_that_met_another_does_its_work_when_that_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "hbd.yaml"
    config.write_text(f"database: {tmp_path / 'hbd.db'}\n")
    lock = take_lock(tmp_path / "hbd.db")
    clock = SimpleNamespace(monotonic=lambda: 0.0, sleep=lambda seconds: os.close(lock))
    monkeypatch.setattr(control, "time", clock)
    assert main(["agent", "add", "web-1", "-c", str(config)]) == 0
    assert len(capsys.readouterr().out.strip()) == 64
