"""Whoever may read and write some folders of a host wants the others too. Asked of the agent's own policy, which holds
whatever the daemon says."""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from stream_agent import policy

from hbc.files.beneath import Beneath, Refusal, Root
from hbc.files.transfers import Upload
from hbc.stream_kinds import Kinds

SWAPS = 10_000
SECRET = b"secret"
Params = dict[str, Any]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file").write_bytes(b"public")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(SECRET)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "key").write_bytes(SECRET)
    return folder


@pytest.fixture
def kinds(root: Path, tmp_path: Path) -> Kinds:
    return Kinds(policy(files=[root], logs=[root], protected=[tmp_path / "own"], upload_mb=1, download_mb=1))


def refusal(kinds: Kinds, kind: str, **params: Any) -> Refusal:
    """What it says; it must not be opened."""
    with pytest.raises(Refusal) as caught:
        kinds(kind, params).close()
    return caught.value


def refusals(kinds: Kinds, path: str) -> set[str]:
    """The codes of all that can be done with a path."""
    asked: list[tuple[str, Params]] = [
        ("download", {"path": path}),
        ("list", {"path": path}),
        ("logs", {"source": "file", "path": path}),
        ("upload", {"dest": path, "name": "x"}),
        ("arrived", {"dest": path, "key": "0" * 32}),
    ]
    return {refusal(kinds, kind, **params).code for kind, params in asked}


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "{root}/../outside/file",
        "{root}/sub/../../outside/file",
        "{root}/%2e%2e/outside/file",
        "/etc/passwd",
        "/etc/shadow",
        "//etc/passwd",
        "~/.ssh/id_ed25519",
        "/proc/self/environ",
        "/proc/self/cwd/etc/passwd",
        "/dev/zero",
        "{root}2/file",
        "{root}\0/../outside/file",
        "",
        ".",
        "/",
    ],
)
def test_s30_a_path_out_of_the_roots_is_refused_by_the_agent(kinds: Kinds, root: Path, path: str) -> None:
    if "%2e" in path:  # nothing is decoded once more: that is a name like any other
        assert refusals(kinds, path.format(root=root)) == {"missing"}
    elif path:
        assert refusals(kinds, path.format(root=root)) == {"denied"}
    else:
        assert refusal(kinds, "download", path="").code == "denied"


def test_s30_nothing_of_the_agents_processes_is_given_out_even_where_all_is_allowed() -> None:
    kinds = Kinds(policy(files=[Path("/")]))
    for path in ("/proc/self/environ", "/proc/self/mem", "/proc/1/environ", f"/proc/{os.getpid()}/task"):
        assert refusal(kinds, "download", path=path).code == "denied"


def test_s30_nothing_of_processes_is_given_out_wherever_they_are_mounted(
    kinds: Kinds, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = (root / "sub" / "file").stat().st_dev
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 254:1 / / rw shared:1 - ext4 /dev/vda1 rw\n"
        f"90 22 {os.major(device)}:{os.minor(device)} / {root} rw master:2 - proc proc rw\n"
    )
    monkeypatch.setattr("hbc.files.guard.MOUNTS", mounts)
    assert refusal(kinds, "download", path=str(root / "sub" / "file")).code == "denied"


def test_s30_what_the_agent_lives_by_is_refused_even_where_all_is_allowed(tmp_path: Path, root: Path) -> None:
    kinds = Kinds(policy(files=[Path("/")], logs=[Path("/")], protected=[tmp_path / "own"]))
    (root / "way").symlink_to(tmp_path / "own")
    for path in (tmp_path / "own" / "key", root / "way" / "key"):
        assert refusals(kinds, str(path)) == {"denied"}


@pytest.mark.parametrize("target", ["../outside/file", "{0}/outside/file", "../sub/../../outside/file", "/etc/passwd"])
def test_s31_a_link_out_of_the_root_is_refused(kinds: Kinds, root: Path, tmp_path: Path, target: str) -> None:
    (root / "link").symlink_to(target.format(tmp_path))
    assert refusals(kinds, str(root / "link")) == {"denied"}


