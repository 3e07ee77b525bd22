from __future__ import annotations

import math
import random
import struct
import tracemalloc
import zlib
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbd import history
from hbd.columns import varint

NUMBERS = (
    st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(10**6), 10**6).map(lambda hundredths: hundredths / 100)
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
DATA = st.dictionaries(st.sampled_from(["a", "b", "a.b", "größe", ""]) | st.text(max_size=4), VALUES, max_size=5)
TIMES = st.floats(allow_nan=False, allow_infinity=False) | st.integers(0, 4 * 10**12).map(lambda ms: ms / 1000)


def spelt(value: Any) -> str:
    """A value with the kind, the order of names, and every bit of it visible."""
    if isinstance(value, float):
        return struct.pack("<d", value).hex()
    if isinstance(value, dict):
        return "{" + ",".join(f"{name!r}:{spelt(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(spelt, value)) + "]"
    return repr(value)


WRITTEN: dict[str, Callable[[history.Table], bytes]] = {
    "deflated": history.write,
    "quick": history.write_quickly,
    "part": lambda table: history.write_part(table).data,
}


def assert_comes_back(samples: list[tuple[float, dict[str, Any]]]) -> None:
    for write in WRITTEN.values():
        assert spelt(history.decode(write(history.table(samples)))) == spelt(samples)


def column(*values: Any) -> list[tuple[float, dict[str, Any]]]:
    return [(1_700_000_000.0 + 10 * index, {"x": value}) for index, value in enumerate(values)]


def old_chunk_of(head: bytes, columns: bytes = b"") -> bytes:
    return b"\1" + zlib.compress(struct.pack("<I", len(head)) + head + columns)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(TIMES, DATA), max_size=8))
def test_any_samples_come_back_exactly(samples: list[tuple[float, dict[str, Any]]]) -> None:
    assert_comes_back(samples)


@settings(max_examples=200, deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=30))
def test_any_numbers_in_one_column_come_back_exactly(numbers: list[Any]) -> None:
    assert_comes_back(column(*numbers))
    assert_comes_back(column(*map(float, filter(lambda number: abs(number) < 1e300, numbers))))


@pytest.mark.parametrize(
    "values",
    [
        (0.0, -0.0, 0.0),
        (1, True, 1.0),
        (1, 2.5, None),
        (2**53 + 1, -(2**63), 2**64, 10**40),
        (0.1, 0.2, 0.30000000000000004),
        (1e308, 5e-324, -1e22),
        (math.inf, -math.inf, 1.0),
        ("", "tab\tline\n", "\N{SNOWMAN}\0"),
        ([1, 2.0, [None]], [{"b": 1, "a": {}}], []),
        ({}, {"y": {}}, 5),
    ],
    ids=repr,
)
def test_awkward_values_come_back_exactly(values: tuple[Any, ...]) -> None:
    assert_comes_back(column(*values))


def test_not_a_number_comes_back_in_a_column_of_floats() -> None:
    assert_comes_back(column(1.5, math.nan))


@pytest.mark.parametrize(
    "odd", [math.nan, math.inf, 1 << 70, -(10**400), True, None, "text", [1.5], {"b": 1}], ids=repr
)
def test_one_odd_value_among_numbers_comes_back(odd: Any) -> None:
    assert_comes_back(column(1.5, 2, odd, 4.25))


def test_tables_of_processes_come_back() -> None:
    rows = [[{"pid": 100 + place, "name": "python3", "cpu": place / 10} for place in range(7)] for _ in range(5)]
    assert_comes_back(column(*rows, []))


def test_no_samples_come_back() -> None:
    assert_comes_back([])


def test_empty_samples_come_back() -> None:
    assert_comes_back([(1.0, {}), (2.0, {}), (3.0, {"a": 1}), (4.0, {})])


def test_order_of_names_comes_back_for_each_sample() -> None:
    assert_comes_back([(1.0, {"a": 1, "b": {"c": 2, "d": 3}}), (2.0, {"b": {"d": 3, "c": 2}, "a": 1})])


