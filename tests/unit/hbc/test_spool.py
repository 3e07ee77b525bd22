from __future__ import annotations

import errno
import os
import random
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from hbc.segment import HEAD_BYTES, MAGIC, MOST_BYTES, Segment, pack, scan
from hbc.spool import MEMORY_BYTES, Spool, SpoolLocked

RUN = "00112233445566aa"
WALL = 1_800_000_000.0


def spool_at(
    path: Path, *, max_bytes: int = 1 << 22, max_age: float = 86400.0, now: float = 0.0, wall: float = WALL
) -> Spool:
    spool = Spool(path, max_bytes=max_bytes, max_age=max_age)
    spool.open(now=now, wall=wall)
    return spool


def fill(spool: Spool, count: int, *, first: int = 1, size: int = 20, now: float = 0.0) -> None:
    for seq in range(first, first + count):
        spool.append(RUN, seq, WALL, f"{seq:0{size}d}".encode(), now)


def seqs(spool: Spool) -> list[int]:
    spool.rewind()
    found = []
    while (entry := spool.read()) is not None:
        if spool.payload(entry) is not None:
            found.append(entry.seq)
    return found


def reopened(spool: Spool) -> Spool:
    spool.close()
    return spool_at(spool.path, max_bytes=spool.max_bytes, max_age=spool.max_age)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return spool_at(tmp_path / "spool")


def test_reports_come_back_in_order_after_a_restart(spool: Spool) -> None:
    fill(spool, 5)
    assert seqs(reopened(spool)) == [1, 2, 3, 4, 5]


def test_payload_time_and_run_come_back_exactly(spool: Spool) -> None:
    spool.append(RUN, 7, WALL + 0.25, '[{"text":"ä"}]'.encode(), 0.0)
    again = reopened(spool)
    entry = again.read()
    assert entry is not None
    assert (entry.run_id, entry.seq, entry.time) == (RUN, 7, WALL + 0.25)
    assert again.payload(entry) == '[{"text":"ä"}]'.encode()


def test_done_reports_do_not_come_back(spool: Spool) -> None:
    fill(spool, 5)
    entries = [spool.read() for _ in range(5)]
    for entry in (entries[1], entries[3]):
        assert entry is not None
        spool.done(entry)
    assert seqs(reopened(spool)) == [1, 3, 5]


def test_done_twice_counts_once(spool: Spool) -> None:
    fill(spool, 2)
    entry = spool.read()
    assert entry is not None
    spool.done(entry)
    spool.done(entry)
    assert spool.records == 1


def test_old_entry_never_touches_a_newer_report_in_the_same_file(spool: Spool) -> None:
    old = spool.append(RUN, 1, WALL, b"first", 0.0)
    spool.done(old)
    spool.append(RUN, 2, WALL, b"other", 0.0)
    spool.done(old)
    assert seqs(spool) == [2]


def test_file_is_emptied_when_everything_is_acknowledged(spool: Spool) -> None:
    for seq in range(1, 50):
        spool.done(spool.append(RUN, seq, WALL, b"x" * 1000, 0.0))
    assert (spool.size, spool.records) == (0, 0)
    assert [file.stat().st_size for file in spool.path.glob("*.seg")] == [0]


def test_reader_goes_on_with_reports_appended_after_it_reached_the_end(spool: Spool) -> None:
    fill(spool, 2)
    assert [entry.seq for entry in iter(spool.read, None)] == [1, 2]
    fill(spool, 2, first=3)
    assert [entry.seq for entry in iter(spool.read, None)] == [3, 4]


def test_reader_goes_on_after_the_file_was_emptied(spool: Spool) -> None:
    first = spool.append(RUN, 1, WALL, b"a" * 100, 0.0)
    assert spool.read() is not None
    spool.done(first)
    spool.append(RUN, 2, WALL, b"b", 0.0)
    entry = spool.read()
    assert entry is not None
    assert entry.seq == 2


def test_too_many_bytes_drop_the_oldest_and_count_each(tmp_path: Path) -> None:
    spool = spool_at(tmp_path, max_bytes=64 * 1024)
    fill(spool, 300, size=1000)
    left = seqs(spool)
    assert left == list(range(301 - len(left), 301))
    assert spool.dropped == 300 - len(left)
    assert spool.size <= 64 * 1024
    assert sum(file.stat().st_size for file in tmp_path.glob("*.seg")) == spool.size


def test_size_of_the_queue_counts_what_an_earlier_run_left(tmp_path: Path) -> None:
    spool = spool_at(tmp_path, max_bytes=64 * 1024)
    fill(spool, 60, size=1000)
    spool = reopened(spool)
    fill(spool, 60, first=61, size=1000)
    assert spool.size <= 64 * 1024
    assert len(seqs(spool)) == 120 - spool.dropped == spool.records


