"""Reading what foreign agents send, field by field."""

import pytest

from hbd.errors import InvalidInput
from hbd.receivers.fields import MAX_PROBLEMS, Fields, InvalidFields, Problems, parse


def test_what_only_python_writes_is_read_so_that_its_field_can_be_named() -> None:
    assert str(parse(b'{"a": NaN, "b": -Infinity, "c": 1e999}')) == "{'a': nan, 'b': -inf, 'c': inf}"


def test_a_number_of_absurd_length_is_no_work() -> None:
    assert parse(b'{"a": NaN, "b": ' + b"9" * 100_000 + b"}")["b"] == float("inf")


@pytest.mark.parametrize("body", [b"", b" ", b"{", b"{'a': 1}", b"\xff\xfe{}", b'{"a": 1} x'])
def test_what_is_no_json_is_told(body: bytes) -> None:
    with pytest.raises(InvalidInput, match="body: is not JSON"):
        parse(body)


@pytest.mark.parametrize("body", [b"[" * 10_000, b'{"a":' * 10_000])
def test_what_is_too_deep_is_told(body: bytes) -> None:
    with pytest.raises(InvalidInput, match="body: is nested too deeply"):
        parse(body)


def test_of_what_is_wrong_with_a_field_the_first_is_told() -> None:
    problems = Problems()
    problems.add("a", "is required")
    problems.add("a", "must be a number")
    with pytest.raises(InvalidFields) as caught:
        problems.check()
    assert (str(caught.value), caught.value.by_path) == ("a: is required", {"a": "is required"})


def test_no_more_is_told_than_anybody_reads() -> None:
    problems = Problems()
    for number in range(1000):
        problems.add(str(number), "is wrong")
    assert len(problems.by_path) == MAX_PROBLEMS


def test_what_is_no_object_is_told_once_and_not_for_each_of_its_fields() -> None:
    problems = Problems()
    inner = Fields({"memory": 5}, problems).within("memory")
    assert (inner.whole("total", 0, 9), inner.text("name", 1, 9), inner.maybe_number("x")) == (0, "", None)
    assert problems.by_path == {"memory": "must be an object"}


def test_a_whole_number_too_large_for_a_float_is_told() -> None:
    problems = Problems()
    Fields({"a": 10**400}, problems).maybe_number("a")
    assert problems.by_path == {"a": "must be a number"}


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("/mnt\r\nSubject: x", "/mnt\ufffd\ufffdSubject: x"),
        ("\x1b[2J\u202e", "\ufffd[2J\ufffd"),
        ("Grüße 日本 👨\u200d👩", "Grüße 日本 👨\u200d👩"),
    ],
)
def test_what_cannot_be_seen_has_a_sign_in_its_place(text: str, read: str) -> None:
    problems = Problems()
    assert Fields({"a": text}, problems).text("a", 1, 99) == read
    assert not problems
