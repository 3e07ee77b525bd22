import os
import sys
import threading

import pytest

from hbc.plugins.exec_program import ExecProgram, parse, run

LIMIT = 30.0  # seconds; longer than anything here needs


def python(code):
    return (sys.executable, "-c", code)


def collect(code, limit=LIMIT, **options):
    plugin = ExecProgram({"command": list(python(code)), **options})
    plugin.limit = limit
    return plugin.collect()


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ('{"a": 1, "b": {"c": "x"}}', {"a": 1, "b": {"c": "x"}}),
        ("a 1\nb 2.5\n", {"a": 1, "b": 2.5}),
        ("a 1 ms\nb 20 °C", {"a": 1, "b": 20}),
        ("state all is well", {"state": "all is well"}),
        ("# a comment\n\n  a   -3e2  \n", {"a": -300.0}),
        ("a\t7", {"a": 7}),
    ],
)
def test_output_is_understood(text, data):
    assert parse(text) == data


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "printed nothing"),
        ("  \n", "printed nothing"),
        ("a 1\nnonsense\n", "line 2: 'nonsense' is no `name value`"),
        ('{"a": ', "printed JSON that cannot be read"),
        ("[1, 2]", "a JSON list"),
    ],
)
def test_what_cannot_be_understood_is_named(text, reason):
    with pytest.raises(RuntimeError, match=reason):
        parse(text)


def test_program_is_run():
    assert collect("print('answer', 6 * 7)") == {"answer": 42}


def test_no_shell_reads_the_arguments():
    plugin = ExecProgram({"command": [*python("import sys; print('n', sys.argv[1])"), "$HOME; `id` *"]})

    assert plugin.collect() == {"n": "$HOME; `id` *"}


def test_language_is_plain_and_variables_can_be_added():
    code = "import os, json; print(json.dumps({k: os.environ.get(k) for k in ('LC_ALL', 'X', 'SECRET')}))"

    assert collect(code, env={"X": 1}) == {"LC_ALL": "C", "X": "1", "SECRET": None}


def test_environment_of_the_agent_is_not_passed_on(monkeypatch):
    monkeypatch.setenv("HBC_KEY", "secret")

    assert collect("import os; print('n', 'HBC_KEY' in os.environ)") == {"n": "False"}


def test_exit_code_is_told_with_the_complaint():
    with pytest.raises(RuntimeError, match=r"^exit code 3: it broke$"):
        collect("import sys; sys.exit(print('it broke', file=sys.stderr) or 3)")


def test_death_by_signal_is_told():
    with pytest.raises(RuntimeError, match="killed by signal 9"):
        collect("import os; os.kill(os.getpid(), 9)")


def test_missing_program_is_told():
    with pytest.raises(RuntimeError, match="cannot start /no/such/program: No such file or directory"):
        run(("/no/such/program",), {}, LIMIT)


def test_endless_output_is_cut_off():
    with pytest.raises(RuntimeError, match="printed more than 256 kB"):
        collect("while True: print('x' * 1000)")


def test_endless_complaints_do_not_matter():
    assert collect("import sys; sys.stderr.write('x' * 1_000_000); print('a 1')") == {"a": 1}


def test_program_that_takes_too_long_is_killed_with_its_children(tmp_path):
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    # The child keeps the pipe open for writing; reading ends when nobody does any more.
    ended = []
    reader = threading.Thread(target=lambda: ended.append(fifo.read_text()), daemon=True)
    reader.start()
    with pytest.raises(RuntimeError, match=r"took longer than 1 s and was killed"):
        run(("sh", "-c", "trap '' TERM; sleep 60 > \"$0\" & wait", str(fifo)), {"PATH": os.environ["PATH"]}, 1.0)
    reader.join(20)

    assert ended == [""]


def test_child_that_stays_behind_does_not_hold_the_answer():
    code = (
        "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); print('a 1')"
    )

    assert collect(code, limit=20.0) == {"a": 1}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "command: a program is needed"),
        ({"command": []}, "command: a program is needed"),
        ({"command": ["sleep", 9]}, 'command: 9 is no text here; write "9"'),
        ({"command": {"a": "b"}}, "command: .* is no list of texts"),
        ({"command": ["x"], "env": "A=1"}, "env: a mapping"),
    ],
)
def test_options_are_checked(options, reason):
    with pytest.raises(ValueError, match=reason):
        ExecProgram(options)
