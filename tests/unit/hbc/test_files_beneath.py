from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from hbc.files.beneath import Beneath, Refusal, Root

Make = Callable[..., Beneath]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    (folder / "sub").mkdir()
    (folder / "sub" / "b.txt").write_text("b")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    return folder


def read(beneath: Beneath, path: Path | str) -> bytes:
    fd, _ = beneath.file(str(path))
    try:
        return os.read(fd, 100)
    finally:
        os.close(fd)


def refused(beneath: Beneath, path: Path | str, code: str = "denied") -> str:
    with pytest.raises(Refusal) as caught:
        read(beneath, path)
    assert caught.value.code == code, caught.value
    return caught.value.reason


def only(*roots: Path, protected: tuple[Path, ...] = ()) -> Beneath:
    return Beneath([Root(str(path)) for path in roots], [str(path) for path in protected])


def test_a_file_beneath_the_root_is_opened(root: Path) -> None:
    assert read(only(root), root / "sub" / "b.txt") == b"b"


def test_a_root_can_be_the_whole_tree(root: Path) -> None:
    assert read(only(Path("/")), root / "a.txt") == b"a"


def test_a_root_can_be_one_file_and_its_neighbours_are_not(root: Path) -> None:
    beneath = only(root / "a.txt")
    assert read(beneath, root / "a.txt") == b"a"
    assert "outside" in refused(beneath, root / "sub" / "b.txt")


def test_without_roots_nothing_is_opened(root: Path) -> None:
    assert "outside" in refused(only(), root / "a.txt")


def test_a_folder_whose_name_begins_like_the_root_is_outside(root: Path) -> None:
    beside = root.with_name("root2")
    beside.mkdir()
    (beside / "x").write_text("x")
    assert "outside" in refused(only(root), beside / "x")


def test_what_is_not_there_is_missing(root: Path) -> None:
    refused(only(root), root / "none", "missing")
    refused(only(root), root / "a.txt" / "none", "missing")


def test_a_link_within_the_root_is_followed(root: Path) -> None:
    (root / "link").symlink_to("sub/b.txt")
    (root / "sub" / "up").symlink_to("../a.txt")
    (root / "folder").symlink_to("sub")
    assert read(only(root), root / "link") == b"b"
    assert read(only(root), root / "sub" / "up") == b"a"
    assert read(only(root), root / "folder" / "b.txt") == b"b"


def test_an_absolute_link_into_an_allowed_folder_is_followed(root: Path, tmp_path: Path) -> None:
    (root / "link").symlink_to(tmp_path / "outside" / "secret")
    assert read(only(root, tmp_path / "outside"), root / "link") == b"secret"


@pytest.mark.parametrize("target", ["../outside/secret", "sub/../../outside/secret", "{}/outside/secret"])
def test_a_link_out_of_the_root_is_refused(root: Path, tmp_path: Path, target: str) -> None:
    (root / "link").symlink_to(target.format(tmp_path))
    refused(only(root), root / "link")


def test_a_folder_that_is_a_link_out_of_the_root_is_refused(root: Path) -> None:
    (root / "link").symlink_to("../outside")
    refused(only(root), root / "link" / "secret")


def test_a_folder_in_place_of_a_file_is_told_to_be_one(root: Path) -> None:
    assert "is a folder; name a file in it" in refused(only(root), root / "sub")


def test_links_in_a_circle_are_refused(root: Path) -> None:
    (root / "one").symlink_to("two")
    (root / "two").symlink_to("one")
    assert "links" in refused(only(root), root / "one")


def test_a_link_of_our_own_on_the_way_to_the_root_counts(root: Path, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(root)
    assert read(only(tmp_path / "way"), tmp_path / "way" / "sub" / "b.txt") == b"b"
    (tmp_path / "way" / "escape").symlink_to("../outside/secret")
    refused(only(tmp_path / "way"), tmp_path / "way" / "escape")


def test_somebody_elses_link_on_the_way_to_the_root_is_refused(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "way").symlink_to(root)
    os.lchown(tmp_path / "way", 12345, 12345) if os.geteuid() == 0 else monkeypatch.setattr(os, "geteuid", lambda: 1)
    assert "somebody else" in refused(only(tmp_path / "way"), tmp_path / "way" / "a.txt")


@pytest.mark.parametrize("path", ["a.txt", "", "~/a.txt", "/x\0y", "/" + "x" * 5000, "/\ud800"])
def test_what_is_no_path_is_refused(root: Path, path: str) -> None:
    refused(only(Path("/")), path)


def test_more_folders_than_are_held_open_are_refused(root: Path) -> None:
    deep = root.joinpath(*["d"] * 80)
    deep.mkdir(parents=True)
    assert "deep" in refused(only(root), deep / "x")


def test_a_protected_file_is_refused_under_every_name(root: Path) -> None:
    (root / "other").hardlink_to(root / "a.txt")
    beneath = only(root, protected=(root / "a.txt",))
    assert "protected" in refused(beneath, root / "a.txt")
    assert "protected" in refused(beneath, root / "other")


def test_everything_beneath_a_protected_folder_is_refused(root: Path) -> None:
    (root / "way").symlink_to("sub")
    beneath = only(root, protected=(root / "sub",))
    assert "protected" in refused(beneath, root / "sub" / "b.txt")
    assert "protected" in refused(beneath, root / "way" / "b.txt")


def test_a_protected_name_that_is_not_there_cannot_be_made(root: Path) -> None:
    with pytest.raises(Refusal, match="protected"):
        only(root, protected=(root / "new",)).place(str(root / "new"), new=True)


def test_the_innermost_root_on_the_way_says_whether_files_are_written(root: Path) -> None:
    for name in ("ro", "ro/rw", "ro/rw/deep"):
        (root / name).mkdir()
    (root / "in").symlink_to("ro/rw/deep")
    (root / "out").symlink_to("ro/rw/../a")
    beneath = Beneath([Root(str(root), True), Root(str(root / "ro")), Root(str(root / "ro" / "rw"), True)])

    def writable(path: str) -> bool:
        place = beneath.place(str(root / path), new=True)
        place.close()
        return place.root.writable

    assert [writable(path) for path in ("x", "ro/x", "ro/rw/x", "in/x")] == [True, False, True, True]
    (root / "ro" / "a").mkdir()
    assert not writable("out/x")


def test_a_read_only_file_is_not_written_in_a_folder_that_is(root: Path) -> None:
    beneath = Beneath([Root(str(root), True), Root(str(root / "a.txt"))])
    (root / "same").symlink_to(".")
    place = beneath.place(str(root / "same" / "a.txt"), new=True)
    place.close()
    assert not place.root.writable


def test_no_descriptor_stays_open(root: Path) -> None:
    (root / "link").symlink_to("../outside/secret")
    (root / "good").symlink_to("sub/b.txt")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in ("a.txt", "good", "link", "none", "sub", "sub/none/x"):
        try:
            read(only(root), root / path)
        except Refusal:
            pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_socket_is_not_opened(root: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "s"))
        assert "socket" in refused(only(root), root / "s")