def test_too_old_reports_are_dropped_and_counted(tmp_path: Path) -> None:
    spool = spool_at(tmp_path, max_age=1000.0)
    fill(spool, 3, now=0.0)
    fill(spool, 2, first=4, now=900.0)
    spool.expire(1001.0)
    assert (seqs(spool), spool.dropped) == ([4, 5], 3)


def test_age_of_reports_of_an_earlier_run_goes_on(tmp_path: Path) -> None:
    spool = spool_at(tmp_path, max_age=1000.0)
    fill(spool, 3)
    spool.close()
    spool = spool_at(tmp_path, max_age=1000.0, now=50.0, wall=WALL + 600.0)
    spool.expire(440.0)
    assert spool.dropped == 0
    spool.expire(451.0)
    assert spool.dropped == 3


def test_clock_that_was_ahead_makes_nothing_look_old(tmp_path: Path) -> None:
    spool = spool_at(tmp_path, max_age=1000.0)
    fill(spool, 3)
    spool.close()
    spool = spool_at(tmp_path, max_age=1000.0, wall=WALL - 1e9)
    assert spool.records == 3


def test_second_agent_is_refused(spool: Spool) -> None:
    with pytest.raises(SpoolLocked, match="another hbc"):
        spool_at(spool.path)


def test_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        spool = spool_at(tmp_path / "spool")
        fill(spool, 1)
    finally:
        os.umask(before)
    assert stat.S_IMODE(spool.path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in spool.path.iterdir()} == {0o600}


def test_memory_of_a_long_queue_is_a_few_numbers_a_file(spool: Spool) -> None:
    fill(spool, 2000, size=1000)
    assert len(spool._ahead) == 0
    spool.read()
    assert len(spool._ahead) < 1100


def test_only_two_files_are_open_whatever_the_queue_holds(tmp_path: Path) -> None:
    spool = spool_at(tmp_path, max_bytes=1 << 20)
    before = len(list(Path("/proc/self/fd").iterdir()))
    fill(spool, 500, size=1500)
    assert len(seqs(spool)) == 500
    assert len(list(tmp_path.glob("*.seg"))) > 10
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2


async def test_sync_reaches_every_file_written_since_the_last(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(str(Path(f"/proc/self/fd/{file}").readlink())))
    fill(spool, 1500, size=1000)
    await spool.sync()
    assert sorted(synced) == sorted([str(spool.path), *map(str, spool.path.glob("*.seg"))])
    synced.clear()
    await spool.sync()
    assert synced == []


# ------------------------------------------------------------------------------------------------------------- bad disk


