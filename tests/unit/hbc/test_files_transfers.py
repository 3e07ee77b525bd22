from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from hbc.files import transfers
from hbc.files.beneath import Beneath, Refusal, Root
from hbc.files.transfers import Download, Upload, arrived, listing

KEY = "0" * 32


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def beneath(root: Path, *protected: Path, writable: bool = True) -> Beneath:
    return Beneath([Root(str(root), writable)], [str(path) for path in protected])


def upload(root: Path, dest: Path | str, data: bytes = b"new", **given: Any) -> str:
    """A whole upload; the path that it went to."""
    options = {"name": "", "key": "", "offset": 0, "most": 1000} | given
    file = Upload(options.pop("where", beneath(root)), str(dest), **options)
    try:
        file.write(data)
        file.finish()
        return file.path
    finally:
        file.close()


def names(root: Path) -> list[str]:
    return sorted(entry.name for entry in root.iterdir())


# ------------------------------------------------------------------------------------------------------------- download


def test_a_download_reads_what_was_there_when_it_began(root: Path) -> None:
    (root / "a").write_bytes(b"0123456789")
    file = Download(beneath(root), str(root / "a"), 100)
    with (root / "a").open("ab") as more:
        more.write(b"later")
    assert (file.size, file.read(4, 3)) == (10, b"456")
    file.close()


def test_a_file_that_is_too_large_is_refused(root: Path) -> None:
    (root / "a").write_bytes(b"0123456789")
    with pytest.raises(Refusal) as caught:
        Download(beneath(root), str(root / "a"), 9)
    assert caught.value.code == "large"


def test_a_file_that_becomes_shorter_ends_the_download(root: Path) -> None:
    (root / "a").write_bytes(b"0123456789")
    file = Download(beneath(root), str(root / "a"), 100)
    (root / "a").write_bytes(b"")
    with pytest.raises(Refusal, match="shorter"):
        file.read(4, 3)
    file.close()


def test_another_content_has_another_etag(root: Path) -> None:
    tags = []
    for content in (b"one", b"other"):
        (root / "a").write_bytes(content)
        file = Download(beneath(root), str(root / "a"), 100)
        tags.append(file.etag)
        file.close()
    assert len(set(tags)) == 2


# --------------------------------------------------------------------------------------------------------------- upload


def test_an_upload_is_under_its_name_when_it_is_complete(root: Path) -> None:
    assert upload(root, root / "a") == str(root / "a")
    assert ((root / "a").read_bytes(), names(root)) == (b"new", ["a"])


def test_a_folder_takes_the_file_under_its_own_name(root: Path) -> None:
    (root / "sub").mkdir()
    assert upload(root, root, name="x") == str(root / "x")
    assert upload(root, f"{root}/sub/", name="y") == str(root / "sub" / "y")


def test_until_it_is_complete_the_old_file_is_there(root: Path) -> None:
    (root / "a").write_bytes(b"old")
    file = Upload(beneath(root), str(root / "a"), name="", key="", offset=0, most=1000)
    file.write(b"new")
    assert (root / "a").read_bytes() == b"old"
    file.close()
    assert ((root / "a").read_bytes(), names(root)) == (b"old", ["a"])


def test_permissions_of_the_old_file_are_kept_but_never_setuid(root: Path) -> None:
    (root / "a").write_bytes(b"old")
    (root / "a").chmod(0o4751)
    upload(root, root / "a")
    assert (root / "a").stat().st_mode & 0o7777 == 0o751


def test_an_upload_with_a_key_can_be_gone_on_with(root: Path) -> None:
    first = Upload(beneath(root), str(root / "a"), name="", key=KEY, offset=0, most=1000)
    first.write(b"first ")
    first.close()
    assert arrived(beneath(root), str(root / "a"), KEY) == 6
    upload(root, root / "a", b"second", key=KEY, offset=6)
    assert (root / "a").read_bytes() == b"first second"
    assert arrived(beneath(root), str(root / "a"), KEY) == 0


