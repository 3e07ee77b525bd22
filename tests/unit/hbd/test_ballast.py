"""A file that takes room, on a real file system."""

import os
import stat

import pytest

from hbd.store import ballast
from hbd.store.ballast import Ballast

MIB = 1 << 20


@pytest.fixture
def held(tmp_path):
    return Ballast(tmp_path / "hbd.db")


def test_it_takes_the_room_that_it_says(held):
    assert held.make(MIB)
    assert (held.size(), held.path.stat().st_blocks * 512) == (MIB, MIB)


def test_it_is_for_the_owner_only_whatever_the_umask(held):
    before = os.umask(0)
    try:
        held.make(MIB)
    finally:
        os.umask(before)
    assert stat.S_IMODE(held.path.stat().st_mode) == 0o600


def test_it_is_given_up_once(held):
    held.make(MIB)
    assert [held.give_up(), held.give_up()] == [MIB, 0]
    assert not held.path.exists()


def test_it_is_made_as_large_as_it_should_be_now(held):
    assert [held.make(size) and held.size() for size in (MIB, 2 * MIB, MIB)] == [MIB, 2 * MIB, MIB]


def test_of_nothing_there_is_no_file(held):
    held.make(MIB)
    assert held.make(0)
    assert not held.path.exists()


def test_it_does_not_take_the_last_of_a_disk(held, monkeypatch):
    monkeypatch.setattr(ballast, "free_bytes", lambda folder: MIB + ballast.SPARE_BYTES - 1)
    assert not held.make(MIB)
    assert not held.path.exists()


def test_where_a_quota_ends_before_the_disk_it_stays_as_it_was(held, monkeypatch):
    def refuse(descriptor, offset, size):
        raise OSError(122, "Disk quota exceeded")

    held.make(MIB)
    monkeypatch.setattr(os, "posix_fallocate", refuse)
    assert not held.make(2 * MIB)
    assert held.size() == MIB


def test_without_a_folder_there_is_none(tmp_path):
    assert not Ballast(tmp_path / "gone" / "hbd.db").make(MIB)
