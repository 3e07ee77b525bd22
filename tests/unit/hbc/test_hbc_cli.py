from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hbc import __version__
from hbc.cli import main

ROOT = Path(__file__).parents[3]
KEY = "0123456789abcdef" * 4


def environment(tmp_path: Path) -> dict[str, str]:
    names = ("HBC_CONFIG", "HBC_KEY", "JOURNAL_STREAM")
    clean = {name: value for name, value in os.environ.items() if name not in names}
    return clean | {"PYTHONPATH": str(ROOT), "STATE_DIRECTORY": str(tmp_path / "state"), "HOME": str(tmp_path)}


def hbc(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hbc", *arguments]
    return subprocess.run(command, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=60)


def started(tmp_path: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "hbc", "run", "--server", "http://127.0.0.1:9", *arguments]
    return subprocess.Popen(
        command, cwd=tmp_path, env=environment(tmp_path) | more, stderr=subprocess.PIPE, text=True
    )  # fmt: skip


def config(tmp_path: Path, text: str) -> str:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    file.chmod(0o600)
    return str(file)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert (end.value.code, capsys.readouterr().out) == (0, f"hbc {__version__}\n")


def test_help_ends_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    assert "examples:\n  hbc once" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["walk"],
        ["run", "--interval", "soon"],
        ["run", "--key", "short"],
        ["run", "--server", "monitor"],
        ["once", "x"],
    ],
)
def test_wrong_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: hbc" in capsys.readouterr().err


def test_once_prints_one_json_document(tmp_path: Path) -> None:
    result = hbc(tmp_path, "once")
    assert result.returncode == 0
    report = json.loads(result.stdout)
    assert {"cpu_monitor", "memory_monitor"} <= {sample["plugin"] for sample in report["samples"]}


def test_once_leaves_nothing_behind(tmp_path: Path) -> None:
    hbc(tmp_path, "once")
    assert list(tmp_path.iterdir()) == []


def test_plugins_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "-c", config(tmp_path, "plugins: {temperature: false}")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("cpu_monitor ") and "every 10 s" in line for line in lines)
    assert any(line.startswith("temperature ") and "disabled" in line for line in lines)


def test_example_config_is_ok(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", "-c", str(ROOT / "hbc_example.yaml")]) == 0
    assert capsys.readouterr().out.endswith("hbc_example.yaml: ok\n")


def test_check_config_lists_every_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = config(tmp_path, "nam: x\ninterval: 0\n")
    assert main(["check-config", "-c", file]) == 1
    assert [line.removeprefix(file) for line in capsys.readouterr().err.splitlines()] == [
        ":1: nam: there is no such key; did you mean name?",
        ":2: interval: 0 s is out of range, 1 to 3600 s can be used",
    ]


def test_check_config_names_the_line_of_a_plugin_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = config(tmp_path, "plugins:\n  cpu_monitor:\n    intervall: 5\n")
    assert main(["check-config", "-c", file]) == 1
    assert capsys.readouterr().err.startswith(f"{file}:3: plugins.cpu_monitor.intervall: ")


def test_check_config_refuses_an_open_key_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "key").chmod(0o644)
    assert main(["check-config", "-c", config(tmp_path, "key_file: key")]) == 1
    assert "others may read it" in capsys.readouterr().err


def test_key_file_that_an_enrolment_will_write_is_no_problem(tmp_path: Path) -> None:
    assert main(["check-config", "-c", config(tmp_path, "key_file: key")]) == 0


def test_output_cut_short_by_its_reader_is_no_failure(tmp_path: Path) -> None:
    command = f"{sys.executable} -m hbc plugins | true; exit ${{PIPESTATUS[0]}}"
    result = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=60
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, "")


def test_run_with_a_bad_config_is_1(tmp_path: Path) -> None:
    result = hbc(tmp_path, "run", "-c", config(tmp_path, "server: monitor"))
    assert result.returncode == 1
    assert "server: 'monitor' is no address" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_ends_cleanly_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    process = started(tmp_path)
    assert process.stderr is not None
    while "trying again" not in process.stderr.readline():
        pass
    process.send_signal(number)
    rest = process.communicate(timeout=10)[1]
    assert process.returncode == 0
    assert "stopping (stopped)" in rest
    assert "Traceback" not in rest


def test_second_agent_on_one_spool_is_refused(tmp_path: Path) -> None:
    first = started(tmp_path)
    assert first.stderr is not None
    while "trying again" not in first.stderr.readline():
        pass
    second = started(tmp_path)
    text = second.communicate(timeout=10)[1]
    first.terminate()
    first.communicate(timeout=10)
    assert second.returncode == 1
    assert "another hbc already uses" in text


def test_log_under_the_journal_has_priorities_and_no_time(tmp_path: Path) -> None:
    process = started(tmp_path, JOURNAL_STREAM="1:2")
    assert process.stderr is not None
    first = process.stderr.readline()
    process.terminate()
    process.communicate(timeout=10)
    assert first.startswith(f"<6>hbc {__version__}, host ")


def test_closed_stderr_does_not_end_the_agent(tmp_path: Path) -> None:
    process = started(tmp_path)
    assert process.stderr is not None
    while "trying again" not in process.stderr.readline():
        pass
    process.stderr.close()
    process.terminate()
    assert process.wait(timeout=10) == 0


def test_plugins_say_whether_they_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "plugins:\n  broken: {type: exec, command: [/nowhere/at/all]}\n"
    assert main(["plugins", "-c", config(tmp_path, text)]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert " ok " in lines["cpu_monitor"]
    assert " failed " in lines["broken"]
    assert "/nowhere/at/all" in lines["broken"]


def test_a_named_plugin_is_shown_with_its_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "memory_monitor"]) == 0
    assert "available_mb" in capsys.readouterr().out


def test_an_unknown_plugin_is_told_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "cpu"]) == 1
    assert "there are agent_monitor, cpu_monitor" in capsys.readouterr().err
