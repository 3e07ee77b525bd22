"""Logs and files of a host, through a real hbd and a real hbc."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import stat
from collections.abc import AsyncIterator
from pathlib import Path

from programs import eventually
from stream_events import Events
from stream_site import Site, a_site, peak_kilobytes

__all__ = ["a_site"]


def made(path: Path, megabytes: int) -> str:
    """A file of that size; its digest."""
    content = os.urandom(1 << 20)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(megabytes):
            file.write(content)
            digest.update(content)
    return digest.hexdigest()


async def test_a_large_file_goes_out_and_in(site: Site, tmp_path: Path) -> None:
    digest = made(site.files / "large", 100)
    peaks = [(program, peak_kilobytes(program.pid)) for program in (site.agent, site.daemon)]
    received = hashlib.sha256()
    async with site.get("/files", path=str(site.files / "large")) as answer:
        assert answer.status == 200
        async for chunk in answer.content.iter_any():
            received.update(chunk)
    assert received.hexdigest() == digest
    with (site.files / "large").open("rb") as file:
        async with site.post(file, dest=str(site.files / "copy")) as answer:
            assert (answer.status, (await answer.json())["bytes"]) == (200, 100 << 20)
    assert hashlib.sha256((site.files / "copy").read_bytes()).hexdigest() == digest
    for program, before in peaks:
        assert peak_kilobytes(program.pid) < before + 40_000


async def test_f49_an_upload_is_gone_on_with_after_the_agent_was_killed(site: Site) -> None:
    target, content = site.files / "a", os.urandom(5 << 20)
    target.write_bytes(b"old")
    where = {"dest": str(target), "upload": "upload-1", "total": str(len(content))}

    async def slowly() -> AsyncIterator[bytes]:
        yield content[: 3 << 20]

        async def begun() -> bool:
            return any(entry.stat().st_size > 1 << 20 for entry in site.files.iterdir())

        await eventually(begun, 20, "some of it is on the host")
        await site.agent.kill()
        yield content[3 << 20 :]

    async with site.post(slowly(), **where) as answer:
        assert answer.status == 502
    assert target.read_bytes() == b"old"
    await site.agent.start()
    await site.linked()
    async with site.get("/files/upload", upload="upload-1", dest=str(target)) as answer:
        offset = (await answer.json())["offset"]
    assert 1 << 20 < offset <= len(content)
    async with site.post(content[offset:], **where, offset=str(offset)) as answer:
        assert (await answer.json())["done"] is True
    assert target.read_bytes() == content
    assert [entry.name for entry in site.files.iterdir()] == ["a"]


async def test_a_log_file_is_followed_and_the_agent_lets_go_of_it(site: Site) -> None:
    log = site.logs / "app.log"
    log.write_text("before\n")
    async with site.get("/stream/logs", source="file", path=str(log)) as answer:
        events = Events(answer)
        assert await events.texts(1) == ["before"]
        with log.open("a") as file:
            file.write("after\n")
        assert await events.texts(1) == ["after"]
        assert str(log) in opened(site.agent.pid)

    async def let_go() -> bool:
        return str(log) not in opened(site.agent.pid)

    await eventually(let_go, 10, "the file is closed")


async def test_a_journal_is_followed_and_its_program_ends_with_the_reader(site: Site, tmp_path: Path) -> None:
    entry = {"__CURSOR": "s=1", "__REALTIME_TIMESTAMP": "1750000000000000", "MESSAGE": "hello", "_COMM": "app"}
    program, pid = site.bin / "journalctl", tmp_path / "pid"
    program.write_text(f"#!/bin/sh\necho $$ > {pid}\necho '{json.dumps(entry)}'\ntrap '' TERM\nsleep 600 & wait\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    async with site.get("/stream/logs", unit="app") as answer:
        assert await Events(answer).texts(1) == ["2025-06-15T15:06:40Z app: hello"]
        assert running(pid)

    async def ended() -> bool:
        return not running(pid)

    await eventually(ended, 15, "journalctl has ended")


async def test_what_the_host_does_not_allow_is_refused_with_its_reason(site: Site, tmp_path: Path) -> None:
    for path in ("/etc/passwd", str(tmp_path / "agent" / "key"), str(site.logs / "x")):
        async with site.get("/files", path=path) as answer:
            assert answer.status == 403
            assert "disabled by local policy" in (await answer.json())["error"]
    async with site.get("/stream/logs", unit="sshd") as answer:
        assert answer.status == 403


async def test_without_the_agent_it_is_offline(site: Site) -> None:
    await site.agent.stop()

    async def offline() -> bool:
        async with site.get("/files/list") as answer:
            return answer.status == 409 and await answer.json() == {"error": "agent_offline"}

    await eventually(offline, 10, "the agent is offline")


async def test_the_daemon_stops_in_time_with_streams_open(site: Site) -> None:
    (site.logs / "app.log").write_text("line\n")
    async with site.get("/stream/logs", source="file", path=str(site.logs / "app.log")) as answer:
        await Events(answer).texts(1)
        site.daemon.signal(signal.SIGTERM)
        assert await site.daemon.ended(10) == 0
    assert "Traceback" not in site.daemon.text
    assert "Traceback" not in site.agent.text


def opened(pid: int) -> set[str]:
    return {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink()}


def running(pid_file: Path) -> bool:
    try:
        state = Path(f"/proc/{pid_file.read_text().strip()}/stat").read_text()
    except OSError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"
