from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbd.attempts import FAMILIAR, Attempts

HOME, ELSEWHERE = "192.0.2.1", "203.0.113.9"


def fail(attempts: Attempts, times: int, account: str = "alice", address: str | None = None, now: float = 0.0) -> None:
    """address None: from another one each time."""
    for number in range(times):
        attempts.failed(account, address or f"198.51.{number // 250}.{number % 250}", now)


# ------------------------------------------------------------------------------------------------- account


def test_whoever_has_not_failed_need_not_wait():
    assert Attempts().wait("alice", HOME, 0.0) == 0.0


def test_the_last_allowed_failure_of_an_account_may_still_be_made():
    attempts = Attempts()
    fail(attempts, 9)
    assert attempts.wait("alice", HOME, 0.0) == 0.0


def test_the_attempt_after_the_tenth_failure_has_to_wait_from_any_address():
    attempts = Attempts()
    fail(attempts, 10)
    assert attempts.wait("alice", HOME, 0.0) == 900.0


def test_another_account_need_not_wait():
    attempts = Attempts()
    fail(attempts, 10)
    assert attempts.wait("bob", HOME, 0.0) == 0.0


def test_names_that_differ_in_case_are_one_account():
    attempts = Attempts()
    fail(attempts, 5, "Alice")
    fail(attempts, 5, "ALICE")
    assert attempts.wait("alice", HOME, 0.0) > 0


def test_names_of_great_length_are_not_kept_whole():
    attempts = Attempts()
    fail(attempts, 10, "x" * 100_000)
    assert attempts.wait("x" * 64, HOME, 0.0) > 0


def test_the_wait_ends_when_the_oldest_failure_leaves_the_window():
    attempts = Attempts()
    for now in range(10):
        fail(attempts, 1, address=f"198.51.100.{now}", now=float(now))
    assert attempts.wait("alice", HOME, 100.0) == 800.0
    assert attempts.wait("alice", HOME, 900.0) == 0.0


def test_a_failure_right_after_the_wait_makes_the_next_one_wait_again():
    attempts = Attempts()
    for now in range(10):
        fail(attempts, 1, address=f"198.51.100.{now}", now=float(now))
    attempts.failed("alice", HOME, 900.0)
    assert attempts.wait("alice", HOME, 900.0) == 1.0


# ------------------------------------------------------------------------------------------------- address


def test_the_attempt_after_the_twentieth_failure_from_an_address_has_to_wait_for_any_account():
    attempts = Attempts()
    for number in range(20):
        attempts.failed(f"user{number}", ELSEWHERE, 0.0)
    assert attempts.wait("alice", ELSEWHERE, 0.0) == 900.0
    assert attempts.wait("alice", HOME, 0.0) == 0.0


@pytest.mark.parametrize(
    ("one", "other"),
    [("2001:db8::1", "2001:db8::ffff:0:0:2"), ("::ffff:203.0.113.9", "203.0.113.9"), ("fe80::1%a", "fe80::1%b")],
)
def test_addresses_that_one_sender_can_choose_from_are_one(one, other):
    attempts = Attempts(per_address=2)
    attempts.failed("alice", one, 0.0)
    attempts.failed("bob", other, 0.0)
    assert attempts.wait("carol", one, 0.0) > 0


def test_the_next_site_of_ipv6_is_another_address():
    attempts = Attempts(per_address=1)
    attempts.failed("alice", "2001:db8:0:1::1", 0.0)
    assert attempts.wait("bob", "2001:db8:0:2::1", 0.0) == 0.0


# ------------------------------------------------------------------------------------------------- familiar addresses


def test_nobody_elsewhere_can_lock_out_the_owner():
    attempts = Attempts()
    attempts.succeeded("alice", HOME)
    fail(attempts, 10)
    assert attempts.wait("alice", HOME, 0.0) == 0.0
    assert attempts.wait("alice", ELSEWHERE, 0.0) > 0


def test_an_address_that_becomes_familiar_under_attack_need_not_wait():
    attempts = Attempts()
    fail(attempts, 10)
    attempts.succeeded("alice", HOME)
    assert attempts.wait("alice", HOME, 0.0) == 0.0


def test_failures_from_a_familiar_address_have_a_limit_too():
    attempts = Attempts()
    attempts.succeeded("alice", HOME)
    fail(attempts, 10, address=HOME)
    assert attempts.wait("alice", HOME, 0.0) == 900.0


