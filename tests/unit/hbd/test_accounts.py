"""Accounts over a real database: names, the last admin, the first user, and what is changed of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from accounts_kit import NOW, add_token, admin_and_bob, config, entry, known, outcome, outsider, sign_in, told

from hbd.access import Role
from hbd.accounts import Accounts, ApiToken, Outsider, Session, User, register
from hbd.config import Config
from hbd.errors import Conflict, InvalidInput, NotFound, StorageError
from hbd.store import Store

# -------------------------------------------------------------------------------------------------------------- names


async def test_a_name_is_taken_in_any_case(store: Store) -> None:
    accounts, _, _ = await admin_and_bob(store)
    with pytest.raises(Conflict, match="There is a user 'bob' already"):
        await accounts.add("BOB", entry())


@pytest.mark.parametrize("name", ["", "me", "ME", "a b", "a/b", "..", "x" * 65, "ä"])
async def test_a_name_that_cannot_be_one_is_refused(store: Store, name: str) -> None:
    accounts = await known(store)
    with pytest.raises(InvalidInput):
        await accounts.add(name, entry())


async def test_the_first_admin_of_the_config_comes_before_those_made_here(store: Store) -> None:
    accounts = await known(store)
    await accounts.add("zoe", entry(), role=Role.ADMIN)
    assert accounts.first_admin() == "zoe"
    await accounts.configure(config(bob=told(), alice=told(admin=True)), NOW)
    assert accounts.first_admin() == "alice"


async def test_a_disabled_admin_is_not_the_first(store: Store) -> None:
    accounts, admin, bob = await admin_and_bob(store)
    await accounts.change(bob, {"role": Role.ADMIN}, entry())
    await accounts.change(admin, {"enabled": False}, entry())
    assert accounts.first_admin() == "bob"


# --------------------------------------------------------------------------------------------------------- last admin


@pytest.mark.parametrize("fields", [{"role": Role.OPERATOR}, {"enabled": False}])
@pytest.mark.parametrize("of_config", [False, True])
async def test_the_last_admin_can_be_neither_demoted_nor_disabled(
    store: Store, fields: dict[str, Any], of_config: bool
) -> None:
    accounts = await known(store, config(root=told(admin=True)) if of_config else None)
    if not of_config:
        await accounts.add("root", entry(), role=Role.ADMIN)
    with pytest.raises(Conflict, match="last admin"):
        await accounts.change(accounts.require("root"), fields, entry())
    assert accounts.first_admin() == "root"


async def test_the_last_admin_cannot_be_deleted(store: Store) -> None:
    accounts, admin, _ = await admin_and_bob(store)
    with pytest.raises(Conflict, match="last admin"):
        await accounts.delete(admin, (), entry())


async def test_a_disabled_admin_does_not_count_as_another_one(store: Store) -> None:
    accounts, admin, bob = await admin_and_bob(store)
    bob = await accounts.change(bob, {"role": Role.ADMIN, "enabled": False}, entry())
    with pytest.raises(Conflict, match="last admin"):
        await accounts.delete(admin, (), entry())
    await accounts.delete(bob, (), entry())


async def test_a_user_of_the_config_cannot_be_deleted(store: Store) -> None:
    accounts = await known(store, config(root=told(admin=True), bob=told()))
    with pytest.raises(Conflict, match="in the config file"):
        await accounts.delete(accounts.require("bob"), (), entry())


async def test_of_two_admins_that_demote_each_other_at_once_one_stays(store: Store) -> None:
    accounts, admin, bob = await admin_and_bob(store)
    bob = await accounts.change(bob, {"role": Role.ADMIN}, entry())
    outcomes = await asyncio.gather(
        outcome(accounts.change(admin, {"role": Role.VIEWER}, entry())),
        outcome(accounts.change(bob, {"role": Role.VIEWER}, entry())),
    )
    assert sorted(outcomes) == ["Conflict", "done"]
    assert accounts.first_admin() is not None


async def test_what_a_user_was_when_it_was_looked_at_does_not_decide_who_is_the_last_admin(store: Store) -> None:
    accounts, admin, as_a_viewer = await admin_and_bob(store)
    await accounts.change(as_a_viewer, {"role": Role.ADMIN}, entry())
    await accounts.change(admin, {"role": Role.VIEWER}, entry())
    assert await outcome(accounts.change(as_a_viewer, {"role": Role.VIEWER}, entry())) == "Conflict"
    assert await outcome(accounts.delete(as_a_viewer, (), entry())) == "Conflict"


# ------------------------------------------------------------------------------------------------------------ changes


async def test_a_change_and_its_entry_are_there_after_a_restart(store: Store) -> None:
    accounts, _, bob = await admin_and_bob(store)
    fields = {"full_name": "Bob", "channels": ("mail",), "totp": "ABC", "totp_step": 3, "recovery": (b"\x00\xff",)}
    await accounts.change(bob, fields, entry("profile.change"))
    again = (await known(store)).require("bob")
    assert {name: getattr(again, name) for name in fields} == fields
    assert (await store.audit.recent(1))[0].action == "profile.change"


async def test_two_changes_at_once_both_count(store: Store) -> None:
    accounts, _, bob = await admin_and_bob(store)
    await asyncio.gather(
        accounts.change(bob, {"full_name": "Bob"}, entry()), accounts.change(bob, {"avatar": "🦊"}, entry())
    )
    again = (await known(store)).require("bob")
    assert (again.full_name, again.avatar) == ("Bob", "🦊")


async def test_of_two_users_of_one_name_made_at_once_one_stays(store: Store) -> None:
    accounts = await known(store)
    outcomes = await asyncio.gather(outcome(accounts.add("bob", entry())), outcome(accounts.add("Bob", entry())))
    assert sorted(outcomes) == ["Conflict", "done"]


async def test_of_two_deletions_at_once_one_is_told_that_there_is_no_such_user(store: Store) -> None:
    accounts, _, bob = await admin_and_bob(store)
    outcomes = await asyncio.gather(*(outcome(accounts.delete(bob, (), entry())) for _ in range(2)))
    assert sorted(outcomes) == ["NotFound", "done"]


async def test_nothing_is_changed_of_a_user_that_has_gone(store: Store) -> None:
    accounts, _, bob = await admin_and_bob(store)
    await accounts.delete(bob, (), entry())
    with pytest.raises(NotFound):
        await accounts.change(bob, {"full_name": "Bob"}, entry())
    with pytest.raises(NotFound):
        await add_token(accounts, bob)


async def test_who_listens_hears_of_every_change_when_it_holds(store: Store) -> None:
    accounts, admin, bob = await admin_and_bob(store)
    heard: list[list[str]] = []
    accounts.changed.append(lambda: heard.append([user.name for user in accounts.everyone() if user.enabled]))
    await accounts.change(bob, {"enabled": False}, entry())
    await accounts.delete(bob, (), entry())
    assert heard == [["root"], ["root"]]
    assert admin.name == "root"


async def test_who_listens_hears_of_a_config_once_it_is_in_force_everywhere(store: Store) -> None:
    accounts = await known(store)
    heard: list[int] = []
    accounts.changed.append(lambda: heard.append(len(accounts)))
    await accounts.configure(config(carol=told()), NOW)
    before = list(heard)
    accounts.tell()
    assert (before, heard) == ([], [1])


@pytest.mark.parametrize(
    "fields", [{"password": b"other"}, {"enabled": False}, {"totp": "ABC"}, {"totp_step": 7}, {"recovery": (b"x",)}]
)
async def test_a_proof_of_who_one_is_does_not_outlive_a_change_of_what_one_signs_in_with(
    store: Store, fields: dict[str, Any]
) -> None:
    accounts, _, bob = await admin_and_bob(store)
    reset = await accounts.change(bob, fields, entry())
    with pytest.raises(Conflict, match="changed just now"):
        await accounts.change(bob, {"password": b"of the thief"}, entry(), expecting=bob)
    assert accounts.require("bob") == reset


async def test_a_session_that_ended_meanwhile_changes_nothing(store: Store) -> None:
    accounts, _, bob = await admin_and_bob(store)
    credential = accounts.credential(await sign_in(accounts, bob), NOW)
    assert credential is not None and credential.session is not None
    await accounts.end([credential.session], entry())
    with pytest.raises(Conflict, match="signed out just now"):
        await accounts.change(bob, {"full_name": "Bob"}, entry(), keep=credential.session)
    assert accounts.require("bob").full_name == ""


async def test_the_version_is_another_when_users_come_go_or_rank_otherwise_and_not_at_a_sign_in(store: Store) -> None:
    accounts, _, bob = await admin_and_bob(store)
    versions = [accounts.version]
    await sign_in(accounts, bob)
    await accounts.change(bob, {"full_name": "Bob"}, entry())
    versions.append(accounts.version)
    await accounts.change(bob, {"role": Role.OPERATOR}, entry())
    versions.append(accounts.version)
    await accounts.delete(bob, (), entry())
    versions.append(accounts.version)
    assert versions[0] == versions[1] and len(set(versions)) == 3


async def test_a_text_longer_than_any_name_is_nobodys(store: Store) -> None:
    accounts = await known(store)
    await accounts.add("x" * 64, entry())
    assert accounts.get("x" * 65) is None


def mutations(accounts: Accounts, bob: User, session: Session, token: ApiToken) -> dict[str, Callable[[], Any]]:
    return {
        "add": lambda: accounts.add("carol", entry()),
        "change": lambda: accounts.change(bob, {"password": b"new", "role": Role.ADMIN}, entry(), sign_out=True),
        "delete": lambda: accounts.delete(bob, (), entry()),
        "admit": lambda: accounts.admit(outsider(), entry()),
        "link": lambda: accounts.admit(outsider("bob", "s-2"), entry(), link=True),
        "sign_in": lambda: sign_in(accounts, bob, NOW + 1, totp_step=5),
        "end": lambda: accounts.end([session], entry()),
        "add_token": lambda: add_token(accounts, bob),
        "delete_token": lambda: accounts.delete_token(token, entry()),
    }


@pytest.mark.parametrize(
    "name", ["add", "change", "delete", "admit", "link", "sign_in", "end", "add_token", "delete_token"]
)
async def test_what_the_disk_refuses_has_not_happened(store: Store, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    accounts, _, bob = await admin_and_bob(store)
    credential = accounts.credential(await sign_in(accounts, bob), NOW)
    assert credential is not None and credential.session is not None
    token, _ = await add_token(accounts, bob)
    bob = accounts.require("bob")
    heard: list[None] = []
    accounts.changed.append(lambda: heard.append(None))

    async def refuse(_: object) -> None:
        raise StorageError("no space left")

    def state() -> tuple[object, ...]:
        return accounts.everyone(), accounts.sessions(bob), accounts.tokens(bob), accounts.version

    before = state()
    with monkeypatch.context() as broken:
        broken.setattr(store.database, "write", refuse)
        with pytest.raises(StorageError):
            await mutations(accounts, bob, credential.session, token)[name]()
    assert (state(), heard) == (before, [])
    await mutations(accounts, bob, credential.session, token)[name]()
    assert state() != before


async def test_a_first_user_that_the_disk_refuses_can_be_set_up_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = await known(store)

    async def refuse(_: object) -> None:
        raise StorageError("no space left")

    with monkeypatch.context() as broken:
        broken.setattr(store.database, "write", refuse)
        with pytest.raises(StorageError):
            await accounts.set_up("root", b"hash", entry(), address="", user_agent="")
    assert (len(accounts), accounts.setup_done) == (0, False)
    await accounts.set_up("root", b"hash", entry(), address="", user_agent="")
    assert accounts.first_admin() == "root"


async def test_the_number_of_users_has_a_limit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register, "MAX_USERS", 2)
    accounts, _, _ = await admin_and_bob(store)
    with pytest.raises(Conflict, match="limit of 2 users"):
        await accounts.add("carol", entry())


# ----------------------------------------------------------------------------------------------------- the first user


async def test_the_first_user_is_an_admin_and_signed_in(store: Store) -> None:
    accounts = await known(store)
    token = await accounts.set_up("root", b"hash", entry(), address="", user_agent="")
    credential = accounts.credential(token, NOW)
    assert credential is not None and credential.identity.role is Role.ADMIN


async def test_of_two_first_users_at_once_one_is(store: Store) -> None:
    accounts = await known(store)
    outcomes = await asyncio.gather(
        *(outcome(accounts.set_up(name, b"hash", entry(), address="", user_agent="")) for name in ("a", "b"))
    )
    assert sorted(outcomes) == ["Conflict", "done"]


@pytest.mark.parametrize("by", ["config", "add", "admit"])
async def test_once_there_was_a_user_nobody_becomes_the_first(store: Store, by: str) -> None:
    accounts = await known(store)
    assert not accounts.setup_done
    if by == "config":
        await accounts.configure(config(alice=told()), NOW)
        await accounts.configure(Config(), NOW)
    elif by == "add":
        await accounts.delete(await accounts.add("alice", entry()), (), entry())
    else:
        await accounts.admit(Outsider("oidc", "alice", "s-1", "", Role.VIEWER), entry())
    for state in (accounts, await known(store)):
        with pytest.raises(Conflict, match="set up already"):
            await state.set_up("mallory", b"hash", entry(), address="", user_agent="")
