"""The section ``remote_write``."""

from __future__ import annotations

from pathlib import Path

import pytest

from hbd.config import load
from hbd.config.structs import RemoteWrite, Secret
from hbd.errors import ConfigError

RIGHT = """
remote_write:
  prom:
    url: https://prom.example.org/api/v1/write
    username: hbd
    password: secret
    headers: {X-Scope-OrgID: ops}
    interval: 30s
    hosts: web*
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "hbd.yaml"
    file.write_text(text)
    file.chmod(0o600)
    return file


def test_a_receiver_is_read(tmp_path: Path) -> None:
    config = load(written(tmp_path, RIGHT))
    assert config.warnings == ()
    assert config.remote_write == {
        "prom": RemoteWrite(
            url="https://prom.example.org/api/v1/write",
            username="hbd",
            password=Secret("secret"),
            headers={"X-Scope-OrgID": Secret("ops")},
            interval=30.0,
            hosts=("web*",),
        )
    }


def test_a_receiver_on_this_machine_may_be_without_tls(tmp_path: Path) -> None:
    text = RIGHT.replace("https://prom.example.org", "http://127.0.0.1:9090")
    assert load(written(tmp_path, text)).warnings == ()


@pytest.mark.parametrize(
    ("section", "count"),
    [("bearer_token: abc", 1), ("username: a, password: b", 1), ("headers: {X-Key: a}", 1), ("interval: 30s", 0)],
)
def test_only_a_file_with_secrets_has_to_be_its_owners_alone(section: str, count: int, tmp_path: Path) -> None:
    file = written(tmp_path, f"remote_write: {{prom: {{url: https://prom, {section}}}}}\n")
    file.chmod(0o644)
    assert len(load(file).warnings) == count


def test_secrets_do_not_print(tmp_path: Path) -> None:
    assert "secret" not in repr(load(written(tmp_path, RIGHT)).remote_write)


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("    url: https://prom.example.org/api/v1/write\n", "", "3: remote_write.prom.url: is needed"),
        ("https://prom", "ftp://prom", "4: remote_write.prom.url: expected an address"),
        ("    username: hbd\n", "", "3: remote_write.prom.username: is needed: username and password belong"),
        ("    password: secret\n", "", "3: remote_write.prom.password: is needed: username and password belong"),
        ("interval: 30s", "bearer_token: abc", "3: remote_write.prom.bearer_token: is given, and username too"),
        ("X-Scope-OrgID", "Content-Type", "7: remote_write.prom.headers.Content-Type: is set by hbd itself"),
        ("X-Scope-OrgID", "authorization", "7: remote_write.prom.headers.authorization: is set by hbd itself"),
        ("X-Scope-OrgID", "a b", "7: remote_write.prom.headers.a b: expected the name of a header"),
        ("interval: 30s", "interval: 0", "8: remote_write.prom.interval: expected a duration"),
        ("web*", "we/b", "9: remote_write.prom.hosts[0]: expected a host name"),
    ],
)
def test_what_is_wrong_is_named(before: str, after: str, problem: str, tmp_path: Path) -> None:
    assert before in RIGHT
    file = written(tmp_path, RIGHT.replace(before, after))
    with pytest.raises(ConfigError) as caught:
        load(file)
    (told,) = caught.value.problems
    assert told.startswith(f"{file}:{problem}")


def test_a_header_for_authorization_may_stand_alone(tmp_path: Path) -> None:
    text = "remote_write: {prom: {url: https://prom, headers: {Authorization: Token abc}}}\n"
    assert load(written(tmp_path, text)).warnings == ()
