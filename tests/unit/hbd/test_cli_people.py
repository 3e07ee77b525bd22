"""The commands for users and tokens as they are typed, each with a config file and a database of its own."""

from __future__ import annotations

import io
import json
import os
import pwd
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from hbd import cli_people
from hbd.cli import main
from hbd.passwords import Passwords

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs ``hbd`` with a config of its own; typed: on standard input, None where there is nothing."""
    file = tmp_path / "hbd.yaml"
    file.write_text(f"database: {tmp_path / 'cli.db'}\nauth: {{min_password_length: 8}}\n")
    file.chmod(0o600)
    monkeypatch.setattr(cli_people, "Passwords", lambda workers: Passwords(workers, rounds=4))

    def hbd(*arguments: str, typed: bytes = b"", config: Path = file) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(typed)))
        code = main([*arguments, "-c", str(config)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return hbd


class _Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def at_terminal(monkeypatch: pytest.MonkeyPatch, run: Run, tmp_path: Path) -> Any:
    """Like run, with answers typed at a terminal; an Exception among them is raised there."""

    def hbd(*arguments: str, answers: list[Any], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
        given = iter(answers)

        def typed(prompt: str) -> str:
            answer = next(given)
            if isinstance(answer, Exception):
                raise answer
            return str(answer)

        monkeypatch.setattr("getpass.getpass", typed)
        monkeypatch.setattr("sys.stdin", _Terminal(io.BytesIO()))
        code = main([*arguments, "-c", str(tmp_path / "hbd.yaml")])
        said = capsys.readouterr()
        return code, said.out, said.err

    return hbd


def test_passwd_prints_the_hash_alone(run: Run) -> None:
    code, out, err = run("passwd", typed=b"correct horse\r\nmore\n")
    assert (code, err) == (0, "")
    assert bcrypt.checkpw(b"correct horse", out.removesuffix("\n").encode())


def test_passwd_hashes_even_while_the_config_is_broken(run: Run, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("users: {alice: {password: plain}}\n")
    code, out, _ = run("passwd", typed=b"correct horse\n", config=broken)
    assert code == 0 and bcrypt.checkpw(b"correct horse", out.strip().encode())


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        (b"", "no password was given"),
        (b"\n", "must not be empty"),
        (b"short\n", "at least 8 characters"),
        (b"x" * 73 + b"\n", "at most 72 bytes"),
        (b"\xff\xfe12345678\n", "not UTF-8"),
        (b"tab\tinside\n", "control characters"),
    ],
)
def test_a_password_that_may_not_be_set_is_refused_with_the_reason(run: Run, typed: bytes, reason: str) -> None:
    for arguments in (["passwd"], ["passwd", "bob"]):
        code, out, err = run(*arguments, typed=typed)
        assert (code, out) == (1, "")
        assert err.startswith("hbd: ") and reason in err


def test_a_password_is_typed_twice_at_a_terminal(at_terminal: Any, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = at_terminal("passwd", answers=["correct horse"] * 2, capsys=capsys)
    assert code == 0 and bcrypt.checkpw(b"correct horse", out.strip().encode())


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        (["correct horse", "wrong horse"], "not the same"),
        (["short"], "at least 8 characters"),
        ([EOFError()], "no password was given"),
        (["correct horse", EOFError()], "no password was given"),
    ],
)
@pytest.mark.parametrize("command", [["passwd"], ["user", "add", "--admin", "bob"]])
def test_a_slip_at_the_terminal_changes_nothing(
    at_terminal: Any, run: Run, capsys: pytest.CaptureFixture[str], command: list[str], answers: list[Any], reason: str
) -> None:
    code, out, err = at_terminal(*command, answers=answers, capsys=capsys)
    assert (code, out) == (1, "") and reason in err
    assert "there is no database" in run("user", "list", "--json")[2]


def test_user_add_without_input_prints_a_password_alone(run: Run) -> None:
    code, out, err = run("user", "add", "--admin", "root")
    assert (code, "no hbd runs on it" in err) == (0, True)
    assert len(out.removesuffix("\n")) == 20 and out.strip().isprintable()


def test_user_add_takes_the_first_line_as_the_password_and_prints_nothing(run: Run) -> None:
    assert run("user", "add", "--admin", "root", typed=b"correct horse\n")[:2] == (0, "")


def test_an_empty_line_is_no_wish_for_a_password_made_up(run: Run) -> None:
    assert run("user", "add", "--admin", "root", typed=b"\n")[0] == 1


def test_user_add_without_password_asks_for_none(run: Run) -> None:
    assert run("user", "add", "--admin", "--no-password", "root")[:2] == (0, "")
    (root,) = json.loads(run("user", "list", "--json")[1])
    assert (root["role"], root["has_password"]) == ("admin", False)


@pytest.mark.parametrize("rank", [[], ["--role", "operator"]])
def test_a_first_user_who_is_no_admin_is_refused_with_the_line_to_run(
    run: Run, tmp_path: Path, rank: list[str]
) -> None:
    code, out, err = run("user", "add", "bob", "--no-password", *rank)
    assert (code, out) == (1, "") and "hbd user add --admin bob" in err
    assert not (tmp_path / "cli.db").exists()


def test_a_first_user_who_is_no_admin_can_be_meant(run: Run) -> None:
    code, _, err = run("user", "add", "bob", "--no-password", "--no-admin")
    assert code == 0 and "nobody is admin yet" in err


def test_a_second_user_needs_not_be_admin(run: Run) -> None:
    run("user", "add", "--admin", "--no-password", "root")
    assert run("user", "add", "bob", "--no-password")[0] == 0


def test_what_was_changed_where_is_told_on_standard_error(run: Run, tmp_path: Path) -> None:
    _, _, err = run("user", "add", "--admin", "--no-password", "root")
    started = "the next one that is started there will know"
    assert err == f"hbd: changed {tmp_path / 'cli.db'}; no hbd runs on it, {started}\n"


@pytest.mark.parametrize("command", ["user", "token", "agent"])
def test_a_list_makes_no_database(run: Run, tmp_path: Path, command: str) -> None:
    code, out, err = run(command, "list")
    assert (code, out) == (1, "") and f"there is no database {tmp_path / 'cli.db'}" in err
    assert not (tmp_path / "cli.db").exists()


def test_grant_and_revoke_tell_each_host(run: Run) -> None:
    run("user", "add", "--admin", "--no-password", "root")
    run("user", "add", "--no-password", "bob")
    for host in ("web1", "web2", "db"):
        run("agent", "add", host)
    assert run("user", "grant", "bob", "--monitor", "web1")[1] == "web1: bob is monitor now\n"
    assert run("user", "grant", "bob", "--monitor", "web*", "db")[1].splitlines() == [
        "db: bob is monitor now",
        "web1: bob was monitor already",
        "web2: bob is monitor now",
    ]
    assert run("user", "revoke", "bob", "--monitor", "db")[1] == "db: bob is no monitor any more\n"
    assert run("user", "revoke", "bob", "--manager", "db")[1] == "db: bob was no manager\n"


def test_a_right_that_the_file_takes_back_says_so(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "rights.yaml"
    file.write_text(
        f"database: {tmp_path / 'rights.db'}\nusers: {{root: {{admin: true}}, bob: {{}}}}\n"
        "hosts: {web: {managers: []}}\n"
    )
    file.chmod(0o600)
    run("agent", "add", "web", config=file)
    assert (
        "the config file names the managers of web" in run("user", "grant", "bob", "--manager", "web", config=file)[2]
    )
    assert "the config file" not in run("user", "grant", "bob", "--monitor", "web", config=file)[2]


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("default_owner: carol\n", "warning: default_owner: there is no user carol"),
        ("hosts: {web: {managers: [bob, root, carol]}}\n", "warning: hosts.web.managers: there is no user carol"),
        (
            "hosts: {web: {notification_channels: [ops]}}\n",
            "warning: hosts.web.notification_channels: there is no channel ops in this file",
        ),
        (
            "notification_routes: {all: {channels: [phone]}}\n",
            "warning: notification_routes.all.channels: there is no channel phone in this file",
        ),
        (
            "notifications: {fallback: mail}\n",
            "warning: notifications.fallback: there is no channel mail in this file",
        ),
        (
            "notifications: {about_hbd: [mail]}\n",
            "warning: notifications.about_hbd: there is no channel mail in this file",
        ),
        ("hosts: {web: {owner: BOB}}\n", ""),
    ],
)
def test_check_config_tells_the_names_that_nobody_has(run: Run, tmp_path: Path, text: str, warning: str) -> None:
    run("user", "add", "--admin", "--no-password", "bob")
    file = tmp_path / "checked.yaml"
    file.write_text(f"database: {tmp_path / 'cli.db'}\nusers: {{root: {{admin: true}}}}\n{text}")
    file.chmod(0o600)
    code, _, err = run("check-config", config=file)
    assert code == 0 and (warning in err if warning else "there is no user" not in err)


def test_check_config_changes_no_database(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "checked.yaml"
    file.write_text(f"database: {tmp_path / 'none.db'}\nusers: {{root: {{admin: true}}}}\ndefault_owner: carol\n")
    file.chmod(0o600)
    assert "there is no user carol" in run("check-config", config=file)[2]
    assert not (tmp_path / "none.db").exists()


def test_a_name_that_cannot_be_one_is_refused_before_a_password_is_asked_for(run: Run) -> None:
    code, _, err = run("user", "add", "a/b")
    assert code == 1 and err.startswith("hbd: NAME: ")


def test_user_list_is_a_table(run: Run) -> None:
    run("user", "add", "--role", "operator", "--no-password", "--no-admin", "olga")
    lines = run("user", "list")[1].splitlines()
    assert lines[0].split("  ")[0] == "NAME"
    assert lines[0].split() == ["NAME", "ROLE", "SOURCE", "ENABLED", "2FA", "SESSIONS", "LAST", "SIGN-IN"]
    assert lines[1].split() == ["olga", "operator", "local", "yes", "no", "0", "never"]


def test_a_change_of_a_user_of_the_file_says_how_long_it_holds(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "people.yaml"
    file.write_text(f"database: {tmp_path / 'people.db'}\nusers: {{alice: {{admin: true}}, bob: {{}}}}\n")
    file.chmod(0o600)
    for command, typed in ((["passwd", "bob"], b"correct horse\n"), (["user", "role", "bob", "operator"], b"")):
        code, out, err = run(*command, typed=typed, config=file)
        assert (code, out) == (0, "")
        assert "holds until the file says something else" in err
    bob = json.loads(run("user", "list", "--json", config=file)[1])[1]
    assert (bob["role"], bob["has_password"]) == ("operator", True)


def test_token_create_prints_the_token_alone_and_token_list_does_not(run: Run) -> None:
    run("user", "add", "--admin", "--no-password", "root")
    code, out, err = run("token", "create", "--expires", "90d", "--write", "--name", "backup")
    assert (code, "this token expires at 2" in err) == (0, True)
    token = out.removesuffix("\n")
    assert token.startswith("hbt_") and len(token) == 47
    assert token not in run("token", "list")[1]
    (listed,) = json.loads(run("token", "list", "--json", "--user", "root")[1])
    assert listed["expires"] - listed["created"] == 90 * 86_400
    assert (listed["name"], listed["scope"]) == ("backup", "write")
    assert run("token", "revoke", str(listed["id"]))[:2] == (0, "")
    assert json.loads(run("token", "list", "--json")[1]) == []


def test_a_token_without_an_end_is_told(run: Run) -> None:
    run("user", "add", "--admin", "--no-password", "root")
    assert "this token never expires" in run("token", "create")[2]


def test_a_token_for_a_host_that_was_never_heard_is_warned_of(run: Run) -> None:
    run("user", "add", "--admin", "--no-password", "root")
    run("agent", "add", "Web")
    code, _, err = run("token", "create", "--host", "web")
    assert code == 0 and "warning: Web has never been heard" in err


def test_token_create_without_users_fails_with_the_reason(run: Run) -> None:
    code, out, err = run("token", "create")
    assert (code, out) == (1, "") and err.startswith("hbd: There are no users yet")


@pytest.mark.parametrize(
    "arguments",
    [
        ["user"],
        ["user", "add"],
        ["user", "add", "--admin", "--role", "viewer", "bob"],
        ["user", "role", "bob", "king"],
        ["user", "grant", "bob"],
        ["user", "grant", "bob", "--manager"],
        ["user", "revoke", "bob", "--manager", "web", "--monitor", "db"],
        ["token", "create", "--expires", "soon"],
        ["token", "create", "--expires", "0"],
        ["token", "create", "--expires", "9999999w"],
        ["token", "revoke", "x"],
    ],
)
def test_wrong_usage_ends_with_2(run: Run, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(*arguments)
    assert ended.value.code == 2


@pytest.mark.parametrize("place", [1, 2, 3])
def test_the_config_file_may_stand_anywhere_behind_the_verb(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], place: int
) -> None:
    arguments = ["user", "role", "bob", "admin"]
    arguments[place:place] = ["-c", str(tmp_path / "hbd.yaml")]
    assert main(arguments) == 1
    assert capsys.readouterr().err == "hbd: User 'bob' not found\n"


def test_the_audit_log_has_the_user_of_the_machine(run: Run, tmp_path: Path) -> None:
    run("user", "add", "--admin", "--no-password", "root")
    with closing(sqlite3.connect(tmp_path / "cli.db")) as db:
        (detail,) = db.execute("SELECT detail FROM audit").fetchone()
    assert detail == f"role admin; by {pwd.getpwuid(os.getuid()).pw_name}"


def test_a_command_that_the_daemon_answers_loads_no_web_server() -> None:
    code = (
        "import sys; import hbd.cli, hbd.control, hbd.store.database, hbd.people;"
        "sys.exit(any(name.split('.')[0] == 'aiohttp' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
