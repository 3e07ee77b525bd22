from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

import pytest
from channel_kit import item, message, tools

from hbd.channels import base
from hbd.channels.base import Message, SendFailed
from hbd.channels.script import Script


@pytest.fixture(name="folder")
def a_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "scripts"
    folder.mkdir()
    return folder


def program(folder: Path, text: str, name: str = "tell") -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return path


async def send(folder: Path | None, what: Message | None = None, name: str = "tell") -> str:
    settings = {"program": name}
    assert Script().check(settings) == []
    return await Script().open("ops", settings, tools(scripts=folder)).send(what or message())


async def test_a_program_gets_the_message_as_json(folder: Path, tmp_path: Path) -> None:
    program(folder, f"cat > {tmp_path}/got")
    assert await send(folder) == "0"
    assert json.loads((tmp_path / "got").read_text())["problems"][0]["host"] == "web1"


async def test_a_program_has_the_main_things_in_its_environment(folder: Path, tmp_path: Path) -> None:
    program(folder, f'printf "%s|%s|%s" "$HBD_LEVEL" "$HBD_HOST" "$HBD_CHANNEL" > {tmp_path}/got')
    await send(folder)
    assert (tmp_path / "got").read_text() == "CRITICAL|web1|ops"


async def test_nothing_of_the_daemons_environment_is_in_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HBD_INNER", "secret")
    program(folder, f"env > {tmp_path}/got")
    await send(folder)
    assert "secret" not in (tmp_path / "got").read_text()


async def test_what_a_message_says_is_run_by_no_shell(folder: Path, tmp_path: Path) -> None:
    program(folder, f'printf "%s" "$HBD_HOST" > {tmp_path}/got')
    odd = f"$(touch {tmp_path}/canary); `id` | x"
    await send(folder, message(item(host=odd)))
    assert (tmp_path / "got").read_text() == odd and not (tmp_path / "canary").exists()


@pytest.mark.parametrize(("code", "permanent"), [(1, False), (75, False), (126, True), (127, True)])
async def test_a_program_that_fails_says_so_with_its_code(folder: Path, code: int, permanent: bool) -> None:
    program(folder, f"exit {code}")
    with pytest.raises(SendFailed, match=f"^the program ended with {code}$") as failed:
        await send(folder)
    assert failed.value.permanent is permanent


async def test_a_program_that_reads_nothing_may_do_so(folder: Path) -> None:
    program(folder, "exit 0")
    assert await send(folder, message(*[item(id=f"p{number}") for number in range(2_000)])) == "0"


async def test_a_program_that_hangs_is_killed_with_what_it_started(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "SEND_SECONDS", 0.5)
    program(folder, f"sleep 60 & echo $! > {tmp_path}/child; wait")
    with pytest.raises(SendFailed, match="no answer within"):
        await send(folder)
    child = int((tmp_path / "child").read_text())
    await until_gone(child)


async def until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
            os.kill(pid, 0)
        except (ProcessLookupError, FileNotFoundError):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the child is still there")


@pytest.mark.parametrize("name", ["../tell", "/bin/sh", "a/b", "..", ".tell", "", "tell\n", "tell;id", "-x y"])
def test_a_program_elsewhere_is_refused(name: str) -> None:
    assert [key for key, _ in Script().check({"program": name})] == ["program"]


async def test_a_link_out_of_the_folder_is_refused(folder: Path) -> None:
    (folder / "tell").symlink_to("/bin/true")
    with pytest.raises(SendFailed, match="no such program"):
        await send(folder)


async def test_without_a_folder_nothing_is_run() -> None:
    with pytest.raises(SendFailed, match="names no folder"):
        await send(None)


async def test_a_file_that_may_not_be_run_is_refused(folder: Path) -> None:
    program(folder, "exit 0").chmod(0o600)
    with pytest.raises(SendFailed, match="no such program"):
        await send(folder)
