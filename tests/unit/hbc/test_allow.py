"""The section ``allow`` of the agent's config, and how its policy is shown to people."""

from __future__ import annotations

from pathlib import Path

import pytest

from hbc.allow import Allow, Limits, NamedCommand
from hbc.cli import main
from hbc.config import ConfigError, load


def read(tmp_path: Path, text: str) -> Allow:
    file = tmp_path / "hbc.yaml"
    file.write_text(text)
    file.chmod(0o600)
    return load(file).allow


def problem(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, text)
    (line,) = refused.value.problems
    return line.removeprefix(f"{tmp_path}/hbc.yaml:")


def test_every_value_is_read(tmp_path: Path) -> None:
    allow = read(
        tmp_path,
        """
allow:
  commands: [ping, shell]
  programs: [/usr/bin/df]
  services: nginx
  log_units: [nginx, cron.timer, "*"]
  log_paths: /var/log
  file_roots: [/srv]
  read_roots: [/etc/nginx]
  run:
    backup: {command: [/usr/local/bin/backup, --now], risk: high, timeout: 30m, title: Make a backup}
    greet: {command: /bin/true}
  limits: {timeout: 1h, output_kb: 64, parallel: 2, streams: 3, upload_mb: 1, download_mb: 0}
""",
    )
    assert allow == Allow(
        commands=("ping", "shell"),
        programs=("/usr/bin/df",),
        services=("nginx.service",),
        log_units=("nginx.service", "cron.timer", "*"),
        log_paths=("/var/log",),
        file_roots=("/srv",),
        read_roots=("/etc/nginx",),
        run={
            "backup": NamedCommand(("/usr/local/bin/backup", "--now"), "high", 1800.0, "Make a backup"),
            "greet": NamedCommand(("/bin/true",)),
        },
        limits=Limits(3600.0, 64, 2, 3, 1, 0),
    )


@pytest.mark.parametrize(
    ("text", "listed"),
    [
        ("allow: {commands: [shell]}", None),
        ("allow: {programs: [], services: []}", ()),
        ("allow:\n  programs:\n  services:\n", ()),
    ],
)
def test_only_a_list_that_is_not_written_means_any(tmp_path: Path, text: str, listed: tuple[str, ...] | None) -> None:
    allow = read(tmp_path, text)
    assert (allow.programs, allow.services) == (listed, listed)


BAD = {
    "allow: {commands: [shel]}": "1: allow.commands: there is no command 'shel'; did you mean shell?",
    "allow: {programs: [df]}": "1: allow.programs: 'df' must begin with /",
    "allow: {file_roots: [/srv/../etc]}": "1: allow.file_roots: '/srv/../etc': write it without ..",
    "allow: {services: [a b]}": "1: allow.services: 'a b' is no name of a systemd unit",
    "allow:\n  run:\n    x: {}": "3: allow.run.x.command: a program is needed, as a list: [/usr/bin/uptime, --pretty]",
    "allow:\n  run:\n    x: {command: [uptime]}": "3: allow.run.x.command: must be a list that begins with a program's",
    "allow:\n  run:\n    shell: {command: [/bin/sh]}": "3: allow.run.shell: shell is a command that hbc knows itself",
    "allow:\n  run:\n    A B: {command: [/bin/sh]}": "3: allow.run.A B: is no name for a command",
    "allow: {run: {x: {command: [/bin/true], risk: none}}}": "1: allow.run.x.risk: 'none' is no risk",
    "allow: {run: {x: {command: [/bin/true], args: 1}}}": "1: allow.run.x.args: there is no such key",
    "allow: {limits: {timeout: 0}}": "1: allow.limits.timeout: 0 s is out of range, 1 s to 24 h can be used",
    "allow: {limits: {output_kb: 1000}}": "1: allow.limits.output_kb: 1000 is no whole number from 1 to 256",
    f"allow: {{log_units: [{', '.join(['a'] * 101)}]}}": "1: allow.log_units: 101 are too many, 100 can be listed",
    f"allow: {{log_paths: /{'x' * 1000}}}": "1: allow.log_paths: '/xxxxxxxxx",
}


@pytest.mark.parametrize("text", BAD)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, text: str) -> None:
    assert problem(tmp_path, text).startswith(BAD[text])


def shown(tmp_path: Path, text: str, mode: int, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    file = tmp_path / "hbc.yaml"
    file.write_text(text)
    file.chmod(mode)
    status = main(["policy", "-c", str(file)])
    return status, capsys.readouterr().out


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))


def test_a_policy_is_shown_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "allow: {commands: [shell], file_roots: [/srv], run: {x: {command: [/bin/true], title: Truth}}}"
    status, out = shown(tmp_path, text, 0o600, capsys)
    assert status == 0
    for line in ("shell (medium risk)", "x (medium risk): Truth", "may start: ANY", "/srv (read and write)"):
        assert line in out


def test_a_policy_that_does_not_count_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out = shown(tmp_path, "allow: {commands: [shell]}", 0o666, capsys)
    assert status == 1 and "nothing: " in out and f"chmod go-w {tmp_path}/hbc.yaml" in out


def test_an_empty_policy_is_shown_as_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out = shown(tmp_path, "interval: 5", 0o600, capsys)
    assert status == 0 and "commands: none" in out and "files below: none" in out
