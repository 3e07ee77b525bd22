"""Accounts that the config file names, over its changes and restarts."""

from __future__ import annotations

import pytest
from accounts_kit import NOW, add_token, admin_and_bob, config, entry, known, outsider, sign_in, told

from hbd.access import Role
from hbd.accounts import Accounts
from hbd.config import Config
from hbd.config.structs import User as ConfigUser
from hbd.errors import StorageError
from hbd.store import Store


async def test_users_of_the_config_are_known(store: Store) -> None:
    accounts = await known(store, config(alice=told("$2b$1", full_name="Alice", admin=True)))
    alice = accounts.require("ALICE")
    assert (alice.name, alice.full_name, alice.role, alice.password) == ("alice", "Alice", Role.ADMIN, b"$2b$1")
    assert (alice.source, alice.enabled) == ("config", True)


async def test_users_come_and_go_with_the_config(store: Store) -> None:
    accounts = await known(store, config(alice=told(), bob=told()))
    await accounts.configure(config(bob=told(), carol=told()), NOW)
    assert [user.name for user in accounts.everyone()] == ["bob", "carol"]
    assert [user.name for user in (await known(store, config(bob=told(), carol=told()))).everyone()] == ["bob", "carol"]


async def test_a_user_that_left_the_config_loses_sessions_and_tokens_for_good(store: Store) -> None:
    accounts = await known(store, config(alice=told("$2b$1")))
    shown = [
        await sign_in(accounts, accounts.require("alice")),
        (await add_token(accounts, accounts.require("alice")))[1],
    ]
    await accounts.configure(config(bob=told()), NOW)
    await accounts.configure(config(alice=told("$2b$1")), NOW)
    assert [accounts.credential(text, NOW) for text in shown] == [None, None]


async def test_a_user_that_leaves_the_config_is_told_in_the_audit_log(store: Store) -> None:
    accounts = await known(store, config(alice=told()))
    await accounts.configure(Config(), NOW)
    assert [(found.via, found.action, found.object) for found in await store.audit.recent(10)] == [
        ("daemon", "user.delete", "user alice")
    ]


async def test_users_made_here_stay_whatever_the_config_says(store: Store) -> None:
    accounts = await known(store, config(alice=told()))
    await accounts.add("bob", entry())
    await accounts.configure(Config(), NOW)
    assert [user.name for user in accounts.everyone()] == ["bob"]


async def test_the_config_takes_over_the_name_of_a_user_made_here(store: Store) -> None:
    accounts, _, _ = await admin_and_bob(store)
    await accounts.configure(config(BOB=told("$2b$2", role="operator")), NOW)
    taken = accounts.require("bob")
    assert (taken.name, taken.source, taken.role, taken.password) == ("BOB", "config", Role.OPERATOR, b"$2b$2")


async def with_keys(store: Store, source: str) -> tuple[Accounts, list[str]]:
    """An account alice with a second factor, a session and an API token; and what these two are."""
    accounts = await known(store)
    if source == "local":
        alice = await accounts.add("alice", entry(), password=b"$2b$1")
    else:
        alice = await accounts.admit(outsider("alice", "s-1" if source == "oidc" else None, source=source), entry())
    alice = await accounts.change(alice, {"totp": "ABC", "recovery": (b"x",)}, entry())
    return accounts, [await sign_in(accounts, alice), (await add_token(accounts, alice))[1]]


@pytest.mark.parametrize("source", ["local", "oidc", "proxy"])
@pytest.mark.parametrize("restart", [False, True])
async def test_what_a_former_owner_of_the_name_signs_in_with_opens_nothing_of_the_user_of_the_config(
    store: Store, source: str, restart: bool
) -> None:
    accounts, shown = await with_keys(store, source)
    used = config(alice=told(admin=True))
    if restart:
        accounts = await known(store, used)
    else:
        await accounts.configure(used, NOW)
    for state in (accounts, await known(store, used)):
        assert [state.credential(text, NOW) for text in shown] == [None, None]
        alice = state.require("alice")
        assert (alice.totp, alice.recovery, alice.subject) == (None, (), None)