def test_s31_a_hard_link_to_the_key_is_refused(kinds: Kinds, root: Path, tmp_path: Path) -> None:
    key = tmp_path / "own" / "key"
    (root / "innocent").hardlink_to(key)
    named = Kinds(policy(files=[root], protected=[key]))
    assert refusal(named, "download", path=str(root / "innocent")).code == "denied"


def test_s31_a_hard_link_to_a_file_in_a_protected_folder_is_refused(kinds: Kinds, root: Path, tmp_path: Path) -> None:
    (tmp_path / "own" / "spool").mkdir()
    (tmp_path / "own" / "spool" / "1").write_bytes(SECRET)
    for target in ("key", "spool/1"):
        link = root / target.replace("/", "-")
        link.hardlink_to(tmp_path / "own" / target)
        assert refusals(kinds, str(link)) == {"denied"}


def test_s31_a_hard_link_is_refused_where_too_much_is_protected_to_know_it(
    kinds: Kinds, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "twin").hardlink_to(root / "sub" / "file")
    kinds("download", {"path": str(root / "twin")}).close()
    monkeypatch.setattr("hbc.files.guard.MOST_PROTECTED", 0)
    assert refusal(kinds, "download", path=str(root / "twin")).code == "denied"


@pytest.mark.parametrize("way", ["ro/x", "ln/x", "ln/deep/x", "in/x", "absolute/x"])
def test_s33_a_link_into_a_folder_that_is_read_only_does_not_make_it_writable(root: Path, way: str) -> None:
    (root / "ro" / "deep").mkdir(parents=True)
    (root / "ln").symlink_to("ro")
    (root / "in").symlink_to("ro/deep")
    (root / "absolute").symlink_to(root / "ro")
    nested = Kinds(policy(files=[root], reading=[root / "ro"]))
    assert refusal(nested, "upload", dest=str(root / way)).code == "denied"
    assert list((root / "ro").rglob("*x")) == []


@contextmanager
def swapping(root: Path) -> Iterator[Callable[[], int]]:
    """Swaps a folder for a link out of the root and back, as fast as it goes; tells how often it has."""
    folder, link, aside = root / "sub", root / "link", root / "aside"
    link.symlink_to("../outside")
    count, over = 0, threading.Event()

    def swap() -> None:
        nonlocal count
        while not over.is_set():
            folder.rename(aside)
            link.rename(folder)
            folder.rename(link)
            aside.rename(folder)
            count += 1

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield lambda: count
    finally:
        over.set()
        thread.join()


def test_s31_a_folder_that_is_swapped_for_a_link_never_lets_out_what_is_behind_it(root: Path) -> None:
    beneath, read = Beneath([Root(str(root))]), 0
    with swapping(root) as swaps:
        while swaps() < SWAPS or not read:
            try:
                fd, _ = beneath.file(str(root / "sub" / "file"))
            except Refusal:
                continue
            content = os.read(fd, 100)
            os.close(fd)
            assert content == b"public"
            read += 1


def test_s31_a_folder_that_is_swapped_for_a_link_never_lets_anything_be_written_behind_it(
    root: Path, tmp_path: Path
) -> None:
    beneath, written = Beneath([Root(str(root), True)]), 0
    with swapping(root) as swaps:
        while swaps() < SWAPS // 10 or not written:
            try:
                upload = Upload(beneath, f"{root}/sub/new", name="", key="", offset=0, most=100)
            except Refusal:
                continue
            try:
                upload.write(b"x")
                upload.finish()
                written += 1
            except Refusal:
                pass
            finally:
                upload.close()
    assert [entry.name for entry in (tmp_path / "outside").iterdir()] == ["file"]


def test_s32_a_special_file_is_refused_and_nothing_hangs(kinds: Kinds, root: Path) -> None:
    os.mkfifo(root / "pipe")
    (root / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "socket"))
        for name in ("pipe", "socket", "folder"):
            assert refusal(kinds, "download", path=str(root / name)).code == "denied"
            assert refusal(kinds, "logs", source="file", path=str(root / name)).code == "denied"


