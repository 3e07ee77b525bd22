"""What shows who somebody is: sessions and API tokens."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from accounts_kit import DAY, NOW, add_token, admin_and_bob, config, entry, known, outcome, sign_in, told

from hbd.access import Role
from hbd.accounts import register, token_hash
from hbd.config.structs import Auth
from hbd.errors import Conflict, InvalidInput
from hbd.store import Store

# ----------------------------------------------------------------------------------------------------------- sessions


async def test_a_session_stands_for_its_user(store: Store) -> None:
    accounts, _, bob = await admin_and_bob(store)
    credential = accounts.credential(await sign_in(accounts, bob), NOW)
    assert credential is not None
    assert (credential.identity.name, credential.identity.role, credential.identity.person) == (
        "bob",
        Role.VIEWER,
        True,
    )


async def test_a_session_follows_the_role_of_its_user(store: Store) -> None:
    accounts, _, bob = await admin_and_bob(store)
    token = await sign_in(accounts, bob)
    await accounts.change(bob, {"role": Role.OPERATOR}, entry())
    credential = accounts.credential(token, NOW)
    assert credential is not None and credential.identity.role is Role.OPERATOR


async def test_a_session_outlives_a_restart(store: Store) -> None:
    accounts, _, bob = await admin_and_bob(store)
    token = await sign_in(accounts, bob)
    credential = (await known(store)).credential(token, NOW)
    assert credential is not None and credential.user.name == "bob"


async def test_a_session_expires(store: Store) -> None:
    accounts, _, bob = await admin_and_bob(store)
    token = await sign_in(accounts, bob)
    assert accounts.credential(token, NOW + DAY - 1) is not None
    assert accounts.credential(token, NOW + DAY) is None


async def test_a_session_that_is_over_leaves_the_database(store: Store) -> None:
    accounts, _, bob = await admin_and_bob(store)
    await sign_in(accounts, bob)
    await accounts.save_uses(NOW + DAY)
    assert await store.accounts.sessions() == []


async def test_a_session_that_ended_while_no_daemon_ran_leaves_the_database(store: Store) -> None:
    accounts, _, bob = await admin_and_bob(store)
    await sign_in(accounts, bob)
    await known(store, now=NOW + DAY)
    assert await store.accounts.sessions() == []


async def test_of_too_many_sessions_of_a_user_the_least_used_go(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register, "SESSIONS_PER_USER", 3)
    accounts, admin, bob = await admin_and_bob(store)
    others = await sign_in(accounts, admin)
    tokens = [await sign_in(accounts, accounts.require("bob"), NOW + number) for number in range(3)]
    used = accounts.credential(tokens[0], NOW)
    assert used is not None and bob.id == used.user.id
    accounts.use(used, "192.0.2.2", NOW + 10)
    tokens.append(await sign_in(accounts, accounts.require("bob"), NOW + 20))
    for state in (accounts, await known(store)):
        assert [state.credential(token, NOW) is not None for token in tokens] == [True, False, True, True]
        assert state.credential(others, NOW) is not None


async def test_uses_are_written_down(store: Store) -> None:
    accounts, _, bob = await admin_and_bob(store)
    shown = [await sign_in(accounts, bob), (await add_token(accounts, bob))[1]]
    for text in shown:
        credential = accounts.credential(text, NOW)
        assert credential is not None
        accounts.use(credential, "192.0.2.9", NOW + 5)
    await accounts.save_uses(NOW + 5)
    assert [(row.last_used, row.address) for row in await store.accounts.sessions()] == [(NOW + 5, "192.0.2.9")]
    assert [(row.last_used, row.last_address) for row in await store.accounts.tokens()] == [(NOW + 5, "192.0.2.9")]


async def test_a_change_that_signs_out_keeps_the_session_it_came_with(store: Store) -> None:
    accounts, _, bob = await admin_and_bob(store)
    tokens = [await sign_in(accounts, accounts.require("bob")) for _ in range(2)]
    own = accounts.credential(tokens[0], NOW)
    assert own is not None and own.user.id == bob.id
    await accounts.change(own.user, {"password": b"new"}, entry(), keep=own.session, sign_out=True)
    for state in (accounts, await known(store)):
        assert [state.credential(token, NOW) is not None for token in tokens] == [True, False]


async def test_a_disabled_user_gets_nowhere(store: Store) -> None:
    accounts, _, bob = await admin_and_bob(store)
    shown = [await sign_in(accounts, bob), (await add_token(accounts, bob))[1]]
    await accounts.change(bob, {"enabled": False}, entry())
    assert [accounts.credential(text, NOW) for text in shown] == [None, None]
    assert accounts.vouched_for("bob") is None


async def test_a_deleted_user_gets_nowhere(store: Store) -> None:
    accounts, _, bob = await admin_and_bob(store)
    shown = [await sign_in(accounts, bob), (await add_token(accounts, bob))[1]]
    await accounts.delete(bob, (), entry())
    await accounts.add("bob", entry())
    assert [accounts.credential(text, NOW) for text in shown] == [None, None]


@pytest.mark.parametrize(
    "fields", [{"password": b"other"}, {"enabled": False}, {"totp": "ABC"}, {"totp_step": 7}, {"recovery": (b"x",)}]
)
async def test_nobody_signs_in_with_what_was_changed_meanwhile(store: Store, fields: dict[str, Any]) -> None:
    accounts, _, bob = await admin_and_bob(store)
    await accounts.change(bob, fields, entry())
    with pytest.raises(Conflict, match="changed just now"):
        await sign_in(accounts, bob)


async def test_a_user_deleted_meanwhile_does_not_sign_in(store: Store) -> None:
    accounts, _, bob = await admin_and_bob(store)
    await accounts.delete(bob, (), entry())
    with pytest.raises(Conflict):
        await sign_in(accounts, bob)


async def test_a_code_signs_in_once_even_twice_at_once(store: Store) -> None:
    accounts, _, bob = await admin_and_bob(store)
    bob = await accounts.change(bob, {"totp": "ABC"}, entry())
    outcomes = await asyncio.gather(*(outcome(sign_in(accounts, bob, totp_step=9)) for _ in range(2)))
    assert sorted(outcomes) == ["Conflict", "done"]
    assert accounts.require("bob").totp_step == 9


async def test_a_sign_in_is_remembered_with_its_entry(store: Store) -> None:
    accounts, _, bob = await admin_and_bob(store)
    await sign_in(accounts, bob, NOW + 7)
    assert (await known(store)).require("bob").last_login == NOW + 7
    assert (await store.audit.recent(1))[0].action == "login"


@pytest.mark.parametrize(
    ("method", "totp", "held_back"), [("password", None, True), ("password", "ABC", False), ("oidc", None, False)]
)
async def test_whoever_needs_a_second_factor_and_has_none_is_held_back(
    store: Store, method: Any, totp: str | None, held_back: bool
) -> None:
    accounts = await known(store, config(Auth(second_factor=("admin",)), root=told("$2b$1", admin=True)))
    root = await accounts.change(accounts.require("root"), {"totp": totp}, entry())
    token = await accounts.sign_in(root, method, entry(), address="", user_agent="")
    credential = accounts.credential(token, NOW)
    assert credential is not None and bool(credential.identity.held_back) is held_back


async def test_sessions_and_tokens_are_counted_for_each_user(store: Store) -> None:
    accounts, admin, bob = await admin_and_bob(store)
    token, _ = await add_token(accounts, bob)
    await add_token(accounts, bob)
    credential = accounts.credential(await sign_in(accounts, bob), NOW)
    assert credential is not None and credential.session is not None
    for state in (accounts, await known(store)):
        assert [(state.session_count(user), state.token_count(user)) for user in (admin, bob)] == [(0, 0), (1, 2)]
    await accounts.end([credential.session])
    await accounts.delete_token(token, entry())
    assert (accounts.session_count(bob), accounts.token_count(bob)) == (0, 1)


# ------------------------------------------------------------------------------------------------------------- tokens


@pytest.mark.parametrize(
    ("password", "totp", "held_back"), [(b"$2b$1", None, True), (b"$2b$1", "ABC", False), (None, None, False)]
)
async def test_an_older_token_is_held_back_once_its_user_needs_a_second_factor(
    store: Store, password: bytes | None, totp: str | None, held_back: bool
) -> None:
    accounts = await known(store, config(Auth(second_factor=("admin",))))
    bob = await accounts.add("bob", entry(), password=password)
    _, text = await add_token(accounts, bob)
    await accounts.change(bob, {"role": Role.ADMIN, "totp": totp}, entry())
    credential = accounts.credential(text, NOW)
    assert credential is not None and bool(credential.identity.held_back) is held_back


async def test_a_token_has_its_limits(store: Store) -> None:
    accounts, _, bob = await admin_and_bob(store)
    _, text = await add_token(accounts, bob, hosts=("Web1",))
    credential = (await known(store)).credential(text, NOW)
    assert credential is not None
    identity = credential.identity
    assert (identity.person, identity.writes, identity.hosts) == (False, False, {"web1"})


async def test_a_token_expires(store: Store) -> None:
    accounts, _, bob = await admin_and_bob(store)
    _, text = await add_token(accounts, bob, expires=NOW + 60)
    assert accounts.credential(text, NOW + 59) is not None
    assert accounts.credential(text, NOW + 60) is None


async def test_a_revoked_token_is_worthless(store: Store) -> None:
    accounts, _, bob = await admin_and_bob(store)
    token, text = await add_token(accounts, bob)
    await accounts.delete_token(token, entry("token.revoke"))
    assert accounts.credential(text, NOW) is None
    assert (await known(store)).credential(text, NOW) is None


async def test_a_token_for_no_host_at_all_is_refused(store: Store) -> None:
    accounts, _, bob = await admin_and_bob(store)
    with pytest.raises(InvalidInput, match="hosts"):
        await add_token(accounts, bob, hosts=())


async def test_the_number_of_tokens_has_a_limit_even_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register, "TOKENS_PER_USER", 2)
    accounts, _, bob = await admin_and_bob(store)
    outcomes = await asyncio.gather(*(outcome(add_token(accounts, bob)) for _ in range(3)))
    assert sorted(outcomes) == ["Conflict", "done", "done"]


async def test_no_text_of_a_token_is_in_the_database(store: Store, tmp_path: Path) -> None:
    accounts, _, bob = await admin_and_bob(store)
    session, (_, text) = await sign_in(accounts, bob), await add_token(accounts, bob)
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("hbd.db*"))
    assert token_hash(session) in stored and token_hash(text) in stored
    assert session.encode() not in stored and text.encode() not in stored


@pytest.mark.parametrize("text", ["", "hbs_", "hbs_" + "A" * 43, "x" * 100_000, "\udcff", "\ud800", "\0"])
async def test_a_text_that_is_no_token_stands_for_nobody(store: Store, text: str) -> None:
    accounts, _, bob = await admin_and_bob(store)
    await sign_in(accounts, bob)
    assert accounts.credential(text, NOW) is None


async def test_a_hash_is_no_token(store: Store) -> None:
    accounts, _, bob = await admin_and_bob(store)
    token = await sign_in(accounts, bob)
    assert accounts.credential(token_hash(token).hex(), NOW) is None
