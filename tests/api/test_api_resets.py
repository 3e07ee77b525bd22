"""A password that an admin or the command line gives somebody ends the sessions and API tokens of the user."""

from __future__ import annotations

import time

import bcrypt
import pytest
from world import Api, World

from hbd.people import People
from hbd.second_factor import SecondFactors
from hbd.store.audit import Entry

HASH = bcrypt.hashpw(b"battery staple", bcrypt.gensalt(4)).decode()


async def token_of(world: World, user: str) -> str:
    entry = Entry(time=time.time(), user="", via="cli", action="token.create")
    accounts = world.security.accounts
    return (await accounts.add_token(accounts.require(user), "x", entry, scope="read", hosts=None, expires=None))[1]


async def status(api: Api, token: str) -> int:
    return (await api.get("/api/0/users/me", headers={"X-Auth-Token": token})).status


@pytest.fixture
async def tokens(world: World) -> tuple[str, str]:
    """An API token of bob's, and one of alice's, who is admin."""
    await world.user("alice", "admin")
    await world.user("bob")
    return await token_of(world, "bob"), await token_of(world, "alice")


async def change(api: Api, world: World, **fields: object) -> int:
    headers = {"X-Auth-Token": await world.session("alice")}
    return (await api.put("/api/0/users/bob", json=fields, headers=headers)).status


async def test_a_password_from_an_admin_revokes_the_users_tokens_and_no_others(
    api: Api, world: World, tokens: tuple[str, str]
) -> None:
    assert await change(api, world, password="battery staple") == 200
    assert [await status(api, token) for token in tokens] == [401, 200]


async def test_the_audit_log_says_that_tokens_ended_with_it(api: Api, world: World, tokens: tuple[str, str]) -> None:
    await change(api, world, password="battery staple")
    assert (await world.store.audit.recent(1))[0].detail == "password; all sessions and API tokens ended"


@pytest.mark.parametrize("fields", [{"enabled": True}, {"full_name": "B"}, {"role": "operator"}])
async def test_other_changes_leave_tokens_alone(
    api: Api, world: World, tokens: tuple[str, str], fields: dict[str, object]
) -> None:
    assert await change(api, world, **fields) == 200
    assert await status(api, tokens[0]) == 200


async def test_signing_somebody_out_leaves_tokens_alone(api: Api, world: World, tokens: tuple[str, str]) -> None:
    headers = {"X-Auth-Token": await world.session("alice")}
    assert (await api.delete("/api/0/users/bob/sessions", headers=headers)).status == 200
    assert await status(api, tokens[0]) == 200


async def test_a_password_from_the_command_line_revokes_tokens_too(
    api: Api, world: World, tokens: tuple[str, str]
) -> None:
    accounts = world.security.accounts
    factors, access = SecondFactors(accounts), world.security.host_access
    people = People(accounts, access, factors, world.hosts, lambda: world.parts.config, world.apply_access)
    await people.set_password("bob", HASH, "pat")
    assert [await status(api, token) for token in tokens] == [401, 200]
    assert (await world.store.audit.recent(1))[0].detail == "password; all sessions and API tokens ended; by pat"


async def test_revoked_tokens_do_not_come_back_with_a_restart(api: Api, world: World, tokens: tuple[str, str]) -> None:
    await change(api, world, password="battery staple")
    assert [row.start for row in await world.store.accounts.tokens()] == [tokens[1][:10]]
