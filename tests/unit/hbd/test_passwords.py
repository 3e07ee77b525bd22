import asyncio
import threading

import bcrypt
import pytest

from hbd import passwords
from hbd.errors import Busy, InvalidInput
from hbd.passwords import Passwords, check_new, cost

ROUNDS = 4  # the least that bcrypt knows
HASHED = bcrypt.hashpw(b"secret", b"$2b$04$" + b"." * 22)
COMPOSED, DECOMPOSED = "caf\u00e9-caf\u00e9", "cafe\u0301-cafe\u0301"


@pytest.fixture
def one_at_a_time():
    hashing = Passwords(workers=1, waiting=3, rounds=ROUNDS)
    yield hashing
    hashing.close()


class Gate:
    """Holds every check in its thread until it is opened. order: the passwords whose check has begun."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.order: list[bytes] = []

    def check(self, password: bytes, hashed: bytes | None, dummy: bytes) -> bool:
        self.order.append(password)
        assert self.opened.wait(20)
        return True


@pytest.fixture
def gate(monkeypatch):
    gate = Gate()
    monkeypatch.setattr(passwords, "_check", gate.check)
    yield gate
    gate.opened.set()


async def begun(gate: Gate, count: int) -> None:
    async with asyncio.timeout(30):
        while len(gate.order) < count:
            await asyncio.sleep(0.001)


async def asked(hashing: Passwords, *words: str) -> list[asyncio.Task[bool]]:
    """Checks that have come as far as they come without anybody else."""
    checks = [asyncio.create_task(hashing.check(word, HASHED)) for word in words]
    await asyncio.sleep(0)
    return checks


def reason(password: str, least: int = 6) -> str:
    with pytest.raises(InvalidInput) as refused:
        check_new(password, least)
    return refused.value.reason


# ------------------------------------------------------------------------------------------------- what may be set


def test_a_password_of_just_enough_characters_may_be_set():
    assert check_new("secret", 6) == "secret"


def test_a_password_that_is_too_short_is_refused():
    assert reason("short") == "at least 6 characters; this one has 5"


def test_an_empty_password_is_refused_whatever_the_least_length():
    assert reason("", 0) == "must not be empty"


def test_characters_are_counted_and_not_bytes():
    assert reason("ééééé") == "at least 6 characters; this one has 5"


def test_characters_are_counted_as_they_are_composed():
    assert reason("e\u0301" * 5) == "at least 6 characters; this one has 5"


def test_72_bytes_may_be_set():
    assert check_new("é" * 36, 6) == "é" * 36


def test_73_bytes_are_refused_and_not_cut():
    assert reason("x" * 73) == "at most 72 bytes; this one has 73"


def test_bytes_are_counted_as_they_are_composed():
    assert check_new("e\u0301" * 36, 6) == "é" * 36


@pytest.mark.parametrize("password", ["x" * 100_000, "\u0301\u0323" * 50_000, "x" * 1025, "e\u0301" * 513])
def test_a_password_of_great_length_is_refused_with_its_length(password):
    assert reason(password) == f"at most 72 bytes; this one has {len(password.encode())}"


@pytest.mark.parametrize("character", ["\t", "\n", "\x1b", "\x7f", "\x85"])
def test_control_characters_are_refused(character):
    assert reason(f"secret{character}1") == "must hold no control characters such as tabs and line breaks"


def test_a_nul_character_is_refused():
    assert reason("secret\0more") == "must hold no NUL character"


def test_half_a_character_is_refused():
    assert reason("secret\ud83d") == "must be text; this one holds half a character"


def test_a_refusal_names_the_field():
    with pytest.raises(InvalidInput) as refused:
        check_new("short", 6, "password.new")
    assert refused.value.field == "password.new"


def test_a_password_is_set_in_its_composed_form():
    assert check_new(DECOMPOSED, 6) == COMPOSED


# ------------------------------------------------------------------------------------------------- hash and check


async def test_a_password_fits_the_hash_that_was_made_of_it(one_at_a_time):
    assert await one_at_a_time.check("secret", await one_at_a_time.hash("secret"))


async def test_a_hash_has_the_cost_that_was_asked_for(one_at_a_time):
    assert cost(await one_at_a_time.hash("secret")) == ROUNDS


async def test_another_password_does_not_fit(one_at_a_time):
    assert not await one_at_a_time.check("Secret", HASHED)


@pytest.mark.parametrize("version", [b"$2a$", b"$2b$", b"$2y$"])
async def test_hashes_of_all_common_versions_are_taken(one_at_a_time, version):
    assert await one_at_a_time.check("secret", version + HASHED[4:])


@pytest.mark.parametrize(("made_of", "typed"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
async def test_it_does_not_matter_how_a_keyboard_composes_letters(one_at_a_time, made_of, typed):
    assert await one_at_a_time.check(typed, await one_at_a_time.hash(made_of))


async def test_nobody_gets_in_where_there_is_no_hash(one_at_a_time):
    assert not await one_at_a_time.check("secret", None, name="nobody")


@pytest.mark.parametrize("hashed", [b"", b"!", b"$2b$99$" + b"." * 53, b"$2b$04$" + b"a" * 53])
async def test_nobody_gets_in_by_a_hash_of_no_use(one_at_a_time, hashed):
    assert not await one_at_a_time.check("secret", hashed)


@pytest.mark.parametrize("hashed", [HASHED, None], ids=["known", "unknown"])
@pytest.mark.parametrize("password", ["x" * 73, "secret\0", "\ud83d"])
async def test_what_nobody_can_have_as_a_password_is_refused_for_known_and_unknown_alike(
    one_at_a_time, hashed, password
):
    with pytest.raises(InvalidInput):
        await one_at_a_time.check(password, hashed)


async def test_a_password_that_cannot_be_hashed_is_not_hashed(one_at_a_time):
    with pytest.raises(InvalidInput):
        await one_at_a_time.hash("x" * 73)


# ------------------------------------------------------------------------------------------------- equal time


@pytest.fixture
def checked_costs(monkeypatch):
    """The cost of every hash that a password is compared with."""
    costs: list[int] = []

    def checkpw(password: bytes, hashed: bytes) -> bool:
        costs.append(cost(hashed))
        if hashed.endswith(b"useless"):
            raise ValueError("Invalid salt")
        return True

    monkeypatch.setattr(bcrypt, "checkpw", checkpw)
    return costs


async def test_an_unknown_name_is_checked_at_the_cost_of_new_hashes_when_none_is_known(one_at_a_time, checked_costs):
    await one_at_a_time.check("secret", None, name="nobody")
    assert checked_costs == [ROUNDS]


async def test_an_unknown_name_is_checked_at_the_cost_of_the_known_hashes(one_at_a_time, checked_costs):
    one_at_a_time.learn([10, 10])
    await one_at_a_time.check("secret", None, name="nobody")
    assert checked_costs == [10]


async def test_a_hash_of_no_use_is_made_up_for_at_the_cost_of_an_unknown_name(one_at_a_time, checked_costs):
    await one_at_a_time.check("secret", b"$2b$99$useless")
    assert checked_costs == [99, ROUNDS]


async def test_unknown_names_spread_over_the_costs_of_the_known_hashes(one_at_a_time, checked_costs):
    one_at_a_time.learn([5, 12])
    for number in range(64):
        await one_at_a_time.check("secret", None, name=f"nobody{number}")
    assert set(checked_costs) == {5, 12}


async def test_one_unknown_name_always_has_the_same_cost_however_it_is_written(one_at_a_time, checked_costs):
    one_at_a_time.learn([5, 6, 7, 8, 9, 10, 11, 12])
    for name in ("nobody", "Nobody", "NOBODY"):
        await one_at_a_time.check("secret", None, name=name)
    assert len(set(checked_costs)) == 1


async def test_costs_that_bcrypt_does_not_know_are_passed_over(one_at_a_time, checked_costs):
    one_at_a_time.learn([0, 3, 32, 99])
    await one_at_a_time.check("secret", None, name="nobody")
    assert checked_costs == [ROUNDS]


async def test_a_name_that_is_no_text_is_unknown(one_at_a_time):
    assert not await one_at_a_time.check("secret", None, name="\ud83d")


@pytest.mark.parametrize(("hashed", "expected"), [(HASHED, 4), (b"$2y$12$abc", 12), (b"", 0), (b"$6$rounds", 0)])
def test_cost_is_read_from_the_hash(hashed, expected):
    assert cost(hashed) == expected


# ------------------------------------------------------------------------------------------------- turns


async def test_the_event_loop_runs_on_while_a_password_is_checked(one_at_a_time, gate):
    (check,) = await asked(one_at_a_time, "a")
    await begun(gate, 1)
    gate.opened.set()
    assert await check


async def test_as_many_are_checked_at_a_time_as_there_are_workers(gate):
    hashing = Passwords(workers=2, waiting=3, rounds=ROUNDS)
    checks = await asked(hashing, "a", "b", "c")
    await begun(gate, 2)
    assert sorted(gate.order) == [b"a", b"b"]
    gate.opened.set()
    await asyncio.gather(*checks)
    hashing.close()


async def test_turns_come_in_the_order_of_asking(one_at_a_time, gate):
    checks = await asked(one_at_a_time, "a", "b", "c", "d")
    gate.opened.set()
    await asyncio.gather(*checks)
    assert gate.order == [b"a", b"b", b"c", b"d"]


async def test_who_comes_when_too_many_wait_is_refused(one_at_a_time, gate):
    checks = await asked(one_at_a_time, "a", "b", "c", "d")
    with pytest.raises(Busy):
        await one_at_a_time.check("e", HASHED)
    gate.opened.set()
    assert await asyncio.gather(*checks) == [True] * 4


async def test_new_hashes_wait_in_the_same_line(one_at_a_time, gate):
    checks = await asked(one_at_a_time, "a", "b", "c", "d")
    with pytest.raises(Busy):
        await one_at_a_time.hash("secret")
    gate.opened.set()
    await asyncio.gather(*checks)


async def test_there_is_room_again_when_some_are_done(one_at_a_time, gate):
    checks = await asked(one_at_a_time, "a", "b", "c", "d")
    gate.opened.set()
    await asyncio.gather(*checks)
    assert await one_at_a_time.check("e", HASHED)


async def test_one_who_waits_and_gives_up_makes_room_and_is_never_checked(one_at_a_time, gate):
    checks = await asked(one_at_a_time, "a", "b", "c", "d")
    checks[2].cancel()
    await asyncio.sleep(0)
    checks += await asked(one_at_a_time, "e")
    gate.opened.set()
    await asyncio.gather(*checks, return_exceptions=True)
    assert gate.order == [b"a", b"b", b"d", b"e"]


async def test_one_who_gives_up_while_checked_keeps_the_worker_until_the_thread_is_done(one_at_a_time, gate):
    first, second = await asked(one_at_a_time, "a", "b")
    await begun(gate, 1)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert gate.order == [b"a"]
    gate.opened.set()
    assert await second


# ------------------------------------------------------------------------------------------------- first


class Refused(Exception):
    pass


async def test_what_first_raises_is_raised_and_nothing_is_hashed(one_at_a_time, gate):
    def first() -> None:
        raise Refused

    with pytest.raises(Refused):
        await one_at_a_time.check("a", HASHED, first=first)
    assert gate.order == []


async def test_the_next_one_has_its_turn_after_first_has_raised(one_at_a_time):
    def first() -> None:
        raise Refused

    for _ in range(3):
        with pytest.raises(Refused):
            await one_at_a_time.check("secret", HASHED, first=first)
    assert await one_at_a_time.check("secret", HASHED)


async def test_of_many_wrong_guesses_at_once_only_those_within_the_limit_are_hashed(checked_costs):
    hashing = Passwords(workers=1, waiting=200, rounds=ROUNDS)
    failures = 0

    def first() -> None:
        if failures == 10:
            raise Refused

    async def guess() -> None:
        nonlocal failures
        await hashing.check("wrong", HASHED, first=first)
        failures += 1

    outcomes = await asyncio.gather(*(guess() for _ in range(200)), return_exceptions=True)
    assert len(checked_costs) == 10
    assert sum(isinstance(outcome, Refused) for outcome in outcomes) == 190
    hashing.close()