def test_dotted_name_stays_apart_from_a_nested_one() -> None:
    assert_comes_back([(1.0, {"a.b": 1, "a": {"b": 2}})])


def test_clock_readings_come_back_exactly() -> None:
    chance = random.Random(1)
    assert_comes_back([(1_750_000_000 + 10 * index + chance.random(), {"x": 1}) for index in range(200)])


def test_hundred_levels_come_back() -> None:
    data: dict[str, Any] = {"x": 1.5}
    for _ in range(100):
        data = {"down": data, "beside": 1}
    assert_comes_back([(1.0, data), (2.0, data)])


def test_too_deep_data_are_a_value_error() -> None:
    data: dict[str, Any] = {}
    for _ in range(100_000):
        data = {"down": data}
    with pytest.raises(ValueError, match="deeply"):
        history.encode([(1.0, data)])
    while data:  # level by level, for the interpreter cannot take it down in one go either
        data = data["down"]


def test_what_json_cannot_say_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="JSON"):
        history.encode([(1.0, {"x": object()})])


def test_too_many_values_are_a_value_error() -> None:
    wide = {str(index): 1 for index in range(4096)}
    with pytest.raises(ValueError, match="values"):
        history.encode([(1.0, wide)] * 300)


def test_too_many_bytes_are_a_value_error() -> None:
    with pytest.raises(ValueError, match="bytes"):
        history.encode([(1.0, {"x": "y" * (9 << 20)})])


def test_chunk_takes_less_than_one_and_a_half_times_the_noise_in_it() -> None:
    chance = random.Random(1)
    samples = [
        (
            round(1_700_000_000 + 10 * index + chance.uniform(0, 0.01), 3),
            {f"metric_{number}": round(50 + chance.uniform(0, number / 2), 1) for number in range(12)},
        )
        for index in range(120)
    ]
    noise_bits = sum(math.log2(5 * number + 1) for number in range(12)) + math.log2(11)
    assert len(history.encode(samples)) < 1.5 * 120 * noise_bits / 8


@pytest.mark.parametrize(("how", "version"), [("deflated", 2), ("part", 3), ("quick", 4)])
def test_first_byte_is_the_version(how: str, version: int) -> None:
    assert WRITTEN[how](history.table(column(1)))[0] == version


def test_chunk_of_version_1_is_read() -> None:
    chunk = (
        "AXic42FkYIg204mOVkouKI0vSC1KTs0rUdJRSs4vBdNJmelAsrQASBSXJJakKulEK6VkFmcrgbTog3ilxakpSrEgoEMFQ3SUckAKQIZFG+iYAClD"
        "HSMoD8jSMTS0MDC1NDQzMjA3NDcxNDQ2MDYxMtEx0TEFqikpKk3VSUvMKU7VwcoEuTAfaCsakVeakwMmgPazN+z43sIrwgAEjAxgwOPAgAoaIJSs"
        "w6yZQPAzwmFOKUOHzRPzOhZWJhYgAMpxzWIGG8Ehx8AAACDVXkg="
    )
    data: list[dict[str, Any]] = [
        {"cpu_percent": 3.5, "count": -3, "big": 0, "up": True, "state": "ok", "disk": {"/": {"used": 20.5}}},
        {"cpu_percent": 0.0, "count": -2, "big": 1, "up": False, "state": "ok", "disk": {"/": {"used": 21.5}}},
        {"cpu_percent": -0.0, "count": 1, "big": 2, "up": True, "state": "ok", "disk": {"/": {"used": 22.5}}},
        {"cpu_percent": 7.25, "count": 6, "big": 1 << 70, "up": False, "state": "ok", "disk": {"/": {"used": 23.5}}},
        {
            "cpu_percent": 99.9,
            "count": 13,
            "big": 4,
            "up": True,
            "state": None,
            "disk": {"/": {"used": 24.5}},
            "late": 1.5,
        },
        {
            "cpu_percent": 1e300,
            "count": 22,
            "big": 5,
            "up": False,
            "state": None,
            "disk": {"/": {"used": 25.5}},
            "late": 1.5,
        },
    ]
    times = [1_750_003_200.0 + 10 * place for place in range(6)]
    assert spelt(history.decode(b64decode(chunk))) == spelt(list(zip(times, data, strict=True)))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.tuples(TIMES, DATA), max_size=6), max_size=4))
