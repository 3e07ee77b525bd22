import importlib.util
import os
import py_compile

import pytest

from hbc.plugins import custom
from hbc.plugins.base import Plugin

GOOD = '''
from hbc.plugins.base import Metric, Plugin

class Users(Plugin):
    """How many people are logged in."""
    name = "users"
    metrics = (Metric("count", "count", "People logged in."),)

    def collect(self):
        return {"count": 2}
'''


@pytest.fixture
def folder(tmp_path):
    tmp_path.chmod(0o755)

    def write(name, text, mode=0o644):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(mode)
        return tmp_path

    return write


def test_plugin_is_found(folder):
    found, problems = custom.load([folder("users.py", GOOD)])

    assert problems == []
    assert issubclass(found["users"], Plugin)
    assert found["users"].summary == "How many people are logged in."


def test_file_that_fails_is_named_with_its_line_and_loses_no_other(folder):
    folder("a.py", "import os\n\nnonsense\n")
    path = folder("users.py", GOOD)
    found, problems = custom.load([path])

    assert list(found) == ["users"]
    assert problems == [f"plugin_dirs[0]: {path}/a.py:3: NameError: name 'nonsense' is not defined"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = 1\nclass :\n", ":2: SyntaxError: "),
        ("raise SystemExit('no')", ":1: SystemExit: no"),
        ("import no_such_module_here", ":1: ModuleNotFoundError: "),
        ("x = 1", ": holds no class that is a hbc.plugins.base.Plugin"),
        ("from hbc.plugins.base import Plugin", ": holds no class"),
        (GOOD.replace('"users"', '"cpu_monitor"'), ": Users.name: cpu_monitor is the name of a built-in plugin"),
        (GOOD.replace('"users"', '"a.b/c"'), ": Users.name: 'a.b/c' is no name"),
        (GOOD.replace('name = "users"', ""), ": Users.name: None is no name"),
        (GOOD.replace("def collect", "def collects"), ": Users has no collect method"),
    ],
)
def test_what_is_wrong_is_told(folder, text, reason):
    path = folder("x.py", text)
    found, problems = custom.load([path])

    assert found == {}
    assert len(problems) == 1
    assert problems[0].startswith(f"plugin_dirs[0]: {path}/x.py{reason}")


def test_two_files_cannot_have_one_name(folder):
    folder("a.py", GOOD)
    found, problems = custom.load([folder("b.py", GOOD)])

    assert list(found) == ["users"]
    assert "b.py: Users.name: another file has a plugin users already" in problems[0]


@pytest.mark.parametrize("mode", [0o666, 0o664])
def test_file_that_others_can_write_is_not_run(folder, mode, tmp_path):
    found, problems = custom.load([folder("users.py", f"open({str(tmp_path / 'ran')!r}, 'w')\n", mode)])

    assert found == {}
    assert "others than its owner can write to it; do `chmod go-w" in problems[0]
    assert not (tmp_path / "ran").exists()


def test_folder_that_others_can_write_is_not_used(folder):
    path = folder("users.py", GOOD)
    path.chmod(0o777)

    assert custom.load([path])[0] == {}


def test_file_of_somebody_else_is_not_run(folder, monkeypatch):
    path = folder("users.py", GOOD)
    os.chown(path / "users.py", os.geteuid() + 4321, -1) if os.geteuid() == 0 else monkeypatch.setattr(
        os, "geteuid", lambda: 4321
    )
    found, problems = custom.load([path])

    assert found == {}
    assert "not to root or the user that the agent runs as" in problems[0]


def test_link_to_a_file_that_others_can_write_is_not_run(folder, tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open/real.txt").write_text(GOOD)
    (tmp_path / "open/real.txt").chmod(0o666)
    (tmp_path / "users.py").symlink_to(tmp_path / "open/real.txt")

    assert custom.load([tmp_path])[0] == {}


def test_missing_folder_is_told(tmp_path):
    assert custom.load([tmp_path / "none"]) == (
        {},
        [f"plugin_dirs[0]: {tmp_path}/none: cannot be read: No such file or directory"],
    )


def test_compiled_file_left_beside_it_is_not_run(folder, tmp_path):
    source = folder("users.py", GOOD) / "users.py"
    other = tmp_path / "_other.py"
    other.write_text("raise SystemExit('the compiled file was run')")
    cached = importlib.util.cache_from_source(str(source))
    py_compile.compile(str(other), cached, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)

    assert list(custom.load([tmp_path])[0]) == ["users"]


def test_file_may_hold_dataclasses(folder):
    text = "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass A:\n    x: int\n"

    assert custom.load([folder("users.py", text + GOOD)])[1] == []


def test_hidden_and_private_files_are_passed_over(folder):
    folder("_helper.py", "nonsense")
    folder("notes.txt", "nonsense")

    assert custom.load([folder(".x.py", "nonsense")]) == ({}, [])
