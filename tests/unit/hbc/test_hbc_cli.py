from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

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


def started(
    tmp_path: Path, *arguments: str, stderr: IO[str] | int = subprocess.PIPE, **more: str
) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "hbc", "run", "--server", "http://127.0.0.1:9", *arguments]
    return subprocess.Popen(command, cwd=tmp_path, env=environment(tmp_path) | more, stderr=stderr, text=True)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


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


def test_check_config_lists_keys_plugins_and_folders_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        "plugins:\n  disk_monitor:\n    timeout: yes\n    exlude: [/]\n    include: 5\n    mount_timeout: no\n"
        "nam: x\nplugin_dirs:\n  - mine\n  - none\n"
    )
    (tmp_path / "mine").mkdir(mode=0o755)
    (tmp_path / "mine" / "a.py").write_text("1 / 0\n")
    (tmp_path / "mine" / "a.py").chmod(0o644)
    file = config(tmp_path, text)
    assert main(["check-config", "-c", file]) == 1
    found = [line.removeprefix(file) for line in capsys.readouterr().err.splitlines()]
    assert [line.split(": ")[0] for line in found] == [":3", ":4", ":5", ":6", ":7", ":9", ":10"]
    assert found[0].startswith(":3: plugins.disk_monitor.timeout: 'yes' is no duration")
    assert found[1] == ":4: plugins.disk_monitor.exlude: there is no such option; did you mean exclude?"
    assert found[2] == ':5: plugins.disk_monitor.include: 5 is no text here; write "5"'
    assert found[4] == ":7: nam: there is no such key; did you mean name?"
    assert found[5].startswith(f":9: plugin_dirs[0]: {tmp_path}/mine/a.py:1: ZeroDivisionError")
    assert found[6].startswith(f":10: plugin_dirs[1]: {tmp_path}/none: cannot be read")


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


def test_check_config_reads_the_certificates_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = config(tmp_path, "name: web1\nca_file: ca.pem\n")
    (tmp_path / "ca.pem").write_text("nothing")
    assert main(["check-config", "-c", file]) == 1
    assert capsys.readouterr().err == f"{file}:2: ca_file: there is no certificate in {tmp_path}/ca.pem\n"


def test_no_agent_starts_with_certificates_that_it_cannot_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "-c", config(tmp_path, ""), "--ca-file", str(tmp_path / "ca.pem")]) == 1
    reason = f"{tmp_path}/ca.pem cannot be read: No such file or directory"
    assert reason in capsys.readouterr().err


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
    journal = tmp_path / "journal"
    with journal.open("w") as stream:
        about = os.fstat(stream.fileno())
        process = started(tmp_path, stderr=stream, JOURNAL_STREAM=f"{about.st_dev}:{about.st_ino}")
        wait_for(lambda: "trying again" in journal.read_text())
        process.terminate()
        process.wait(timeout=10)
    assert journal.read_text().startswith(f"<6>hbc: version {__version__}, host ")


def test_log_elsewhere_has_time_padded_level_and_logger(tmp_path: Path) -> None:
    # What is started by a service inherits JOURNAL_STREAM, though its output may go elsewhere.
    process = started(tmp_path, JOURNAL_STREAM="1:2")
    assert process.stderr is not None
    lines = [process.stderr.readline() for _ in range(2)]
    process.terminate()
    lines += process.communicate(timeout=10)[1].splitlines()
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    assert re.match(stamp + f" INFO    hbc: version {re.escape(__version__)}, host ", lines[0])
    assert all(re.match(stamp + r" [A-Z]{4,7} {1,4}hbc[.\w]*: ", line) for line in lines)


def test_missing_key_file_is_named_at_the_start(tmp_path: Path) -> None:
    process = started(tmp_path, "--key-file", "/nonexist/key")
    assert process.stderr is not None
    process.stderr.readline()
    second = process.stderr.readline()
    process.terminate()
    process.communicate(timeout=10)
    assert second.endswith("no key in /nonexist/key: asking to be enrolled\n")


def test_hangup_is_logged_and_survived(tmp_path: Path) -> None:
    process = started(tmp_path)
    assert process.stderr is not None
    while "trying again" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGHUP)
    while "SIGHUP: hbc has no reload; restart it to use a new config" not in process.stderr.readline():
        pass
    process.terminate()
    assert "stopping (stopped)" in process.communicate(timeout=10)[1]
    assert process.returncode == 0


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
