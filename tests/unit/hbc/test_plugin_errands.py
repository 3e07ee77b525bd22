import threading

import pytest

from hbc.plugins.errands import Errand, run_all

FOREVER = 60.0  # seconds; longer than any test


@pytest.fixture
def gate():
    """Holds hanging calls until the test has ended."""
    event = threading.Event()
    yield event
    event.set()


def test_errands_run_in_order_in_one_thread():
    threads = []

    def call():
        threads.append(threading.current_thread())
        return len(threads)

    outcomes = run_all([Errand(name, call, FOREVER) for name in "abc"], set(), FOREVER)

    assert {name: outcome.value for name, outcome in outcomes.items()} == {"a": 1, "b": 2, "c": 3}
    assert len(set(threads)) == 1


def test_one_that_raises_is_told_and_the_next_runs():
    outcomes = run_all([Errand("a", lambda: 1 / 0, FOREVER), Errand("b", lambda: 2, FOREVER)], set(), FOREVER)

    assert outcomes["a"].state == "raised"
    assert isinstance(outcomes["a"].error, ZeroDivisionError)
    assert outcomes["b"].value == 2


def test_one_that_hangs_is_left_behind_and_the_next_runs(gate):
    out = set()
    outcomes = run_all([Errand("a", gate.wait, 0.05), Errand("b", lambda: 2, FOREVER)], out, FOREVER)

    assert outcomes["a"].state == "late"
    assert outcomes["b"].value == 2
    assert out == {"a"}


def test_one_that_was_left_behind_is_no_longer_out_when_it_comes_back(gate, until):
    out = set()
    run_all([Errand("a", gate.wait, 0.05)], out, FOREVER)
    gate.set()

    until(lambda: not out)


def test_nothing_to_do_is_done_at_once():
    assert run_all([], set(), FOREVER) == {}


def test_after_the_budget_no_further_errand_is_begun(gate):
    errands = [Errand(str(number), gate.wait, 0.05) for number in range(50)]
    outcomes = run_all(errands, set(), budget=0.1)

    assert 2 <= len(outcomes) < 50


def test_threads_are_used_again():
    run_all([Errand("a", lambda: 1, FOREVER)], set(), FOREVER)
    before = threading.active_count()
    for _ in range(20):
        run_all([Errand("a", lambda: 1, FOREVER)], set(), FOREVER)

    assert threading.active_count() == before


def test_threads_left_behind_do_not_keep_the_process(gate):
    run_all([Errand("a", gate.wait, 0.05)], set(), FOREVER)

    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "hbc errands")


@pytest.fixture
def until():
    """Wait for a condition, 5 seconds at the most."""

    def wait(condition):
        pause = threading.Event()
        for _ in range(1000):
            if condition():
                return
            pause.wait(0.005)
        raise AssertionError("it did not come about within 5 s")

    return wait
