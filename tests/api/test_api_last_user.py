"""When the last user goes: what others reach stays closed, and what only this machine reaches is open again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from world import PASSWORD, Api, World

from hbd.config import Config
from hbd.config.structs import Auth, Oidc
from hbd.config.structs import User as ConfigUser
from hbd.security import Security
from hbd.signin import Visitor
from hbd.stats import Stats
from hbd.store.audit import Entry

ALICE = {"alice": ConfigUser(admin=True)}
REACHED: list[dict[str, Any]] = [
    {"hbd_host": ""},
    {"hbd_host": "0.0.0.0"},
    {"hbd_host": "192.0.2.1"},
    {"hbd_host": "monitor.example"},
    {"trusted_proxies": ("127.0.0.1/32",)},
    {"base_url": "https://monitor.example"},
]
HERE: list[dict[str, Any]] = [{}, {"hbd_host": "127.0.0.1"}, {"hbd_host": "::1"}, {"hbd_host": "localhost"}]
WARNING = "users: there are none any more, and hbd stays closed to everybody; make one: hbd user add --admin NAME"


async def status(api: Api, path: str = "/api/0/hosts") -> int:
    return (await api.get(path, allow_redirects=False)).status


def entry(action: str) -> Entry:
    return Entry(time=0.0, user="", via="cli", action=action)


@pytest.mark.parametrize("keys", REACHED)
async def test_emptying_the_users_of_the_config_opens_nothing_to_the_network(
    api: Api, world: World, keys: dict[str, Any]
) -> None:
    await world.configure(Config(users=ALICE, **keys))
    await world.configure(Config(**keys))
    found = [await status(api, path) for path in ("/api/0/hosts", "/metrics", "/live", "/healthz")]
    assert found == [401, 401, 302, 200]
    assert (await api.post("/api/0/auth/login", json={"username": "alice", "password": PASSWORD})).status == 401
    assert not world.security.accounts.open


@pytest.mark.parametrize("keys", REACHED)
async def test_where_there_never_was_a_user_it_is_open(api: Api, world: World, keys: dict[str, Any]) -> None:
    await world.configure(Config(**keys))
    assert (await status(api), world.security.warnings()) == (200, [])


@pytest.mark.parametrize("keys", HERE)
async def test_on_this_machine_alone_it_is_open_again(api: Api, world: World, keys: dict[str, Any]) -> None:
    await world.configure(Config(users=ALICE, **keys))
    await world.configure(Config(**keys))
    assert (await status(api), world.security.warnings()) == (200, [])


async def test_another_address_in_the_file_does_not_count_before_a_restart(world: World) -> None:
    security = Security(Config(users=ALICE, hbd_host=""), world.store, Stats())
    await security.load(0.0)
    await security.configure(Config(hbd_host="127.0.0.1"), world.hosts, 0.0)
    shut = security.accounts.shut
    await security.close()
    assert shut


async def test_it_stays_closed_after_a_restart(world: World) -> None:
    await world.configure(Config(users=ALICE, hbd_host=""))
    await world.configure(Config(hbd_host=""))
    again = Security(Config(hbd_host=""), world.store, Stats())
    await again.load(0.0)
    shut, told = again.accounts.shut, again.warnings()
    await again.close()
    assert (shut, told) == (True, [WARNING])


async def test_a_warning_and_the_audit_log_tell_it_once(world: World) -> None:
    for users in (ALICE, {}, {}):
        await world.configure(Config(users=users, hbd_host=""))
    assert world.security.warnings() == [WARNING]
    await world.security.audit.write()
    noted = [found.detail for found in await world.store.audit.recent(10) if found.action == "users.none"]
    assert noted == ["there are none any more, and hbd stays closed to everybody"]


async def test_a_user_that_is_added_then_gets_in(api: Api, world: World) -> None:
    for users in (ALICE, {}):
        await world.configure(Config(users=users, hbd_host=""))
    await world.user("root", "admin")
    answer = await api.post("/api/0/auth/login", json={"username": "root", "password": PASSWORD})
    assert (answer.status, world.security.warnings()) == (200, [])


async def test_where_people_come_from_outside_nothing_is_shut(world: World) -> None:
    await world.configure(Config(users=ALICE, hbd_host=""))
    oidc = Oidc(issuer="https://sso.example", client_id="hbd")
    await world.configure(Config(hbd_host="", base_url="https://monitor.example", auth=Auth(oidc=oidc)))
    assert (world.security.accounts.open, world.security.accounts.shut) == (False, False)


# -------------------------------------------------------------------------------------- rights given before the first


async def _added(world: World) -> None:
    await world.user("root", "admin")


async def _set_up(world: World) -> None:
    await world.security.sign_in.set_up("root", PASSWORD, Visitor("192.0.2.1", ""))


async def _configured(world: World) -> None:
    await world.configure(Config(users={"root": ConfigUser(admin=True)}))


@pytest.mark.parametrize("comes", [_added, _set_up, _configured])
async def test_rights_of_names_that_nobody_has_go_when_the_first_user_comes(world: World, comes: Any) -> None:
    web = await world.enrol("web")
    access = world.security.host_access
    await access.change(web, entry("host.access"), owner="mallory", managers=("Root", "mallory"), monitors=("mallory",))
    await comes(world)
    await world.user("mallory")
    assert web.owner == "root"
    assert (list(web.managers), list(web.monitors)) == (["root"], [])
    (row,) = await world.store.accounts.access()
    assert (row.owner, row.managers, row.monitors) == (None, ("Root",), ())


async def test_a_right_that_is_given_while_the_first_user_comes_names_nobody_unknown(world: World) -> None:
    web = await world.enrol("web")
    giving = world.security.host_access.change(web, entry("host.access"), monitors=("mallory",))
    await asyncio.gather(giving, world.user("root", "admin"), return_exceptions=True)
    assert [row.monitors for row in await world.store.accounts.access() if row.monitors] == []