def test_failures_from_a_familiar_address_do_not_count_elsewhere():
    attempts = Attempts()
    attempts.succeeded("alice", HOME)
    fail(attempts, 10, address=HOME)
    assert attempts.wait("alice", ELSEWHERE, 0.0) == 0.0


def test_an_address_is_familiar_to_the_account_it_signed_in_to_alone():
    attempts = Attempts()
    attempts.succeeded("bob", HOME)
    fail(attempts, 10)
    assert attempts.wait("alice", HOME, 0.0) > 0


def test_an_account_remembers_the_last_of_its_addresses():
    attempts = Attempts()
    for number in range(FAMILIAR + 1):
        attempts.succeeded("alice", f"192.0.2.{number}")
    fail(attempts, 10)
    assert attempts.wait("alice", "192.0.2.0", 0.0) > 0
    assert attempts.wait("alice", "192.0.2.1", 0.0) == 0.0


def test_an_address_in_use_stays_familiar():
    attempts = Attempts()
    for number in range(FAMILIAR + 1):
        attempts.succeeded("alice", f"192.0.2.{number}")
        attempts.succeeded("alice", "192.0.2.0")
    fail(attempts, 10)
    assert attempts.wait("alice", "192.0.2.0", 0.0) == 0.0


# ------------------------------------------------------------------------------------------------- success


def test_a_success_takes_back_the_failures_of_the_account_from_this_address():
    attempts = Attempts()
    fail(attempts, 9, address=HOME)
    attempts.succeeded("alice", HOME)
    fail(attempts, 9, address=HOME)
    assert attempts.wait("alice", HOME, 0.0) == 0.0
    fail(attempts, 9, address=ELSEWHERE)
    assert attempts.wait("alice", "192.0.2.99", 0.0) == 0.0


def test_a_success_takes_back_no_failures_from_other_addresses():
    attempts = Attempts()
    fail(attempts, 9, address=ELSEWHERE)
    attempts.succeeded("alice", HOME)
    assert attempts.failed("alice", ELSEWHERE, 0.0)


def test_signing_in_to_an_account_of_ones_own_wins_no_guesses_at_others():
    attempts = Attempts()
    for number in range(20):
        attempts.failed(f"user{number}", ELSEWHERE, 0.0)
        attempts.succeeded("mallory", ELSEWHERE)
    assert attempts.wait("alice", ELSEWHERE, 0.0) > 0


# ------------------------------------------------------------------------------------------------- told once


def test_the_failure_that_fills_the_limit_of_an_account_is_told_once():
    attempts = Attempts()
    told = [attempts.failed("alice", f"198.51.100.{number}", 0.0) for number in range(13)]
    assert told == [False] * 9 + [True] + [False] * 3


def test_the_failure_that_fills_the_limit_of_an_address_is_told_once():
    attempts = Attempts()
    told = [attempts.failed(f"user{number}", HOME, 0.0) for number in range(22)]
    assert told == [False] * 19 + [True] + [False] * 2


def test_a_limit_that_is_filled_again_is_told_again():
    attempts = Attempts(per_account=1)
    assert attempts.failed("alice", HOME, 0.0)
    assert attempts.failed("alice", HOME, 900.0)


# ------------------------------------------------------------------------------------------------- limits changed


def test_lower_limits_hold_at_once():
    attempts = Attempts()
    fail(attempts, 5)
    attempts.configure(per_account=5, per_address=20, window=60.0)
    assert attempts.wait("alice", HOME, 0.0) == 60.0


def test_higher_limits_hold_at_once():
    attempts = Attempts()
    fail(attempts, 10)
    attempts.configure(per_account=11, per_address=20, window=900.0)
    assert attempts.wait("alice", HOME, 0.0) == 0.0


# ------------------------------------------------------------------------------------------------- memory


def test_the_memory_for_accounts_and_addresses_is_bounded():
    attempts = Attempts(room=50)
    for number in range(500):
        attempts.failed(f"user{number}", f"198.51.{number // 250}.{number % 250}", float(number))
    assert len(attempts._accounts) <= 50
    assert len(attempts._addresses) <= 50


