"""Signing in, over a real database: what is counted and written down of guesses."""

from __future__ import annotations

from collections.abc import AsyncIterator

import bcrypt
import pytest

from hbd.config import Config
from hbd.config.structs import Limits
from hbd.errors import TooMany
from hbd.passwords import Passwords
from hbd.security import Security
from hbd.signin import SignInRefused, Visitor
from hbd.stats import Stats
from hbd.store import Store
from hbd.store.audit import Entry

NOW = 1_000_000.0
HERE = Visitor("192.0.2.1", "test")


@pytest.fixture
async def security(store: Store) -> AsyncIterator[Security]:
    made = Security(Config(limits=Limits(logins_per_account=2)), store, Stats(), Passwords(rounds=4))
    await made.load(NOW)
    entry = Entry(time=NOW, user="", via="cli", action="user.create")
    await made.accounts.add("bob", entry, password=bcrypt.hashpw(b"right", bcrypt.gensalt(4)))
    await made.accounts.add("x" * 64, entry)
    yield made
    await made.close()


async def noted(security: Security, store: Store) -> list[tuple[str, str]]:
    await security.audit.write()
    entries = await store.audit.recent(100)
    return [(entry.action, entry.object) for entry in reversed(entries) if entry.action != "user.create"]


async def test_too_many_wrong_passwords_are_in_the_audit_log(security: Security, store: Store) -> None:
    for _ in range(2):
        with pytest.raises(SignInRefused):
            await security.sign_in.password("bob", "wrong", "", HERE)
    assert await noted(security, store) == [("login", "user bob"), ("login.limit", "user bob")]


async def test_too_many_wrong_passwords_of_somebody_signed_in_are_in_the_audit_log(
    security: Security, store: Store
) -> None:
    bob = security.accounts.require("bob")
    assert [await security.sign_in.confirm(bob, "wrong", HERE) for _ in range(2)] == [False, False]
    assert await noted(security, store) == [("login.limit", "user bob")]
    with pytest.raises(TooMany):
        await security.sign_in.confirm(bob, "right", HERE)


async def test_guesses_at_a_name_that_is_nobodys_do_not_write_it_down(security: Security, store: Store) -> None:
    for _ in range(2):
        with pytest.raises(SignInRefused):
            await security.sign_in.password("my secret", "wrong", "", HERE)
    assert await noted(security, store) == [("login", "a user nobody knows"), ("login.limit", "a user nobody knows")]


async def test_a_name_that_is_too_long_is_nobodys_however_it_begins(security: Security, store: Store) -> None:
    with pytest.raises(SignInRefused):
        await security.sign_in.password("x" * 100_000, "wrong", "", HERE)
    assert await noted(security, store) == [("login", "a user nobody knows")]
