"""What the host's own config lets a daemon do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hbc.allow import Allow, Limits, NamedCommand
from hbc.commands.plan import Denied, Plan
from hbc.config import load
from hbc.ownership import open_to_others
from hbc.policy import Policy, policy_of

EVERYTHING = Allow(commands=("ping", "shell", "service_status", "service_restart", "process_list", "reboot"))


def denied(allow: Allow, cmd: str, **params: object) -> str:
    with pytest.raises(Denied) as refusal:
        Policy(allow).command(cmd, params)
    return str(refusal.value)


def configured(tmp_path: Path, allow: str) -> Policy:
    file = tmp_path / "hbc.yaml"
    file.write_text(allow)
    file.chmod(0o600)
    return policy_of(load(file), tmp_path / "state", tmp_path / "state" / "spool")


# -------------------------------------------------------------------------------------------------------- commands


@pytest.mark.parametrize("cmd", ["ping", "shell", "service_status", "service_restart", "process_list", "reboot"])
def test_without_a_list_every_command_is_denied(cmd: str) -> None:
    reason = denied(Allow(), cmd, command="true", service="nginx")
    assert reason == f"disabled by local policy: {cmd} is not in this host's allow.commands"


def test_an_unknown_command_is_denied() -> None:
    assert denied(EVERYTHING, "format_disk") == "disabled by local policy: this host knows no command 'format_disk'"


def test_a_shell_command_goes_to_the_shell_as_one_argument() -> None:
    plan = Policy(EVERYTHING).command("shell", {"command": "df -h | sort"})
    assert plan == Plan(60.0, ("/bin/sh", "-c", "df -h | sort"))


@pytest.mark.parametrize("command", [None, "", "  ", 5, ["df"], "a\0b", "x" * 40_000, "\ud800"])
def test_what_is_no_shell_command_is_denied(command: object) -> None:
    assert denied(EVERYTHING, "shell", command=command).startswith("command: ")


LISTED = Allow(commands=("shell",), programs=("/usr/bin/df", "/bin/echo"))


def test_with_programs_there_is_no_shell() -> None:
    plan = Policy(LISTED).command("shell", {"command": "/bin/echo 'a b' $(id); reboot | cat"})
    assert plan.argv == ("/bin/echo", "a b", "$(id);", "reboot", "|", "cat")


def test_a_listed_program_can_be_called_by_its_name() -> None:
    assert Policy(LISTED).command("shell", {"command": "df -h"}).argv == ("/usr/bin/df", "-h")


@pytest.mark.parametrize("command", ["id", "/bin/df -h", "./df", "../bin/echo", "/usr/bin/df/../id", "-c id", "''"])
def test_a_program_that_is_not_listed_is_denied(command: str) -> None:
    assert "is none of this host's allow.programs" in denied(LISTED, "shell", command=command)


@pytest.mark.parametrize("command", ["df", "/bin/sh -c id", "''"])
def test_with_an_empty_list_no_program_is_allowed(command: str) -> None:
    reason = denied(Allow(commands=("shell",), programs=()), "shell", command=command)
    assert reason.endswith("is none of this host's allow.programs (none)")


def test_with_an_empty_list_no_service_is_allowed() -> None:
    allow = Allow(commands=EVERYTHING.commands, services=())
    assert denied(allow, "service_restart", service="nginx").endswith("is none of this host's allow.services (none)")


def test_a_quote_that_is_not_closed_is_denied() -> None:
    assert denied(LISTED, "shell", command="df 'x") == "command: No closing quotation"


def test_a_timeout_counts_up_to_what_the_host_allows() -> None:
    policy = Policy(Allow(commands=("shell",), limits=Limits(timeout=30.0)))
    assert policy.command("shell", {"command": "true", "timeout": 30}).timeout == 30.0
    assert policy.command("shell", {"command": "true"}).timeout == 30.0
    with pytest.raises(Denied, match=r"timeout: 31 s are more than this host allows, 30 s"):
        policy.command("shell", {"command": "true", "timeout": 31})


@pytest.mark.parametrize("timeout", ["30", True, 0, -1, float("nan"), float("inf"), [1], 10**400])
def test_what_is_no_timeout_is_denied(timeout: object) -> None:
    assert denied(EVERYTHING, "ping", timeout=timeout).startswith("timeout: ")


def test_a_service_is_asked_about_by_its_whole_name() -> None:
    argv = Policy(EVERYTHING).command("service_status", {"service": "nginx"}).argv
    assert argv[0] == "systemctl" and argv[-2:] == ("--", "nginx.service")


def test_without_a_list_of_services_any_may_be_restarted() -> None:
    argv = Policy(EVERYTHING).command("service_restart", {"service": "a@b.timer"}).argv
    assert argv[-3:] == ("restart", "--", "a@b.timer")


@pytest.mark.parametrize("cmd", ["service_status", "service_restart"])
def test_a_service_that_is_not_listed_is_denied(cmd: str) -> None:
    allow = Allow(commands=EVERYTHING.commands, services=("nginx.service",))
    assert Policy(allow).command(cmd, {"service": "nginx"})
    assert denied(allow, cmd, service="ssh").startswith("disabled by local policy: ssh.service is none of this host's")


UNITS_THAT_ARE_NONE = [
    "",
    None,
    7,
    "-H evil",
    "--now",
    "a b",
    "a;id",
    "$(id)",
    "a/b",
    "nginx\n",
    "nginx\nssh",
    "x" * 300,
]


@pytest.mark.parametrize("unit", UNITS_THAT_ARE_NONE)
def test_s52_s53_what_is_no_unit_name_is_denied(unit: object) -> None:
    assert denied(EVERYTHING, "service_restart", service=unit).startswith("service: ")
    with pytest.raises(Denied, match="unit: "):
        Policy(Allow(log_units=("*",))).log_unit(unit)  # type: ignore[arg-type]


NAMED = Allow(run={"backup": NamedCommand(("/bin/backup", "--now"), "high", 1800.0, "Make a backup")})


def test_a_named_command_runs_as_it_is_written() -> None:
    policy = Policy(Allow(run=NAMED.run, limits=Limits(timeout=3600.0)))
    assert policy.command("backup", {}) == Plan(1800.0, ("/bin/backup", "--now"))


def test_a_named_command_takes_no_arguments() -> None:
    assert denied(NAMED, "backup", args="--all") == (
        "backup takes no parameters but timeout: its arguments are in this host's allow.run"
    )


def test_what_is_told_the_daemon_is_what_is_allowed() -> None:
    allow = Allow(commands=("ping", "reboot"), run=NAMED.run, file_roots=("/srv",), read_roots=("/etc/nginx",))
    summary = Policy(allow, user="hbc").summary()
    assert summary["commands"] == [
        {"name": "ping", "risk": "low"},
        {"name": "reboot", "risk": "high"},
        {"name": "backup", "risk": "high", "title": "Make a backup"},
    ]
    assert summary["file_roots"] == [{"path": "/etc/nginx", "writable": False}, {"path": "/srv", "writable": True}]
    assert (summary["user"], summary["problem"], summary["limits"]["timeout"]) == ("hbc", "", 300.0)


# ------------------------------------------------------------------------------------------------------ logs, files


def test_without_lists_no_log_and_no_file_is_allowed() -> None:
    policy = Policy(Allow())
    for ask in (lambda: policy.log_unit("nginx"), lambda: policy.log_path("/var/log/x"), lambda: policy.file("/srv/x")):
        with pytest.raises(Denied, match="disabled by local policy"):
            ask()


def test_a_listed_unit_is_found_with_and_without_its_suffix() -> None:
    policy = Policy(Allow(log_units=("nginx.service",)))
    assert policy.log_unit("nginx") == policy.log_unit("nginx.service") == "nginx.service"


FILES = Policy(
    Allow(file_roots=("/srv/files",), read_roots=("/srv", "/srv/files/fixed"), log_paths=("/var/log/syslog",))
)


def test_a_path_leads_from_the_innermost_root() -> None:
    place = FILES.file("/srv//files/./a/b")
    assert (place.root.path, place.root.writable, place.names) == (Path("/srv/files"), True, ("a", "b"))


def test_a_log_that_is_listed_itself_is_its_own_root() -> None:
    place = FILES.log_path("/var/log/syslog")
    assert (place.root.path, place.names) == (Path("/var/log/syslog"), ())


@pytest.mark.parametrize("path", ["/srv/x", "/srv/files/fixed/x", "/srv/files/fixed"])
def test_nothing_is_written_below_a_root_to_read_from(path: str) -> None:
    assert FILES.file(path)
    with pytest.raises(Denied, match="nothing is written there"):
        FILES.file(path, write=True)


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/srvx",
        "/",
        "srv/x",
        "~/x",
        "",
        "/srv/../etc/passwd",
        "/srv/files/..",
        "/srv/a\0b",
        "/srv/" + "x" * 5000,
    ],
)
def test_s30_a_path_outside_the_roots_is_denied(path: str) -> None:
    with pytest.raises(Denied):
        FILES.file(path)


# -------------------------------------------------------------------------------------------- the file it stands in


ALLOW = "allow: {commands: [shell]}\n"


def test_a_file_that_only_this_user_writes_counts(tmp_path: Path) -> None:
    assert configured(tmp_path, ALLOW).command("shell", {"command": "true"})


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_s51_a_file_that_others_may_write_to_allows_nothing(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "hbc.yaml"
    file.write_text(ALLOW)
    file.chmod(mode)
    policy = policy_of(load(file), tmp_path, tmp_path)
    assert f"chmod go-w {file}" in policy.problem and policy.summary()["commands"] == []
    with pytest.raises(Denied, match=r"disabled by local policy: .*is not to be trusted"):
        policy.command("shell", {"command": "true"})


def test_s51_a_folder_that_others_may_write_to_allows_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "safe").mkdir(mode=0o755)
    assert f"chmod go-w {folder}" in configured(folder / "safe", ALLOW).problem


def test_s51_a_link_in_a_folder_that_others_may_write_to_allows_nothing(tmp_path: Path) -> None:
    (tmp_path / "safe").mkdir(mode=0o755)
    (tmp_path / "safe" / "real.yaml").write_text(ALLOW)
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "hbc.yaml").symlink_to("../safe/real.yaml")
    (tmp_path / "safe" / "hbc.yaml").symlink_to("../open/hbc.yaml")
    policy = policy_of(load(tmp_path / "safe" / "hbc.yaml"), tmp_path, tmp_path)
    assert str(folder) in policy.problem


def test_s51_a_file_of_somebody_else_is_not_believed() -> None:
    stranger = os.stat_result((0o100600, 1, 1, 1, 12345, 0, 0, 0, 0, 0))
    assert "belongs to user 12345" in open_to_others(Path("/etc/hbc/config.yaml"), stranger)


def test_a_file_that_allows_nothing_is_no_problem(tmp_path: Path) -> None:
    file = tmp_path / "hbc.yaml"
    file.write_text("interval: 5\n")
    file.chmod(0o666)
    assert policy_of(load(file), tmp_path, tmp_path).problem == ""


def test_s33_what_the_agent_lives_by_is_protected(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "state").symlink_to("elsewhere")
    policy = configured(tmp_path, "key_file: secret\nplugin_dirs: [mine]\n")
    package = Path(__file__).parents[3] / "hbc"
    assert {tmp_path / name for name in ("hbc.yaml", "secret", "mine", "elsewhere")} | {package} <= set(
        policy.protected
    )