def test_an_offset_beyond_what_is_here_is_a_conflict(root: Path) -> None:
    with pytest.raises(Refusal, match="offset: 0 bytes") as caught:
        upload(root, root / "a", key=KEY, offset=5)
    assert caught.value.code == "conflict"


def test_two_uploads_with_the_same_key_do_not_mix(root: Path) -> None:
    first = Upload(beneath(root), str(root / "a"), name="", key=KEY, offset=0, most=1000)
    with pytest.raises(Refusal) as caught:
        upload(root, root / "a", key=KEY)
    assert caught.value.code == "busy"
    first.close()


def test_what_is_too_large_leaves_nothing_behind(root: Path) -> None:
    with pytest.raises(Refusal) as caught:
        upload(root, root / "a", b"x" * 1001, key=KEY)
    assert (caught.value.code, names(root)) == ("large", [])


def test_what_uploads_left_behind_long_ago_is_removed_by_the_next(root: Path) -> None:
    for key in ("1" * 32, "2" * 32):
        Upload(beneath(root), str(root / "a"), name="", key=key, offset=0, most=1000).close()
    old, young = (root / name for name in names(root))
    os.utime(old, (0, time.time() - transfers.KEPT_SECONDS - 60))
    upload(root, root / "b")
    assert names(root) == [young.name, "b"]


def test_a_read_only_root_takes_nothing(root: Path) -> None:
    with pytest.raises(Refusal, match="not written"):
        upload(root, root / "a", where=beneath(root, writable=False))


def test_a_link_is_not_written_through(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("old")
    (root / "a").symlink_to("../secret")
    with pytest.raises(Refusal, match="link"):
        upload(root, root / "a")
    assert (tmp_path / "secret").read_text() == "old"


def test_an_allowed_file_alone_cannot_be_written_beside(root: Path) -> None:
    (root / "a").write_text("old")
    with pytest.raises(Refusal, match="in an allowed folder"):
        upload(root, root / "a", where=beneath(root / "a"))


def test_a_target_that_became_a_folder_is_left_alone(root: Path) -> None:
    file = Upload(beneath(root), str(root / "a"), name="", key="", offset=0, most=1000)
    (root / "a").mkdir()
    with pytest.raises(Refusal, match="no plain file"):
        file.finish()
    file.close()
    assert names(root) == ["a"]


def test_a_full_disk_is_told_and_leaves_the_old_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "a").write_bytes(b"old")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(Refusal, match="No space left"):
        upload(root, root / "a")
    assert ((root / "a").read_bytes(), names(root)) == (b"old", ["a"])


# -------------------------------------------------------------------------------------------------------------- listing


def test_a_folder_is_listed_folders_first(root: Path) -> None:
    (root / "b.txt").write_text("12345")
    (root / "Sub").mkdir()
    (root / "a").symlink_to("/nowhere")
    entries, truncated, writable = listing(beneath(root), str(root))
    found = [(entry["name"], entry["type"]) for entry in entries]
    assert found == [("Sub", "folder"), ("a", "link"), ("b.txt", "file")]
    assert (entries[2]["size"], truncated, writable) == (5, False, True)


def test_a_long_folder_is_cut(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "MOST_ENTRIES", 2)
    for name in "abc":
        (root / name).touch()
    entries, truncated, _ = listing(beneath(root), str(root))
    assert (len(entries), truncated) == (2, True)


def test_names_that_are_no_text_and_unfinished_uploads_do_not_spoil_a_list(root: Path) -> None:
    Upload(beneath(root), str(root / "a"), name="", key=KEY, offset=0, most=1000).close()
    (root / os.fsdecode(b"\xff")).touch()
    entries, _, _ = listing(beneath(root), str(root))
    assert [entry["name"] for entry in entries] == ["\\xff"]
