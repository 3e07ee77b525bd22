"""The commands for users and tokens, over a real database and without a daemon."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable

import bcrypt
import pytest

from hbd.access import Role
from hbd.accounts import Accounts
from hbd.config import Config, HostConfig, Secret
from hbd.config.structs import User as ConfigUser
from hbd.errors import Conflict, InvalidInput, NotFound
from hbd.host_access import HostAccess
from hbd.hosts import Host, Hosts
from hbd.people import People
from hbd.second_factor import SecondFactors
from hbd.store import Store
from hbd.store.audit import Entry

HASH = bcrypt.hashpw(b"correct horse", bcrypt.gensalt(4)).decode()


class Here:
    """What the commands work on."""

    def __init__(self, store: Store, config: Config) -> None:
        self.store = store
        self.hosts = Hosts()
        self.accounts = Accounts(config, store)
        self.host_access = HostAccess(store, self.accounts)
        self.config = config
        self.people = People(
            self.accounts,
            self.host_access,
            SecondFactors(self.accounts),
            self.hosts,
            lambda: self.config,
            self.apply_access,
        )

    def apply_access(self, hosts: Iterable[Host]) -> None:
        for host in hosts:
            found = self.host_access.of(host, self.config)
            self.hosts.hand(host, found.owner, found.managers, found.monitors)

    async def host(self, name: str) -> Host:
        made = Host(await self.store.hosts.enrol(name, f"agent_{name}", [], None, 1.0), name, f"agent_{name}")
        self.hosts.add(made)
        self.apply_access([made])
        return made

    async def add(self, name: str, role: str = "viewer", password: str | None = HASH) -> bool:
        return await self.people.add(name, role, "", password, "pat")

    async def entry(self) -> Entry:
        return (await self.store.audit.recent(1))[0]

    async def sign_in(self, name: str) -> str:
        entry = Entry(time=time.time(), user=name, via="session", action="login")
        user = self.accounts.require(name)
        return await self.accounts.sign_in(user, "password", entry, address="", user_agent="")


@pytest.fixture
async def here(store: Store) -> Here:
    made = Here(store, Config())
    await made.accounts.load(time.time())
    return made


@pytest.fixture
async def with_file(store: Store) -> Here:
    """alice is an admin by the config file."""
    made = Here(store, Config(users={"alice": ConfigUser(admin=True, password=Secret(HASH))}))
    await made.accounts.load(time.time())
    return made


# ------------------------------------------------------------------------------------------------------------- users


async def test_a_user_that_was_added_is_listed_as_the_api_shows_it(here: Here) -> None:
    await here.people.add("bob", "operator", "Bob B", HASH, "pat")
    (bob,) = await here.people.users()
    wanted = {"username": "bob", "full_name": "Bob B", "role": "operator", "source": "local", "enabled": True}
    assert bob.items() >= wanted.items()
    assert bob.items() >= {"has_password": True, "second_factor": False, "sessions": 0, "last_login": None}.items()


async def test_no_list_holds_a_hash(here: Here) -> None:
    await here.add("root", "admin")
    await here.people.create_token(None, "x", False, [], None, "pat")
    assert HASH not in json.dumps([await here.people.users(), await here.people.tokens(None)])


async def test_it_is_told_whether_anybody_is_admin(here: Here) -> None:
    assert [await here.add("bob"), await here.add("root", "admin"), await here.add("carol")] == [False, True, True]


async def test_a_user_without_password_has_none(here: Here) -> None:
    await here.add("bob", password=None)
    assert here.accounts.require("bob").password is None


async def test_the_audit_log_tells_who_did_it_on_the_machine(here: Here) -> None:
    await here.add("bob")
    entry = await here.entry()
    assert (entry.user, entry.via, entry.action, entry.object, entry.detail) == (
        "",
        "cli",
        "user.create",
        "user bob",
        "role viewer; by pat",
    )


@pytest.mark.parametrize("full_name", ["a\nb", "\x1b[31m", "x" * 201])
async def test_a_full_name_that_nobody_could_read_is_refused(here: Here, full_name: str) -> None:
    with pytest.raises(InvalidInput):
        await here.people.add("bob", "viewer", full_name, HASH, "pat")


async def test_a_removed_user_leaves_no_access_behind(here: Here) -> None:
    await here.add("root", "admin")
    await here.add("bob")
    host = Host(await here.store.hosts.enrol("web1", "agent_1", [], None, 1.0), "web1", "agent_1")
    entry = Entry(time=1.0, user="root", via="session", action="host.access")
    await here.host_access.change(host, entry, owner="bob")
    await here.people.remove("BOB", "pat")
    assert here.host_access.of(host, Config()).owner == "root"
    assert (await here.entry()).action == "user.delete"


async def test_a_disabled_user_is_signed_out_for_good(here: Here) -> None:
    await here.add("root", "admin")
    await here.add("bob")
    token = await here.sign_in("bob")
    await here.people.disable("bob", "pat")
    assert not here.accounts.require("bob").enabled
    await here.people.enable("bob", "pat")
    assert here.accounts.require("bob").enabled
    assert here.accounts.credential(token, time.time()) is None


async def test_a_new_password_ends_all_sessions(here: Here) -> None:
    await here.add("root", "admin")
    token = await here.sign_in("root")
    assert await here.people.set_password("root", HASH, "pat") is False
    assert here.accounts.credential(token, time.time()) is None
    assert HASH not in (await here.entry()).detail


async def test_what_is_changed_of_a_user_of_the_config_is_told_apart(with_file: Here) -> None:
    other = bcrypt.hashpw(b"another", bcrypt.gensalt(4)).decode()
    assert await with_file.people.set_password("alice", other, "pat") is True
    assert with_file.accounts.require("alice").password == other.encode()


async def test_a_user_of_the_config_is_not_removed_here(with_file: Here) -> None:
    with pytest.raises(Conflict, match="in the config file"):
        await with_file.people.remove("alice", "pat")


@pytest.mark.parametrize("command", ["remove", "disable"])
async def test_the_last_admin_stays(here: Here, command: str) -> None:
    await here.add("root", "admin")
    with pytest.raises(Conflict, match="last admin"):
        await getattr(here.people, command)("root", "pat")


async def test_a_role_is_changed(here: Here) -> None:
    await here.add("root", "admin")
    await here.add("bob")
    await here.people.set_role("bob", "operator", "pat")
    assert here.accounts.require("bob").role is Role.OPERATOR


async def test_a_lost_second_factor_is_taken_away_with_its_recovery_codes(here: Here) -> None:
    await here.add("bob")
    entry = Entry(time=1.0, user="bob", via="session", action="second_factor.set_up")
    await here.accounts.change(here.accounts.require("bob"), {"totp": "ABC", "recovery": (b"x",)}, entry)
    await here.people.reset_second_factor("bob", "pat")
    bob = here.accounts.require("bob")
    assert (bob.totp, bob.recovery) == (None, ())


async def test_where_there_is_no_second_factor_none_is_taken_away(here: Here) -> None:
    await here.add("bob")
    with pytest.raises(Conflict, match="no second factor"):
        await here.people.reset_second_factor("bob", "pat")


@pytest.mark.parametrize("command", ["remove", "disable", "enable", "reset_second_factor"])
async def test_a_user_nobody_knows_is_said_so(here: Here, command: str) -> None:
    with pytest.raises(NotFound, match="User 'nobody' not found"):
        await getattr(here.people, command)("nobody", "pat")


# --------------------------------------------------------------------------------------------------- rights on hosts


async def test_a_pattern_stands_for_all_hosts_that_fit_it_in_any_case(here: Here) -> None:
    await here.add("root", "admin")
    await here.add("bob")
    hosts = [await here.host(name) for name in ("Web2", "web1", "db")]
    told = await here.people.grant("BOB", "monitors", ["WEB*"], "pat")
    assert told == [{"host": name, "changed": True, "from_file": False} for name in ("web1", "Web2")]
    assert [host.monitors for host in hosts] == [["bob"], ["bob"], []]


async def test_what_somebody_was_already_is_no_change_and_not_in_the_audit_log(here: Here) -> None:
    await here.add("root", "admin")
    await here.add("bob")
    web = await here.host("web")
    await here.people.grant("bob", "managers", ["web"], "pat")
    assert [line["changed"] for line in await here.people.grant("bob", "managers", ["web"], "pat")] == [False]
    assert web.managers == ["bob"]
    told = [entry for entry in await here.store.audit.recent(10) if entry.action == "host.access"]
    assert [(entry.object, entry.detail) for entry in told] == [("host web", "managers: +bob; by pat")]


async def test_a_right_that_is_revoked_leaves_the_others(here: Here) -> None:
    await here.add("root", "admin")
    for name in ("bob", "carol"):
        await here.add(name)
    web = await here.host("web")
    for name in ("bob", "carol"):
        await here.people.grant(name, "monitors", ["web"], "pat")
    await here.people.grant("bob", "managers", ["web"], "pat")
    await here.people.revoke("bob", "monitors", ["*"], "pat")
    assert (web.managers, web.monitors) == (["bob"], ["carol"])


async def test_one_name_that_fits_no_host_leaves_all_as_it_was(here: Here) -> None:
    await here.add("root", "admin")
    await here.add("bob")
    web = await here.host("web")
    with pytest.raises(NotFound, match=r"No host is called 'wbe\*'"):
        await here.people.grant("bob", "monitors", ["web", "wbe*"], "pat")
    assert web.monitors == []


async def test_rights_that_the_file_names_are_told_apart(here: Here) -> None:
    await here.add("root", "admin")
    await here.add("bob")
    await here.host("web")
    here.config = Config(hosts={"web": HostConfig(managers=("root",))})
    (managers,) = await here.people.grant("bob", "managers", ["web"], "pat")
    (monitors,) = await here.people.grant("bob", "monitors", ["web"], "pat")
    assert (managers["from_file"], monitors["from_file"]) == (True, False)
    assert here.host_access.of(here.hosts.require("web"), here.config).managers == ("root", "bob")


async def test_nobody_is_given_a_host_who_is_no_user(here: Here) -> None:
    await here.add("root", "admin")
    await here.host("web")
    with pytest.raises(NotFound, match="User 'nobody' not found"):
        await here.people.grant("nobody", "monitors", ["web"], "pat")


# ------------------------------------------------------------------------------------------------------------ tokens


async def test_a_token_is_the_first_admins_and_only_reads(here: Here) -> None:
    await here.add("bob")
    await here.add("root", "admin")
    text = await here.people.create_token(None, "backup", False, [], None, "pat")
    credential = here.accounts.credential(text, time.time())
    assert credential is not None and credential.user.name == "root"
    assert (credential.identity.writes, credential.identity.hosts) == (False, None)


async def test_a_token_has_the_limits_it_was_given(here: Here) -> None:
    await here.add("bob")
    here.hosts.add(Host(1, "Web1", "agent_1"))
    text = await here.people.create_token("bob", "backup", True, ["web1", "WEB1"], 60.0, "pat")
    credential = here.accounts.credential(text, time.time())
    assert credential is not None and credential.token is not None
    assert (credential.identity.writes, credential.token.hosts) == (True, ("Web1",))
    assert here.accounts.credential(text, time.time() + 60) is None


async def test_a_token_for_a_host_nobody_knows_is_refused(here: Here) -> None:
    await here.add("root", "admin")
    with pytest.raises(NotFound, match="Host 'web9' not found"):
        await here.people.create_token(None, "backup", False, ["web9"], None, "pat")


async def test_without_users_there_is_nobody_to_make_a_token_for(here: Here) -> None:
    with pytest.raises(Conflict, match="There are no users yet"):
        await here.people.create_token(None, "backup", False, [], None, "pat")


async def test_without_an_admin_it_has_to_be_said_whose_token_it_is(here: Here) -> None:
    await here.add("bob")
    with pytest.raises(Conflict, match="--user"):
        await here.people.create_token(None, "backup", False, [], None, "pat")


async def test_tokens_are_listed_by_user(here: Here) -> None:
    await here.add("bob")
    await here.add("root", "admin")
    for user in ("bob", "root"):
        await here.people.create_token(user, f"of {user}", False, [], None, "pat")
    assert [token["user"] for token in await here.people.tokens(None)] == ["bob", "root"]
    (found,) = await here.people.tokens("root")
    assert (found["name"], found["scope"], found["hosts"]) == ("of root", "read", None)
    assert found["start"].startswith("hbt_") and len(found["start"]) == 10


async def test_a_revoked_token_is_worthless(here: Here) -> None:
    await here.add("root", "admin")
    text = await here.people.create_token(None, "backup", False, [], None, "pat")
    await here.people.revoke_token((await here.people.tokens(None))[0]["id"], "pat")
    assert here.accounts.credential(text, time.time()) is None
    assert (await here.entry()).detail == "of root; by pat"


async def test_a_token_nobody_has_cannot_be_revoked(here: Here) -> None:
    with pytest.raises(NotFound, match="Token '7' not found"):
        await here.people.revoke_token(7, "pat")
