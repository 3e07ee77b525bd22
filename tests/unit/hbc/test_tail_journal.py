from __future__ import annotations

import json
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hbc.files.beneath import Refusal
from hbc.tail.events import Event, Line, Skipped
from hbc.tail.journal import ENTRY_BYTES, JournalTail

Start = Callable[..., JournalTail]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a follower of a journalctl that is a shell script."""
    program = tmp_path / "journalctl"
    started: list[JournalTail] = []

    def begin(script: str, unit: str = "app.service", lines: int = 10, after: str = "") -> JournalTail:
        program.write_text(f"#!/bin/sh\ncd {tmp_path}\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        tail = JournalTail(unit, lines=lines, after=after, program=str(program))
        started.append(tail)
        return tail

    yield begin
    for tail in started:
        tail.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def gathered(tail: JournalTail, count: int) -> list[Event]:
    events: list[Event] = []

    def enough() -> bool:
        events.extend(tail.poll(0.0) or ())
        return len(events) >= count

    until(enough)
    return events


def entry(message: object, cursor: str = "s=1;i=2", **fields: object) -> str:
    known = {"__CURSOR": cursor, "__REALTIME_TIMESTAMP": "1750000000000000", "SYSLOG_IDENTIFIER": "app", "_PID": "7"}
    return json.dumps(known | {"MESSAGE": message} | fields)


def lines_of(start: Start, *entries: str) -> list[Event]:
    return start("exec sleep 60").take("\n".join(entries).encode() + b"\n")


def test_an_entry_is_shown_as_a_line_with_its_cursor(start: Start) -> None:
    tail = start(f"echo '{entry('hello')}'; exec sleep 60")
    assert gathered(tail, 1) == [Line("s=1;i=2", "2025-06-15T15:06:40Z app[7]: hello")]


def test_a_message_of_several_lines_is_several_lines_and_the_last_has_the_cursor(start: Start) -> None:
    first, second = lines_of(start, entry("one\ntwo"))
    assert (first[0], second[0]) == ("", "s=1;i=2")
    assert first[1].endswith("app[7]: one") and second[1].endswith("app[7]: two")  # type: ignore[union-attr]


def test_a_message_that_is_no_text_is_escaped(start: Start) -> None:
    ((_, text),) = lines_of(start, entry([104, 105, 0, 255]))  # type: ignore[misc]
    assert text.endswith("hi\\x00\\xff")


def test_output_that_is_no_entry_is_shown_as_it_is(start: Start) -> None:
    odd = ["nonsense", "[1]", '{"MESSAGE": "no time"}', "[" * 100_000]
    assert [event[1][:8] for event in lines_of(start, *odd)] == [text[:8] for text in odd]  # type: ignore[index]


def test_it_asks_for_that_unit_and_that_many_lines_and_nothing_else(start: Start, tmp_path: Path) -> None:
    tail = start('printf "%s\\n" "$@" > asked; exec sleep 60', lines=7)
    until(lambda: (tmp_path / "asked").exists() and "--unit" in (tmp_path / "asked").read_text())
    asked = (tmp_path / "asked").read_text().split()
    assert asked[-2:] == ["--lines=7", "--unit=app.service"]
    assert tail.poll(0.0) == []


def test_it_goes_on_behind_a_cursor(start: Start, tmp_path: Path) -> None:
    start('printf "%s\\n" "$@" > asked', after="s=1;i=2")
    until(lambda: (tmp_path / "asked").exists() and "--unit" in (tmp_path / "asked").read_text())
    assert "--after-cursor=s=1;i=2" in (tmp_path / "asked").read_text().split()


@pytest.mark.parametrize("unit", ["*", "app?", "a b", "", "app\n", "[a]", "-x" * 200])
def test_a_pattern_is_no_unit(start: Start, unit: str) -> None:
    with pytest.raises(Refusal) as caught:
        start("exec sleep 60", unit=unit)
    assert caught.value.code == "denied"


def test_without_journalctl_the_log_is_missing(tmp_path: Path) -> None:
    with pytest.raises(Refusal) as caught:
        JournalTail("app", lines=1, program=str(tmp_path / "none"))
    assert caught.value.code == "missing"


def test_a_journalctl_that_fails_is_told_with_its_own_words(start: Start) -> None:
    tail = start("echo 'no access' >&2; exit 3")
    with pytest.raises(Refusal, match="ended with 3: no access"):
        until(lambda: tail.poll(0.0) is None)


def test_a_journalctl_that_ends_well_ends_the_log(start: Start) -> None:
    tail = start("exit 0")
    until(lambda: tail.poll(0.0) is None)


def test_it_gets_no_secrets_in_its_environment(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HBC_KEY", "secret")
    start("env > environment; echo done > ready")
    until((tmp_path / "ready").exists)
    assert "HBC_KEY" not in (tmp_path / "environment").read_text()


def test_closing_ends_it_with_all_that_it_started(start: Start, tmp_path: Path) -> None:
    tail = start("trap '' TERM; sleep 60 & echo $! > child; echo $$ > parent; wait; sleep 60")
    until(lambda: (tmp_path / "parent").exists() and bool((tmp_path / "parent").read_text()))
    tail.close()

    def gone(name: str) -> bool:
        path = Path("/proc") / (tmp_path / name).read_text().strip() / "stat"
        return not path.exists() or path.read_text().rpartition(")")[2].split()[0] == "Z"

    until(lambda: gone("child") and gone("parent"))


def test_f45_of_a_flood_of_entries_the_newest_are_shown_and_the_others_counted(start: Start) -> None:
    entries = [entry(f"line {number}", cursor=f"i={number}") for number in range(5_000)]
    skipped, *shown = lines_of(start, *entries)
    assert isinstance(skipped, Skipped) and skipped.lines is not None
    assert skipped.lines + len(shown) == 5_000
    assert shown[-1][0] == "i=4999"


def test_f45_a_program_that_writes_without_end_waits_for_us(start: Start) -> None:
    tail = start(f"exec yes '{entry('flood')}'")
    events = gathered(tail, 1_000)
    assert any(isinstance(event, Skipped) for event in events) or len(events) >= 1_000
    assert len(tail._waiting) < ENTRY_BYTES


def test_an_entry_without_end_is_skipped(start: Start) -> None:
    tail = start("exec sleep 60")
    assert tail.take(b"x" * (ENTRY_BYTES + 1)) == [Skipped("", 1, ENTRY_BYTES + 1)]
