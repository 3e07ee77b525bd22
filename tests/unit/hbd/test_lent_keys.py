"""A key beside the one that an agent has, until it is known which of the two it uses."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hbc.wire import key_hash
from hbd.config import Config
from hbd.enrolment import Enrolment
from hbd.hosts import Hosts
from hbd.stats import Stats
from hbd.store import Store


class Stand:
    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "hbd.db", Stats())
        self.hosts = Hosts()
        self.enrolment = Enrolment(self.hosts, self.store)

    async def after_restart(self) -> Enrolment:
        """What a daemon knows that is started now."""
        known = Enrolment(Hosts(), self.store)
        await known.load(Config())
        return known


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    made = Stand(tmp_path)
    await made.store.open()
    yield made
    await made.store.close()


def holds(enrolment: Enrolment, key: str, later: float = 0.0) -> bool:
    return enrolment.host_of(key, time.time() + later) is not None


async def test_a_lent_key_holds_beside_the_one_there_is(stand: Stand) -> None:
    first = await stand.enrolment.add("db-01")
    lent = await stand.enrolment.lend(stand.hosts.require("db-01"))
    for enrolment in (stand.enrolment, await stand.after_restart()):
        assert holds(enrolment, first, later=1e6)
        assert holds(enrolment, lent, later=86_000.0)


async def test_a_lent_key_of_which_nothing_is_heard_ends_after_a_day(stand: Stand) -> None:
    await stand.enrolment.add("db-01")
    lent = await stand.enrolment.lend(stand.hosts.require("db-01"))
    for enrolment in (stand.enrolment, await stand.after_restart()):
        assert not holds(enrolment, lent, later=86_401.0)


async def test_when_it_is_settled_the_one_before_ends_after_a_while(stand: Stand) -> None:
    first = await stand.enrolment.add("db-01")
    host = stand.hosts.require("db-01")
    lent = await stand.enrolment.lend(host)
    await stand.enrolment.settle(host, key_hash(lent), overlap=60.0)
    for enrolment in (stand.enrolment, await stand.after_restart()):
        assert holds(enrolment, first)
        assert not holds(enrolment, first, later=61.0)
        assert holds(enrolment, lent, later=1e6)


async def test_when_it_is_withdrawn_all_is_as_before(stand: Stand) -> None:
    first = await stand.enrolment.add("db-01")
    host = stand.hosts.require("db-01")
    lent = await stand.enrolment.lend(host)
    await stand.enrolment.withdraw(host, key_hash(lent))
    for enrolment in (stand.enrolment, await stand.after_restart()):
        assert holds(enrolment, first, later=1e6)
        assert not holds(enrolment, lent)


async def test_withdrawing_it_after_the_keys_were_revoked_is_no_error(stand: Stand) -> None:
    await stand.enrolment.add("db-01")
    host = stand.hosts.require("db-01")
    lent = await stand.enrolment.lend(host)
    await stand.enrolment.revoke(stand.hosts.require("db-01"))
    await stand.enrolment.withdraw(host, key_hash(lent))
    assert not holds(stand.enrolment, lent)


async def test_settling_it_does_not_prolong_a_key_that_ends_sooner(stand: Stand) -> None:
    first = await stand.enrolment.add("db-01")
    host = stand.hosts.require("db-01")
    await stand.enrolment.rotate(stand.hosts.require("db-01"), overlap=10.0)
    lent = await stand.enrolment.lend(host)
    await stand.enrolment.settle(host, key_hash(lent), overlap=60.0)
    assert not holds(stand.enrolment, first, later=11.0)


async def test_a_key_that_was_settled_is_none_of_those_that_expire(stand: Stand) -> None:
    await stand.enrolment.add("db-01")
    host = stand.hosts.require("db-01")
    lent = await stand.enrolment.lend(host)
    await stand.enrolment.settle(host, key_hash(lent))
    assert key_hash(lent) not in {key.hash for key in stand.enrolment.expired(time.time() + 1e6)}
    assert holds(stand.enrolment, lent, later=1e6)
