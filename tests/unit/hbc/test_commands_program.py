"""Running one program. The programs are real."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from hbc.commands import program as module
from hbc.commands.program import Ended, Program, environment

ID = "cmd_0123456789ab"
DEADLINE = 20.0


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TERM_SECONDS", 0.2)
    monkeypatch.setattr(module, "TICK_SECONDS", 0.01)


def made(*argv: str, limit: float = DEADLINE, most: int = 10_000, said: list[tuple[str, str]] | None = None) -> Program:
    told = [] if said is None else said
    return Program(argv, environment(ID), limit=limit, most=most, say=lambda stream, text: told.append((stream, text)))


async def sh(script: str, **options: float) -> Ended:
    return await made("/bin/sh", "-c", script, **options).run()  # type: ignore[arg-type]


async def gone(pid: int) -> None:
    """Wait until there is no such process; a zombie that nobody waits for yet is as good."""
    async with asyncio.timeout(DEADLINE):
        while True:
            try:
                if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                    return
            except OSError:
                return
            await asyncio.sleep(0.01)


async def written(file: Path) -> None:
    async with asyncio.timeout(DEADLINE):
        while not file.exists() or not file.read_text():
            await asyncio.sleep(0.01)


async def test_output_and_exit_code_are_told_apart() -> None:
    ended = await sh("echo out; echo err >&2; exit 3")
    assert ended == Ended("failed", 3, "out\n", "err\n")


async def test_a_program_that_ends_well_is_done() -> None:
    assert await made("/bin/true").run() == Ended("done", 0)


async def test_a_program_that_is_not_there_failed() -> None:
    ended = await made("/no/such/program").run()
    assert ended == Ended("failed", None, reason="cannot start /no/such/program: No such file or directory")


async def test_what_was_killed_names_the_signal() -> None:
    ended = await sh("kill -9 $$")
    assert (ended.status, ended.exit_code, ended.reason) == ("failed", 137, "killed by signal 9")


async def test_output_is_told_while_it_comes() -> None:
    said: list[tuple[str, str]] = []
    program = made("/bin/sh", "-c", "printf one; read x </dev/null; sleep 0.2; printf two", said=said)
    await program.run()
    assert said[0] == ("stdout", "one") and "".join(text for _, text in said) == "onetwo"


async def test_a_character_that_comes_in_two_pieces_is_one() -> None:
    said: list[tuple[str, str]] = []
    script = r"printf '\303'; sleep 0.1; printf '\244\377'"
    ended = await made("/bin/sh", "-c", script, said=said).run()
    assert ended.stdout == "ä�" and "".join(text for _, text in said) == "ä�"


async def test_its_input_is_empty() -> None:
    assert (await made("/bin/cat").run()) == Ended("done", 0)


async def test_s54_it_sees_no_secret_of_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HBC_KEY", "canary")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    program = Program(("/usr/bin/env",), environment(ID, os.environ), limit=DEADLINE, most=10_000, say=lambda *_: None)
    ended = await program.run()
    names = {line.partition("=")[0] for line in ended.stdout.splitlines()}
    assert "canary" not in ended.stdout
    assert names <= {"PATH", "LANG", "LC_ALL", "HOME", "USER", "LOGNAME", "TZ", "HBD_COMMAND", "PWD"}


async def test_f48_endless_output_is_cut_and_ended() -> None:
    ended = await made("/bin/sh", "-c", "yes & yes", limit=0.5).run()
    assert (ended.status, ended.truncated, len(ended.stdout)) == ("timeout", True, 10_000)
    assert ended.reason == "took longer than 0.5 s and was ended"


async def test_output_that_is_not_kept_keeps_nobody_waiting() -> None:
    ended = await sh("head -c 3000000 /dev/zero; exit 4")
    assert (ended.status, ended.exit_code, ended.truncated, len(ended.stdout)) == ("failed", 4, True, 10_000)


async def test_f48_a_program_that_ignores_being_ended_is_killed_with_its_children(tmp_path: Path) -> None:
    script = "trap '' TERM; sleep 1000 & echo $! > child; while :; do sleep 1000; done"
    ended = await sh(f"cd {tmp_path}; {script}", limit=0.5)
    assert ended.status == "timeout"
    await gone(int((tmp_path / "child").read_text()))


ESCAPE = """
import os, sys, time
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
with open(sys.argv[1], "w") as file:
    file.write(str(os.getpid()))
time.sleep(1000)
"""


async def test_f48_a_child_that_left_the_group_is_killed_too(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    program = made("/bin/sh", "-c", '"$0" -c "$1" "$2"; exec sleep 1000', sys.executable, ESCAPE, str(pid))
    running = asyncio.create_task(program.run())
    await written(pid)
    program.cancel("alice")
    await asyncio.wait_for(running, DEADLINE)
    await gone(int(pid.read_text()))


async def test_what_is_left_behind_in_the_group_is_killed(tmp_path: Path) -> None:
    ended = await sh(f"sleep 1000 & echo $! > {tmp_path}/child; echo done")
    assert ended == Ended("done", 0, "done\n")
    await gone(int((tmp_path / "child").read_text()))


async def test_a_child_that_keeps_the_output_open_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINGER_SECONDS", 0.05)
    ended = await sh(f"env -u {module.MARK} setsid sleep 5 & echo done")
    assert ended == Ended("done", 0, "done\n")


async def test_a_cancelled_program_ends_and_says_by_whom() -> None:
    said: list[tuple[str, str]] = []
    program = made("/bin/sh", "-c", "echo begun; exec sleep 1000", said=said)
    running = asyncio.create_task(program.run())
    async with asyncio.timeout(DEADLINE):
        while not said:
            await asyncio.sleep(0.01)
    program.cancel("alice")
    ended = await asyncio.wait_for(running, DEADLINE)
    assert (ended.status, ended.exit_code, ended.stdout, ended.reason) == (
        "failed",
        None,
        "begun\n",
        "cancelled by alice",
    )


async def test_the_end_of_the_agent_takes_the_program_along(tmp_path: Path) -> None:
    running = asyncio.create_task(sh(f"echo $$ > {tmp_path}/pid; exec sleep 1000"))
    await written(tmp_path / "pid")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await gone(int((tmp_path / "pid").read_text()))


async def test_what_left_the_group_is_killed_when_its_program_ends_by_itself(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = '"$0" -c "$1" "$2"; until [ -s "$2" ]; do sleep 0.01; done'
    ended = await made("/bin/sh", "-c", script, sys.executable, ESCAPE, str(pid)).run()
    assert ended == Ended("done", 0)
    await gone(int(pid.read_text()))


async def test_the_end_of_the_agent_takes_along_what_left_the_group(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    program = made("/bin/sh", "-c", '"$0" -c "$1" "$2"; exec sleep 1000', sys.executable, ESCAPE, str(pid))
    running = asyncio.create_task(program.run())
    await written(pid)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await gone(int(pid.read_text()))


async def test_what_is_another_commands_is_left_alone(tmp_path: Path) -> None:
    other = Program(
        ("/bin/sleep", "1000"), environment("cmd_ba9876543210"), limit=DEADLINE, most=10, say=lambda *_: None
    )
    running = asyncio.create_task(other.run())
    await sh("true")
    assert not running.done()
    other.cancel("alice")
    assert (await running).reason == "cancelled by alice"
