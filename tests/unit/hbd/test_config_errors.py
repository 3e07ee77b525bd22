"""Every bad configuration in tests/data/bad_configs says what it must be told in its ``# expect:`` lines."""

import os
import random
import re
from pathlib import Path

import pytest

from hbd.config import MAX_PROBLEMS, load
from hbd.errors import ConfigError

ROOT = Path(__file__).parents[3]
BAD = sorted((ROOT / "tests" / "data" / "bad_configs").glob("*.yaml"))


def problems(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path)
    return caught.value.problems


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "hbd.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_bad_config_is_told_all_its_problems(path: Path) -> None:
    expected = re.findall(r"(?m)^# expect: (.+)$", path.read_text())
    assert problems(path) == [f"{path}:{line}" for line in expected]


def test_there_are_bad_configs() -> None:
    assert len(BAD) > 30


def test_problems_of_all_kinds_come_at_once_in_file_order(tmp_path: Path) -> None:
    path = written(tmp_path, "ws_port: x\nhbd_tls: true\nnope: 1\nhosts:\n  a b: 3\n")
    lines = [int(problem.split(":")[1]) for problem in problems(path)]
    assert lines == [1, 2, 3, 5, 5]


def test_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "hbd.yaml"
    assert problems(path) == [f"{path}:1: file: cannot be read: No such file or directory"]


def test_directory_is_refused(tmp_path: Path) -> None:
    assert problems(tmp_path) == [f"{tmp_path}:1: file: cannot be read: it is a directory"]


def test_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert problems(tmp_path / "pipe")[0].endswith("cannot be read: it is not a regular file")


def test_unreadable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    path = written(tmp_path, "hbd_port: 1\n")
    assert problems(path) == [f"{path}:1: file: cannot be read: Permission denied"]


@pytest.mark.parametrize("content", ["", "\n \n", "\ufeff"])
def test_empty_file_is_refused(content: str, tmp_path: Path) -> None:
    assert "it is empty" in problems(written(tmp_path, content))[0]


def test_file_of_comments_alone_means_the_defaults(tmp_path: Path) -> None:
    assert load(written(tmp_path, "# nothing yet\n")).hbd_port == 50004


def test_file_that_is_not_utf8_is_refused_with_the_line(tmp_path: Path) -> None:
    path = written(tmp_path, b"hbd_port: 1\ndefault_owner: M\xfcller\n")
    assert problems(path) == [f"{path}:2: yaml: not UTF-8 text"]


def test_control_character_is_refused_with_the_line(tmp_path: Path) -> None:
    path = written(tmp_path, b"hbd_port: 1\ndefault_owner: a\x07b\n")
    assert problems(path)[0].startswith(f"{path}:2: yaml: a character that YAML does not allow")


def test_huge_file_is_refused(tmp_path: Path) -> None:
    assert "larger than 8 MiB" in problems(written(tmp_path, b"#" * (8 * 2**20 + 1)))[0]


def test_line_break_in_a_value_cannot_forge_a_line_of_the_log(tmp_path: Path) -> None:
    found = problems(written(tmp_path, 'default_owner: "a\\nERROR fine"\n"x\\ny": 1\n'))
    assert len(found) == 2
    assert all("\n" not in problem for problem in found)


def test_endless_problems_are_cut(tmp_path: Path) -> None:
    found = problems(written(tmp_path, "".join(f"wrong{number}: 1\n" for number in range(MAX_PROBLEMS + 50))))
    assert len(found) == MAX_PROBLEMS + 1
    assert found[-1].endswith("more problems from here on")


def mutated(text: str, chance: random.Random) -> str:
    """text with one to five small accidents."""
    characters = list(text)
    for _ in range(chance.randint(1, 5)):
        at = chance.randrange(len(characters))
        match chance.randrange(4):
            case 0:
                del characters[at : at + chance.randint(1, 40)]
            case 1:
                characters.insert(at, chance.choice("\"'[]{}:,&*!|>%@`#-?\n\t \x00é\u2028🙂0a"))
            case 2:
                other = chance.randrange(len(characters))
                characters[at:at] = characters[other : other + chance.randint(1, 60)]
            case _:
                characters[at] = chr(chance.randrange(1, 0x2FF))
    return "".join(characters)


def test_200_mutated_files_are_read_or_refused_with_a_line(tmp_path: Path) -> None:
    example = (ROOT / "config_example.yaml").read_text()
    whole = re.sub(r"(?m)^#(?=\S|  +\S)", "", example)
    chance = random.Random(2)  # the same 200 files every time
    for _ in range(200):
        path = written(tmp_path, mutated(whole, chance))
        for problem in problems(path):
            assert re.fullmatch(rf"{re.escape(str(path))}:[1-9]\d*: .+: .+", problem), problem
