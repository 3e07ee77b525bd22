import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbd.columns import MOST_BITS, pack, skip, unpack

MOST = (1 << MOST_BITS) - 1
STEADY = st.builds(
    lambda first, step, count: [first + step * place for place in range(count)],
    st.integers(-MOST // 300, MOST // 300),
    st.integers(0, 1000),
    st.integers(0, 200),
)
COLUMNS = st.one_of(
    st.lists(st.integers(-MOST, MOST), max_size=40), st.lists(st.integers(-3, 300), max_size=200), STEADY
)


@given(COLUMNS, st.binary(max_size=5), st.binary(max_size=5))
def test_what_is_unpacked_is_what_was_packed(column, before, behind):
    packed = pack(column)
    assert unpack(before + packed + behind, len(before), len(column)) == (column, len(before) + len(packed))
    assert skip(before + packed + behind, len(before), len(column)) == len(before) + len(packed)


@pytest.mark.parametrize(
    ("packed", "column"),
    [
        (b"\x00\x02\x03\x07\x05\x0b\x92\x00\x00\x00\x00\x01\x00", [5, 3, 9, 400, -2]),
        (b"\x02\x00\x80\x89z\x14\x00", [1000000, 1000010, 1000020, 1000030, 1000040]),
        (b"\x02\x00\x06\x03\x10", [3, 1, 7]),
    ],
)
def test_what_earlier_versions_wrote_is_read(packed, column):
    assert unpack(packed, 0, len(column)) == (column, len(packed))
    assert skip(packed, 0, len(column)) == len(packed)


def test_few_different_large_numbers_take_one_byte_each():
    assert len(pack([1 << 40, 5, 1 << 50, 7] * 100)) < 440


@pytest.mark.parametrize("bits", [7, 8, 15, 16, 31, 32, 58, 59])
def test_the_ends_of_each_width_come_back(bits):
    column = [0, 1 << bits, -(1 << bits), (1 << bits) - 1, 1, -1]
    assert unpack(pack(column), 0, len(column))[0] == column


def test_a_column_that_does_not_change_is_a_few_bytes():
    assert len(pack([7] * 1000)) < 8


def test_a_column_that_grows_evenly_is_a_few_bytes():
    assert len(pack(list(range(0, 100_000, 10)))) < 10


def test_small_numbers_take_one_byte_each():
    assert len(pack([3, 1, 200, 7] * 100)) < 420


@given(COLUMNS.filter(len))
def test_a_column_that_is_cut_off_is_an_error(column):
    packed = pack(column)
    with pytest.raises((ValueError, IndexError)):
        unpack(packed[:-1], 0, len(column))


@given(st.binary(max_size=60), st.integers(0, 100))
def test_any_bytes_are_a_column_or_an_error(data, count):
    try:
        column, end = unpack(data, 0, count)
    except (ValueError, IndexError):
        return
    assert (len(column), end <= len(data)) == (count, True)
