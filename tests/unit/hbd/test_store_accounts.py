"""The tables of people and of what they did, in real SQLite files."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from hbd.stats import Stats
from hbd.store import Store
from hbd.store.accounts import AccessRow, SessionRow, TokenRow, UserRow
from hbd.store.audit import Entry
from hbd.store.database import migrate
from hbd.store.migrations import migrations


def entry(action: str = "user.change", time: float = 1.0, **fields: str) -> Entry:
    return Entry(time=time, user=fields.pop("user", "root"), via="session", action=action, **fields)  # type: ignore[arg-type]


async def made(store: Store, name: str = "bob", **fields: object) -> UserRow:
    row = UserRow(name=name, source="local", created=1.0, **fields)  # type: ignore[arg-type]
    await store.accounts.save([row])
    return row


def session(user: UserRow, hashed: bytes = b"s", last_used: float = 1.0) -> SessionRow:
    return SessionRow(0, user.id, hashed, 1.0, 9.0, last_used, "::1", "curl", "password")


def token(user: UserRow, hosts: tuple[str, ...] | None = None) -> TokenRow:
    return TokenRow(0, user.id, b"t", "backup", "hbt_abc", "read", hosts, 1.0, 9.0, None, None)


# ------------------------------------------------------------------------------------------------------------- users


async def test_a_user_comes_back_as_it_was_written(store: Store) -> None:
    row = await made(
        store,
        full_name="Bob",
        avatar="🦊",
        role="admin",
        enabled=False,
        channels=["mail"],
        password="$2b$",
        changes={"role": {"was": "viewer", "now": "admin"}},
        totp="ABC",
        totp_step=5,
        recovery=["00ff"],
        last_login=3.0,
    )
    assert await store.accounts.users() == [row]


async def test_names_compare_without_case(store: Store) -> None:
    await made(store, "bob")
    with pytest.raises(sqlite3.IntegrityError):
        await made(store, "BOB")


async def test_an_id_is_never_used_again(store: Store) -> None:
    first = await made(store)
    await store.accounts.save([], gone=[first.id])
    assert (await made(store)).id > first.id


async def test_a_user_leaves_with_its_sessions_and_tokens(store: Store) -> None:
    row = await made(store)
    await store.accounts.sign_in(session(row), row, entry())
    await store.accounts.add_token(token(row), entry())
    await store.accounts.save([], gone=[row.id])
    assert (await store.accounts.sessions(), await store.accounts.tokens()) == ([], [])


async def test_users_can_come_and_go_in_one_transaction(store: Store) -> None:
    row = await made(store)
    await store.accounts.save([UserRow(name="BOB", source="config", created=1.0)], gone=[row.id])
    assert [user.name for user in await store.accounts.users()] == ["BOB"]


async def test_a_change_that_fails_leaves_no_entry_and_no_flag(store: Store) -> None:
    await made(store)
    with pytest.raises(sqlite3.IntegrityError):
        await store.accounts.save([UserRow(name="bob", source="local", created=1.0)], entry(), flag="done")
    assert await store.audit.recent(10) == []
    assert not await store.accounts.flag("done")


async def test_a_flag_stays_set(store: Store) -> None:
    await store.accounts.save([], flag="done")
    await store.accounts.save([], flag="done")
    assert await store.accounts.flag("done")


# ------------------------------------------------------------------------------------------------ sessions and tokens


async def test_a_session_comes_back_as_it_was_written(store: Store) -> None:
    row = await made(store)
    session_id, user_id = await store.accounts.sign_in(session(row), row, entry())
    assert await store.accounts.sessions() == [session(row)._replace(id=session_id)]
    assert user_id == row.id


async def test_a_session_can_begin_with_its_user(store: Store) -> None:
    row = UserRow(name="new", source="local", created=1.0)
    _, user_id = await store.accounts.sign_in(session(row), row, entry())
    assert [user.id for user in await store.accounts.users()] == [user_id] == [row.id]
    assert (await store.accounts.sessions())[0].user_id == user_id


@pytest.mark.parametrize("hosts", [None, ("web1", "db1")])
async def test_a_token_comes_back_as_it_was_written(store: Store, hosts: tuple[str, ...] | None) -> None:
    row = await made(store)
    token_id = await store.accounts.add_token(token(row, hosts), entry())
    assert await store.accounts.tokens() == [token(row, hosts)._replace(id=token_id)]


async def test_uses_are_written(store: Store) -> None:
    row = await made(store)
    session_id, _ = await store.accounts.sign_in(session(row), row, entry())
    token_id = await store.accounts.add_token(token(row), entry())
    await store.accounts.save_uses(
        [session(row)._replace(id=session_id, last_used=5.0, address="10.0.0.1")],
        [token(row)._replace(id=token_id, last_used=6.0, last_address="10.0.0.2")],
    )
    assert [(found.last_used, found.address) for found in await store.accounts.sessions()] == [(5.0, "10.0.0.1")]
    assert [(found.last_used, found.last_address) for found in await store.accounts.tokens()] == [(6.0, "10.0.0.2")]


# ------------------------------------------------------------------------------------------------------------ access


async def test_access_that_says_nothing_is_not_kept(store: Store) -> None:
    host_id = await store.hosts.enrol("web1", "agent_1", [], None, 1.0)
    full = AccessRow(host_id, "bob", (), ("carol",))
    await store.accounts.save_access([full])
    assert await store.accounts.access() == [full]
    await store.accounts.save_access([AccessRow(host_id, None, None, None)])
    assert await store.accounts.access() == []


async def test_access_goes_with_its_host(store: Store) -> None:
    host_id = await store.hosts.enrol("web1", "agent_1", [], None, 1.0)
    await store.accounts.save_access([AccessRow(host_id, "bob", None, None)])
    await store.hosts.delete(host_id)
    await store.accounts.save_access([AccessRow(host_id, "bob", None, None)])
    assert await store.accounts.access() == []


# ------------------------------------------------------------------------------------------------------------- audit


async def test_the_audit_log_cannot_be_edited(store: Store) -> None:
    await store.audit.add([entry()])
    with pytest.raises(sqlite3.IntegrityError, match="not edited"):
        await store.database.write(lambda db: db.execute("UPDATE audit SET user = 'nobody'"))
    assert [found.user for found in await store.audit.recent(10)] == ["root"]


async def test_entries_come_newest_first_and_page_on(store: Store) -> None:
    await store.audit.add([entry(detail=str(number)) for number in range(5)])
    first = await store.audit.recent(2)
    assert [found.detail for found in first] == ["4", "3"]
    assert [found.detail for found in await store.audit.recent(2, before=first[-1].id)] == ["2", "1"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"user": "BOB"}, ["a"]),
        ({"action": "login"}, ["a", "b"]),
        ({"action": "login.limit"}, ["b"]),
        ({"action": "log%"}, []),
        ({"outcome": "refused"}, ["c"]),
        ({"user": "bob", "outcome": "refused"}, []),
    ],
)
async def test_entries_can_be_searched(store: Store, wanted: dict[str, str], found: list[str]) -> None:
    await store.audit.add(
        [
            entry("login", user="bob", detail="a"),
            entry("login.limit", detail="b"),
            entry("host.view", outcome="refused", detail="c"),
        ]
    )
    assert sorted(one.detail for one in await store.audit.recent(10, **wanted)) == found


async def test_old_entries_are_forgotten(store: Store) -> None:
    await store.audit.add([entry(time=float(number)) for number in range(10)])
    assert await store.audit.prune(before=4.0, keep=100) == 4
    assert [found.time for found in await store.audit.recent(100)] == [9.0, 8.0, 7.0, 6.0, 5.0, 4.0]


async def test_of_too_many_entries_the_newest_stay(store: Store) -> None:
    await store.audit.add([entry(time=float(number)) for number in range(10)])
    assert await store.audit.prune(before=0.0, keep=3) == 7
    assert [found.time for found in await store.audit.recent(100)] == [9.0, 8.0, 7.0]
    assert await store.audit.prune(before=0.0, keep=3) == 0


# --------------------------------------------------------------------------------------------------------- migration


async def test_a_database_of_the_first_schema_keeps_its_data(tmp_path: Path) -> None:
    path = tmp_path / "hbd.db"
    old = sqlite3.connect(path, isolation_level=None)
    migrate(old, path, migrations()[:1])
    old.execute("INSERT INTO hosts (name, agent_id, created) VALUES ('web1', 'agent_1', 1.0)")
    old.execute("INSERT INTO messages (time, host_id, host, msg) VALUES (2.0, 1, 'web1', 'UP')")
    old.close()
    store = Store(path, Stats())
    await store.open()
    try:
        assert [host.name for host in await store.hosts.all()] == ["web1"]
        assert [message.msg for message in await store.messages.recent(10)] == ["UP"]
        assert await store.accounts.users() == []
        await made(store)
    finally:
        await store.close()
