"""People whom a provider of single sign-on or a proxy vouches for."""

from __future__ import annotations

import asyncio

import pytest
from accounts_kit import NOW, admin_and_bob, config, entry, known, outsider, told

from hbd.access import Role
from hbd.accounts import register
from hbd.config import Config
from hbd.errors import Conflict, InvalidInput
from hbd.store import Store


async def test_somebody_from_outside_gets_an_account(store: Store) -> None:
    accounts = await known(store)
    await accounts.admit(outsider(full_name="Eve", role=Role.OPERATOR), entry())
    eve = (await known(store)).require("eve")
    assert (eve.source, eve.full_name, eve.role, eve.password) == ("oidc", "Eve", Role.OPERATOR, None)


async def test_the_provider_knows_somebody_by_the_subject_whatever_the_name(store: Store) -> None:
    accounts = await known(store)
    first = await accounts.admit(outsider("eve"), entry())
    assert (await accounts.admit(outsider("eva"), entry())).id == first.id


async def test_another_subject_of_a_known_name_is_somebody_else(store: Store) -> None:
    accounts = await known(store)
    await accounts.admit(outsider("eve", "s-1"), entry())
    with pytest.raises(Conflict, match="belongs to another account"):
        await accounts.admit(outsider("EVE", "s-2"), entry())


@pytest.mark.parametrize("source", ["oidc", "proxy"])
@pytest.mark.parametrize("of_config", [False, True])
async def test_nobody_from_outside_takes_over_an_account_of_here(store: Store, source: str, of_config: bool) -> None:
    accounts = await known(store, config(root=told(admin=True)) if of_config else None)
    if not of_config:
        await accounts.add("root", entry(), role=Role.ADMIN)
    with pytest.raises(Conflict, match="belongs to another account"):
        await accounts.admit(outsider("ROOT", "s-1" if source == "oidc" else None, source=source), entry())


async def test_a_linked_account_keeps_the_role_it_has_here(store: Store) -> None:
    accounts, admin, _ = await admin_and_bob(store)
    linked = await accounts.admit(outsider("root", role=Role.VIEWER), entry(), link=True)
    assert (linked.id, linked.role, linked.source) == (admin.id, Role.ADMIN, "local")


async def test_the_role_of_somebody_from_outside_follows_the_provider(store: Store) -> None:
    accounts, _, _ = await admin_and_bob(store)
    await accounts.admit(outsider(role=Role.ADMIN), entry())
    assert (await accounts.admit(outsider(role=Role.VIEWER), entry())).role is Role.VIEWER


async def test_a_proxy_knows_somebody_by_the_name(store: Store) -> None:
    accounts = await known(store)
    first = await accounts.admit(outsider("eve", None, source="proxy"), entry())
    again = await accounts.admit(outsider("Eve", None, source="proxy"), entry())
    assert again == first
    credential = accounts.vouched_for("EVE")
    assert credential is not None and credential.identity.name == "eve"


@pytest.mark.parametrize("source", ["oidc", "proxy"])
async def test_whoever_comes_from_outside_several_times_at_once_gets_in_each_time(store: Store, source: str) -> None:
    accounts = await known(store)
    person = outsider("eve", "s-1" if source == "oidc" else None, source=source)
    admitted = await asyncio.gather(*(accounts.admit(person, entry("user.admit")) for _ in range(4)))
    assert len({user.id for user in admitted}) == 1
    assert [found.action for found in await store.audit.recent(10)] == ["user.admit"]


async def test_the_number_of_users_from_outside_has_a_limit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register, "MAX_USERS", 2)
    accounts, _, _ = await admin_and_bob(store)
    with pytest.raises(Conflict, match="limit of 2 users"):
        await accounts.admit(outsider(), entry())


@pytest.mark.parametrize("source", ["oidc", "proxy"])
async def test_an_admin_from_outside_who_lost_the_group_is_none_even_when_it_was_the_last(
    store: Store, source: str
) -> None:
    accounts = await known(store)
    subject = "s-1" if source == "oidc" else None
    await accounts.admit(outsider("eve", subject, Role.ADMIN, source=source), entry())
    eve = await accounts.admit(outsider("eve", subject, Role.VIEWER, source=source), entry())
    assert (eve.role, accounts.first_admin()) == (Role.VIEWER, None)


@pytest.mark.parametrize("of_config", [False, True])
async def test_a_linked_account_belongs_to_one_subject_from_then_on(store: Store, of_config: bool) -> None:
    used = config(alice=told("$2b$1", admin=True)) if of_config else Config()
    accounts = await known(store, used)
    if not of_config:
        await accounts.add("alice", entry(), role=Role.ADMIN)
    alice = await accounts.admit(outsider("alice", "s-1"), entry(), link=True)
    await accounts.configure(used, NOW)
    for state in (accounts, await known(store, used)):
        with pytest.raises(Conflict, match="belongs to another account"):
            await state.admit(outsider("alice", "s-2"), entry(), link=True)
        renamed = await state.admit(outsider("alicia", "s-1"), entry(), link=True)
        assert (renamed.id, renamed.name, renamed.role) == (alice.id, "alice", Role.ADMIN)


async def test_a_first_link_is_in_the_audit_log_and_later_sign_ins_are_not(store: Store) -> None:
    accounts, _, _ = await admin_and_bob(store)
    for _ in range(2):
        await accounts.admit(outsider("bob", "s-1"), entry("user.admit"), link=True)
    assert [(found.action, found.object) for found in await store.audit.recent(2)] == [
        ("user.link", "user bob"),
        ("user.change", ""),
    ]


async def test_a_linked_account_is_not_entered_from_outside_once_linking_is_off(store: Store) -> None:
    accounts, _, _ = await admin_and_bob(store)
    await accounts.admit(outsider("bob", "s-1"), entry(), link=True)
    for name in ("bob", "another"):
        with pytest.raises(Conflict, match="belongs to another account"):
            await accounts.admit(outsider(name, "s-1"), entry())


async def test_a_name_from_outside_that_cannot_be_one_is_refused(store: Store) -> None:
    accounts = await known(store)
    with pytest.raises(InvalidInput):
        await accounts.admit(outsider("../root"), entry())