def test_cycling_through_names_does_not_make_a_full_counter_forgotten():
    attempts = Attempts(room=50)
    fail(attempts, 10)
    for number in range(1000):
        attempts.failed(f"user{number}", f"203.0.{number // 250}.{number % 250}", 1.0)
    assert attempts.wait("alice", HOME, 1.0) > 0


def test_making_a_full_counter_forgotten_takes_as_many_failures_as_fill_all_others():
    attempts = Attempts(room=50)
    fail(attempts, 10)
    spent = 0
    while attempts.wait("alice", HOME, 1.0) > 0:
        attempts.failed(f"user{spent // 10}", f"203.0.{spent // 250}.{spent % 250}", 1.0)
        spent += 1
    assert spent >= 49 * 10


def test_cycling_through_addresses_does_not_make_a_full_address_forgotten():
    attempts = Attempts(per_account=1000, room=50)
    for number in range(20):
        attempts.failed(f"user{number}", ELSEWHERE, 0.0)
    for number in range(1000):
        attempts.failed("alice", f"198.51.{number // 250}.{number % 250}", 1.0)
    assert attempts.wait("bob", ELSEWHERE, 1.0) > 0


def test_failures_out_of_the_window_make_room_first():
    attempts = Attempts(room=50)
    for number in range(49):
        fail(attempts, 9, f"user{number}", now=0.0)
    fail(attempts, 2, now=899.0)
    for number in range(40):
        attempts.failed(f"new{number}", ELSEWHERE, 900.0)
    fail(attempts, 7, now=900.0)
    assert attempts.failed("alice", ELSEWHERE, 900.0)


# ------------------------------------------------------------------------------------------------- for all histories

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["failed", "failed", "failed", "succeeded"]),
        st.sampled_from(["alice", "bob", "carol"]),
        st.sampled_from([HOME, ELSEWHERE, "2001:db8::1"]),
        st.fractions(0, 4, max_denominator=8),
    ),
    max_size=60,
)


class Told:
    """The rules again, from the whole history: which failures count, without counters."""

    def __init__(self) -> None:
        self.failures: list[tuple[Fraction, str, str, bool]] = []
        self.familiar: set[tuple[str, str]] = set()

    def failed(self, account, address, now):
        self.failures.append((now, account, address, (account, address) in self.familiar))

    def succeeded(self, account, address):
        self.failures = [each for each in self.failures if each[1:3] != (account, address)]
        self.familiar.add((account, address))

    def must_wait(self, account, address, now):
        known = (account, address) in self.familiar
        recent = [each for each in self.failures if now < each[0] + 10]
        of_account = [each for each in recent if each[1] == account and each[3] == known]
        if known:
            of_account = [each for each in of_account if each[2] == address]
        return len(of_account) >= 3 or sum(each[2] == address for each in recent) >= 5


@settings(deadline=None)
@given(EVENTS)
def test_who_must_wait_is_what_the_rules_say(events):
    attempts, told, now = Attempts(3, 5, 10), Told(), Fraction(0)
    for kind, account, address, pause in events:
        now += pause
        must = told.must_wait(account, address, now)
        assert (attempts.wait(account, address, now) > 0) == must
        if kind == "succeeded":
            attempts.succeeded(account, address)
            told.succeeded(account, address)
        elif not must:
            attempts.failed(account, address, now)
            told.failed(account, address, now)


@settings(deadline=None)
@given(EVENTS)
def test_after_the_wait_an_attempt_may_be_made_and_not_before(events):
    attempts, now = Attempts(3, 5, 10), Fraction(0)
    for _, account, address, pause in events:
        now += pause
        wait = attempts.wait(account, address, now)
        if wait:
            assert attempts.wait(account, address, now + wait) == 0
            assert attempts.wait(account, address, now + wait - Fraction(1, 1000)) > 0
        else:
            attempts.failed(account, address, now)


@settings(deadline=None)
@given(EVENTS)
def test_a_limit_is_told_when_somebody_who_need_not_wait_has_to_after_the_failure(events):
    attempts, now = Attempts(3, 5, 10), Fraction(0)
    for kind, account, address, pause in events:
        now += pause
        if kind == "succeeded":
            attempts.succeeded(account, address)
        elif not attempts.wait(account, address, now):
            assert attempts.failed(account, address, now) == (attempts.wait(account, address, now) > 0)
