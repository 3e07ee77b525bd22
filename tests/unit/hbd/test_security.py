"""Everything that decides who gets in, over a real database: loaded, configured and told of."""

from __future__ import annotations

import pytest

from hbd.access import Role
from hbd.config import Config, HostConfig
from hbd.config.structs import User as ConfigUser
from hbd.errors import StorageError
from hbd.hosts import Host, Hosts
from hbd.passwords import Passwords
from hbd.security import Security
from hbd.stats import Stats
from hbd.store import Store
from hbd.store.audit import Entry

NOW = 1_000_000.0
ROOT = {"root": ConfigUser(admin=True)}
BOTH = ROOT | {"dave": ConfigUser()}


@pytest.fixture
async def hosts(store: Store) -> Hosts:
    made = Hosts()
    made.add(Host(await store.hosts.enrol("web1", "agent_1", [], None, NOW), "web1", "agent_1"))
    return made


async def started(store: Store, config: Config) -> Security:
    made = Security(config, store, Stats(), Passwords(rounds=4))
    await made.load(NOW)
    return made


def entry() -> Entry:
    return Entry(time=NOW, user="root", via="session", action="host.access")


async def test_a_reload_that_the_disk_refuses_changes_neither_users_nor_rights(
    store: Store, hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    security = await started(store, Config(users=BOTH))
    host = hosts.require("web1")
    await security.host_access.change(host, entry(), owner="dave", monitors=("dave",))
    before = security.host_access.of(host, Config())

    async def refuse(_: object) -> None:
        raise StorageError("no space left")

    with monkeypatch.context() as broken:
        broken.setattr(store.database, "write", refuse)
        with pytest.raises(StorageError):
            await security.configure(Config(users=ROOT), hosts, NOW)
    for state in (security, await started(store, Config(users=BOTH))):
        assert state.accounts.get("dave") is not None
        assert state.host_access.of(host, Config()) == before


async def test_users_and_rights_go_in_one_transaction(store: Store, hosts: Hosts) -> None:
    security = await started(store, Config(users=BOTH))
    await security.host_access.change(hosts.require("web1"), entry(), owner="dave")
    written: list[object] = []
    write = store.database.write

    async def counted(work: object) -> object:
        written.append(work)
        return await write(work)  # type: ignore[arg-type]

    store.database.write = counted  # type: ignore[method-assign, assignment]
    await security.configure(Config(users=ROOT), hosts, NOW)
    assert len(written) == 1
    assert (await store.accounts.access(), [row.name for row in await store.accounts.users()]) == ([], ["root"])


async def test_nobody_is_told_of_a_config_before_it_is_announced(store: Store, hosts: Hosts) -> None:
    security = await started(store, Config(users=BOTH))
    heard: list[int] = []
    security.accounts.changed.append(lambda: heard.append(len(security.accounts)))
    await security.configure(Config(users=ROOT), hosts, NOW)
    assert heard == []
    await security.announce()
    assert heard == [1]


async def test_a_provider_that_the_config_no_longer_names_is_closed_when_that_is_announced(
    store: Store, hosts: Hosts
) -> None:
    security = await started(store, Config())
    closed: list[bool] = []

    class Former:
        async def close(self) -> None:
            closed.append(True)

    security.provider = Former()  # type: ignore[assignment]
    await security.configure(Config(base_url="https://hbd.example"), hosts, NOW)
    assert (security.provider, closed) == (None, [])
    await security.announce()
    await security.announce()
    assert closed == [True]


# ----------------------------------------------------------------------------------------------------------- warnings

NAMED = {"web1": HostConfig(owner="alice", monitors=("bob", "alice"))}


async def test_names_that_nobody_has_are_warned_of_and_so_is_that_nobody_is_admin(store: Store) -> None:
    security = await started(store, Config(users={"bob": ConfigUser()}, hosts=NAMED))
    assert security.warnings() == [
        "hosts.web1.owner: there is no user alice (and 1 more of the kind)",
        "users: nobody is admin; make somebody one: hbd user role NAME admin",
    ]


async def test_without_users_there_is_nobody_to_miss(store: Store) -> None:
    assert (await started(store, Config(hosts=NAMED))).warnings() == []


async def test_warnings_follow_the_users_and_the_config(store: Store, hosts: Hosts) -> None:
    used = Config(users=ROOT, hosts={"web1": HostConfig(owner="alice")})
    security = await started(store, used)
    told = [security.warnings()]
    alice = await security.accounts.add("alice", entry(), role=Role.VIEWER)
    told.append(security.warnings())
    await security.host_access.delete_user(alice, entry())
    told.append(security.warnings())
    await security.configure(Config(users=ROOT), hosts, NOW)
    told.append(security.warnings())
    missing = ["hosts.web1.owner: there is no user alice"]
    assert told == [missing, [], missing, []]


async def test_warnings_are_not_looked_for_at_each_question_nor_after_a_sign_in(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    security = await started(store, Config(users=ROOT, hosts=NAMED))
    looked: list[Config] = []
    look = security.host_access.unknown_people
    monkeypatch.setattr(security.host_access, "unknown_people", lambda config: looked.append(config) or look(config))
    told = [security.warnings() for _ in range(3)]
    root = security.accounts.require("root")
    await security.accounts.sign_in(root, "password", entry(), address="", user_agent="")
    assert security.warnings() == told[0] == told[1]
    assert len(looked) == 1
