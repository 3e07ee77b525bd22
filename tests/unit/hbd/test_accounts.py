"""Accounts over a real database. Times are passed in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hbd.access import Role
from hbd.accounts import Accounts, ApiToken, Outsider, Session, User, register, token_hash
from hbd.config import Config, Secret
from hbd.config.structs import Auth
from hbd.config.structs import User as ConfigUser
from hbd.errors import Conflict, InvalidInput, NotFound, StorageError
from hbd.stats import Stats
from hbd.store import Store
from hbd.store.audit import Entry

NOW = 1_000_000.0
DAY = 86_400.0


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = Store(tmp_path / "hbd.db", Stats())
    await opened.open()
    yield opened
    await opened.close()


def config(auth: Auth | None = None, **users: ConfigUser) -> Config:
    return Config(users=users, auth=auth or Auth())


def told(password: str | None = None, **fields: Any) -> ConfigUser:
    return ConfigUser(password=Secret(password) if password else None, **fields)


async def known(store: Store, used: Config | None = None, now: float = NOW) -> Accounts:
    """Accounts as after a start."""
    made = Accounts(used or Config(), store)
    await made.load(now)
    return made


def entry(action: str = "user.change", time: float = NOW) -> Entry:
    return Entry(time=time, user="root", via="cli", action=action)


async def sign_in(accounts: Accounts, user: User, now: float = NOW, **fields: Any) -> str:
    return await accounts.sign_in(
        user, "password", entry("login", now), address="192.0.2.1", user_agent="test", **fields
    )


async def add_token(accounts: Accounts, user: User, **fields: Any) -> tuple[ApiToken, str]:
    chosen: dict[str, Any] = {"scope": "read", "hosts": None, "expires": None} | fields
    return await accounts.add_token(user, "script", entry("token.create"), **chosen)


async def admin_and_bob(store: Store) -> tuple[Accounts, User, User]:
    accounts = await known(store)
    admin = await accounts.add("root", entry(), role=Role.ADMIN, password=b"hash-of-root")
    return accounts, admin, await accounts.add("bob", entry(), password=b"hash-of-bob")


async def outcome(work: Awaitable[object]) -> str:
    """What became of it: "done", or the name of the error."""
    try:
        await work
    except Exception as error:
        return type(error).__name__
    return "done"


# -------------------------------------------------------------------------------------------------- users of the config


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


# -------------------------------------------------------------------------------------------------------- outsiders


def outsider(name: str = "eve", subject: str | None = "s-1", role: Role = Role.VIEWER, **fields: Any) -> Outsider:
    return Outsider(fields.pop("source", "oidc"), name, subject, fields.pop("full_name", ""), role)


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
