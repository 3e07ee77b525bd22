import json
import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbc.plugins.clean import KEY_CHARACTERS, TEXT_CHARACTERS, clean

_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
_row = st.dictionaries(st.text(), _scalars, max_size=5)
_flat = st.dictionaries(st.text(), _scalars | st.lists(_scalars, max_size=4), max_size=5)


@given(st.dictionaries(st.text(), _scalars | _flat | st.lists(_row, max_size=3), max_size=8))
def test_everything_that_is_allowed_becomes_strict_json(data):
    json.dumps(clean(data), allow_nan=False).encode()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_left_out(value):
    assert clean({"a": value, "b": 1, "c": {"d": value}, "e": [value, 2]}) == {"b": 1, "c": {}, "e": [2]}


def test_values_come_through_as_they_are():
    data = {"a": 1, "b": 1.5, "c": "x", "d": True, "e": None, "f": {"g": 2}, "h": [{"i": 3}, 4]}

    assert clean(data) == data


def test_long_text_is_cut():
    assert clean({"a": "x" * 5000})["a"] == "x" * (TEXT_CHARACTERS - 1) + "…"


def test_long_key_is_cut():
    assert list(clean({"k" * 500: 1})) == ["k" * KEY_CHARACTERS]


def test_integer_beyond_64_bits_becomes_a_float():
    assert clean({"a": 2**70}) == {"a": float(2**70)}


def test_undecodable_file_name_becomes_writable_text():
    name = b"\xff".decode("utf-8", "surrogateescape")

    assert clean({name: name}) == {"?": "?"}


def test_tuple_becomes_a_list():
    assert clean({"a": (1, 2)}) == {"a": [1, 2]}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"a": {"b": {"c": 1}}}, "a.b: dict cannot be sent here"),
        ({"a": Decimal(1)}, "a: Decimal cannot be sent here"),
        ({"a": {"b": {1}}}, "a.b: set cannot be sent here"),
        ({"a": [[1]]}, "a[0]: list cannot be sent here"),
        ({str(n): n for n in range(3000)}, "more than 2000 values"),
        ({"a": [1] * 3000}, "more than 2000 values"),
        ({str(n): "x" * 1000 for n in range(300)}, "more than 64 kB of text"),
        ([1, 2], "gave list where a mapping of metrics is needed"),
        (None, "gave NoneType"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_name(data, reason):
    with pytest.raises(ValueError, match=re.escape(reason)):
        clean(data)
