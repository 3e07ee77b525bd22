from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from hbc.files.beneath import Beneath, Refusal, Root
from hbc.tail.events import GATHERED_BYTES, LINE_BYTES, SHOWN_BYTES, Event, Line, Notice, Skipped
from hbc.tail.file import LINGER_SECONDS, LOOK_SECONDS, QUIET_SECONDS, FileTail


class Log:
    """A file, somebody who follows it, and the time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = 100.0
        self._beneath = Beneath([Root(str(path.parent))])
        self._tails: list[FileTail] = []

    def follow(self, lines: int = 100, after: str = "") -> None:
        tail = FileTail(lambda: self._beneath.file(str(self.path)), lines=lines, after=after, now=self.now)
        self._tails.append(tail)

    def write(self, data: bytes | str, path: Path | None = None) -> None:
        with (path or self.path).open("ab") as file:
            file.write(data.encode() if isinstance(data, str) else data)

    def poll(self, later: float = 0.0) -> list[Event]:
        self.now += later
        return self._tails[-1].poll(self.now)

    def texts(self, later: float = 0.0) -> list[str]:
        return [event.text if not isinstance(event, Skipped) else "skipped" for event in self.poll(later)]

    def close(self) -> None:
        for tail in self._tails:
            tail.close()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log(tmp_path / "app.log")
    log.path.touch()
    yield log
    log.close()


def notices(events: list[Event]) -> list[str]:
    return [event.what for event in events if isinstance(event, Notice)]


def test_what_is_written_is_shown_line_by_line(log: Log) -> None:
    log.follow()
    log.write("one\ntwo\nthr")
    assert log.texts() == ["one", "two"]
    log.write("ee\n")
    assert log.texts() == ["three"]


@pytest.mark.parametrize(
    ("lines", "shown"), [(0, []), (1, ["c"]), (2, ["b", "c"]), (3, ["a", "b", "c"]), (9, ["a", "b", "c"])]
)
def test_it_begins_with_the_last_lines(log: Log, lines: int, shown: list[str]) -> None:
    log.write("a\nb\nc\n")
    log.follow(lines)
    assert log.texts() == shown


def test_of_a_long_past_only_whole_lines_are_shown(log: Log) -> None:
    log.write("x" * 999 + "\n" + "y" * 99 + "\n" * 2 + ("z" * 1023 + "\n") * 300)
    log.follow(1000)
    texts = log.texts()
    assert set(texts) == {"z" * 1023}
    assert len(texts) == GATHERED_BYTES // 1024 - 1


def test_a_last_line_without_an_end_is_shown_after_a_while(log: Log) -> None:
    log.follow()
    log.write("prompt> ")
    assert log.texts() == []
    assert log.texts(QUIET_SECONDS) == ["prompt> "]
    log.write("typed\n")
    assert log.texts() == ["typed"]


def test_going_on_from_a_position_repeats_and_loses_nothing(log: Log) -> None:
    log.write("a\nb\nc\n")
    log.follow()
    events = log.poll()
    assert isinstance(events[1], Line)
    log.write("d\n")
    log.follow(after=events[1].position)
    assert log.texts() == ["c", "d"]


def test_going_on_in_another_file_says_so(log: Log) -> None:
    log.write("a\n")
    log.follow(after="1-5")
    events = log.poll()
    assert notices(events) == ["rotated"]
    assert isinstance(events[1], Line)


def test_going_on_in_a_file_that_was_cut_off_says_so(log: Log) -> None:
    log.write("a\n")
    log.follow(after=f"{log.path.stat().st_ino}-500")
    assert notices(log.poll()) == ["truncated"]


def test_f46_a_rotated_file_is_read_to_its_end_before_the_new_one(log: Log) -> None:
    log.follow()
    log.poll()
    old = log.path.rename(log.path.with_suffix(".1"))
    log.path.touch()
    log.write("last of the old\n", old)
    assert log.texts(LOOK_SECONDS) == ["last of the old"]
    log.write("later still\n", old)
    log.write("new\n")
    assert log.texts(LOOK_SECONDS) == ["later still", "the file was rotated", "new"]


def test_f46_an_empty_new_file_is_gone_over_to_in_the_end(log: Log) -> None:
    log.follow()
    log.path.rename(log.path.with_suffix(".1"))
    log.path.touch()
    assert notices(log.poll(LOOK_SECONDS)) == []
    assert notices(log.poll(LINGER_SECONDS)) == ["rotated"]


def test_f46_a_truncated_file_begins_anew(log: Log) -> None:
    log.write("a\nb\n")
    log.follow(0)
    log.poll()
    os.truncate(log.path, 0)
    log.write("c\n")
    assert log.texts() == ["the file was cut off and begins anew", "c"]


def test_f46_a_deleted_file_is_waited_for(log: Log) -> None:
    log.follow()
    log.path.unlink()
    assert notices(log.poll(LOOK_SECONDS)) == ["deleted"]
    assert notices(log.poll(LOOK_SECONDS)) == []
    log.write("again\n")
    events = log.poll(LOOK_SECONDS)
    assert notices(events) == ["reappeared"]
    assert isinstance(events[1], Line) and events[1].text == "again"


def test_f46_binary_lines_are_escaped(log: Log) -> None:
    log.follow()
    log.write(b"\x00\x1b[31mred\xff\tt\xc3\xa9\r\n")
    assert log.texts() == ["\\x00\\x1b[31mred\\xff\tté"]


def test_f46_a_giant_line_is_cut_and_the_next_one_is_whole(log: Log) -> None:
    log.follow()
    log.write(b"x" * (10 << 20) + b"\nnext\n")
    first, second = log.texts()
    assert first == "x" * LINE_BYTES + f" … [{(10 << 20) - LINE_BYTES} bytes more]"
    assert second == "next"


def test_f46_a_giant_line_that_comes_bit_by_bit_takes_no_more_memory_than_is_shown(log: Log) -> None:
    log.follow()
    tracemalloc.start()
    for _ in range(40):
        log.write(b"x" * 200_000)
        assert log.texts() == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    log.write("\n")
    assert log.texts()[0].endswith(f"[{40 * 200_000 - LINE_BYTES} bytes more]")
    assert peak < 3 << 20


def test_f45_of_a_flood_the_newest_is_shown_and_every_other_line_counted(log: Log) -> None:
    log.follow()
    log.poll()
    written = 200_000
    log.write("".join(f"line {number:07}\n" for number in range(written)))
    events = log.poll()
    shown = [event for event in events if isinstance(event, Line)]
    (skipped,) = (event for event in events if isinstance(event, Skipped))
    assert shown[-1].text == f"line {written - 1:07}"
    assert skipped.lines is not None
    assert skipped.lines + len(shown) == written
    assert skipped.bytes == skipped.lines * 13
    assert SHOWN_BYTES - 20 < sum(len(line.text) + 1 for line in shown) < SHOWN_BYTES + 20
    log.follow(after=skipped.position)
    assert log.texts() == [line.text for line in shown[1:]]


def test_f45_of_a_flood_that_is_too_large_to_count_the_bytes_are_told(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hbc.tail.file.COUNTED_BYTES", 1 << 20)
    log.follow()
    os.truncate(log.path, 1 << 40)  # a sparse file: nothing of it is on the disk
    log.write("\nnewest\n")
    *_, skipped, newest = log.poll()
    assert isinstance(skipped, Skipped) and isinstance(newest, Line)
    assert (skipped.lines, skipped.bytes, newest.text) == (None, (1 << 40) + 1, "newest")


def test_f45_counting_takes_no_more_than_its_share_of_the_cpu(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    spent = iter(range(1_000_000))
    monkeypatch.setattr("hbc.tail.file.time.thread_time", lambda: next(spent) * 0.2)  # each look at it is a block
    log.follow()
    log.write(b"line\n" * 400_000)
    *_, skipped = (event for event in log.poll() if isinstance(event, Skipped))
    assert (skipped.lines, skipped.bytes > 1_900_000) == (None, True)
    log.write(b"line\n" * 60_000)
    assert [event.lines for event in log.poll() if isinstance(event, Skipped)] == [None]
    log.write(b"line\n" * 60_000)
    (skipped,) = (event for event in log.poll(60) if isinstance(event, Skipped))
    assert skipped.lines is not None  # it has gathered some by then


def test_a_name_that_comes_to_stand_for_something_that_is_not_allowed_ends_it(log: Log) -> None:
    log.follow()
    log.path.unlink()
    log.path.symlink_to("/etc/hostname")
    with pytest.raises(Refusal) as caught:
        log.poll(LOOK_SECONDS)
    assert caught.value.code == "denied"


def test_a_file_that_is_not_there_is_missing(log: Log) -> None:
    log.path.unlink()
    with pytest.raises(Refusal) as caught:
        log.follow()
    assert caught.value.code == "missing"
