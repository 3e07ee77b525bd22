"""``hbd export`` and ``hbd import`` on the command line, without a daemon."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from settings_kit import database, fill

from hbd.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a database that has something of every kind, and the config of another one that is not there yet."""

    async def make() -> None:
        async with database(tmp_path / "full.db") as made:
            await fill(made.store)

    asyncio.run(make())
    (tmp_path / "full.yaml").write_text("database: full.db\n", "utf-8")
    (tmp_path / "new.yaml").write_text("database: new.db\n", "utf-8")
    return tmp_path


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """(exit code, what it printed, what it said beside)."""

    def hbd(*arguments: str | Path, config: str = "full.yaml") -> tuple[int, str, str]:
        code = main([*map(str, arguments), "-c", str(folder / config)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return hbd


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_without_a_file_the_settings_are_printed_alone(run: Run) -> None:
    code, out, err = run("export")
    assert (code, out[:18], err) == (0, "# Settings of hbd ", "")


def test_a_file_with_secrets_is_for_its_owner_alone(run: Run, folder: Path) -> None:
    file = folder / "settings.yaml"
    file.write_text("old\n")
    file.chmod(0o666)
    code, out, err = run("export", "--with-secrets", file)
    assert (code, out, err) == (0, "", f"hbd: wrote {file}; it holds secrets, and only you may read it\n")
    assert mode(file) == 0o600 and "c4n4ry" in file.read_text("utf-8")


def test_nothing_is_left_beside_the_file(run: Run, folder: Path) -> None:
    before = set(folder.iterdir())
    run("export", folder / "settings.yaml")
    assert set(folder.iterdir()) - before == {folder / "settings.yaml"}


def test_an_export_that_cannot_be_written_ends_with_1_and_the_reason(run: Run, folder: Path) -> None:
    code, _, err = run("export", folder / "nowhere" / "settings.yaml")
    assert (code, "No such file or directory" in err) == (1, True)


def test_there_is_nothing_to_export_where_there_is_no_database(run: Run, folder: Path) -> None:
    code, out, err = run("export", config="new.yaml")
    assert (code, out) == (1, "") and err.startswith(f"hbd: there is no database {folder}/new.db")
    assert not (folder / "new.db").exists()


def test_what_one_database_exports_another_imports(run: Run, folder: Path) -> None:
    file = folder / "settings.yaml"
    run("export", "--with-secrets", file)
    code, out, err = run("import", file, config="new.yaml")
    assert code == 0 and out.endswith("16 added, 0 changed, 0 removed; 0 the same\n")
    assert f"hbd: changed {folder}/new.db; no hbd runs on it, the next one that is started there will know\n" in err
    assert "hbd: Db1, web1: no key yet, so no agent can report: hbd agent add NAME prints one\n" in err
    assert run("export", "--with-secrets", config="new.yaml")[1] == file.read_text("utf-8")


def test_a_second_import_says_that_nothing_was_changed(run: Run, folder: Path) -> None:
    file = folder / "settings.yaml"
    run("export", file)
    assert run("import", "--merge", file) == (0, "0 added, 0 changed, 0 removed; 16 the same\n", "")


def test_a_dry_run_says_what_would_be_and_makes_no_database(run: Run, folder: Path) -> None:
    file = folder / "settings.yaml"
    run("export", "--with-secrets", file)
    code, out, err = run("import", "--dry-run", file, config="new.yaml")
    assert (code, "changed" in err) == (0, False)
    assert out.startswith("+ user root\n    role: admin\n    password: •••\n")
    assert out.endswith("would be 16 added, 0 changed, 0 removed; 0 the same\n")
    assert not (folder / "new.db").exists()


def test_replacing_removes_and_merging_leaves(run: Run, folder: Path) -> None:
    file = folder / "few.yaml"
    file.write_text("version: 1\nsilences: []\n")
    assert run("import", file)[1] == "0 added, 0 changed, 0 removed; 0 the same, 2 that the file does not name stay\n"
    assert run("import", "--replace", file)[1] == (
        "- silence disk\n- silence disk\n0 added, 0 changed, 2 removed; 0 the same\n"
    )


def test_a_bad_file_ends_with_1_and_every_problem(run: Run, folder: Path) -> None:
    file = folder / "bad.yaml"
    file.write_text("version: 1\nusers:\n  eve:\n    rolle: admin\nhosts:\n  web1:\n    owner: nobody\n")
    assert run("import", file) == (
        1,
        "",
        f"{file}:4: users.eve.rolle: unknown key; did you mean role?\n"
        f"{file}:7: hosts.web1.owner: there is no user nobody\n"
        "hbd: nothing was changed\n",
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file or directory"), (b"\xff\xfe\x00", "is not UTF-8 text"), (b"", "file: it is empty")],
)
def test_what_is_no_settings_file_ends_with_1(run: Run, folder: Path, content: bytes | None, reason: str) -> None:
    file = folder / "odd.yaml"
    if content is not None:
        file.write_bytes(content)
    code, out, err = run("import", file)
    assert (code, out, reason in err) == (1, "", True)


def test_a_file_that_is_too_large_is_not_read(run: Run, folder: Path) -> None:
    file = folder / "large.yaml"
    with file.open("wb") as opened:
        opened.truncate(9 << 20)
    assert run("import", file) == (1, "", f"hbd: {file} is larger than 8 MiB\n")


def test_a_folder_is_no_file(run: Run, folder: Path) -> None:
    assert run("import", folder) == (1, "", f"hbd: {folder} is no file\n")


def test_merging_and_replacing_at_once_is_wrong_usage(run: Run, folder: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        run("import", "--merge", "--replace", folder / "x.yaml")
    assert ended.value.code == 2


@pytest.mark.parametrize("command", ["export", "import"])
def test_help_says_what_becomes_of_what(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert {"export": "--with-secrets", "import": "Hosts are never removed"}[command] in " ".join(
        capsys.readouterr().out.split()
    )
