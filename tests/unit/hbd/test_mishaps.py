import pytest

from hbd.errors import StorageError
from hbd.stats import Stats
from hbd.store.mishaps import Mishaps


@pytest.fixture
def stats():
    return Stats()


@pytest.fixture
def mishaps(stats):
    return Mishaps(stats)


def test_what_is_raised_ends_what_is_within_and_is_counted(mishaps, stats):
    with mishaps.passed_over("samples of 'cpu'"):
        raise ZeroDivisionError
    assert stats.value("history_failures_total") == 1


def test_the_same_is_told_once_and_something_else_too(mishaps, stats, caplog):
    for what in ("one", "one", "two"):
        with mishaps.passed_over(what):
            raise ValueError
    assert [record.getMessage() for record in caplog.records] == [
        "one; this is passed over",
        "two; this is passed over",
    ]
    assert stats.value("history_failures_total") == 3


def test_what_goes_well_is_not_counted(mishaps, stats):
    with mishaps.passed_over("samples"):
        pass
    assert stats.value("history_failures_total") == 0


@pytest.mark.parametrize("error", [StorageError("the disk is gone"), KeyboardInterrupt()])
def test_a_disk_that_fails_and_an_end_of_the_program_are_no_mishaps(mishaps, error):
    with pytest.raises(type(error)), mishaps.passed_over("samples"):
        raise error
