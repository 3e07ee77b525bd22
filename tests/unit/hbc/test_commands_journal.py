"""The agent's record of commands."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hbc.commands import journal as module
from hbc.commands.journal import OUTPUT_GONE, REBOOTED, UNKNOWN, Journal, JournalLocked

A, B, C = (f"cmd_{letter * 12}" for letter in "abc")
DONE = {"cmd": "shell", "status": "done", "exit_code": 0, "stdout": "hello", "stderr": "", "reason": ""}


class Clock:
    now = 1_750_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(folder: Path, clock: Clock, boot: str = "boot-1") -> Journal:
    journal = Journal(folder, boot, clock)
    journal.open()
    return journal


async def test_an_outcome_is_known_after_a_restart(tmp_path: Path, clock: Clock) -> None:
    first = opened(tmp_path, clock)
    await first.begin(A, "shell", clock.now)
    await first.end(A, "shell", clock.now, DONE)
    first.close()
    second = opened(tmp_path, clock)
    assert (second.id, await second.result(A)) == (first.id, DONE)
    second.close()


async def test_a_command_is_on_disk_before_it_begins(tmp_path: Path, clock: Clock, monkeypatch) -> None:
    journal = opened(tmp_path, clock)
    synced: list[bytes] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append((tmp_path / "commands").read_bytes()))
    await journal.begin(A, "shell", clock.now)
    assert A.encode() in synced[-1]
    journal.close()


async def test_what_ran_when_the_agent_died_has_an_unknown_outcome(tmp_path: Path, clock: Clock) -> None:
    first = opened(tmp_path, clock)
    await first.begin(A, "shell", clock.now)
    first.close()
    for _ in range(2):
        again = opened(tmp_path, clock)
        result = await again.result(A)
        assert result is not None and (result["status"], result["reason"]) == ("failed", UNKNOWN)
        again.close()


async def test_a_reboot_is_done_when_the_machine_has_booted(tmp_path: Path, clock: Clock) -> None:
    first = opened(tmp_path, clock)
    await first.begin(A, "reboot", clock.now)
    first.close()
    again = opened(tmp_path, clock, "boot-2")
    result = await again.result(A)
    assert result is not None and (result["status"], result["reason"]) == ("done", REBOOTED)
    again.close()


async def test_a_refusal_is_remembered_too(tmp_path: Path, clock: Clock) -> None:
    first = opened(tmp_path, clock)
    await first.end(A, "shell", clock.now, DONE | {"status": "rejected"})
    first.close()
    again = opened(tmp_path, clock)
    assert A in again and (await again.result(A) or {})["status"] == "rejected"
    again.close()


async def test_a_line_that_was_cut_by_a_crash_is_passed_over(tmp_path: Path, clock: Clock) -> None:
    first = opened(tmp_path, clock)
    await first.end(A, "shell", clock.now, DONE)
    await first.begin(B, "shell", clock.now)
    first.close()
    file = tmp_path / "commands"
    whole = file.read_bytes()
    last = whole.rstrip(b"\n").rindex(b"\n") + 1
    for cut in range(last, len(whole)):
        file.write_bytes(whole[:cut])
        again = opened(tmp_path, clock)
        assert (again.id, A in again, B in again) == (first.id, True, False), cut
        again.close()


async def test_a_record_that_is_damaged_gets_a_new_name(tmp_path: Path, clock: Clock) -> None:
    first = opened(tmp_path, clock)
    await first.end(A, "shell", clock.now, DONE)
    await first.end(B, "shell", clock.now, DONE)
    first.close()
    file = tmp_path / "commands"
    file.write_bytes(file.read_bytes().replace(A.encode(), b"\xff\xfe", 1))
    again = opened(tmp_path, clock)
    assert again.id != first.id and B in again
    again.close()


async def test_a_record_that_is_lost_gets_a_new_name(tmp_path: Path, clock: Clock) -> None:
    first = opened(tmp_path, clock)
    first.close()
    (tmp_path / "commands").unlink()
    again = opened(tmp_path, clock)
    assert again.id != first.id
    again.close()


async def test_s49_what_is_forgotten_is_refused_by_its_time_of_issue(tmp_path: Path, clock: Clock) -> None:
    first = opened(tmp_path, clock)
    await first.end(A, "shell", 1000.0, DONE)
    first.close()
    clock.now += 49 * 3600
    again = opened(tmp_path, clock)
    assert (A in again, again.forgotten) == (False, 1000.0)
    again.close()
    third = opened(tmp_path, clock)
    assert third.forgotten == 1000.0
    third.close()


async def test_there_is_a_limit_to_what_is_remembered(tmp_path: Path, clock: Clock, monkeypatch) -> None:
    monkeypatch.setattr(module, "MOST_ENTRIES", 2)
    first = opened(tmp_path, clock)
    for issued, id in enumerate((A, B, C)):
        clock.now += 1
        await first.end(id, "shell", float(issued), DONE)
    first.close()
    again = opened(tmp_path, clock)
    assert [id in again for id in (A, B, C)] == [False, True, True] and again.forgotten == 0.0
    again.close()


async def test_old_outputs_are_dropped_and_their_outcomes_kept(tmp_path: Path, clock: Clock, monkeypatch) -> None:
    first = opened(tmp_path, clock)
    await first.end(A, "shell", clock.now, DONE | {"stdout": "x" * 1000})
    clock.now += 1
    await first.end(B, "shell", clock.now, DONE)
    first.close()
    monkeypatch.setattr(module, "OUTPUT_BYTES", 1000)
    again = opened(tmp_path, clock)
    old, new = await again.result(A) or {}, await again.result(B) or {}
    assert (old["stdout"], old["truncated"], old["exit_code"], new["stdout"]) == (OUTPUT_GONE, True, 0, "hello")
    again.close()


async def test_the_file_does_not_grow_without_end(tmp_path: Path, clock: Clock, monkeypatch) -> None:
    monkeypatch.setattr(module, "FILE_BYTES", 20_000)
    monkeypatch.setattr(module, "OUTPUT_BYTES", 5_000)
    journal = opened(tmp_path, clock)
    for number in range(50):
        id = f"cmd_{number:012x}"
        await journal.begin(id, "shell", clock.now)
        await journal.end(id, "shell", clock.now, DONE | {"stdout": "x" * 1000})
    assert (tmp_path / "commands").stat().st_size < 40_000
    assert len(journal) == 50 and (await journal.result(f"cmd_{49:012x}") or {})["stdout"] == "x" * 1000
    journal.close()


async def test_nothing_begins_that_the_disk_does_not_take(tmp_path: Path, clock: Clock, monkeypatch) -> None:
    journal = opened(tmp_path, clock)
    monkeypatch.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        await journal.begin(A, "shell", clock.now)
    assert A not in journal
    monkeypatch.undo()
    await journal.begin(B, "shell", clock.now)
    journal.close()
    lines = (tmp_path / "commands").read_bytes().splitlines()
    assert [json.loads(line).get("id") for line in lines] == [None, B]


async def test_an_outcome_that_the_disk_does_not_take_is_known_as_long_as_the_agent_runs(
    tmp_path: Path, clock: Clock, monkeypatch
) -> None:
    journal = opened(tmp_path, clock)
    await journal.begin(A, "shell", clock.now)
    monkeypatch.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        await journal.end(A, "shell", clock.now, DONE)
    assert await journal.result(A) == DONE
    journal.close()


def test_two_agents_cannot_share_a_record(tmp_path: Path, clock: Clock) -> None:
    first = opened(tmp_path, clock)
    with pytest.raises(JournalLocked):
        Journal(tmp_path, "boot-1", clock).open()
    first.close()


def test_s69_nobody_else_reads_it(tmp_path: Path, clock: Clock) -> None:
    before = os.umask(0)
    try:
        opened(tmp_path, clock).close()
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


async def test_a_record_that_a_clock_ran_ahead_of_begins_anew(tmp_path: Path, clock: Clock) -> None:
    journal = opened(tmp_path, clock)
    before, journal.forgotten = journal.id, clock.now + 1000
    await journal.begin(A, "shell", clock.now)
    await journal.renew(clock.now)
    journal.close()
    again = opened(tmp_path, clock)
    assert again.id == journal.id != before
    assert (again.forgotten, A in again) == (clock.now, True)
    again.close()


async def test_a_record_that_is_in_order_stays(tmp_path: Path, clock: Clock) -> None:
    journal = opened(tmp_path, clock)
    before, journal.forgotten = journal.id, clock.now - 1000
    await journal.renew(clock.now)
    assert (journal.id, journal.forgotten) == (before, clock.now - 1000)
    journal.close()


async def test_a_record_that_the_disk_does_not_take_stays(tmp_path: Path, clock: Clock, monkeypatch) -> None:
    journal = opened(tmp_path, clock)
    before, journal.forgotten = journal.id, clock.now + 1000

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        await journal.renew(clock.now)
    monkeypatch.undo()
    assert (journal.id, journal.forgotten) == (before, clock.now + 1000)
    journal.close()