def test_tables_in_a_row_are_all_samples_in_the_order_of_time(parts: list[list[tuple[float, dict[str, Any]]]]) -> None:
    tables = [history.table(sorted(part, key=lambda pair: pair[0])) for part in parts]
    whole = history.in_a_row(tables)
    assert whole.times == sorted(whole.times)
    samples = sorted(spelt(pair) for pair in whole.samples())
    assert samples == sorted(spelt(pair) for part in parts for pair in part)


def test_unknown_version_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="version 09"):
        history.decode(b"\x09" + history.encode(column(1))[1:])


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_payload_is_a_value_error_or_samples(data: st.DataObject) -> None:
    samples = [*column(1.5, 2.25, 99), (1.0, {"a": {"b": "c"}, "rows": [{"d": 1 << 80}, None], "e": 1 / 3})]
    chunk = bytearray(history.write_part(history.table(samples)).data)
    for _ in range(data.draw(st.integers(1, 3))):
        chunk[data.draw(st.integers(1, len(chunk) - 1))] = data.draw(st.integers(0, 255))
    try:
        history.decode(bytes(chunk))
    except ValueError:
        pass


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_a_value_error(noise: bytes) -> None:
    for chunk in (noise, b"\1" + noise, old_chunk_of(noise)):
        with pytest.raises(ValueError):
            history.decode(chunk)


@pytest.mark.parametrize("cut", [0, 1, 2, 10, -1])
def test_cut_off_chunk_is_a_value_error(cut: int) -> None:
    with pytest.raises(ValueError):
        history.decode(history.encode(column(1, 2, 3))[:cut])


def test_bytes_behind_a_chunk_are_a_value_error() -> None:
    with pytest.raises(ValueError):
        history.decode(history.encode(column(1, 2, 3)) + b"x")


@pytest.mark.parametrize(
    "chunk",
    [
        pytest.param(b"\1" + zlib.compress(bytes(1 << 28)), id="deflated zeros"),
        pytest.param(b"\2" + zlib.compress(bytes(1 << 28)), id="new deflated zeros"),
        pytest.param(b"\4" + zlib.compress(bytes(1 << 28)), id="quick deflated zeros"),
        pytest.param(b"\3" + varint(1 << 40) + b"\0", id="nothing without end"),
        pytest.param(b"\3" + varint(1 << 19) + b"\x12\3\0\7" + varint(1 << 62), id="shapes without end"),
        pytest.param(b"\3" + varint(1) + b"\x12\3\0\6\3" + varint(1 << 40) + b"\0", id="a list without end"),
        pytest.param(b"\3" + varint(1) + b"\x12\3\0" + b"\6\3\2" * 100_000, id="lists in lists without end"),
        pytest.param(old_chunk_of(b"[1000000000,[[]],[[0,1000000000]],[]]", b"\0"), id="a run without end"),
        pytest.param(old_chunk_of(b"[1000000000,[],[],[]]", b"\2\0"), id="times without end"),
        pytest.param(old_chunk_of(b'[1,[["x"]],[[0,1]],[]]', b"\2" + b"\xff" * 1_000_000), id="a number without end"),
        pytest.param(
            old_chunk_of(b"[1,[" + b'["x",[' * 2000 + b"]]" * 2000 + b"],[[0,1]],[]]"), id="a shape without end"
        ),
        pytest.param(old_chunk_of(b'[1,[["x"]],[[-1,1]],[]]'), id="a negative shape"),
        pytest.param(old_chunk_of(b'[1,[["x"]],[[0,-1],[0,2]],[]]'), id="a negative run"),
    ],
)
def test_forged_chunk_is_a_value_error_and_takes_little_memory(chunk: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ValueError):
            history.decode(chunk)
        assert tracemalloc.get_traced_memory()[1] < 4 * history.MAX_PAYLOAD_BYTES
    finally:
        tracemalloc.stop()
