"""What the agent lives by, and that no upload gets at it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hbc.belongings import belongings, within_reach
from hbc.cli import main
from hbc.config import Config, load
from hbc.files.beneath import Beneath, Refusal, Root
from hbc.policy import policy_of


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of the agent's user, with the config where a user keeps it; all of it can be written to."""
    folder = tmp_path / "home"
    (folder / ".config" / "hbc").mkdir(parents=True)
    (folder / "work").mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.chdir(folder / "work")
    return folder


def configured(home: Path, more: str = "") -> Config:
    file = home / ".config" / "hbc" / "config.yaml"
    file.write_text(f"{more}\nallow:\n  file_roots: [{home}]\n")
    file.chmod(0o600)
    return load(file)


def refused(config: Config, path: Path) -> bool:
    """Whether hbd may not write there."""
    beneath = Beneath(
        [Root(root, writable=True) for root in config.allow.file_roots], [*map(str, policy_of(config).protected)]
    )
    try:
        beneath.place(str(path), new=True).close()
    except Refusal as refusal:
        assert refusal.reason == "it belongs to the agent itself, which is protected"
        return True
    return False


def test_other_files_are_not_protected(home: Path) -> None:
    assert not refused(configured(home), home / "notes.txt")


@pytest.mark.parametrize("path", [".config/hbc/config.yaml", "work/hbc.yaml", "hbc.yaml"])
def test_s33_no_config_can_be_put_where_the_next_start_would_read_it(home: Path, path: str) -> None:
    assert refused(configured(home), home / path)


def test_s33_the_config_of_another_configuration_folder_is_protected(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "etc" / "hbc").mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "etc"))
    config = configured(home)
    assert refused(config, home / "etc" / "hbc" / "config.yaml")
    assert refused(config, home / ".config" / "hbc" / "config.yaml")


def test_s33_a_link_to_the_config_is_protected_with_what_it_leads_to(home: Path) -> None:
    configured(home)
    (home / ".config" / "hbc" / "config.yaml").rename(home / "real.yaml")
    (home / ".config" / "hbc" / "config.yaml").symlink_to(home / "real.yaml")
    config = load(home / ".config" / "hbc" / "config.yaml")
    assert refused(config, home / "real.yaml")
    assert home / ".config" / "hbc" / "config.yaml" in belongings(config)


PROGRAMS = """
plugins:
  exec: {{command: [{0}/measure, --all]}}
  nagios_runner: {{checks: {{load: [{0}/check_load, -w, 5], disk: {{command: [/usr/bin/python3, {0}/check.py]}}}}}}
allow:
  programs: [{0}/df]
  run: {{backup: {{command: [/bin/sh, {0}/backup.sh, {0}]}}}}
  file_roots: [{0}]
"""


@pytest.mark.parametrize("name", ["measure", "check_load", "check.py", "df", "backup.sh"])
def test_s33_a_program_that_the_config_names_cannot_be_written(home: Path, name: str) -> None:
    for script in ("check.py", "backup.sh"):
        (home / script).touch()
    file = home / "my.yaml"
    file.write_text(PROGRAMS.format(home))
    config = load(file)
    assert refused(config, home / name)
    assert not refused(config, home / "other")  # the folder among the arguments is no script


def test_s33_python_and_what_starts_the_agent_are_protected(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = home / "bin" / "hbc"
    launcher.parent.mkdir()
    launcher.write_text("#!/bin/sh\n")
    launcher.chmod(0o755)
    monkeypatch.setenv("PATH", str(launcher.parent))
    monkeypatch.setattr(sys, "argv", ["hbc", "run"])
    config = configured(home)
    assert refused(config, launcher)
    assert {Path(sys.executable), Path(sys.executable).resolve()} <= set(belongings(config))


def test_a_folder_to_write_to_that_holds_the_config_is_told(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configured(home)
    assert main(["check-config", "-c", str(config.source)]) == 1
    said = capsys.readouterr().err
    assert f"config.yaml:3: allow.file_roots: {home} holds {config.source}, which hbc lives by" in said


def test_a_folder_for_files_alone_is_no_problem(home: Path) -> None:
    (home / "files").mkdir()
    file = home / "my.yaml"
    file.write_text(f"allow: {{file_roots: [{home}/files, {home}/work], read_roots: [{home}]}}\n")
    assert within_reach(load(file)) == []


def test_a_folder_that_is_a_link_to_the_config_is_told(home: Path) -> None:
    (home / "files").symlink_to(home / ".config")
    file = home / ".config" / "hbc" / "config.yaml"
    file.write_text(f"allow: {{file_roots: {home}/files}}\n")
    assert len(within_reach(load(file))) == 1
