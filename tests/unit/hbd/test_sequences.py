from hypothesis import given
from hypothesis import strategies as st

from hbd.sequences import Sequences, merged


def test_neighbouring_ranges_become_one():
    assert merged([(5, 6), (1, 2), (3, 4)]) == [(1, 6)]


def test_overlapping_ranges_become_one():
    assert merged([(1, 5), (3, 9), (4, 4)]) == [(1, 9)]


def test_a_gap_stays_a_gap():
    assert merged([(1, 2), (4, 5)]) == [(1, 2), (4, 5)]


def test_runs_are_kept_apart():
    sequences = Sequences()
    sequences.add(1, "a", 7)
    assert (1, "b", 7) not in sequences
    assert (2, "a", 7) not in sequences


def test_a_forgotten_host_has_no_reports():
    sequences = Sequences()
    sequences.add(1, "a", 1, 9)
    sequences.add(2, "a", 1)
    sequences.forget(1)
    assert (1, "a", 5) not in sequences
    assert (2, "a", 1) in sequences


@given(st.lists(st.integers(1, 60)))
def test_a_run_equals_the_set_of_its_numbers(numbers):
    sequences = Sequences()
    for number in numbers:
        sequences.add(1, "a", number)
    assert [number for number in range(62) if (1, "a", number) in sequences] == sorted(set(numbers))


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9))))
def test_ranges_may_be_added_in_any_order(ranges):
    sequences, expected = Sequences(), set()
    for first, length in ranges:
        sequences.add(1, "a", first, first + length)
        expected |= set(range(first, first + length + 1))
    assert {number for number in range(75) if (1, "a", number) in sequences} == expected
