import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbd.tables import Lists, Numbers, Plain, Records, column, count, joined, leaves, values

FLOATS = st.floats() | st.integers(-(10**6), 10**6).map(lambda hundredths: hundredths / 100)
SCALARS = st.none() | st.booleans() | st.integers() | FLOATS | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
ALIKE = st.sampled_from([FLOATS, st.integers(), st.text(max_size=3), st.fixed_dictionaries({"a": FLOATS, "b": VALUES})])
COLUMNS = st.lists(VALUES, max_size=12) | ALIKE.flatmap(lambda kind: st.lists(kind, max_size=12))


def spelt(value):
    """With the kind, the order of names and every bit of it visible."""
    if isinstance(value, float):
        return struct.pack("<d", value).hex()
    if isinstance(value, dict):
        return [(name, spelt(inner)) for name, inner in value.items()]
    return [spelt(inner) for inner in value] if isinstance(value, list) else repr(value)


@given(COLUMNS)
def test_the_values_of_a_column_are_what_it_was_made_of(given_values):
    assert spelt(values(column(given_values))) == spelt(given_values)


@given(COLUMNS)
def test_a_column_knows_how_many_values_it_has(given_values):
    assert count(column(given_values)) == len(given_values)


@given(st.lists(COLUMNS, min_size=1, max_size=4))
def test_columns_in_a_row_are_all_their_values(parts):
    together = joined([column(part) for part in parts])
    assert spelt(values(together)) == spelt([value for part in parts for value in part])


@pytest.mark.parametrize(
    ("floats", "scale", "integers"),
    [
        ([1.0, 2.0], 1, [1, 2]),
        ([0.5, 12.0], 10, [5, 120]),
        ([0.25, 0.0], 100, [25, 0]),
        ([99.9] * 5, 10, [999] * 5),
        ([0.0] * 3, 1, [0] * 3),
        ([1_750_000_000 + 1 / 1024], 1 << 22, [(1_750_000_000 << 22) + 4096]),
    ],
)
def test_floats_of_few_decimals_are_integers(floats, scale, integers):
    assert column(floats) == Numbers(scale, integers)


@pytest.mark.parametrize("odd", [-0.0, math.inf, -math.inf, math.nan, 1e300, 1 / 3])
def test_one_odd_float_keeps_a_column_as_it_is(odd):
    assert isinstance(column([1.0, 2.0, odd]), Plain)


def test_integers_that_are_too_large_stay_as_they_are():
    assert isinstance(column([1, 1 << 61]), Plain)


def test_numbers_of_two_scales_go_together_as_integers():
    assert joined([Numbers(10, [5]), Numbers(100, [25])]) == Numbers(100, [50, 25])


def test_integers_and_floats_stay_apart():
    assert values(joined([Numbers(0, [5]), Numbers(1, [5])])) == [5, 5.0]
    assert [type(value) for value in values(joined([Numbers(0, [5]), Numbers(1, [5])]))] == [int, float]


def test_objects_become_a_column_for_each_name():
    assert column([{"a": 1, "b": 0.5}, {"a": 2, "b": 1.5}]) == Records(
        [("a", "b")], [(0, 2)], {"a": Numbers(0, [1, 2]), "b": Numbers(10, [5, 15])}
    )


def test_lists_become_one_column_of_their_items():
    assert column([[1, 2], [], [3]]) == Lists([2, 0, 1], Numbers(0, [1, 2, 3]))


def test_each_leaf_comes_with_the_moments_it_was_measured_at():
    rows = [{"a": 1, "b": {"c": 0.5}}, {"a": 2}, {"a": 3, "b": {"c": 1.5}}, {"a": 4, "b": None}]
    found = {path: (times, values(of)) for path, times, of in leaves(column(rows), [10.0, 20.0, 30.0, 40.0])}
    assert found.pop(("b",)) == ([40.0], [None])
    assert found == {("a",): ([10.0, 20.0, 30.0, 40.0], [1, 2, 3, 4]), ("b", "c"): ([10.0, 30.0], [0.5, 1.5])}