@pytest.mark.parametrize("device", ["zero", "null", "tty", "random"])
def test_s32_a_device_is_refused(device: str) -> None:
    kinds = Kinds(policy(files=[Path("/dev")], logs=[Path("/dev")]))
    assert refusal(kinds, "download", path=f"/dev/{device}").code in ("denied", "missing")
    assert refusal(kinds, "logs", source="file", path=f"/dev/{device}").code in ("denied", "missing")


def test_s32_a_sparse_file_of_a_terabyte_is_too_large(kinds: Kinds, root: Path) -> None:
    (root / "sparse").touch()
    os.truncate(root / "sparse", 1 << 40)
    assert refusal(kinds, "download", path=str(root / "sparse")).code == "large"


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "..", ".", "", "a\nb", "-rf", "a\0b", "\x1b[2J", "x" * 256, "a\u202eb", "/etc/motd"]
)
def test_s33_a_name_that_plays_tricks_is_refused(kinds: Kinds, root: Path, name: str) -> None:
    assert refusal(kinds, "upload", dest=f"{root}/", name=name).code == "denied"
    if "/" not in name and name not in ("", "."):
        assert refusal(kinds, "upload", dest=f"{root}/{name}").code == "denied"
    assert [entry.name for entry in root.iterdir()] == ["sub"]


def test_s33_no_upload_is_setuid(kinds: Kinds, root: Path) -> None:
    (root / "sub" / "file").chmod(0o6755)
    upload = Upload(Beneath([Root(str(root), True)]), str(root / "sub" / "file"), name="", key="", offset=0, most=9)
    upload.finish()
    upload.close()
    assert stat.S_IMODE((root / "sub" / "file").stat().st_mode) == 0o755


def test_s33_an_upload_over_the_quota_is_refused(kinds: Kinds, root: Path) -> None:
    assert refusal(kinds, "upload", dest=f"{root}/x", size=(1 << 20) + 1).code == "large"


def test_s33_the_agents_own_files_are_not_written_over(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    config = tmp_path / "hbc.yaml"
    kinds = Kinds(policy(files=[tmp_path], protected=[own, config]))
    for path in (config, own / "key", own / "new"):  # also one that is not there yet
        assert refusal(kinds, "upload", dest=str(path)).code == "denied"
    config.write_text("allow:")
    assert refusal(kinds, "upload", dest=str(config)).code == "denied"


def test_s33_what_somebody_put_where_an_upload_goes_is_not_written_to(kinds: Kinds, root: Path, tmp_path: Path) -> None:
    first = Upload(Beneath([Root(str(root), True)]), f"{root}/x", name="", key="0" * 32, offset=0, most=9)
    (part,) = (entry for entry in root.iterdir() if entry.is_file())
    first.close()
    part.unlink()
    part.symlink_to(tmp_path / "outside" / "file")
    assert refusal(kinds, "upload", dest=f"{root}/x", key="0" * 32).code == "denied"
    part.unlink()
    part.hardlink_to(tmp_path / "outside" / "file")
    assert refusal(kinds, "upload", dest=f"{root}/x", key="0" * 32).code == "denied"
    assert (tmp_path / "outside" / "file").read_bytes() == SECRET


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("shell", {}),
        ("download", {}),
        ("download", {"path": 7}),
        ("download", {"path": "/\ud800"}),
        ("upload", {"dest": "/\ud800/a", "name": "\ud800"}),
        ("logs", {"source": "file", "path": "/x", "lines": "many"}),
        ("logs", {"source": "journald", "unit": ["a"]}),
        ("upload", {"dest": "/x", "offset": -1}),
        ("upload", {"dest": "/x", "offset": True}),
    ],
)
def test_s51_words_that_make_no_sense_open_nothing(kinds: Kinds, kind: str, params: Params) -> None:
    assert refusal(kinds, kind, **params).code in ("failed", "denied")


def test_s51_without_a_policy_nothing_is_opened(root: Path) -> None:
    nothing = Kinds(policy())
    path = str(root / "sub" / "file")
    assert refusals(nothing, path) == {"denied"}
    assert "disabled by local policy" in refusal(nothing, "download", path=path).reason
    assert "disabled by local policy" in refusal(nothing, "logs", source="journald", unit="ssh").reason
