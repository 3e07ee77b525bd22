"""Outcomes of commands in the words of NOBA-style agents."""

from __future__ import annotations

from typing import Any

import pytest

from hbd.receivers import noba_results
from hbd.receivers.fields import Problems
from hbd.receivers.noba_results import MAX_OUTPUT, MAX_RESULTS
from hbd.remote.frames import Result

ID = "cmd_0123456789ab"
FRAME = {"type": "command", "id": ID, "cmd": "shell", "params": {"command": "df"}, "issued": 1.0, "expires": 2.0}


def result(**fields: Any) -> Result:
    found = noba_results.result({"id": ID, "type": "exec"} | fields)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"status": "ok"}, "done"),
        ({"status": "ok", "exit_code": 0}, "done"),
        ({"status": "ok", "exit_code": 3}, "failed"),
        ({"status": "error", "exit_code": 1}, "failed"),
        ({"status": "error", "error": "Timeout after 30s"}, "timeout"),
        ({"status": "error", "error": "Unknown command: shell"}, "rejected"),
        ({"status": "error", "error": "No command provided"}, "failed"),
        ({"status": "done"}, "done"),
        ({"status": "rejected"}, "rejected"),
        ({"status": 7}, "failed"),
        ({}, "failed"),
    ],
)
def test_their_words_become_ours(said: dict[str, Any], status: str) -> None:
    assert result(**said).status == status


def test_output_exit_code_and_reason_are_kept() -> None:
    found = result(status="error", exit_code=2, stdout="out", stderr="err", error="it broke")
    assert (found.exit_code, found.stdout, found.stderr, found.reason) == (2, "out", "err", "it broke")


@pytest.mark.parametrize("name", ["output", "message"])
def test_output_under_another_name_is_found(name: str) -> None:
    assert result(status="ok", **{name: "restarted"}).stdout == "restarted"


def test_an_answer_without_output_shows_its_own_fields() -> None:
    assert result(status="ok", pong=1_750_000_000, version="3.0.1").stdout == (
        '{\n  "pong": 1750000000,\n  "version": "3.0.1"\n}'
    )


def test_long_output_is_cut_and_says_so() -> None:
    found = result(status="ok", stdout="x" * (MAX_OUTPUT + 1))
    assert (len(found.stdout), found.truncated) == (MAX_OUTPUT, True)


@pytest.mark.parametrize("odd", ["\ud800", "\0", {"a": 1}, [1], 5, None])
def test_odd_output_is_still_text(odd: Any) -> None:
    found = result(status="ok", stdout=odd, stderr=odd, error=odd)
    assert found.stdout.encode() is not None
    assert "\0" not in found.stdout + found.stderr + found.reason


@pytest.mark.parametrize("command_id", [None, 5, "", "auto-update-17", "cmd_xyz", "heal-1", ["cmd_0123456789ab"]])
def test_what_answers_none_of_our_commands_is_passed_over(command_id: Any) -> None:
    assert noba_results.result({"id": command_id, "status": "ok"}) is None


def test_the_results_of_a_report_are_limited_and_what_is_none_is_told() -> None:
    problems = Problems()
    entries = [{"id": ID, "status": "ok"}, "nonsense", *[{"id": ID, "status": "ok"}] * MAX_RESULTS]
    assert len(list(noba_results.results(entries, problems))) == MAX_RESULTS - 1
    assert problems.by_path == {
        "_cmd_results": f"only {MAX_RESULTS} of {MAX_RESULTS + 2} are taken",
        "_cmd_results.1": "is no answer to a command of ours",
    }


@pytest.mark.parametrize("value", [{}, "x", 5])
def test_results_that_are_no_list_are_told(value: Any) -> None:
    problems = Problems()
    assert list(noba_results.results(value, problems)) == []
    assert problems.by_path == {"_cmd_results": "must be a list"}


def test_lines_of_running_commands_are_told_apart_by_command() -> None:
    (found,) = noba_results.streamed({ID: ["one", "two", 3], "elsewhere": ["x"]})
    assert (found.id, found.stream, found.text) == (ID, "stdout", "one\ntwo\n")


@pytest.mark.parametrize("value", [None, [], "x", {ID: "no list"}, {ID: []}])
def test_streams_that_are_none_say_nothing(value: Any) -> None:
    assert list(noba_results.streamed(value)) == []


def test_a_command_is_worded_for_the_socket_and_for_a_reply() -> None:
    assert noba_results.command(FRAME, "exec") == {
        "type": "command",
        "id": ID,
        "cmd": "exec",
        "params": {"command": "df"},
    }
    assert noba_results.in_reply(FRAME, "exec") == {"id": ID, "type": "exec", "params": {"command": "df"}}


@pytest.mark.parametrize("field", ["stdout", "stderr", "error", "cmd", "x"])
@pytest.mark.parametrize("depth", [930, 5_000])
def test_an_answer_that_is_nested_too_deeply_costs_that_field_alone(field: str, depth: int) -> None:
    deep: Any = 1
    for _ in range(depth):
        deep = [deep]
    found = noba_results.result({"id": "cmd_000000000001", "status": "ok", field: deep})
    assert found is not None and found.id == "cmd_000000000001"
