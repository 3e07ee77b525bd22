"""Setting up and removing a second factor while something else happens to the account."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hbd import totp
from hbd.accounts import Accounts, User
from hbd.config import Config
from hbd.errors import Conflict
from hbd.second_factor import SecondFactors
from hbd.stats import Stats
from hbd.store import Store
from hbd.store.audit import Entry


def entry() -> Entry:
    return Entry(time=time.time(), user="bob", via="session", action="second_factor.set_up")


@pytest.fixture
async def accounts(tmp_path: Path) -> AsyncIterator[Accounts]:
    store = Store(tmp_path / "hbd.db", Stats())
    await store.open()
    made = Accounts(Config(), store)
    await made.load(time.time())
    await made.add("bob", entry(), password=b"$2b$1")
    yield made
    await store.close()


async def taken(accounts: Accounts, bob: User) -> SecondFactors:
    factors = SecondFactors(accounts)
    offer = factors.offer(bob, time.time())
    code = totp.code_at(offer.secret, int(time.time() // totp.STEP_SECONDS))
    await factors.take(bob, code, entry())
    return factors


async def test_a_second_factor_that_is_taken_comes_with_recovery_codes(accounts: Accounts) -> None:
    await taken(accounts, accounts.require("bob"))
    bob = accounts.require("bob")
    assert (bob.totp is not None, len(bob.recovery)) == (True, 10)


async def test_none_is_set_up_for_a_user_whose_password_was_reset_meanwhile(accounts: Accounts) -> None:
    bob = accounts.require("bob")
    await accounts.change(bob, {"password": b"$2b$2"}, entry(), sign_out=True)
    with pytest.raises(Conflict, match="changed just now"):
        await taken(accounts, bob)
    assert accounts.require("bob").totp is None


async def test_a_code_that_was_used_meanwhile_removes_none(accounts: Accounts) -> None:
    factors = await taken(accounts, accounts.require("bob"))
    bob = accounts.require("bob")
    await accounts.sign_in(bob, "password", entry(), address="", user_agent="", totp_step=bob.totp_step + 1)
    with pytest.raises(Conflict, match="changed just now"):
        await factors.remove(bob, entry())
    assert accounts.require("bob").totp is not None