class Disk:
    """Stands in for os.pwrite: fails with a code, after so many bytes of the record."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.code = 0
        self.short = 0
        self.makes_room = False  # removing a file ends the trouble
        self._write = os.pwrite
        self._unlink = Path.unlink
        monkeypatch.setattr(os, "pwrite", self)
        monkeypatch.setattr(Path, "unlink", lambda path, missing_ok=False: self.unlink(path, missing_ok))

    def unlink(self, path: Path, missing_ok: bool = False) -> None:
        self._unlink(path, missing_ok)
        self.code = 0 if self.makes_room and path.stem < f"{3:012d}" else self.code

    def __call__(self, file: int, data: bytes, at: int) -> int:
        if not self.code:
            return self._write(file, data, at)
        if self.short and len(data) > self.short:
            return self._write(file, data[: self.short], at)
        raise OSError(self.code, os.strerror(self.code))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def test_full_disk_keeps_new_reports_in_memory(spool: Spool, disk: Disk) -> None:
    fill(spool, 2)
    disk.code = errno.ENOSPC
    fill(spool, 3, first=3)
    assert seqs(spool) == [1, 2, 3, 4, 5]
    assert (spool.dropped, spool.problem) == (0, os.strerror(errno.ENOSPC))


def test_disk_that_stays_full_drops_the_oldest_file_when_memory_is_full_too(spool: Spool, disk: Disk) -> None:
    fill(spool, 2)
    spool = reopened(spool)
    fill(spool, 1, first=3)
    disk.code = errno.ENOSPC
    fill(spool, 9, first=4, size=MEMORY_BYTES // 10)
    assert spool.dropped == 0
    disk.makes_room = True
    fill(spool, 1, first=13, size=MEMORY_BYTES // 10)
    assert (seqs(spool), spool.dropped) == (list(range(3, 14)), 2)


def test_disk_that_fails_otherwise_costs_no_report(spool: Spool, disk: Disk) -> None:
    fill(spool, 2)
    spool = reopened(spool)
    disk.code = errno.EIO
    fill(spool, 2, first=3)
    assert (seqs(spool), spool.dropped) == ([1, 2, 3, 4], 0)


def test_half_written_record_is_taken_back(spool: Spool, disk: Disk) -> None:
    fill(spool, 1)
    disk.code, disk.short = errno.ENOSPC, 10
    fill(spool, 1, first=2)
    disk.code = 0
    fill(spool, 1, first=3)
    spool = reopened(spool)
    assert (seqs(spool), spool.damaged) == ([1, 3], 0)


def test_disk_is_used_again_when_it_recovers(spool: Spool, disk: Disk) -> None:
    disk.code = errno.ENOSPC
    fill(spool, 2)
    disk.code = 0
    fill(spool, 2, first=3)
    assert (seqs(spool), spool.problem) == ([1, 2, 3, 4], None)
    assert seqs(reopened(spool)) == [3, 4]


def test_memory_in_place_of_the_disk_is_bounded_and_its_losses_counted(spool: Spool, disk: Disk) -> None:
    disk.code = errno.EIO
    fill(spool, 30, size=MEMORY_BYTES // 10)
    left = seqs(spool)
    assert left == list(range(31 - len(left), 31))
    assert (len(left), spool.dropped) == (9, 21)


def test_folder_that_cannot_be_made_leaves_the_queue_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    spool = Spool(tmp_path / "file" / "spool", max_bytes=1 << 20, max_age=1000.0)
    with pytest.raises(OSError):
        spool.open(now=0.0, wall=WALL)
    fill(spool, 3)
    assert seqs(spool) == [1, 2, 3]


# --------------------------------------------------------------------------------------------------------------- damage

RECORDS = [pack(RUN, seq, WALL, b'{"value":%d}' % seq) for seq in range(1, 6)]
SIZE = len(RECORDS[0])
WHOLE = b"".join(RECORDS)


def patched(at: int, data: bytes) -> bytes:
    return WHOLE[:at] + data + WHOLE[at + len(data) :]


REPAIRS: dict[str, tuple[bytes, list[int], int]] = {  # name: (file, survivors, records lost)
    "nothing wrong": (WHOLE, [1, 2, 3, 4, 5], 0),
    "empty file": (b"", [], 0),
    "torn in the payload": (WHOLE[:-1], [1, 2, 3, 4], 1),
    "torn in the head": (WHOLE[: 4 * SIZE + 11], [1, 2, 3, 4], 1),
    "torn in the magic": (WHOLE[: 4 * SIZE + 2], [1, 2, 3, 4], 1),
    "tail of zeros": (WHOLE[: 4 * SIZE] + bytes(SIZE), [1, 2, 3, 4], 1),
    "bad magic": (patched(2 * SIZE, b"XXXX"), [1, 2, 4, 5], 1),
    "bad checksum": (patched(2 * SIZE + 5, b"\0\0\0\0"), [1, 2, 4, 5], 1),
    "bad length, too long": (patched(SIZE + 9, b"\xff\xff\xff\xff"), [1, 3, 4, 5], 1),
    "bad length, too short": (patched(SIZE + 9, b"\0\0\0\1"), [1, 3, 4, 5], 1),
    "bad run": (patched(SIZE + 13, b"zz"), [1, 3, 4, 5], 1),
    "bad sequence number": (patched(SIZE + 21, b"z"), [1, 3, 4, 5], 1),
    "bad payload": (patched(3 * SIZE + HEAD_BYTES, b"?"), [1, 2, 3, 5], 1),
    "two bad in a row": (patched(SIZE + 5, b"\0" * 4 + WHOLE[SIZE + 9 : 2 * SIZE + 5] + b"\0" * 4), [1, 4, 5], 2),
    "two bad apart": (patched(5, b"\0" * 4 + WHOLE[9 : 4 * SIZE + 5] + b"\0" * 4), [2, 3, 4], 2),
    "first record bad": (patched(0, b"\0"), [2, 3, 4, 5], 1),
    "garbage over one and the head of the next": (patched(SIZE, b"#" * (SIZE + 20)), [1, 4, 5], 1),
    "a head inside a payload": (WHOLE + pack(RUN, 6, WALL, MAGIC + b"x" * 40), [1, 2, 3, 4, 5, 6], 0),
    "flipped state stays live": (patched(SIZE + 4, b"\x77"), [1, 2, 3, 4, 5], 0),
    "done and damaged is no loss": (patched(SIZE + 4, b"\x5a" + b"\0" * 4), [1, 3, 4, 5], 0),
    "nothing but garbage": (b"garbage " * 100, [], 1),
}


@pytest.mark.parametrize("case", REPAIRS)
def test_damage_leaves_exactly_the_good_records(spool: Spool, case: str) -> None:
    data, survivors, lost = REPAIRS[case]
    spool.close()
    (spool.path / "000000000007.seg").write_bytes(data)
    spool = spool_at(spool.path)
    assert (seqs(spool), spool.records, spool.damaged) == (survivors, len(survivors), lost)


def test_file_of_no_sane_size_is_cut_and_counts_as_damaged(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(spool, 3)
    (file,) = spool.path.glob("*.seg")
    os.truncate(file, 3 << 30)
    asked: list[int] = []
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, at: asked.append(size) or real(fd, size, at))
    again = reopened(spool)
    assert max(asked) <= MOST_BYTES
    assert (seqs(again), again.damaged) == ([1, 2, 3], 1)
    assert file.stat().st_size == MOST_BYTES


def test_new_reports_never_follow_a_torn_end(spool: Spool) -> None:
    spool.close()
    (spool.path / "000000000007.seg").write_bytes(WHOLE[:-1])
    spool = spool_at(spool.path)
    fill(spool, 1, first=9)
    assert seqs(reopened(spool)) == [1, 2, 3, 4, 9]


def test_every_cut_leaves_exactly_the_whole_records() -> None:
    for cut in range(len(WHOLE) + 1):
        entries, damage = scan(WHOLE[:cut])
        assert [entry.seq for entry in entries] == list(range(1, cut // SIZE + 1))
        assert (damage.records, damage.bytes) == (int(cut % SIZE > 0), cut % SIZE)


def test_a_flipped_bit_costs_its_own_record_at_the_most() -> None:
    source = random.Random(3)
    for _ in range(3000):
        at = source.randrange(len(WHOLE))
        data = bytearray(WHOLE)
        data[at] ^= 1 << source.randrange(8)
        found = [entry.seq for entry in scan(bytes(data))[0]]
        assert [seq for seq in range(1, 6) if seq not in found] in ([], [at // SIZE + 1])


def test_random_damage_never_invents_a_report() -> None:
    source = random.Random(4)
    for _ in range(2000):
        data = bytearray(WHOLE)
        for _ in range(source.randrange(1, 8)):
            at = source.randrange(len(data))
            data[at : at + source.randrange(6)] = source.randbytes(source.randrange(6))
        found = [entry.seq for entry in scan(bytes(data))[0]]
        assert found == sorted(set(found))
        assert set(found) <= {1, 2, 3, 4, 5}


def test_payload_that_went_bad_after_the_start_is_not_sent(tmp_path: Path) -> None:
    segment = Segment(1, tmp_path / "1.seg", 0.0)
    entry = segment.append(RUN, 1, WALL, b"payload", 0.0)
    with (tmp_path / "1.seg").open("r+b") as file:
        file.seek(HEAD_BYTES)
        file.write(b"P")
    assert segment.payload(entry) is None
    segment.rest()


# ----------------------------------------------------------------------------------------------------------------- kill

WRITER = """
import sys
from pathlib import Path
from hbc.spool import Spool
spool = Spool(Path(sys.argv[1]), max_bytes=1 << 22, max_age=1e6)
spool.open(now=0.0, wall=0.0)
run = sys.argv[2]
seq = 0
while True:
    seq += 1
    entry = spool.append(run, seq, 1.8e9, b"%d" % seq * (seq % 97), 0.0)
    print("a", seq, flush=True)
    if seq % 3 == 0:
        spool.done(entry)
        print("d", seq, flush=True)
"""


def test_kill_9_loses_nothing_appended_and_brings_back_nothing_done(tmp_path: Path) -> None:
    source = random.Random(5)
    appended: set[tuple[str, int]] = set()
    done: set[tuple[str, int]] = set()
    for round_ in range(8):
        run = f"{round_:016x}"
        command = [sys.executable, "-c", WRITER, str(tmp_path), run]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for _ in range(source.randrange(1, 400)):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        rest = process.communicate()[0]
        assert "Traceback" not in rest
        spool = spool_at(tmp_path)
        found = set()
        while (entry := spool.read()) is not None:
            found.add((entry.run_id, entry.seq))
        last = max(seq for name, seq in found if name == run)
        appended |= {(run, seq) for seq in range(1, last + 1)}
        done |= {(run, seq) for seq in range(3, last, 3)}
        # The one being marked when the kill came may be on either side.
        assert appended - done <= found | {(run, last)}
        assert not done & found
        assert spool.damaged <= 1
        spool.close()