async def test_a_user_who_made_room_for_one_of_the_config_is_told_in_log_and_audit_log(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    accounts, _ = await with_keys(store, "oidc")
    await accounts.configure(config(alice=told()), NOW)
    assert "user alice (oidc) made room" in caplog.text
    found = (await store.audit.recent(1))[0]
    assert (found.via, found.action, found.object) == ("daemon", "user.delete", "user alice")
    assert found.detail == "the config file has this name now; this one was oidc"


async def test_another_way_to_write_a_name_in_the_file_is_no_other_user(store: Store) -> None:
    accounts = await known(store, config(alice=told("$2b$1")))
    token = await sign_in(accounts, accounts.require("alice"))
    await accounts.configure(config(Alice=told("$2b$1")), NOW)
    credential = accounts.credential(token, NOW)
    assert credential is not None and credential.identity.name == "Alice"


async def test_a_change_holds_as_long_as_the_file_says_the_same(store: Store) -> None:
    used = config(alice=told(full_name="Alice"))
    accounts = await known(store, used)
    await accounts.change(accounts.require("alice"), {"full_name": "Al"}, entry())
    await accounts.configure(used, NOW)
    assert accounts.require("alice").full_name == "Al"
    assert (await known(store, used)).require("alice").full_name == "Al"


@pytest.mark.parametrize(
    ("field", "here", "before", "after"),
    [
        ("full_name", "Al", told(full_name="Alice"), told(full_name="Alicia")),
        ("role", Role.VIEWER, told(role="operator"), told(role="admin")),
        ("password", b"$2b$here", told("$2b$1"), told("$2b$2")),
        ("channels", ("mail",), told(), told(notification_channels=("ntfy",))),
        ("avatar", "🦊", told(), told(avatar="🐢")),
    ],
)
async def test_what_changes_in_the_file_wins(
    store: Store, field: str, here: object, before: ConfigUser, after: ConfigUser
) -> None:
    accounts = await known(store, config(alice=before, root=told(admin=True)))
    original = getattr(accounts.require("alice"), field)
    changed = await accounts.change(accounts.require("alice"), {field: here}, entry())
    assert getattr(changed, field) == here
    await accounts.configure(config(alice=after, root=told(admin=True)), NOW)
    assert getattr(accounts.require("alice"), field) not in (here, original)
    await accounts.configure(config(alice=before, root=told(admin=True)), NOW)
    assert getattr(accounts.require("alice"), field) == original


async def test_a_change_of_one_field_leaves_the_others_to_the_file(store: Store) -> None:
    accounts = await known(store, config(alice=told(full_name="Alice", role="viewer")))
    await accounts.change(accounts.require("alice"), {"full_name": "Al"}, entry())
    await accounts.configure(config(alice=told(full_name="Alice", role="operator")), NOW)
    alice = accounts.require("alice")
    assert (alice.full_name, alice.role) == ("Al", Role.OPERATOR)


async def test_a_user_of_the_config_stays_disabled_across_restarts(store: Store) -> None:
    used = config(alice=told(), root=told(admin=True))
    accounts = await known(store, used)
    await accounts.change(accounts.require("alice"), {"enabled": False}, entry())
    assert not (await known(store, used)).require("alice").enabled


async def test_another_password_in_the_file_ends_the_sessions_of_that_user_alone(store: Store) -> None:
    accounts = await known(store, config(alice=told("$2b$1"), bob=told("$2b$1")))
    tokens = [await sign_in(accounts, accounts.require(name)) for name in ("alice", "bob")]
    await accounts.configure(config(alice=told("$2b$2"), bob=told("$2b$1")), NOW)
    assert [accounts.credential(token, NOW) is None for token in tokens] == [True, False]
    again = await known(store, config(alice=told("$2b$2"), bob=told("$2b$1")))
    assert [again.credential(token, NOW) is None for token in tokens] == [True, False]


async def test_another_password_in_the_file_ends_sessions_across_a_restart(store: Store) -> None:
    accounts = await known(store, config(alice=told("$2b$1")))
    token = await sign_in(accounts, accounts.require("alice"))
    again = await known(store, config(alice=told("$2b$2")))
    assert again.credential(token, NOW) is None


async def test_a_password_set_here_ends_no_session_at_the_next_reload(store: Store) -> None:
    used = config(alice=told("$2b$1"))
    accounts = await known(store, used)
    own = await sign_in(accounts, accounts.require("alice"))
    credential = accounts.credential(own, NOW)
    assert credential is not None
    await accounts.change(
        accounts.require("alice"), {"password": b"$2b$2"}, entry(), keep=credential.session, sign_out=True
    )
    await accounts.configure(used, NOW)
    assert accounts.credential(own, NOW) is not None


async def test_a_reload_that_the_disk_refuses_changes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = await known(store, config(alice=told("$2b$1"), bob=told()))
    token = await sign_in(accounts, accounts.require("alice"))

    async def refuse(*_: object, **__: object) -> None:
        raise StorageError("no space left")

    with monkeypatch.context() as broken:
        broken.setattr(store.accounts, "save", refuse)
        with pytest.raises(StorageError):
            await accounts.configure(config(carol=told(), alice=told("$2b$2")), NOW)
    assert [user.name for user in accounts.everyone()] == ["alice", "bob"]
    assert accounts.credential(token, NOW) is not None
    await accounts.add("dave", entry())
    assert len(accounts) == 3
