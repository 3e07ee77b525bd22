"""Who owns, manages and monitors what, over a real database."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hbd.access import Role
from hbd.accounts import Accounts
from hbd.config import Config, HostConfig
from hbd.config.structs import User as ConfigUser
from hbd.errors import Conflict, StorageError
from hbd.host_access import Access, HostAccess
from hbd.hosts import Host
from hbd.store import Store
from hbd.store.audit import Entry

NOW = 1_000_000.0


@pytest.fixture
async def host(store: Store) -> Host:
    return Host(await store.hosts.enrol("Web1", "agent_1", [], None, NOW), "Web1", "agent_1")


def entry(action: str = "host.access") -> Entry:
    return Entry(time=NOW, user="root", via="session", action=action)


def config(section: HostConfig | None = None, **fields: Any) -> Config:
    return Config(hosts={"web1": section} if section is not None else {}, **fields)


async def started(store: Store, used: Config | None = None) -> tuple[Accounts, HostAccess]:
    accounts = Accounts(used or Config(), store)
    access = HostAccess(store, accounts)
    await access.load(NOW)
    return accounts, access


async def with_people(store: Store) -> tuple[Accounts, HostAccess]:
    accounts, access = await started(store)
    await accounts.add("root", entry(), role=Role.ADMIN)
    for name in ("alice", "bob", "carol"):
        await accounts.add(name, entry())
    return accounts, access


async def test_without_a_word_a_host_belongs_to_the_first_admin(store: Store, host: Host) -> None:
    _, access = await with_people(store)
    assert access.of(host, Config()) == Access("root", (), ())


async def test_without_users_a_host_belongs_to_nobody(store: Store, host: Host) -> None:
    _, access = await started(store)
    assert access.of(host, Config()).owner is None


@pytest.mark.parametrize(
    ("used", "owner"),
    [
        (config(default_owner="alice"), "alice"),
        (config(HostConfig(owner="bob"), default_owner="alice"), "bob"),
        (config(HostConfig(), default_owner="alice"), "alice"),
    ],
)
async def test_the_config_says_who_owns_a_host(store: Store, host: Host, used: Config, owner: str) -> None:
    _, access = await with_people(store)
    assert access.of(host, used).owner == owner


async def test_what_is_changed_here_goes_before_the_config_and_outlives_a_restart(store: Store, host: Host) -> None:
    used = config(HostConfig(owner="bob", managers=("bob",), monitors=("bob",)))
    _, access = await with_people(store)
    await access.change(host, entry(), owner="alice", managers=(), monitors=("carol",))
    assert access.of(host, used) == Access("alice", (), ("carol",))
    _, again = await started(store)
    assert again.of(host, used) == Access("alice", (), ("carol",))


async def test_what_is_not_given_stays(store: Store, host: Host) -> None:
    _, access = await with_people(store)
    await access.change(host, entry(), owner="alice", managers=("bob",))
    await access.change(host, entry(), monitors=("carol",))
    assert access.of(host, Config()) == Access("alice", ("bob",), ("carol",))


async def test_names_are_as_their_users_write_them_and_come_once(store: Store, host: Host) -> None:
    _, access = await with_people(store)
    used = config(HostConfig(owner="ALICE", managers=("BOB", "bob")))
    assert access.of(host, used) == Access("alice", ("bob",), ())


async def test_two_changes_at_once_both_count(store: Store, host: Host) -> None:
    _, access = await with_people(store)
    await asyncio.gather(
        access.change(host, entry(), owner="alice"),
        access.change(host, entry(), managers=("bob",)),
        access.change(host, entry(), monitors=("carol",)),
    )
    _, again = await started(store)
    assert again.of(host, Config()) == access.of(host, Config()) == Access("alice", ("bob",), ("carol",))


# ----------------------------------------------------------------------------------------------------------- who goes


async def test_a_new_user_inherits_nothing_from_one_of_that_name(store: Store, host: Host) -> None:
    accounts, access = await with_people(store)
    await access.change(host, entry(), owner="bob", managers=("bob", "alice"), monitors=("BOB",))
    await access.delete_user(accounts.require("bob"), entry("user.delete"))
    await accounts.add("Bob", entry())
    _, again = await started(store)
    for state in (access, again):
        assert state.of(host, Config()) == Access("root", ("alice",), ())


async def test_who_listens_to_the_accounts_finds_the_access_without_the_deleted(store: Store, host: Host) -> None:
    accounts, access = await with_people(store)
    await access.change(host, entry(), owner="bob")
    seen: list[str | None] = []
    accounts.changed.append(lambda: seen.append(access.of(host, Config()).owner))
    await access.delete_user(accounts.require("bob"))
    assert seen == ["root"]


async def test_a_deletion_that_is_refused_takes_no_access(store: Store, host: Host) -> None:
    accounts, access = await with_people(store)
    await access.change(host, entry(), owner="root", managers=("root",))
    with pytest.raises(Conflict, match="last admin"):
        await access.delete_user(accounts.require("root"))
    _, again = await started(store)
    for state in (access, again):
        assert state.of(host, Config()) == Access("root", ("root",), ())


async def test_a_change_beside_a_deletion_brings_nobody_back(store: Store, host: Host) -> None:
    accounts, access = await with_people(store)
    await access.change(host, entry(), managers=("bob",))
    await asyncio.gather(access.delete_user(accounts.require("bob")), access.change(host, entry(), monitors=("carol",)))
    _, again = await started(store)
    for state in (access, again):
        assert state.of(host, Config()) == Access("root", (), ("carol",))


async def gone_from_file(store: Store, host: Host) -> tuple[Accounts, HostAccess]:
    accounts, access = await started(store, config(users={"root": ConfigUser(admin=True), "dave": ConfigUser()}))
    await access.change(host, entry(), owner="dave", managers=("dave", "root"))
    return accounts, access


LEFT = config(users={"root": ConfigUser(admin=True)})


async def test_a_user_who_left_the_config_leaves_no_access_behind(store: Store, host: Host) -> None:
    accounts, access = await gone_from_file(store, host)
    await access.configure(LEFT, [host], NOW)
    await accounts.add("dave", entry())
    assert access.of(host, LEFT) == Access("root", ("root",), ())


async def test_a_user_who_left_the_config_while_no_daemon_ran_leaves_no_access_behind(store: Store, host: Host) -> None:
    await gone_from_file(store, host)
    accounts, access = await started(store, LEFT)
    await accounts.add("dave", entry())
    assert access.of(host, LEFT) == Access("root", ("root",), ())
    assert (await started(store, LEFT))[1].of(host, LEFT) == Access("root", ("root",), ())


@pytest.mark.parametrize("restart", [False, True])
async def test_a_user_of_the_config_has_nothing_of_the_one_whose_name_it_took(
    store: Store, host: Host, restart: bool
) -> None:
    accounts, access = await with_people(store)
    await access.change(host, entry(), owner="bob", managers=("bob", "alice"))
    used = config(users={"BOB": ConfigUser()})
    if restart:
        accounts, access = await started(store, used)
    else:
        await access.configure(used, [host], NOW)
    assert accounts.require("bob").source == "config"
    assert access.of(host, used) == Access("root", ("alice",), ())
    assert (await started(store, used))[1].of(host, used) == Access("root", ("alice",), ())


async def test_nobody_is_granted_anything_who_was_deleted_meanwhile(store: Store, host: Host) -> None:
    accounts, access = await with_people(store)
    results = await asyncio.gather(
        access.delete_user(accounts.require("bob")),
        access.change(host, entry(), monitors=("bob",)),
        return_exceptions=True,
    )
    assert isinstance(results[1], Conflict)
    await accounts.add("bob", entry())
    assert access.of(host, Config()).monitors == ()


async def refuse(_: object) -> None:
    raise StorageError("no space left")


@pytest.mark.parametrize("work", ["configure", "delete_user", "change"])
async def test_what_the_disk_refuses_takes_nobody_a_right(
    store: Store, host: Host, monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    accounts, access = await gone_from_file(store, host)
    carol = await accounts.add("carol", entry())
    await access.change(host, entry(), monitors=("carol",))
    used = config(users={"root": ConfigUser(admin=True), "dave": ConfigUser()})
    before = access.of(host, used)
    with monkeypatch.context() as broken:
        broken.setattr(store.database, "write", refuse)
        with pytest.raises(StorageError):
            if work == "configure":
                await access.configure(LEFT, [host], NOW)
            elif work == "delete_user":
                await access.delete_user(carol)
            else:
                await access.change(host, entry(), owner="root", monitors=())
    assert accounts.get("dave") is not None
    assert access.of(host, used) == before == Access("dave", ("dave", "root"), ("carol",))


async def test_as_long_as_there_are_no_users_any_name_stays(store: Store, host: Host) -> None:
    _, access = await started(store)
    await access.change(host, entry(), owner="later")
    assert (await started(store))[1].of(host, Config()).owner == "later"


# ------------------------------------------------------------------------------------------------------------- reload


async def test_a_reload_gives_what_the_config_names_back_to_it(store: Store, host: Host) -> None:
    used = config(HostConfig(owner="bob", managers=("bob",)))
    _, access = await with_people(store)
    await access.change(host, entry(), owner="alice", managers=("alice",), monitors=("alice",))
    await access.configure(used, [host], NOW)
    _, again = await started(store)
    for state in (access, again):
        assert state.of(host, used) == Access("bob", ("bob",), ("alice",))


async def test_a_reload_leaves_a_host_alone_that_the_config_does_not_name(store: Store, host: Host) -> None:
    _, access = await with_people(store)
    await access.change(host, entry(), owner="alice", managers=("bob",))
    await access.configure(Config(), [host], NOW)
    assert access.of(host, Config()) == Access("alice", ("bob",), ())
